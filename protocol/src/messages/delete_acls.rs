//! Deleting access rules (API key 31).

use crate::macros::{message, request};

request!(DeleteAclsRequest => DeleteAclsResponse, DeleteAcls, versions 0-3, flexible 2+);

message! {
    /// Deletes the access rules that match filters.
    DeleteAclsRequest {
        filters: Vec<DeleteAclsFilter>;
    }

    DeleteAclsFilter {
        resource_type_filter: i8;
        resource_name_filter: Option<String> = Some(Default::default());
        pattern_type_filter: i8 = 3, @ 1+;
        principal_filter: Option<String> = Some(Default::default());
        host_filter: Option<String> = Some(Default::default());
        operation: i8;
        permission_type: i8;
    }

    /// The rules deleted.
    DeleteAclsResponse {
        throttle_time_ms: i32;
        filter_results: Vec<DeleteAclsFilterResult>;
    }

    DeleteAclsFilterResult {
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        matching_acls: Vec<DeleteAclsMatchingAcl>;
    }

    DeleteAclsMatchingAcl {
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        resource_type: i8;
        resource_name: String;
        pattern_type: i8 = 3, @ 1+;
        principal: String;
        host: String;
        operation: i8;
        permission_type: i8;
    }
}
