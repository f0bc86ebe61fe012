//! Which version of ApiVersions the broker at an address answers to, where it is not the newest: it is asked with that one
//! first, by whichever name or number the broker is reached.
use std::collections::HashMap;
use std::net::SocketAddr;

/// Addresses that are remembered although they may be gone.
const MANY: usize = 256;

/// What is known of each address.
#[derive(Debug, Default)]
pub(crate) struct AnsweredVersions(HashMap<SocketAddr, Answered>);

#[derive(Clone, Copy, Debug)]
struct Answered {
    version: i16,
    /// The address was resolved anew since, and may be that of a newer broker.
    is_stale: bool,
}

impl AnsweredVersions {
    /// The version to ask `address` with first; `None`: the newest.
    pub(crate) fn first(&self, address: SocketAddr) -> Option<i16> {
        self.0.get(&address).filter(|answered| !answered.is_stale).map(|answered| answered.version)
    }

    /// A name was resolved to `address`, to which no connection is open.
    pub(crate) fn resolved(&mut self, address: SocketAddr) {
        if let Some(answered) = self.0.get_mut(&address) {
            answered.is_stale = true;
        }
    }

    /// The broker at `address` answered to `version`. Whether it is an older one and was not known to be.
    pub(crate) fn answered(&mut self, address: SocketAddr, version: i16, newest: i16) -> bool {
        if version >= newest {
            self.0.remove(&address);
            return false;
        }
        if self.0.len() >= MANY {
            self.0.retain(|_, answered| !answered.is_stale);
        }
        let before = self.0.insert(address, Answered { version, is_stale: false });
        before.is_none_or(|before| before.version != version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], last))
    }

    #[test]
    fn an_older_version_is_remembered_until_a_newer_one_works_or_the_address_is_resolved_again() {
        let mut versions = AnsweredVersions::default();
        assert!(versions.answered(at(1), 3, 5), "an event");
        assert_eq!((versions.first(at(1)), versions.first(at(2))), (Some(3), None));
        versions.resolved(at(2));
        assert_eq!(versions.first(at(1)), Some(3));
        versions.resolved(at(1));
        assert_eq!(versions.first(at(1)), None, "it may be a newer broker");
        assert!(!versions.answered(at(1), 3, 5), "it is not, which was told");
        assert_eq!(versions.first(at(1)), Some(3));
        assert!(!versions.answered(at(1), 5, 5));
        assert_eq!(versions.first(at(1)), None);
        assert!(versions.answered(at(1), 0, 5), "an older one took its place");
    }

    #[test]
    fn addresses_that_come_and_go_do_not_pile_up() {
        let mut versions = AnsweredVersions::default();
        for port in 1..10_000 {
            versions.answered(at(port), 3, 5);
            versions.resolved(at(port));
        }
        assert!(versions.0.len() <= MANY);
    }
}
