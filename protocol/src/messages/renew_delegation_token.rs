//! Renewing delegation tokens (API key 39).
use bytes::Bytes;

use crate::macros::{message, request};

request!(RenewDelegationTokenRequest => RenewDelegationTokenResponse, RenewDelegationToken, versions 0-2, flexible 2+);

message! {
    /// Extends the life of a delegation token.
    RenewDelegationTokenRequest {
        hmac: Bytes;
        renew_period_ms: i64;
    }

    /// The new end of its life.
    RenewDelegationTokenResponse {
        error_code: i16;
        expiry_timestamp_ms: i64;
        throttle_time_ms: i32;
    }
}
