//! Listing moves (API key 46).

use crate::macros::{message, request};

request!(ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse, ListPartitionReassignments, versions 0-0, flexible 0+);

message! {
    /// Asks which partitions are moving.
    ListPartitionReassignmentsRequest {
        timeout_ms: i32 = 60000;
        topics: Option<Vec<ListPartitionReassignmentsTopics>>;
    }

    ListPartitionReassignmentsTopics {
        name: String;
        partition_indexes: Vec<i32>;
    }

    /// The moves under way.
    ListPartitionReassignmentsResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        topics: Vec<OngoingTopicReassignment>;
    }

    OngoingTopicReassignment {
        name: String;
        partitions: Vec<OngoingPartitionReassignment>;
    }

    OngoingPartitionReassignment {
        partition_index: i32;
        replicas: Vec<i32>;
        adding_replicas: Vec<i32>;
        removing_replicas: Vec<i32>;
    }
}
