//! Expiring delegation tokens (API key 40).
use bytes::Bytes;

use crate::macros::{message, request};

request!(ExpireDelegationTokenRequest => ExpireDelegationTokenResponse, ExpireDelegationToken, versions 0-2, flexible 2+);

message! {
    /// Ends a delegation token, now or later.
    ExpireDelegationTokenRequest {
        hmac: Bytes;
        expiry_time_period_ms: i64;
    }

    /// The end of its life.
    ExpireDelegationTokenResponse {
        error_code: i16;
        expiry_timestamp_ms: i64;
        throttle_time_ms: i32;
    }
}
