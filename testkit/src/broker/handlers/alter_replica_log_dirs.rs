//! AlterReplicaLogDirs: there is one directory, so nothing moves (`ReplicaManager.alterReplicaLogDirs`).

use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::code;
use super::describe_log_dirs::DIRECTORY;

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let dirs = request.dirs.iter().flat_map(|dir| dir.topics.iter().map(move |topic| (dir.path.as_str(), topic)));
    let results = dirs.map(|(path, topic)| {
        let partitions = topic.partitions.iter().map(|&index| {
            let moved = move_there(cluster, call, path, &topic.name.0, index);
            AlterReplicaLogDirPartitionResult::default().with_partition_index(index).with_error_code(code(&moved))
        });
        AlterReplicaLogDirTopicResult::default()
            .with_topic_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    AlterReplicaLogDirsResponse::default().with_results(results.collect())
}

fn move_there(cluster: &Cluster, call: &Call, path: &str, topic: &str, index: i32) -> Result<(), ErrorCode> {
    call.fails_whole()?;
    call.may_cluster()?;
    if path != DIRECTORY {
        return Err(ErrorCode::LogDirNotFound);
    }
    let partition = cluster.partition(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if partition.replicas.contains(&call.node) { Ok(()) } else { Err(ErrorCode::ReplicaNotAvailable) }
}
