//! Leaving a classic group (API key 13).

use crate::macros::{message, request};

request!(LeaveGroupRequest => LeaveGroupResponse, LeaveGroup, versions 0-5, flexible 4+);

message! {
    /// Takes members out of a classic group.
    LeaveGroupRequest {
        group_id: String;
        member_id: String, @ 0-2;
        members: Vec<MemberIdentity>, @ 3+;
    }

    MemberIdentity {
        member_id: String, @ 3+;
        group_instance_id: Option<String>, @ 3+;
        reason: Option<String>, @ 5+, ignorable;
    }

    /// Which members left.
    LeaveGroupResponse {
        throttle_time_ms: i32, @ 1+, ignorable;
        error_code: i16;
        members: Vec<MemberResponse>, @ 3+;
    }

    MemberResponse {
        member_id: String, @ 3+;
        group_instance_id: Option<String> = Some(Default::default()), @ 3+;
        error_code: i16, @ 3+;
    }
}
