//! Changing SCRAM users (API key 51).
use bytes::Bytes;

use crate::macros::{message, request};

request!(AlterUserScramCredentialsRequest => AlterUserScramCredentialsResponse, AlterUserScramCredentials, versions 0-0, flexible 0+);

message! {
    /// Sets or deletes SCRAM credentials.
    AlterUserScramCredentialsRequest {
        deletions: Vec<ScramCredentialDeletion>;
        upsertions: Vec<ScramCredentialUpsertion>;
    }

    ScramCredentialDeletion {
        name: String;
        mechanism: i8;
    }

    ScramCredentialUpsertion {
        name: String;
        mechanism: i8;
        iterations: i32;
        salt: Bytes;
        salted_password: Bytes;
    }

    /// Which users were changed.
    AlterUserScramCredentialsResponse {
        throttle_time_ms: i32;
        results: Vec<AlterUserScramCredentialsResult>;
    }

    AlterUserScramCredentialsResult {
        user: String;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
    }
}
