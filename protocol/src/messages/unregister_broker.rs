//! Removing a broker (API key 64).

use crate::macros::{message, request};

request!(UnregisterBrokerRequest => UnregisterBrokerResponse, UnregisterBroker, versions 0-0, flexible 0+);

message! {
    /// Removes a broker that is gone for good.
    UnregisterBrokerRequest {
        broker_id: i32;
    }

    /// Whether it was removed.
    UnregisterBrokerResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
    }
}
