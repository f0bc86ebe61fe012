//! Deleting groups (API key 42).

use crate::macros::{message, request};

request!(DeleteGroupsRequest => DeleteGroupsResponse, DeleteGroups, versions 0-3, flexible 2+);

message! {
    /// Deletes empty groups.
    DeleteGroupsRequest {
        groups_names: Vec<String>;
    }

    /// Which groups were deleted.
    DeleteGroupsResponse {
        throttle_time_ms: i32;
        results: Vec<DeletableGroupResult>;
    }

    DeletableGroupResult {
        group_id: String;
        error_code: i16;
        error_message: Option<String>, @ 3+, ignorable;
    }
}
