//! Looking at classic groups (API key 15).
use bytes::Bytes;

use crate::macros::{message, request};

request!(DescribeGroupsRequest => DescribeGroupsResponse, DescribeGroups, versions 0-6, flexible 5+);

message! {
    /// Asks for the state and members of classic groups.
    DescribeGroupsRequest {
        groups: Vec<String>;
        include_authorized_operations: bool, @ 3+;
    }

    /// The groups described.
    DescribeGroupsResponse {
        throttle_time_ms: i32, @ 1+, ignorable;
        groups: Vec<DescribedGroup>;
    }

    DescribedGroup {
        error_code: i16;
        error_message: Option<String>, @ 6+;
        group_id: String;
        group_state: String;
        protocol_type: String;
        protocol_data: String;
        members: Vec<DescribedGroupMember>;
        authorized_operations: i32 = -2147483648, @ 3+;
    }

    DescribedGroupMember {
        member_id: String;
        group_instance_id: Option<String>, @ 4+, ignorable;
        client_id: String;
        client_host: String;
        member_metadata: Bytes;
        member_assignment: Bytes;
    }
}
