//! Coordinator lookup (API key 10).

use crate::macros::{message, request};

request!(FindCoordinatorRequest => FindCoordinatorResponse, FindCoordinator, versions 0-6, flexible 3+);

message! {
    /// Asks which broker coordinates a group or a transactional id.
    FindCoordinatorRequest {
        key: String, @ 0-3;
        key_type: i8, @ 1+;
        coordinator_keys: Vec<String>, @ 4+;
    }

    /// The coordinators.
    FindCoordinatorResponse {
        throttle_time_ms: i32, @ 1+, ignorable;
        error_code: i16, @ 0-3;
        error_message: Option<String> = Some(Default::default()), @ 1-3, ignorable;
        node_id: i32, @ 0-3;
        host: String, @ 0-3;
        port: i32, @ 0-3;
        coordinators: Vec<Coordinator>, @ 4+;
    }

    Coordinator {
        key: String, @ 4+;
        node_id: i32, @ 4+;
        host: String, @ 4+;
        port: i32, @ 4+;
        error_code: i16, @ 4+;
        error_message: Option<String> = Some(Default::default()), @ 4+, ignorable;
    }
}
