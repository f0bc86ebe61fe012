//! What a broker speaks (API key 18).

use crate::error_code::ErrorCode;
use crate::macros::{message, request};

request!(ApiVersionsRequest => ApiVersionsResponse, ApiVersions, versions 0-5, flexible 3+);

message! {
    /// Asks which APIs and versions a broker speaks.
    ApiVersionsRequest {
        client_software_name: String, @ 3+, ignorable;
        client_software_version: String, @ 3+, ignorable;
        cluster_id: Option<String>, @ 5+, ignorable;
        node_id: i32 = -1, @ 5+, ignorable;
    }

    /// The broker's APIs, versions and features.
    ApiVersionsResponse {
        error_code: i16;
        api_keys: Vec<ApiVersion>;
        throttle_time_ms: i32, @ 1+, ignorable;
        supported_features: Vec<SupportedFeatureKey>, @ 3+, # 0, ignorable;
        finalized_features_epoch: i64 = -1, @ 3+, # 1, ignorable;
        finalized_features: Vec<FinalizedFeatureKey>, @ 3+, # 2, ignorable;
        zk_migration_ready: bool, @ 3+, # 3, ignorable;
    }

    ApiVersion {
        api_key: i16;
        min_version: i16;
        max_version: i16;
    }

    SupportedFeatureKey {
        name: String, @ 3+;
        min_version: i16, @ 3+;
        max_version: i16, @ 3+;
    }

    FinalizedFeatureKey {
        name: String, @ 3+;
        max_version_level: i16, @ 3+;
        min_version_level: i16, @ 3+;
    }
}

impl ApiVersionsResponse {
    /// The version that the answer to a request of version `asked` is in, by its body: a broker that does not know that
    /// version answers with error 35 in version 0 (KIP-511).
    #[must_use]
    pub fn version_of(body: &[u8], asked: i16) -> i16 {
        if body.starts_with(&ErrorCode::UnsupportedVersion.code().to_be_bytes()) { 0 } else { asked }
    }
}
