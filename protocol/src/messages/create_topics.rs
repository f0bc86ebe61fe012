//! Creating topics (API key 19).
use uuid::Uuid;

use crate::macros::{message, request};

request!(CreateTopicsRequest => CreateTopicsResponse, CreateTopics, versions 0-7, flexible 5+);

message! {
    /// Creates topics.
    CreateTopicsRequest {
        topics: Vec<CreatableTopic>;
        timeout_ms: i32 = 60000;
        validate_only: bool, @ 1+;
    }

    CreatableTopic {
        name: String;
        num_partitions: i32;
        replication_factor: i16;
        assignments: Vec<CreatableReplicaAssignment>;
        configs: Vec<CreatableTopicConfig>;
    }

    CreatableReplicaAssignment {
        partition_index: i32;
        broker_ids: Vec<i32>;
    }

    CreatableTopicConfig {
        name: String;
        value: Option<String> = Some(Default::default());
    }

    /// The topics created, each with its own result.
    CreateTopicsResponse {
        throttle_time_ms: i32, @ 2+, ignorable;
        topics: Vec<CreatableTopicResult>;
    }

    CreatableTopicResult {
        name: String;
        topic_id: Uuid, @ 7+, ignorable;
        error_code: i16;
        error_message: Option<String> = Some(Default::default()), @ 1+, ignorable;
        topic_config_error_code: i16, @ 5+, # 0, ignorable;
        num_partitions: i32 = -1, @ 5+, ignorable;
        replication_factor: i16 = -1, @ 5+, ignorable;
        configs: Option<Vec<CreatableTopicConfigs>> = Some(Default::default()), @ 5+, ignorable;
    }

    CreatableTopicConfigs {
        name: String, @ 5+;
        value: Option<String> = Some(Default::default()), @ 5+;
        read_only: bool, @ 5+;
        config_source: i8 = -1, @ 5+, ignorable;
        is_sensitive: bool, @ 5+;
    }
}
