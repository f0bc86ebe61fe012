//! Looking at SCRAM users (API key 50).

use crate::macros::{message, request};

request!(DescribeUserScramCredentialsRequest => DescribeUserScramCredentialsResponse, DescribeUserScramCredentials, versions 0-0, flexible 0+);

message! {
    /// Asks which SCRAM credentials users have.
    DescribeUserScramCredentialsRequest {
        users: Option<Vec<UserName>> = Some(Default::default());
    }

    UserName {
        name: String;
    }

    /// The mechanisms and iterations of each user.
    DescribeUserScramCredentialsResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        results: Vec<DescribeUserScramCredentialsResult>;
    }

    DescribeUserScramCredentialsResult {
        user: String;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        credential_infos: Vec<CredentialInfo>;
    }

    CredentialInfo {
        mechanism: i8;
        iterations: i32;
    }
}
