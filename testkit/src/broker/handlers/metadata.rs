//! Metadata: brokers, topics, leaders; creates topics if asked to.

use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use uuid::Uuid;

use super::super::ErrorCode;
use super::super::acl;
use super::super::cluster::{Call, Cluster};
use super::super::partition::Partition;
use super::super::topics::{NewTopic, is_valid_name};
use super::{NOT_ASKED, text};

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: MetadataRequest) -> MetadataResponse {
    let all = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && call.version == 0,
    };
    let show_operations = request.include_topic_authorized_operations && call.version >= 8;
    let mut topics: Vec<MetadataResponseTopic> = if all {
        // Who asks for everything is not told of what is denied.
        let names: Vec<String> = cluster.topics.keys().filter(|name| call.may_topic(name).is_ok()).cloned().collect();
        names.iter().map(|name| known(cluster, call, name)).collect()
    } else {
        let create = request.allow_auto_topic_creation && cluster.config.auto_create_topics;
        let asked = request.topics.unwrap_or_default().into_iter();
        asked.map(|topic| one(cluster, call, topic.name, topic.topic_id, create)).collect()
    };
    for topic in &mut topics {
        let name = topic.name.as_ref().map_or("", |name| name.0.as_str());
        if show_operations && topic.error_code == 0 {
            topic.topic_authorized_operations = cluster.operations(call, acl::TOPIC, name);
        }
    }
    let brokers = cluster.alive().map(|node| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(node.id))
            .with_host(text(node.host.clone()))
            .with_port(i32::from(node.port))
            .with_rack(node.rack.clone().map(text))
    });
    let cluster_operations = if request.include_cluster_authorized_operations && (8..=10).contains(&call.version) {
        cluster.operations(call, acl::CLUSTER, acl::CLUSTER_NAME)
    } else {
        NOT_ASKED
    };
    MetadataResponse::default()
        .with_cluster_authorized_operations(cluster_operations)
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(text(cluster.cluster_id.clone())))
        .with_controller_id(BrokerId(cluster.controller()))
        .with_topics(topics)
}

fn one(cluster: &mut Cluster, call: &Call, name: Option<TopicName>, id: Uuid, create: bool) -> MetadataResponseTopic {
    let Some(name) = name else {
        return match cluster.topic_ids.get(&id).cloned() {
            Some(name) => known(cluster, call, &name),
            None => failed(call, None, id, ErrorCode::UnknownTopicId),
        };
    };
    let text = name.0.as_str();
    if cluster.topics.contains_key(text) {
        return known(cluster, call, text);
    }
    if !is_valid_name(text) {
        return failed(call, Some(name), Uuid::nil(), ErrorCode::InvalidTopicException);
    }
    if !create {
        return failed(call, Some(name), Uuid::nil(), ErrorCode::UnknownTopicOrPartition);
    }
    let new = NewTopic { name: text.to_owned(), ..NewTopic::default() };
    let error = match cluster.create_topic(&new, false) {
        // The first answer comes before the topic is led: 5 from ZooKeeper brokers, 3 from KRaft ones.
        Ok(_) if cluster.config.version.at_least(3, 3) => ErrorCode::UnknownTopicOrPartition,
        Ok(_) => ErrorCode::LeaderNotAvailable,
        Err((code, _)) => code,
    };
    failed(call, Some(name), Uuid::nil(), error)
}

fn failed(call: &Call, name: Option<TopicName>, id: Uuid, error: ErrorCode) -> MetadataResponseTopic {
    let name = name.or_else(|| (call.version < 12).then(TopicName::default));
    MetadataResponseTopic::default().with_error_code(error.code()).with_name(name).with_topic_id(id)
}

fn known(cluster: &Cluster, call: &Call, name: &str) -> MetadataResponseTopic {
    let topic_name = TopicName(text(name));
    let Some(topic) = cluster.topics.get(name) else {
        return failed(call, Some(topic_name), Uuid::nil(), ErrorCode::UnknownTopicOrPartition);
    };
    if let Err(error) = call.fails(name, 0) {
        return failed(call, Some(topic_name), topic.id, error);
    }
    MetadataResponseTopic::default()
        .with_name(Some(topic_name))
        .with_topic_id(topic.id)
        .with_partitions(topic.partitions.iter().map(|partition| described(cluster, partition)).collect())
}

fn described(cluster: &Cluster, partition: &Partition) -> MetadataResponsePartition {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let offline = partition.replicas.iter().copied().filter(|&id| !cluster.is_alive(id)).collect::<Vec<_>>();
    let error = if partition.leader.is_none() { ErrorCode::LeaderNotAvailable.code() } else { 0 };
    MetadataResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(partition.index)
        .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(ids(&partition.replicas))
        .with_isr_nodes(ids(&partition.isr))
        .with_offline_replicas(ids(&offline))
}
