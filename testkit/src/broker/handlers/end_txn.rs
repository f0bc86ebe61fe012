//! EndTxn: v5 is the second transaction protocol, whatever feature level is finalized.

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::TRANSACTION;
use super::super::transactions::ProducerIdAndEpoch;
use super::code;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: EndTxnRequest) -> EndTxnResponse {
    let ended = end(cluster, call, &request).map_err(|error| match error {
        ErrorCode::ProducerFenced if call.version < 2 => ErrorCode::InvalidProducerEpoch,
        error => error,
    });
    let response = EndTxnResponse::default().with_error_code(code(&ended));
    match ended {
        Ok(next) if call.version >= 5 => {
            response.with_producer_id(ProducerId(next.producer_id)).with_producer_epoch(next.epoch)
        }
        _ => response.with_producer_id(ProducerId(-1)).with_producer_epoch(-1),
    }
}

fn end(cluster: &mut Cluster, call: &Call, request: &EndTxnRequest) -> Result<ProducerIdAndEpoch, ErrorCode> {
    let id = request.transactional_id.0.as_str();
    call.fails_whole()?;
    cluster.check_coordinator(call, TRANSACTION, id)?;
    let producer = ProducerIdAndEpoch { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let next = cluster.transactions.end(call.now, id, producer, request.committed, call.version >= 5)?;
    cluster.end_soon(call.now, id);
    Ok(next)
}
