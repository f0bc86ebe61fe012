//! Looking at delegation tokens (API key 41).
use bytes::Bytes;

use crate::macros::{message, request};

request!(DescribeDelegationTokenRequest => DescribeDelegationTokenResponse, DescribeDelegationToken, versions 0-3, flexible 2+);

message! {
    /// Asks for delegation tokens by owner.
    DescribeDelegationTokenRequest {
        owners: Option<Vec<DescribeDelegationTokenOwner>> = Some(Default::default());
    }

    DescribeDelegationTokenOwner {
        principal_type: String;
        principal_name: String;
    }

    /// The tokens found.
    DescribeDelegationTokenResponse {
        error_code: i16;
        tokens: Vec<DescribedDelegationToken>;
        throttle_time_ms: i32;
    }

    DescribedDelegationToken {
        principal_type: String;
        principal_name: String;
        token_requester_principal_type: String, @ 3+;
        token_requester_principal_name: String, @ 3+;
        issue_timestamp: i64;
        expiry_timestamp: i64;
        max_timestamp: i64;
        token_id: String;
        hmac: Bytes;
        renewers: Vec<DescribedDelegationTokenRenewer>;
    }

    DescribedDelegationTokenRenewer {
        principal_type: String;
        principal_name: String;
    }
}
