//! Changing configuration (API key 44).

use crate::macros::{message, request};

request!(IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse, IncrementalAlterConfigs, versions 0-1, flexible 1+);

message! {
    /// Changes single configuration values.
    IncrementalAlterConfigsRequest {
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
        config_operation: i8;
        value: Option<String> = Some(Default::default());
    }

    /// Which resources were changed.
    IncrementalAlterConfigsResponse {
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
