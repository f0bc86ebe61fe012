//! The features of a cluster (KIP-584). Brokers 2.7 and newer.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use ottla_protocol::messages::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};

use super::call::{Round, Target, asked, outcome};
use super::{Admin, PerItem};
use crate::error::Result;

/// What the brokers can do, and what the cluster has been told to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Features {
    /// The level of each feature that is on.
    pub finalized: HashMap<String, FinalizedFeature>,
    /// Grows with each change of `finalized`; `None`: there never was one.
    pub epoch: Option<i64>,
    /// The lowest and the highest level that the asked broker can do.
    pub supported: HashMap<String, (i16, i16)>,
}

/// The level of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FinalizedFeature {
    /// The lowest level in use.
    pub min_version_level: i16,
    /// The level.
    pub max_version_level: i16,
}

/// Which changes of a level are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureUpgrade {
    /// Only to a higher one.
    Upgrade = 1,
    /// To a lower one too, where nothing is lost.
    SafeDowngrade = 2,
    /// To a lower one too, even where something is lost.
    UnsafeDowngrade = 3,
}

impl Admin {
    /// The features of the cluster.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// let features = admin.describe_features().await?;
    /// println!("transactions are at {:?}", features.finalized.get("transaction.version"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When no broker could be asked.
    pub async fn describe_features(&self) -> Result<Features> {
        self.once("ApiVersions", Target::Any, |node| async move {
            let build = |version| ApiVersionsRequest {
                client_software_name: if version >= 3 { "ottla".to_owned() } else { String::new() },
                client_software_version: if version >= 3 {
                    env!("CARGO_PKG_VERSION").to_owned()
                } else {
                    String::new()
                },
                ..Default::default()
            };
            let (response, at) = self.send(node, Some(4), build).await?;
            outcome(response.error_code, ApiKey::ApiVersions, "the cluster's features", None, &at)?;
            let finalized = response.finalized_features.into_iter().map(|feature| {
                let level = FinalizedFeature {
                    min_version_level: feature.min_version_level,
                    max_version_level: feature.max_version_level,
                };
                (feature.name, level)
            });
            let supported = response.supported_features.into_iter();
            Ok(Features {
                finalized: finalized.collect(),
                epoch: Some(response.finalized_features_epoch).filter(|epoch| *epoch >= 0),
                supported: supported
                    .map(|feature| (feature.name, (feature.min_version, feature.max_version)))
                    .collect(),
            })
        })
        .await
    }

    /// Sets the levels of features; 0 turns one off.
    ///
    /// # Errors
    /// When the controller could not be asked; per feature [`Error::Broker`](crate::Error::Broker), such as
    /// `INVALID_UPDATE_VERSION`. Brokers 4.0 and newer change all or none.
    pub async fn update_features(
        &self,
        levels: &HashMap<String, (i16, FeatureUpgrade)>,
    ) -> Result<PerItem<String, ()>> {
        let api = ApiKey::UpdateFeatures;
        let updated = self.each(
            api,
            levels.keys().cloned(),
            |_| Target::Controller,
            |node, names| async move {
                let build = |version| UpdateFeaturesRequest {
                    timeout_ms: self.timeout_ms(),
                    feature_updates: names.iter().filter_map(|n| Some(update(n, *levels.get(n)?, version))).collect(),
                    validate_only: self.validate_only,
                };
                let (response, at) = self.send(node, None, build).await?;
                let mut results = Vec::new();
                for feature in response.results {
                    let result = outcome(feature.error_code, api, &feature.feature, feature.error_message, &at);
                    results.push((feature.feature, result));
                }
                if results.is_empty() || response.error_code != 0 {
                    // From version 2 on one code is for all.
                    let all = outcome(response.error_code, api, names.join(", "), response.error_message, &at);
                    results = names.into_iter().map(|name| (name, all.clone())).collect();
                }
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(updated.await)
    }
}

fn update(name: &str, (level, upgrade): (i16, FeatureUpgrade), version: i16) -> FeatureUpdateKey {
    FeatureUpdateKey {
        feature: name.to_owned(),
        max_version_level: level,
        allow_downgrade: version < 1 && upgrade != FeatureUpgrade::Upgrade,
        upgrade_type: if version < 1 { 1 } else { upgrade as i8 },
    }
}
