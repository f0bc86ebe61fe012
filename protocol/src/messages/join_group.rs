//! Joining a classic group (API key 11).
use bytes::Bytes;

use crate::macros::{message, request};

request!(JoinGroupRequest => JoinGroupResponse, JoinGroup, versions 0-9, flexible 6+);

message! {
    /// Joins a classic group, or a new generation of it.
    JoinGroupRequest {
        group_id: String;
        session_timeout_ms: i32;
        rebalance_timeout_ms: i32 = -1, @ 1+, ignorable;
        member_id: String;
        group_instance_id: Option<String>, @ 5+;
        protocol_type: String;
        protocols: Vec<JoinGroupRequestProtocol>;
        reason: Option<String>, @ 8+, ignorable;
    }

    JoinGroupRequestProtocol {
        name: String;
        metadata: Bytes;
    }

    /// The generation, and for the leader all its members.
    JoinGroupResponse {
        throttle_time_ms: i32, @ 2+, ignorable;
        error_code: i16;
        generation_id: i32 = -1;
        protocol_type: Option<String>, @ 7+, ignorable;
        protocol_name: Option<String> = Some(Default::default()), ? 7+;
        leader: String;
        skip_assignment: bool, @ 9+;
        member_id: String;
        members: Vec<JoinGroupResponseMember>;
    }

    JoinGroupResponseMember {
        member_id: String;
        group_instance_id: Option<String>, @ 5+, ignorable;
        metadata: Bytes;
    }
}
