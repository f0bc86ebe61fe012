//! UpdateFeatures: finalized levels of features, with effect at once.

use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use super::super::cluster::{Call, Cluster};
use super::super::features::{Change, TRANSACTION_VERSION};
use super::text;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let updates: Vec<_> = request
        .feature_updates
        .iter()
        .map(|update| {
            // Before v1 a flag allowed to go down.
            let how = match (call.version, update.allow_downgrade) {
                (0, true) => Change::SafeDowngrade,
                (0, false) => Change::Upgrade,
                _ => Change::read(update.upgrade_type),
            };
            (update.feature.to_string(), update.max_version_level, how)
        })
        .collect();
    let validate_only = call.version >= 1 && request.validate_only;
    let admitted = call.fails_whole().and_then(|()| call.may_cluster()).map_err(|error| (error, error.to_string()));
    let updated = admitted.and_then(|()| cluster.features.update(&updates, validate_only));
    if let Err((error, reason)) = updated {
        let reason = format!("The update failed for all features since the following feature had an error: {reason}");
        return UpdateFeaturesResponse::default().with_error_code(error.code()).with_error_message(Some(text(reason)));
    }
    cluster.transactions.use_second_protocol(cluster.features.level(TRANSACTION_VERSION) >= 2);
    // Since v2 features have no results of their own.
    let each = request.feature_updates.iter().filter(|_| call.version <= 1);
    let results = each
        .map(|update| UpdatableFeatureResult::default().with_feature(update.feature.clone()).with_error_message(None));
    UpdateFeaturesResponse::default().with_error_message(None).with_results(results.collect())
}
