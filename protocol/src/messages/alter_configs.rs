//! Replacing configuration (API key 33).

use crate::macros::{message, request};

request!(AlterConfigsRequest => AlterConfigsResponse, AlterConfigs, versions 0-2, flexible 2+);

message! {
    /// Replaces the whole configuration of resources.
    AlterConfigsRequest {
        resources: Vec<AlterConfigsResource>;
        validate_only: bool;
    }

    AlterConfigsResource {
        resource_type: i8;
        resource_name: String;
        configs: Vec<AlterableConfig>;
    }

    AlterableConfig {
        name: String;
        value: Option<String> = Some(Default::default());
    }

    /// Which resources were changed.
    AlterConfigsResponse {
        throttle_time_ms: i32;
        responses: Vec<AlterConfigsResourceResponse>;
    }

    AlterConfigsResourceResponse {
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        resource_type: i8;
        resource_name: String;
    }
}
