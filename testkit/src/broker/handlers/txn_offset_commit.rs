//! TxnOffsetCommit: offsets that take effect when the transaction commits.

use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::group::exchange::Speaker;
use super::super::leadership::GROUP;
use super::super::offsets::{Committed, Offsets};
use super::super::transactions::ProducerIdAndEpoch;
use super::code;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let admitted = admit(cluster, call, &request);
    let group = request.group_id.0.as_str();
    let topics = request.topics.iter().map(|topic| {
        let name = topic.name.0.as_str();
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let committed = call.fails(name, index).and_then(|()| {
                // The API layer looks for the partition before the coordinator is asked (KafkaApis.scala).
                cluster.partition(name, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
                admitted?;
                let offset = Committed {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_ref().map_or_else(String::new, ToString::to_string),
                };
                cluster.offsets.commit_pending(group, request.producer_id.0, (name.to_owned(), index), offset)
            });
            TxnOffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code(&committed))
        });
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

fn admit(cluster: &mut Cluster, call: &Call, request: &TxnOffsetCommitRequest) -> Result<(), ErrorCode> {
    let group = request.group_id.0.as_str();
    // Plain commits may be of a group without a name, for old clients' sake; these may not.
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    cluster.check_coordinator(call, GROUP, group)?;
    let speaker = Speaker {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    cluster.check_commit(call, group, speaker, true, ErrorCode::IllegalGeneration)?;
    let id = request.transactional_id.0.as_str();
    let producer = ProducerIdAndEpoch { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let partition = Offsets::partition_of(group);
    if call.version >= 5 {
        return cluster.transactions.add_partitions(call.now, id, producer, [partition]).map_err(translate);
    }
    // Offset commits are verified since 3.7 (KIP-890 part 1).
    if cluster.config.version.at_least(3, 7) {
        let verified = cluster.transactions.verify(id, producer, &partition);
        return verified.map_err(|error| match translate(error) {
            ErrorCode::TransactionAbortable if call.version < 4 => ErrorCode::InvalidTxnState,
            error => error,
        });
    }
    Ok(())
}

/// The group coordinator answers for the transaction coordinator (`GroupCoordinatorService`).
fn translate(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}
