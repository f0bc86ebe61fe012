//! Creating delegation tokens (API key 38).
use bytes::Bytes;

use crate::macros::{message, request};

request!(CreateDelegationTokenRequest => CreateDelegationTokenResponse, CreateDelegationToken, versions 0-3, flexible 2+);

message! {
    /// Creates a delegation token.
    CreateDelegationTokenRequest {
        owner_principal_type: Option<String> = Some(Default::default()), @ 3+;
        owner_principal_name: Option<String> = Some(Default::default()), @ 3+;
        renewers: Vec<CreatableRenewers>;
        max_lifetime_ms: i64;
    }

    CreatableRenewers {
        principal_type: String;
        principal_name: String;
    }

    /// The token and its secret.
    CreateDelegationTokenResponse {
        error_code: i16;
        principal_type: String;
        principal_name: String;
        token_requester_principal_type: String, @ 3+;
        token_requester_principal_name: String, @ 3+;
        issue_timestamp_ms: i64;
        expiry_timestamp_ms: i64;
        max_timestamp_ms: i64;
        token_id: String;
        hmac: Bytes;
        throttle_time_ms: i32;
    }
}
