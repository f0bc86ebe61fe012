//! Staying in a classic group (API key 12).

use crate::macros::{message, request};

request!(HeartbeatRequest => HeartbeatResponse, Heartbeat, versions 0-4, flexible 4+);

message! {
    /// Keeps a member of a classic group alive.
    HeartbeatRequest {
        group_id: String;
        generation_id: i32;
        member_id: String;
        group_instance_id: Option<String>, @ 3+;
    }

    /// Whether the member is still one.
    HeartbeatResponse {
        throttle_time_ms: i32, @ 1+, ignorable;
        error_code: i16;
    }
}
