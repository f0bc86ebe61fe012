//! AlterPartitionReassignments and ListPartitionReassignments. Here a reassignment is done at once, so none is ever
//! going on.

use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::{code, text};

pub(super) fn alter(
    cluster: &mut Cluster,
    call: &Call,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let topics = request.topics.iter().map(|topic| {
        let name = topic.name.0.as_str();
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let done = call.fails(name, index).and_then(|()| match &partition.replicas {
                Some(replicas) => reassign(cluster, name, index, replicas),
                None => Err(ErrorCode::NoReassignmentInProgress),
            });
            ReassignablePartitionResponse::default()
                .with_partition_index(index)
                .with_error_code(code(&done))
                .with_error_message(done.err().map(|error| text(error.to_string())))
        });
        let partitions = partitions.collect();
        ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_error_message(None)
        .with_responses(topics.collect())
}

fn reassign(cluster: &mut Cluster, name: &str, index: i32, replicas: &[BrokerId]) -> Result<(), ErrorCode> {
    let replicas: Vec<i32> = replicas.iter().map(|id| id.0).collect();
    let distinct = (1..replicas.len()).all(|at| !replicas[..at].contains(&replicas[at]));
    if replicas.is_empty() || !distinct || !replicas.iter().all(|&id| cluster.is_alive(id)) {
        return Err(ErrorCode::InvalidReplicaAssignment);
    }
    let partition = cluster.partition_mut(name, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    partition.isr.clone_from(&replicas);
    let leads = partition.leader.is_some_and(|leader| replicas.contains(&leader));
    let first = replicas.first().copied();
    partition.replicas = replicas;
    if let Some(first) = first.filter(|_| !leads) {
        cluster.move_leader(name, index, first);
    }
    Ok(())
}

pub(super) fn list(
    _: &mut Cluster,
    call: &Call,
    _: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default().with_error_code(code(&call.fails_whole())).with_error_message(None)
}
