//! Listing configured resources (API key 74).

use crate::macros::{message, request};

request!(ListConfigResourcesRequest => ListConfigResourcesResponse, ListConfigResources, versions 0-1, flexible 0+);

message! {
    /// Asks which resources have configuration.
    ListConfigResourcesRequest {
        resource_types: Vec<i8>, @ 1+;
    }

    /// The resources.
    ListConfigResourcesResponse {
        throttle_time_ms: i32;
        error_code: i16;
        config_resources: Vec<ConfigResource>;
    }

    ConfigResource {
        resource_name: String;
        resource_type: i8 = 16, @ 1+, ignorable;
    }
}
