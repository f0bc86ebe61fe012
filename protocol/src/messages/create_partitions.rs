//! Adding partitions (API key 37).

use crate::macros::{message, request};

request!(CreatePartitionsRequest => CreatePartitionsResponse, CreatePartitions, versions 0-3, flexible 2+);

message! {
    /// Adds partitions to topics.
    CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic>;
        timeout_ms: i32;
        validate_only: bool;
    }

    CreatePartitionsTopic {
        name: String;
        count: i32;
        assignments: Option<Vec<CreatePartitionsAssignment>> = Some(Default::default());
    }

    CreatePartitionsAssignment {
        broker_ids: Vec<i32>;
    }

    /// Which topics grew.
    CreatePartitionsResponse {
        throttle_time_ms: i32;
        results: Vec<CreatePartitionsTopicResult>;
    }

    CreatePartitionsTopicResult {
        name: String;
        error_code: i16;
        error_message: Option<String>;
    }
}
