//! Changing share group offsets (API key 91).
use uuid::Uuid;

use crate::macros::{message, request};

request!(AlterShareGroupOffsetsRequest => AlterShareGroupOffsetsResponse, AlterShareGroupOffsets, versions 0-0, flexible 0+);

message! {
    /// Changes where a share group starts.
    AlterShareGroupOffsetsRequest {
        group_id: String;
        topics: Vec<AlterShareGroupOffsetsRequestTopic>;
    }

    AlterShareGroupOffsetsRequestTopic {
        topic_name: String;
        partitions: Vec<AlterShareGroupOffsetsRequestPartition>;
    }

    AlterShareGroupOffsetsRequestPartition {
        partition_index: i32;
        start_offset: i64;
    }

    /// Which offsets were changed.
    AlterShareGroupOffsetsResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String>;
        responses: Vec<AlterShareGroupOffsetsResponseTopic>;
    }

    AlterShareGroupOffsetsResponseTopic {
        topic_name: String;
        topic_id: Uuid;
        partitions: Vec<AlterShareGroupOffsetsResponsePartition>;
    }

    AlterShareGroupOffsetsResponsePartition {
        partition_index: i32;
        error_code: i16;
        error_message: Option<String>;
    }
}
