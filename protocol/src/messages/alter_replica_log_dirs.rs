//! Moving replicas between disks (API key 34).

use crate::macros::{message, request};

request!(AlterReplicaLogDirsRequest => AlterReplicaLogDirsResponse, AlterReplicaLogDirs, versions 0-2, flexible 2+);

message! {
    /// Moves replicas between the disks of a broker.
    AlterReplicaLogDirsRequest {
        dirs: Vec<AlterReplicaLogDir>;
    }

    AlterReplicaLogDir {
        path: String;
        topics: Vec<AlterReplicaLogDirTopic>;
    }

    AlterReplicaLogDirTopic {
        name: String;
        partitions: Vec<i32>;
    }

    /// Which replicas are moving.
    AlterReplicaLogDirsResponse {
        throttle_time_ms: i32;
        results: Vec<AlterReplicaLogDirTopicResult>;
    }

    AlterReplicaLogDirTopicResult {
        topic_name: String;
        partitions: Vec<AlterReplicaLogDirPartitionResult>;
    }

    AlterReplicaLogDirPartitionResult {
        partition_index: i32;
        error_code: i16;
    }
}
