//! ApiVersions: what this broker offers.

use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::{code, text};

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: ApiVersionsRequest) -> ApiVersionsResponse {
    let valid = |part: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        edge(part.as_bytes().first()) && edge(part.as_bytes().last()) && part.bytes().all(inner)
    };
    let named = call.version < 3 || (valid(&request.client_software_name) && valid(&request.client_software_version));
    let result = call.fails_whole().and(if named { Ok(()) } else { Err(ErrorCode::InvalidRequest) });
    if result.is_err() {
        return ApiVersionsResponse::default().with_error_code(code(&result));
    }
    let mut response = listed(cluster);
    if call.version >= 3 {
        let version = cluster.config.version;
        let features =
            [("group.version", version.group_version()), ("transaction.version", version.transaction_version())];
        for (name, level) in features.into_iter().filter_map(|(name, level)| Some((name, level?))) {
            let finalized = FinalizedFeatureKey::default()
                .with_name(text(name))
                .with_min_version_level(level)
                .with_max_version_level(level);
            let supported =
                SupportedFeatureKey::default().with_name(text(name)).with_min_version(0).with_max_version(level);
            response.supported_features.push(supported);
            response.finalized_features.push(finalized);
            response.finalized_features_epoch = 1;
        }
    }
    response
}

fn listed(cluster: &Cluster) -> ApiVersionsResponse {
    let keys = cluster.config.version.apis().map(|(api, min, max)| {
        ApiVersion::default().with_api_key(api as i16).with_min_version(min).with_max_version(max)
    });
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}

/// The answer to a version this broker does not know: version 0, error 35, and since 2.4 the range of ApiVersions
/// itself (KIP-511).
pub(super) fn unsupported(cluster: &Cluster) -> ApiVersionsResponse {
    let mut response =
        if cluster.config.version.at_least(2, 4) { listed(cluster) } else { ApiVersionsResponse::default() };
    response.api_keys.retain(|key| key.api_key == kafka_protocol::messages::ApiKey::ApiVersions as i16);
    response.with_error_code(ErrorCode::UnsupportedVersion.code())
}
