//! Features of the cluster and their finalized levels (`FeatureControlManager.java`, KIP-584, KIP-1022).

use std::collections::BTreeMap;

use super::ErrorCode;
use super::topics::Refusal;
use super::versions::KafkaVersion;

pub(crate) const GROUP_VERSION: &str = "group.version";
pub(crate) const METADATA_VERSION: &str = "metadata.version";
pub(crate) const TRANSACTION_VERSION: &str = "transaction.version";

/// What UpdateFeatures may do to a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
    Unknown,
}

impl Change {
    pub(crate) fn read(code: i8) -> Self {
        match code {
            1 => Self::Upgrade,
            2 => Self::SafeDowngrade,
            3 => Self::UnsafeDowngrade,
            _ => Self::Unknown,
        }
    }
}

/// The features of a cluster.
#[derive(Debug)]
pub(crate) struct Features {
    supported: BTreeMap<&'static str, (i16, i16)>,
    /// Levels above 0.
    finalized: BTreeMap<&'static str, i16>,
    /// Grows with every change.
    pub(crate) epoch: i64,
}

impl Features {
    /// As a cluster of this version is formatted.
    pub(crate) fn new(version: KafkaVersion) -> Self {
        let mut supported = BTreeMap::new();
        let mut finalized = BTreeMap::new();
        let metadata = version.metadata_version().map(|(least, most)| (METADATA_VERSION, least, most));
        let from_zero =
            [(GROUP_VERSION, version.group_version()), (TRANSACTION_VERSION, version.transaction_version())];
        let from_zero = from_zero.into_iter().filter_map(|(name, most)| Some((name, 0, most?)));
        for (name, least, most) in from_zero.chain(metadata) {
            supported.insert(name, (least, most));
            finalized.insert(name, most);
        }
        Self { supported, finalized, epoch: 1 }
    }

    /// Name, lowest and highest level, of what the brokers know.
    pub(crate) fn supported(&self) -> impl Iterator<Item = (&'static str, i16, i16)> {
        self.supported.iter().map(|(name, (least, most))| (*name, *least, *most))
    }

    pub(crate) fn finalized(&self) -> impl Iterator<Item = (&'static str, i16)> {
        self.finalized.iter().map(|(name, level)| (*name, *level))
    }

    /// The finalized level; 0 = off.
    pub(crate) fn level(&self, name: &str) -> i16 {
        self.finalized.get(name).copied().unwrap_or(0)
    }

    /// Sets levels: all of them or, on an error, none.
    pub(crate) fn update(&mut self, updates: &[(String, i16, Change)], validate_only: bool) -> Result<(), Refusal> {
        let mut after = self.finalized.clone();
        for (name, level, how) in updates {
            let refuse = |reason: &str| {
                let reason = format!("Invalid update version {level} for feature {name}. {reason}");
                Err((ErrorCode::InvalidUpdateVersion, reason))
            };
            let current = self.level(name);
            if *how == Change::Unknown {
                return refuse("The controller does not support the given upgrade type.");
            }
            if *level < 0 {
                return refuse("A feature version cannot be less than 0.");
            }
            let Some((&known, &(least, most))) = self.supported.get_key_value(name.as_str()) else {
                return refuse("Local controller does not support this feature.");
            };
            if !(least..=most).contains(level) {
                return refuse(&format!("Local controller only supports versions {least}-{most}."));
            }
            if *level < current && *how == Change::Upgrade {
                return refuse(
                    "Can't downgrade the version of this feature without setting the upgrade type to \
                               either safe or unsafe downgrade.",
                );
            }
            if *level > current && *how != Change::Upgrade {
                return refuse("Can't downgrade to a newer version.");
            }
            if *level < current && known == METADATA_VERSION {
                return refuse(
                    "Refusing to perform the requested downgrade because it might delete metadata \
                               information.",
                );
            }
            if *level == 0 {
                after.remove(known)
            } else {
                after.insert(known, *level)
            };
        }
        if !validate_only && after != self.finalized {
            self.finalized = after;
            self.epoch += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(features: &mut Features, name: &str, level: i16, how: Change) -> Option<ErrorCode> {
        features.update(&[(name.to_owned(), level, how)], false).err().map(|(error, _)| error)
    }

    #[test]
    fn levels_go_down_only_by_a_downgrade_and_up_only_by_an_upgrade() {
        let mut features = Features::new(KafkaVersion::NEWEST);
        let refused = Some(ErrorCode::InvalidUpdateVersion);
        assert_eq!(update(&mut features, TRANSACTION_VERSION, 1, Change::Upgrade), refused);
        assert_eq!(update(&mut features, TRANSACTION_VERSION, 1, Change::SafeDowngrade), None);
        assert_eq!((features.level(TRANSACTION_VERSION), features.epoch), (1, 2));
        assert_eq!(update(&mut features, TRANSACTION_VERSION, 2, Change::UnsafeDowngrade), refused);
        assert_eq!(update(&mut features, TRANSACTION_VERSION, 3, Change::Upgrade), refused);
        assert_eq!(update(&mut features, TRANSACTION_VERSION, -1, Change::SafeDowngrade), refused);
        assert_eq!(update(&mut features, TRANSACTION_VERSION, 2, Change::Unknown), refused);
        assert_eq!(update(&mut features, "no.such", 1, Change::Upgrade), refused);
        assert_eq!(update(&mut features, METADATA_VERSION, 20, Change::SafeDowngrade), refused);
        assert_eq!(update(&mut features, GROUP_VERSION, 0, Change::SafeDowngrade), None);
        assert!(features.finalized().all(|(name, _)| name != GROUP_VERSION), "level 0 is not finalized");
    }

    #[test]
    fn one_bad_update_undoes_all_and_a_trial_does_nothing() {
        let mut features = Features::new(KafkaVersion::NEWEST);
        let down = (TRANSACTION_VERSION.to_owned(), 1, Change::SafeDowngrade);
        let bad = (GROUP_VERSION.to_owned(), 9, Change::Upgrade);
        assert!(features.update(&[down.clone(), bad], false).is_err());
        features.update(&[down], true).unwrap();
        assert_eq!((features.level(TRANSACTION_VERSION), features.epoch), (2, 1));
    }

    #[test]
    fn brokers_before_kraft_have_no_features() {
        assert_eq!(Features::new(KafkaVersion::new(2, 8)).supported().count(), 0);
        let names: Vec<_> = Features::new(KafkaVersion::new(3, 9)).supported().map(|(name, ..)| name).collect();
        assert_eq!(names, [METADATA_VERSION]);
    }
}
