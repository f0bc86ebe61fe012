//! Adding access rules (API key 30).

use crate::macros::{message, request};

request!(CreateAclsRequest => CreateAclsResponse, CreateAcls, versions 0-3, flexible 2+);

message! {
    /// Adds access rules.
    CreateAclsRequest {
        creations: Vec<AclCreation>;
    }

    AclCreation {
        resource_type: i8;
        resource_name: String;
        resource_pattern_type: i8 = 3, @ 1+;
        principal: String;
        host: String;
        operation: i8;
        permission_type: i8;
    }

    /// Which rules were added.
    CreateAclsResponse {
        throttle_time_ms: i32;
        results: Vec<AclCreationResult>;
    }

    AclCreationResult {
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
    }
}
