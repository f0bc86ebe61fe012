//! SASL tokens (API key 36).
use bytes::Bytes;

use crate::macros::{message, request};

request!(SaslAuthenticateRequest => SaslAuthenticateResponse, SaslAuthenticate, versions 0-2, flexible 2+);

message! {
    /// Carries one token of a SASL exchange to the broker.
    SaslAuthenticateRequest {
        auth_bytes: Bytes;
    }

    /// Carries the broker's token back.
    SaslAuthenticateResponse {
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        auth_bytes: Bytes;
        session_lifetime_ms: i64, @ 1+, ignorable;
    }
}
