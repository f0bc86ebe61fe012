//! Produce: one batch per partition into the log.

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse};

use super::super::ErrorCode;
use super::super::batch::BatchHeader;
use super::super::cluster::{Call, Cluster, Outcome};
use super::super::partition::{Appended, ProduceRules, one_batch};
use super::super::record_errors::{RecordError, record_errors};
use super::super::request::Head;
use super::super::transactions::ProducerIdAndEpoch;
use super::text;

/// What all partitions of one request share.
struct Terms<'a> {
    acks: i16,
    transactional_id: Option<&'a str>,
}

/// Why nothing of a batch was written, and which of its records are to blame (KIP-467).
struct Refused {
    error: ErrorCode,
    records: Vec<RecordError>,
    /// The log itself refused it: Kafka names the log's start beside most such errors (`ReplicaManager.scala`).
    by_log: bool,
}

impl From<ErrorCode> for Refused {
    fn from(error: ErrorCode) -> Self {
        Self { error, records: Vec::new(), by_log: false }
    }
}

impl Refused {
    fn by_log(error: ErrorCode, records: Vec<RecordError>) -> Self {
        let by_log = !matches!(error, ErrorCode::CorruptMessage | ErrorCode::MessageTooLarge);
        Self { error, records, by_log }
    }
}

pub(super) fn handle(cluster: &mut Cluster, call: &Call, head: Head, request: ProduceRequest) -> Outcome {
    let transactional_id = request.transactional_id.as_ref().map(|id| id.0.as_str());
    let terms = Terms { acks: request.acks, transactional_id };
    let topics: Vec<_> = request.topic_data.iter().map(|topic| produce_topic(cluster, call, &terms, topic)).collect();
    if request.acks == 0 {
        let refused = topics.iter().any(|topic| topic.partition_responses.iter().any(|data| data.error_code != 0));
        // Without a reply the only way to say no is to hang up (KafkaApis.handleProduceRequest).
        return if refused { Outcome::HangUp } else { Outcome::NoReply };
    }
    let mut response = ProduceResponse::default().with_responses(topics);
    if call.version >= 10 {
        response.node_endpoints = endpoints(cluster, &response);
    }
    Outcome::Reply(head.reply(response))
}

fn produce_topic(
    cluster: &mut Cluster,
    call: &Call,
    terms: &Terms<'_>,
    topic: &TopicProduceData,
) -> TopicProduceResponse {
    let name = cluster.topic_name(&topic.name.0, topic.topic_id);
    let partitions = topic.partition_data.iter().map(|data| {
        let result = match &name {
            Ok(name) => match call.fails(name, data.index) {
                Ok(()) => produce(cluster, call, terms, name, data),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err((*error).into()),
        };
        answer(cluster, call, name.as_deref().unwrap_or_default(), data.index, &result)
    });
    TopicProduceResponse::default()
        .with_partition_responses(partitions.collect())
        .with_name(topic.name.clone())
        .with_topic_id(topic.topic_id)
}

fn produce(
    cluster: &mut Cluster,
    call: &Call,
    terms: &Terms<'_>,
    name: &str,
    data: &PartitionProduceData,
) -> Result<Appended, Refused> {
    if !matches!(terms.acks, -1..=1) {
        return Err(ErrorCode::InvalidRequiredAcks.into());
    }
    let in_sync = cluster.led(call.node, name, data.index, -1)?.isr.len();
    let empty = Bytes::new();
    let records = data.records.as_ref().unwrap_or(&empty);
    one_batch(records)?;
    let topic = cluster.topics.get(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if terms.acks == -1 && in_sync < topic.config.min_insync_replicas {
        return Err(Refused::by_log(ErrorCode::NotEnoughReplicas, Vec::new()));
    }
    let now = cluster.wall_ms(call.now);
    let rules = ProduceRules {
        max_message_bytes: topic.config.max_message_bytes,
        append_time: topic.config.log_append_time.then_some(now),
        latest_timestamp: now.saturating_add(topic.config.timestamp_after_max_ms),
        zstd: call.version >= 7,
        starts_at_zero: false,
        keyed: topic.config.compacted,
    };
    let starts_at_zero = join_transaction(cluster, call, terms, name, data.index, records)?;
    let rules = ProduceRules { starts_at_zero, ..rules };
    let partition = cluster.partition_mut(name, data.index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let appended = partition.produce(records, &rules).map_err(|error| {
        let records = record_errors(name, data.index, records, &rules, error);
        Refused::by_log(error, records)
    })?;
    cluster.wake(name, data.index);
    Ok(appended)
}

/// Transactional batches need a transaction that includes the partition: v12 adds it (KIP-890 part 2), older versions
/// must have added it before, which brokers verify since 3.6. True if the batch follows the second protocol.
fn join_transaction(
    cluster: &mut Cluster,
    call: &Call,
    terms: &Terms<'_>,
    name: &str,
    index: i32,
    records: &Bytes,
) -> Result<bool, ErrorCode> {
    let Some(header) = BatchHeader::read(records).filter(BatchHeader::is_transactional) else { return Ok(false) };
    // Without a producer id there is nothing to be part of; Kafka appends such a batch as any other.
    if header.producer_id < 0 {
        return Ok(false);
    }
    let second_protocol = call.version >= 12;
    let producers = &cluster.partition(name, index).ok_or(ErrorCode::UnknownTopicOrPartition)?.producers;
    let known = producers.has_ongoing_transaction(header.producer_id, header.producer_epoch);
    if known || producers.duplicate(&header).is_some() {
        return Ok(second_protocol);
    }
    let id = terms.transactional_id.ok_or(ErrorCode::InvalidTxnState)?;
    let producer = ProducerIdAndEpoch { producer_id: header.producer_id, epoch: header.producer_epoch };
    let partition = (name.to_owned(), index);
    let joined = if second_protocol {
        cluster.transactions.add_partitions(call.now, id, producer, [partition])
    } else if cluster.config.version.at_least(3, 6) {
        cluster.transactions.verify(id, producer, &partition)
    } else {
        Ok(())
    };
    joined.map(|()| second_protocol).map_err(|error| translate(call, error))
}

/// A partition leader answers for the coordinator (`ReplicaManager.scala`, `AddPartitionsToTxnManager`).
fn translate(call: &Call, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::ConcurrentTransactions if call.version < 12 => ErrorCode::NotEnoughReplicas,
        ErrorCode::TransactionAbortable if call.version < 11 => ErrorCode::InvalidTxnState,
        error => error,
    }
}

fn answer(
    cluster: &Cluster,
    call: &Call,
    name: &str,
    index: i32,
    result: &Result<Appended, Refused>,
) -> PartitionProduceResponse {
    let partition = cluster.partition(name, index);
    let log_start = partition.map_or(-1, |partition| partition.log.start_offset());
    let response = PartitionProduceResponse::default().with_index(index);
    match result {
        Ok(appended) => response
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.append_time)
            .with_log_start_offset(log_start),
        Err(Refused { error, records, by_log }) => {
            let moved = matches!(error, ErrorCode::NotLeaderOrFollower) && call.version >= 10;
            let hint = partition.filter(|_| moved).map(|partition| {
                LeaderIdAndEpoch::default()
                    .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
                    .with_leader_epoch(partition.leader_epoch)
            });
            let blamed = records.iter().map(|record| {
                BatchIndexAndErrorMessage::default()
                    .with_batch_index(record.index)
                    .with_batch_index_error_message(Some(text(record.reason.clone())))
            });
            response
                .with_error_code(error.code())
                .with_record_errors(blamed.collect())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(if *by_log { log_start } else { -1 })
                .with_error_message(Some(text(error.to_string())))
                .with_current_leader(hint.unwrap_or_default())
        }
    }
}

/// Addresses of the leaders hinted at (KIP-951).
fn endpoints(cluster: &Cluster, response: &ProduceResponse) -> Vec<NodeEndpoint> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    let hinted: Vec<i32> = partitions.map(|data| data.current_leader.leader_id.0).filter(|&id| id >= 0).collect();
    let nodes = cluster.nodes.iter().filter(|node| hinted.contains(&node.id));
    let endpoint = |node: &super::super::cluster::Node| {
        NodeEndpoint::default()
            .with_node_id(BrokerId(node.id))
            .with_host(text(node.host.clone()))
            .with_port(i32::from(node.port))
    };
    nodes.map(endpoint).collect()
}
