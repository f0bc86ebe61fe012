//! Forgetting a controller (API key 94).
use crate::macros::{message, request};

request!(UnregisterControllerRequest => UnregisterControllerResponse, UnregisterController, versions 0-0, flexible 0+);

message! {
    /// Names the controller.
    UnregisterControllerRequest {
        controller_id: i32;
    }

    /// Whether it is forgotten.
    UnregisterControllerResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
    }
}
