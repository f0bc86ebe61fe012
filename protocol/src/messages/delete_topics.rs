//! Deleting topics (API key 20).
use uuid::Uuid;

use crate::macros::{message, request};

request!(DeleteTopicsRequest => DeleteTopicsResponse, DeleteTopics, versions 0-6, flexible 4+);

message! {
    /// Deletes topics by name or id.
    DeleteTopicsRequest {
        topics: Vec<DeleteTopicState>, @ 6+;
        topic_names: Vec<String>, @ 0-5, ignorable;
        timeout_ms: i32;
    }

    DeleteTopicState {
        name: Option<String>, @ 6+;
        topic_id: Uuid, @ 6+;
    }

    /// Which topics were deleted.
    DeleteTopicsResponse {
        throttle_time_ms: i32, @ 1+, ignorable;
        responses: Vec<DeletableTopicResult>;
    }

    DeletableTopicResult {
        name: Option<String> = Some(Default::default()), ? 6+;
        topic_id: Uuid, @ 6+, ignorable;
        error_code: i16;
        error_message: Option<String>, @ 5+, ignorable;
    }
}
