//! CreatePartitions: a topic grows.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::partition::Partition;
use super::super::topics::Refusal;
use super::text;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| {
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        match grow(cluster, call, topic, request.validate_only) {
            Ok(()) => result,
            Err((error, reason)) => result.with_error_code(error.code()).with_error_message(Some(text(reason))),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(cluster: &mut Cluster, call: &Call, topic: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Refusal> {
    let name = topic.name.0.as_str();
    call.fails_whole().map_err(|error| (error, String::new()))?;
    let refuse = |error: ErrorCode, reason: String| Err((error, reason));
    let Some(known) = cluster.topics.get(name) else {
        return refuse(ErrorCode::UnknownTopicOrPartition, format!("Topic {name} does not exist."));
    };
    let have = known.partitions.len() as i32;
    let replication = known.partitions.first().map_or(1, |partition| partition.replicas.len() as i16);
    if topic.count <= have {
        return refuse(ErrorCode::InvalidPartitions, format!("The topic {name} has {have} partitions already."));
    }
    let replicas: Vec<Vec<i32>> = match &topic.assignments {
        None => cluster.spread(have, topic.count, replication)?,
        Some(assignments) => assignments.iter().map(|one| one.broker_ids.iter().map(|id| id.0).collect()).collect(),
    };
    let known_nodes = replicas.iter().flatten().all(|id| (0..cluster.config.nodes).contains(id));
    if replicas.len() as i32 != topic.count - have || !known_nodes || replicas.iter().any(Vec::is_empty) {
        return refuse(ErrorCode::InvalidReplicaAssignment, "Replica assignment is invalid.".to_owned());
    }
    if validate_only {
        return Ok(());
    }
    let rules = cluster.sequence_rules();
    if let Some(known) = cluster.topics.get_mut(name) {
        known.partitions.extend((have..).zip(replicas).map(|(index, replicas)| Partition::new(index, replicas, rules)));
    }
    cluster.settle_leaders(name);
    Ok(())
}
