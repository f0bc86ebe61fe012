//! One Produce request and its answer, as batches.
use std::collections::HashMap;
use std::sync::Arc;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use ottla_protocol::record::Records;
use uuid::Uuid;

use super::batch::ProducerBatch;
use crate::error::Place;
use crate::metadata::{LeaderHint, is_refused_leader};
use crate::types::{BrokerId, TopicPartition};

/// What a broker said about one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionAnswer {
    pub(crate) code: ErrorCode,
    pub(crate) base_offset: i64,
    pub(crate) log_append_time: Option<i64>,
    pub(crate) log_start_offset: i64,
    pub(crate) message: Option<String>,
    /// Who said so; none for a request that is not answered.
    pub(crate) at: Option<Place>,
}

/// The request for these batches.
pub(crate) fn request(
    (acks, timeout_ms, transactional_id): (i16, i32, Option<String>),
    batches: &[(ProducerBatch, Records)],
) -> ProduceRequest {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for (batch, records) in batches {
        let TopicPartition { topic, partition } = batch.topic_partition();
        let data = PartitionProduceData { index: *partition, records: Some(records.clone()) };
        match topics.iter_mut().find(|t| *t.name == **topic) {
            Some(topic) => topic.partition_data.push(data),
            None => topics.push(TopicProduceData {
                name: topic.to_string(),
                topic_id: batch.topic_id,
                partition_data: vec![data],
            }),
        }
    }
    ProduceRequest { transactional_id, acks, timeout_ms, topic_data: topics }
}

/// The last version that names topics; newer ones have their ids.
const LAST_BY_NAME: i16 = 12;

/// The highest version that can carry these batches: without ids it is one that names topics.
pub(crate) fn version_cap(cap: i16, batches: &[ProducerBatch]) -> i16 {
    let by_id = batches.iter().all(|batch| !batch.topic_id.is_nil());
    if by_id { cap } else { cap.min(LAST_BY_NAME) }
}

type Answers = HashMap<TopicPartition, PartitionAnswer>;

/// What the answer to these batches says about each partition, and about their leaders (KIP-951).
pub(crate) fn answers(response: ProduceResponse, batches: &[ProducerBatch]) -> (Answers, Vec<LeaderHint>) {
    let names: HashMap<Uuid, &Arc<str>> = batches.iter().map(|b| (b.topic_id, &b.topic_partition().topic)).collect();
    let ProduceResponse { responses, node_endpoints, .. } = response;
    let endpoints: HashMap<i32, (String, u16)> = node_endpoints
        .into_iter()
        .filter_map(|node| Some((node.node_id, (node.host, u16::try_from(node.port).ok()?))))
        .collect();
    let (mut answers, mut hints) = (HashMap::new(), Vec::new());
    for topic in responses {
        let name: Arc<str> = match names.get(&topic.topic_id) {
            Some(name) if topic.name.is_empty() => Arc::clone(name),
            _ => topic.name.into(),
        };
        for partition in topic.partition_responses {
            let leader = &partition.current_leader;
            if is_refused_leader(partition.error_code.into()) && leader.leader_id >= 0 && leader.leader_epoch >= 0 {
                hints.push(LeaderHint {
                    topic: Arc::clone(&name),
                    partition: partition.index,
                    leader: BrokerId(leader.leader_id),
                    leader_epoch: leader.leader_epoch,
                    endpoint: endpoints.get(&leader.leader_id).cloned(),
                });
            }
            answers.insert(TopicPartition::new(Arc::clone(&name), partition.index), answer(partition));
        }
    }
    (answers, hints)
}

fn answer(partition: PartitionProduceResponse) -> PartitionAnswer {
    let mut message = partition.error_message;
    for record in partition.record_errors {
        // The broker names the records that are at fault (KIP-467); the whole batch is refused.
        let text = message.get_or_insert_default();
        text.push_str(&format!("; record {} of the batch", record.batch_index));
        if let Some(reason) = record.batch_index_error_message {
            text.push_str(&format!(": {reason}"));
        }
    }
    PartitionAnswer {
        code: ErrorCode::from(partition.error_code),
        base_offset: partition.base_offset,
        log_append_time: Some(partition.log_append_time_ms).filter(|time| *time >= 0),
        log_start_offset: partition.log_start_offset,
        message,
        at: None,
    }
}
