//! DescribeTopicPartitions: topics page by page (KIP-966).

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName};

use super::super::ErrorCode;
use super::super::acl;
use super::super::cluster::{Call, Cluster};
use super::super::partition::Partition;
use super::text;

/// `max.request.partition.size.limit`.
const MOST_PARTITIONS: usize = 2000;

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let asked: BTreeSet<String> = if request.topics.is_empty() {
        cluster.topics.keys().filter(|name| call.may_topic(name).is_ok()).cloned().collect()
    } else {
        request.topics.iter().map(|topic| topic.name.0.to_string()).collect()
    };
    let mut left = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, MOST_PARTITIONS);
    let first = request
        .cursor
        .map_or_else(Default::default, |cursor| (cursor.topic_name.0.to_string(), cursor.partition_index));
    let mut response = DescribeTopicPartitionsResponse::default().with_next_cursor(None);
    for name in asked.iter().filter(|name| **name >= first.0) {
        let from = if *name == first.0 { first.1 } else { 0 };
        let count = cluster.topics.get(name).map_or(0, |topic| topic.partitions.len());
        let rest = count.saturating_sub(usize::try_from(from).unwrap_or(0));
        if left == 0 {
            response.next_cursor = Some(cursor(name, from));
            break;
        }
        response.topics.push(topic(cluster, call, name, from, left));
        if rest > left {
            response.next_cursor = Some(cursor(name, from.saturating_add(left as i32)));
            break;
        }
        left -= rest;
    }
    response
}

fn cursor(topic: &str, partition: i32) -> Cursor {
    Cursor::default().with_topic_name(TopicName(text(topic))).with_partition_index(partition)
}

fn topic(cluster: &Cluster, call: &Call, name: &str, from: i32, most: usize) -> DescribeTopicPartitionsResponseTopic {
    let response = DescribeTopicPartitionsResponseTopic::default().with_name(Some(TopicName(text(name))));
    let found = call.fails(name, 0).and_then(|()| cluster.topics.get(name).ok_or(ErrorCode::UnknownTopicOrPartition));
    match found {
        Err(error) => response.with_error_code(error.code()),
        Ok(topic) => {
            let shown = topic.partitions.iter().skip(usize::try_from(from).unwrap_or(0)).take(most);
            let operations = cluster.operations(call, acl::TOPIC, name);
            let response = response.with_topic_id(topic.id).with_topic_authorized_operations(operations);
            response.with_partitions(shown.map(|one| described(cluster, one)).collect())
        }
    }
}

fn described(cluster: &Cluster, partition: &Partition) -> DescribeTopicPartitionsResponsePartition {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let offline = partition.replicas.iter().copied().filter(|&id| !cluster.is_alive(id)).collect::<Vec<_>>();
    let error = if partition.leader.is_none() { ErrorCode::LeaderNotAvailable.code() } else { 0 };
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(partition.index)
        .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(ids(&partition.replicas))
        .with_isr_nodes(ids(&partition.isr))
        // Java's client wants lists, as KRaft brokers give, even if the schema allows null.
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(ids(&offline))
}
