//! Electing leaders (API key 43).

use crate::macros::{message, request};

request!(ElectLeadersRequest => ElectLeadersResponse, ElectLeaders, versions 0-2, flexible 2+);

message! {
    /// Elects preferred or unclean leaders.
    ElectLeadersRequest {
        election_type: i8, @ 1+;
        topic_partitions: Option<Vec<TopicPartitions>> = Some(Default::default());
        timeout_ms: i32 = 60000;
    }

    TopicPartitions {
        topic: String;
        partitions: Vec<i32>;
    }

    /// The outcome of each election.
    ElectLeadersResponse {
        throttle_time_ms: i32;
        error_code: i16, @ 1+;
        replica_election_results: Vec<ReplicaElectionResult>;
    }

    ReplicaElectionResult {
        topic: String;
        partition_result: Vec<PartitionResult>;
    }

    PartitionResult {
        partition_id: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
    }
}
