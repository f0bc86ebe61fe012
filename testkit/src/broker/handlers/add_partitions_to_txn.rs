//! AddPartitionsToTxn: by clients up to v3, batched between brokers from v4 on.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::TRANSACTION;
use super::super::transactions::{ProducerIdAndEpoch, TopicPartition};
use super::code;

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    if call.version < 4 {
        let producer = ProducerIdAndEpoch {
            producer_id: request.v3_and_below_producer_id.0,
            epoch: request.v3_and_below_producer_epoch,
        };
        let id = request.v3_and_below_transactional_id.0;
        let topics = add(cluster, call, &id, producer, false, &request.v3_and_below_topics);
        return AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics);
    }
    let results = request.transactions.into_iter().map(|transaction| {
        let producer = ProducerIdAndEpoch { producer_id: transaction.producer_id.0, epoch: transaction.producer_epoch };
        let id = transaction.transactional_id.0.clone();
        let topics = add(cluster, call, &id, producer, transaction.verify_only, &transaction.topics);
        AddPartitionsToTxnResult::default()
            .with_transactional_id(transaction.transactional_id)
            .with_topic_results(topics)
    });
    AddPartitionsToTxnResponse::default().with_results_by_transaction(results.collect())
}

fn add(
    cluster: &mut Cluster,
    call: &Call,
    id: &str,
    producer: ProducerIdAndEpoch,
    verify_only: bool,
    topics: &[AddPartitionsToTxnTopic],
) -> Vec<AddPartitionsToTxnTopicResult> {
    let all: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|&partition| (topic.name.0.to_string(), partition)))
        .collect();
    let fault = |(topic, partition): &TopicPartition| call.fails(topic, *partition);
    let unknown = |(topic, partition): &TopicPartition| cluster.partition(topic, *partition).is_none();
    let faulty = all.iter().any(|partition| fault(partition).is_err() || unknown(partition));
    // All or nothing: one bad partition leaves the others unattempted (KafkaApis.handleAddPartitionsToTxnRequest).
    let verdicts: Vec<Result<(), ErrorCode>> = if faulty {
        let verdict = |partition| {
            fault(partition)?;
            Err(if unknown(partition) { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::OperationNotAttempted })
        };
        all.iter().map(verdict).collect()
    } else if verify_only {
        all.iter().map(|partition| cluster.transactions.verify(id, producer, partition)).collect()
    } else {
        let checked = cluster.check_coordinator(call, TRANSACTION, id);
        let added = checked
            .and_then(|()| cluster.transactions.add_partitions(call.now, id, producer, all.iter().cloned()))
            .map_err(|error| old_name(call, error));
        vec![added; all.len()]
    };
    let mut verdicts = verdicts.iter();
    let results = topics.iter().map(|topic| {
        let results = topic.partitions.iter().zip(verdicts.by_ref()).map(|(&index, verdict)| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(index)
                .with_partition_error_code(code(verdict))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(results.collect())
    });
    results.collect()
}

/// PRODUCER_FENCED is known to clients from v2 on (KIP-588).
fn old_name(call: &Call, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced if call.version < 2 => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}
