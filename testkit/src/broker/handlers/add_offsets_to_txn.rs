//! AddOffsetsToTxn: the group's offsets become part of the transaction.

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::TRANSACTION;
use super::super::offsets::Offsets;
use super::super::transactions::ProducerIdAndEpoch;
use super::code;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
    let id = request.transactional_id.0.as_str();
    let producer = ProducerIdAndEpoch { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let partition = Offsets::partition_of(&request.group_id.0);
    let added = call
        .fails_whole()
        .and_then(|()| cluster.check_coordinator(call, TRANSACTION, id))
        .and_then(|()| cluster.transactions.add_partitions(call.now, id, producer, [partition]))
        .map_err(|error| match error {
            ErrorCode::ProducerFenced if call.version < 2 => ErrorCode::InvalidProducerEpoch,
            error => error,
        });
    AddOffsetsToTxnResponse::default().with_error_code(code(&added))
}
