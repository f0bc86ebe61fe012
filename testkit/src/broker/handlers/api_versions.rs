//! ApiVersions: what this broker offers.

use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

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
        cluster.client_metrics.named(call.connection, &request.client_software_name, &request.client_software_version);
        let supported = cluster.features.supported().map(|(name, least, most)| {
            SupportedFeatureKey::default().with_name(text(name)).with_min_version(least).with_max_version(most)
        });
        let finalized = cluster.features.finalized().map(|(name, level)| {
            FinalizedFeatureKey::default()
                .with_name(text(name))
                .with_min_version_level(level)
                .with_max_version_level(level)
        });
        response.supported_features = supported.collect();
        response.finalized_features = finalized.collect();
        if !response.supported_features.is_empty() {
            response.finalized_features_epoch = cluster.features.epoch;
        }
    }
    response
}

fn listed(cluster: &Cluster) -> ApiVersionsResponse {
    // Brokers that have nothing to receive metrics with do not offer to (KIP-714).
    let deaf = |api: ApiKey| {
        cluster.client_metrics.max_bytes.is_none()
            && matches!(api, ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry)
    };
    let keys = cluster.config.version.apis().filter(|&(api, ..)| !deaf(api)).map(|(api, min, max)| {
        ApiVersion::default().with_api_key(api as i16).with_min_version(min).with_max_version(max)
    });
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}

/// The answer to a version this broker does not know: version 0, error 35, and since 2.4 the range of ApiVersions
/// itself (KIP-511).
pub(super) fn unsupported(cluster: &Cluster) -> ApiVersionsResponse {
    let mut response =
        if cluster.config.version.at_least(2, 4) { listed(cluster) } else { ApiVersionsResponse::default() };
    response.api_keys.retain(|key| key.api_key == ApiKey::ApiVersions as i16);
    response.with_error_code(ErrorCode::UnsupportedVersion.code())
}
