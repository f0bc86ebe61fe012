//! Listing groups (API key 16).

use crate::macros::{message, request};

request!(ListGroupsRequest => ListGroupsResponse, ListGroups, versions 0-5, flexible 3+);

message! {
    /// Asks a broker which groups it coordinates.
    ListGroupsRequest {
        states_filter: Vec<String>, @ 4+;
        types_filter: Vec<String>, @ 5+;
    }

    /// The groups of one broker.
    ListGroupsResponse {
        throttle_time_ms: i32, @ 1+, ignorable;
        error_code: i16;
        groups: Vec<ListedGroup>;
    }

    ListedGroup {
        group_id: String;
        protocol_type: String;
        group_state: String, @ 4+, ignorable;
        group_type: String, @ 5+, ignorable;
    }
}
