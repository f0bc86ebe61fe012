//! Letting a controller vote (API key 80).
use uuid::Uuid;

use crate::macros::{message, request};

request!(AddRaftVoterRequest => AddRaftVoterResponse, AddRaftVoter, versions 0-1, flexible 0+);

message! {
    /// Names the controller and where it listens.
    AddRaftVoterRequest {
        cluster_id: Option<String> = Some(Default::default());
        timeout_ms: i32;
        voter_id: i32;
        voter_directory_id: Uuid;
        listeners: Vec<Listener>;
        ack_when_committed: bool = true, @ 1+;
    }

    Listener {
        name: String;
        host: String;
        port: u16;
    }

    /// Whether it votes now.
    AddRaftVoterResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default()), ignorable;
    }
}
