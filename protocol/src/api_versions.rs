//! Which versions one broker speaks, and the choice among them.
use std::collections::HashMap;
use std::fmt;

use crate::api_key::ApiKey;
use crate::messages::ApiVersionsResponse;
use crate::request::Request;

/// Versions of an API, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest.
    pub min: i16,
    /// The newest.
    pub max: i16,
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

/// What one broker offers.
#[derive(Clone, Debug, Default)]
pub struct ApiVersions {
    ranges: HashMap<i16, VersionRange>,
    finalized: HashMap<String, i16>,
    finalized_epoch: i64,
}

/// Ottla and the broker have no version of an API in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedVersion {
    /// The API.
    pub api: ApiKey,
    /// What Ottla could use, after what the use demands.
    pub ours: VersionRange,
    /// What the broker offers; `None`: it does not have the API.
    pub theirs: Option<VersionRange>,
}

impl fmt::Display for UnsupportedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.theirs {
            Some(theirs) => write!(f, "{} needs version {}, the broker offers {theirs}", self.api, self.ours),
            None => write!(f, "the broker does not have {}", self.api),
        }
    }
}

impl std::error::Error for UnsupportedVersion {}

impl ApiVersions {
    /// What a broker answered.
    #[must_use]
    pub fn from_response(response: &ApiVersionsResponse) -> Self {
        let range =
            |k: &crate::messages::api_versions::ApiVersion| VersionRange { min: k.min_version, max: k.max_version };
        Self {
            ranges: response.api_keys.iter().map(|k| (k.api_key, range(k))).collect(),
            finalized: response.finalized_features.iter().map(|f| (f.name.clone(), f.max_version_level)).collect(),
            finalized_epoch: response.finalized_features_epoch,
        }
    }

    /// The versions of `api` that the broker offers.
    #[must_use]
    pub fn range(&self, api: ApiKey) -> Option<VersionRange> {
        self.ranges.get(&api.code()).copied()
    }

    /// The newest version that both sides speak and that is not above `cap`.
    ///
    /// # Errors
    /// When there is none.
    pub fn choose<R: Request>(&self, cap: Option<i16>) -> Result<i16, UnsupportedVersion> {
        let ours = VersionRange { min: R::MIN_VERSION, max: cap.map_or(R::MAX_VERSION, |cap| cap.min(R::MAX_VERSION)) };
        let theirs = self.range(R::API_KEY);
        theirs
            .map(|theirs| (ours.max.min(theirs.max), ours.min.max(theirs.min)))
            .filter(|(newest, oldest)| newest >= oldest)
            .map(|(newest, _)| newest)
            .ok_or(UnsupportedVersion { api: R::API_KEY, ours, theirs })
    }

    /// The level of a feature of the cluster.
    #[must_use]
    pub fn finalized_feature(&self, name: &str) -> Option<i16> {
        self.finalized.get(name).copied()
    }

    /// Grows whenever a feature of the cluster changes; -1: the broker does not say.
    #[must_use]
    pub fn finalized_features_epoch(&self) -> i64 {
        self.finalized_epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::api_versions::ApiVersion;
    use crate::messages::{FetchRequest, HeartbeatRequest};

    fn broker(min: i16, max: i16) -> ApiVersions {
        ApiVersions::from_response(&ApiVersionsResponse {
            api_keys: vec![ApiVersion { api_key: 1, min_version: min, max_version: max }],
            ..Default::default()
        })
    }

    #[test]
    fn the_newest_common_version_is_chosen() {
        assert_eq!(broker(4, 99).choose::<FetchRequest>(None), Ok(18));
        assert_eq!(broker(0, 2).choose::<FetchRequest>(None), Ok(2));
        assert_eq!(broker(0, 17).choose::<FetchRequest>(Some(12)), Ok(12));
    }

    #[test]
    fn no_common_version_names_both_ranges() {
        let error = broker(19, 20).choose::<FetchRequest>(None).unwrap_err();
        assert_eq!(error.to_string(), "Fetch needs version 0-18, the broker offers 19-20");
        let error = broker(0, 2).choose::<HeartbeatRequest>(None).unwrap_err();
        assert_eq!(error.to_string(), "the broker does not have Heartbeat");
    }
}
