//! Moving partitions (API key 45).

use crate::macros::{message, request};

request!(AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse, AlterPartitionReassignments, versions 0-1, flexible 0+);

message! {
    /// Starts, changes or cancels the move of partitions between brokers.
    AlterPartitionReassignmentsRequest {
        timeout_ms: i32 = 60000;
        allow_replication_factor_change: bool = true, @ 1+;
        topics: Vec<ReassignableTopic>;
    }

    ReassignableTopic {
        name: String;
        partitions: Vec<ReassignablePartition>;
    }

    ReassignablePartition {
        partition_index: i32;
        replicas: Option<Vec<i32>>;
    }

    /// Which moves were accepted.
    AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32;
        allow_replication_factor_change: bool = true, @ 1+, ignorable;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        responses: Vec<ReassignableTopicResponse>;
    }

    ReassignableTopicResponse {
        name: String;
        partitions: Vec<ReassignablePartitionResponse>;
    }

    ReassignablePartitionResponse {
        partition_index: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
    }
}
