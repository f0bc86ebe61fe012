//! Reading configuration (API key 32).

use crate::macros::{message, request};

request!(DescribeConfigsRequest => DescribeConfigsResponse, DescribeConfigs, versions 0-4, flexible 4+);

message! {
    /// Asks for the configuration of topics, brokers, groups or loggers.
    DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource>;
        include_synonyms: bool, @ 1+;
        include_documentation: bool, @ 3+;
    }

    DescribeConfigsResource {
        resource_type: i8;
        resource_name: String;
        configuration_keys: Option<Vec<String>> = Some(Default::default());
    }

    /// The configuration of each resource.
    DescribeConfigsResponse {
        throttle_time_ms: i32;
        results: Vec<DescribeConfigsResult>;
    }

    DescribeConfigsResult {
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        resource_type: i8;
        resource_name: String;
        configs: Vec<DescribeConfigsResourceResult>;
    }

    DescribeConfigsResourceResult {
        name: String;
        value: Option<String> = Some(Default::default());
        read_only: bool;
        is_default: bool, @ 0-0;
        config_source: i8 = -1, @ 1+, ignorable;
        is_sensitive: bool;
        synonyms: Vec<DescribeConfigsSynonym>, @ 1+, ignorable;
        config_type: i8, @ 3+, ignorable;
        documentation: Option<String> = Some(Default::default()), @ 3+, ignorable;
    }

    DescribeConfigsSynonym {
        name: String, @ 1+;
        value: Option<String> = Some(Default::default()), @ 1+;
        source: i8, @ 1+;
    }
}
