//! CreateTopics.

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::config::topic_configs;
use super::super::topics::{NewTopic, Refusal};
use super::text;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let validate_only = request.validate_only;
    let results = request.topics.iter().map(|topic| {
        let twice = request.topics.iter().filter(|other| other.name == topic.name).count() > 1;
        create(cluster, call, topic, twice, validate_only)
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create(
    cluster: &mut Cluster,
    call: &Call,
    topic: &CreatableTopic,
    twice: bool,
    validate_only: bool,
) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_name(topic.name.clone());
    let checked = check(cluster, call, topic, twice);
    let created = checked.and_then(|()| cluster.create_topic(&wanted(topic), validate_only));
    match created {
        Ok((id, partitions, replication)) => result
            .with_topic_id(id)
            .with_num_partitions(partitions)
            .with_replication_factor(replication)
            .with_configs((call.version >= 5).then(|| configs(cluster, topic))),
        Err((error, reason)) => result
            .with_error_code(error.code())
            .with_error_message(Some(text(reason)))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_configs((call.version >= 5).then(Vec::new)),
    }
}

fn check(cluster: &Cluster, call: &Call, topic: &CreatableTopic, twice: bool) -> Result<(), Refusal> {
    let name = topic.name.0.as_str();
    call.fails(name, 0).map_err(|error| (error, String::new()))?;
    // Brokers forward to the controller since KRaft; before, the client had to find it.
    if !cluster.config.version.at_least(2, 8) && cluster.controller() != call.node {
        return Err((ErrorCode::NotController, "This is not the correct controller for this cluster.".to_owned()));
    }
    if twice {
        return Err((ErrorCode::InvalidRequest, format!("Duplicate topic name: {name}")));
    }
    if !topic.assignments.is_empty() && (topic.num_partitions != -1 || topic.replication_factor != -1) {
        let reason = "Both numPartitions or replicationFactor and replicasAssignments were set.";
        return Err((ErrorCode::InvalidRequest, reason.to_owned()));
    }
    Ok(())
}

fn wanted(topic: &CreatableTopic) -> NewTopic {
    let mut assignments = topic.assignments.clone();
    assignments.sort_by_key(|assignment| assignment.partition_index);
    let replicas = assignments.iter().map(|assignment| assignment.broker_ids.iter().map(|id| id.0).collect()).collect();
    NewTopic {
        name: topic.name.0.to_string(),
        partitions: (topic.num_partitions != -1).then_some(topic.num_partitions),
        replication: (topic.replication_factor != -1).then_some(topic.replication_factor),
        assignment: (!topic.assignments.is_empty()).then_some(replicas),
        configs: topic
            .configs
            .iter()
            .filter_map(|config| config.value.as_ref().map(|value| (config.name.to_string(), value.to_string())))
            .collect(),
    }
}

fn configs(cluster: &Cluster, topic: &CreatableTopic) -> Vec<CreatableTopicConfigs> {
    let created = cluster.topics.get(topic.name.0.as_str());
    let one = |&(name, _, default): &(&str, i8, &str)| {
        let (value, set) = created
            .map_or_else(|| (default.to_owned(), false), |topic| topic.config.value(name, default, &cluster.config));
        CreatableTopicConfigs::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
            .with_config_source(if set { 1 } else { 5 })
    };
    topic_configs(cluster.config.version).map(one).collect()
}
