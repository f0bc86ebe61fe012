//! InitProducerId.

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::TRANSACTION;
use super::super::transactions::{Initialized, ProducerIdAndEpoch};

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
    match initialize(cluster, call, &request) {
        Ok(producer) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(producer.producer_id))
            .with_producer_epoch(producer.epoch),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(old_name(call, error).code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}

/// PRODUCER_FENCED is known to clients from v4 on; before it was INVALID_PRODUCER_EPOCH (KIP-588).
fn old_name(call: &Call, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced if call.version < 4 => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}

fn initialize(
    cluster: &mut Cluster,
    call: &Call,
    request: &InitProducerIdRequest,
) -> Result<ProducerIdAndEpoch, ErrorCode> {
    call.fails_whole()?;
    let Some(id) = &request.transactional_id else {
        call.may_cluster()?;
        return Ok(ProducerIdAndEpoch { producer_id: cluster.transactions.generate_producer_id(), epoch: 0 });
    };
    let id = id.0.as_str();
    let expected = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ErrorCode::InvalidRequest),
        (producer_id, epoch) => Some(ProducerIdAndEpoch { producer_id, epoch }),
    };
    cluster.check_coordinator(call, TRANSACTION, id)?;
    match cluster.transactions.initialize(call.now, id, request.transaction_timeout_ms, expected)? {
        Initialized::Ready(producer) => Ok(producer),
        Initialized::Fencing => {
            cluster.end_soon(call.now, id);
            Err(ErrorCode::ConcurrentTransactions)
        }
    }
}
