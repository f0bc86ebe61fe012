//! Deleting share group offsets (API key 92).
use uuid::Uuid;

use crate::macros::{message, request};

request!(DeleteShareGroupOffsetsRequest => DeleteShareGroupOffsetsResponse, DeleteShareGroupOffsets, versions 0-0, flexible 0+);

message! {
    /// Deletes the start offsets of a share group.
    DeleteShareGroupOffsetsRequest {
        group_id: String;
        topics: Vec<DeleteShareGroupOffsetsRequestTopic>;
    }

    DeleteShareGroupOffsetsRequestTopic {
        topic_name: String;
    }

    /// Which offsets were deleted.
    DeleteShareGroupOffsetsResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String>;
        responses: Vec<DeleteShareGroupOffsetsResponseTopic>;
    }

    DeleteShareGroupOffsetsResponseTopic {
        topic_name: String;
        topic_id: Uuid;
        error_code: i16;
        error_message: Option<String>;
    }
}
