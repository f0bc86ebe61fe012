//! Assignments of a classic group (API key 14).
use bytes::Bytes;

use crate::macros::{message, request};

request!(SyncGroupRequest => SyncGroupResponse, SyncGroup, versions 0-5, flexible 4+);

message! {
    /// Hands over the leader's assignment and asks for one's own.
    SyncGroupRequest {
        group_id: String;
        generation_id: i32;
        member_id: String;
        group_instance_id: Option<String>, @ 3+;
        protocol_type: Option<String>, @ 5+, ignorable;
        protocol_name: Option<String>, @ 5+, ignorable;
        assignments: Vec<SyncGroupRequestAssignment>;
    }

    SyncGroupRequestAssignment {
        member_id: String;
        assignment: Bytes;
    }

    /// The member's assignment.
    SyncGroupResponse {
        throttle_time_ms: i32, @ 1+, ignorable;
        error_code: i16;
        protocol_type: Option<String>, @ 5+, ignorable;
        protocol_name: Option<String>, @ 5+, ignorable;
        assignment: Bytes;
    }
}
