//! Changing features (API key 57).

use crate::macros::{message, request};

request!(UpdateFeaturesRequest => UpdateFeaturesResponse, UpdateFeatures, versions 0-2, flexible 0+);

message! {
    /// Changes the feature levels of the cluster.
    UpdateFeaturesRequest {
        timeout_ms: i32 = 60000;
        feature_updates: Vec<FeatureUpdateKey>;
        validate_only: bool, @ 1+;
    }

    FeatureUpdateKey {
        feature: String;
        max_version_level: i16;
        allow_downgrade: bool, @ 0-0;
        upgrade_type: i8 = 1, @ 1+;
    }

    /// Which features were changed.
    UpdateFeaturesResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        results: Vec<UpdatableFeatureResult>, @ 0-1, ignorable;
    }

    UpdatableFeatureResult {
        feature: String;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
    }
}
