//! Taking the vote from a controller (API key 81).
use uuid::Uuid;

use crate::macros::{message, request};

request!(RemoveRaftVoterRequest => RemoveRaftVoterResponse, RemoveRaftVoter, versions 0-0, flexible 0+);

message! {
    /// Names the controller.
    RemoveRaftVoterRequest {
        cluster_id: Option<String> = Some(Default::default());
        voter_id: i32;
        voter_directory_id: Uuid;
    }

    /// Whether it votes no more.
    RemoveRaftVoterResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default()), ignorable;
    }
}
