//! Looking at access rules (API key 29).

use crate::macros::{message, request};

request!(DescribeAclsRequest => DescribeAclsResponse, DescribeAcls, versions 0-3, flexible 2+);

message! {
    /// Asks for the access rules that match a filter.
    DescribeAclsRequest {
        resource_type_filter: i8;
        resource_name_filter: Option<String> = Some(Default::default());
        pattern_type_filter: i8 = 3, @ 1+;
        principal_filter: Option<String> = Some(Default::default());
        host_filter: Option<String> = Some(Default::default());
        operation: i8;
        permission_type: i8;
    }

    /// The rules found.
    DescribeAclsResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        resources: Vec<DescribeAclsResource>;
    }

    DescribeAclsResource {
        resource_type: i8;
        resource_name: String;
        pattern_type: i8 = 3, @ 1+;
        acls: Vec<AclDescription>;
    }

    AclDescription {
        principal: String;
        host: String;
        operation: i8;
        permission_type: i8;
    }
}
