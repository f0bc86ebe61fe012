//! DescribeQuorum: the controllers, which here are the nodes themselves.

use kafka_protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse, TopicName};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::{code, text};

const METADATA_TOPIC: &str = "__cluster_metadata";

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let admitted = call.fails_whole().and_then(|()| call.may_cluster());
    if admitted.is_err() {
        return DescribeQuorumResponse::default().with_error_code(code(&admitted)).with_error_message(None);
    }
    let is_quorum = match request.topics.as_slice() {
        [topic] => {
            topic.topic_name.0.as_str() == METADATA_TOPIC
                && matches!(topic.partitions.as_slice(), [partition] if partition.partition_index == 0)
        }
        _ => false,
    };
    if !is_quorum {
        return unknown(&request);
    }
    let topic = TopicData::default()
        .with_topic_name(TopicName(text(METADATA_TOPIC)))
        .with_partitions(vec![quorum(cluster, call)]);
    let nodes = cluster.nodes.iter().filter(|_| call.version >= 2).map(|node| {
        let listener =
            Listener::default().with_name(text("CONTROLLER")).with_host(text(node.host.clone())).with_port(node.port);
        Node::default().with_node_id(BrokerId(node.id)).with_listeners(vec![listener])
    });
    DescribeQuorumResponse::default().with_error_message(None).with_topics(vec![topic]).with_nodes(nodes.collect())
}

fn quorum(cluster: &Cluster, call: &Call) -> PartitionData {
    let now = cluster.wall_ms(call.now);
    // No metadata log exists here: its end is a number that grows.
    let end = cluster.metadata_offset();
    let leader = cluster.controller();
    let voters = cluster.nodes.iter().map(|node| {
        let seen = if node.alive { now } else { -1 };
        let state = ReplicaState::default().with_replica_id(BrokerId(node.id)).with_log_end_offset(end);
        if call.version >= 1 {
            state.with_last_fetch_timestamp(seen).with_last_caught_up_timestamp(seen)
        } else {
            state
        }
    });
    PartitionData::default()
        .with_error_message(None)
        .with_leader_id(BrokerId(leader))
        .with_leader_epoch(cluster.coordinator_epoch + 1)
        .with_high_watermark(end)
        .with_current_voters(voters.collect())
}

/// Every partition that was asked for is unknown.
fn unknown(request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let error = ErrorCode::UnknownTopicOrPartition.code();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error)
                .with_error_message(None)
        });
        TopicData::default().with_topic_name(topic.topic_name.clone()).with_partitions(partitions.collect())
    });
    DescribeQuorumResponse::default().with_error_message(None).with_topics(topics.collect())
}
