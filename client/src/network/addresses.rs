//! The addresses behind a broker's name: each attempt takes the next one (KIP-302).
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// What a name was resolved to, and what is left of it to try.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    untried: VecDeque<SocketAddr>,
    /// The version of ApiVersions that an address answered to, where it is not the newest.
    remembered: HashMap<SocketAddr, i16>,
}

impl Addresses {
    /// The next address to try. `None`: the name has to be resolved, for the first time or again.
    pub(crate) fn take(&mut self) -> Option<SocketAddr> {
        self.untried.pop_front()
    }

    /// Whether this round has addresses left.
    pub(crate) fn has_untried(&self) -> bool {
        !self.untried.is_empty()
    }

    /// The name was resolved to `found`. What was remembered of addresses that are no longer among them is forgotten.
    pub(crate) fn resolved(&mut self, found: Vec<SocketAddr>) {
        self.remembered.retain(|address, _| found.contains(address));
        self.untried.clear();
        for address in found {
            if !self.untried.contains(&address) {
                self.untried.push_back(address);
            }
        }
    }

    /// A connection was ready: the next one asks for the name again, as the broker may have moved since.
    pub(crate) fn became_ready(&mut self, address: SocketAddr, version: i16, newest: i16) {
        self.untried.clear();
        if version < newest {
            self.remembered.insert(address, version);
        } else {
            self.remembered.remove(&address);
        }
    }

    /// The version to ask `address` with first.
    pub(crate) fn remembered(&self, address: SocketAddr) -> Option<i16> {
        self.remembered.get(&address).copied()
    }

    /// No connection is left: the broker may be another one, or a newer one, when it is asked next.
    pub(crate) fn forget_versions(&mut self) {
        self.remembered.clear();
    }

    /// The name has to be resolved again.
    pub(crate) fn forget(&mut self) {
        self.untried.clear();
        self.remembered.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 9092))
    }

    #[test]
    fn each_attempt_takes_the_next_address_and_the_name_is_resolved_again_when_all_are_used_up() {
        let mut addresses = Addresses::default();
        assert_eq!(addresses.take(), None, "not resolved yet");
        addresses.resolved(vec![at(1), at(2), at(1)]);
        assert_eq!((addresses.take(), addresses.has_untried()), (Some(at(1)), true));
        assert_eq!((addresses.take(), addresses.has_untried()), (Some(at(2)), false));
        assert_eq!(addresses.take(), None, "used up");
    }

    #[test]
    fn the_name_is_resolved_again_after_a_connection_was_ready() {
        let mut addresses = Addresses::default();
        addresses.resolved(vec![at(1), at(2)]);
        addresses.take();
        addresses.became_ready(at(1), 5, 5);
        assert_eq!(addresses.take(), None);
    }

    #[test]
    fn an_older_version_is_remembered_until_a_newer_one_works_or_the_address_is_gone() {
        let mut addresses = Addresses::default();
        addresses.resolved(vec![at(1)]);
        addresses.became_ready(at(1), 3, 5);
        assert_eq!(addresses.remembered(at(1)), Some(3));
        addresses.resolved(vec![at(1)]);
        assert_eq!(addresses.remembered(at(1)), Some(3));
        addresses.resolved(vec![at(2)]);
        assert_eq!(addresses.remembered(at(1)), None);
        addresses.became_ready(at(2), 0, 5);
        addresses.became_ready(at(2), 5, 5);
        assert_eq!(addresses.remembered(at(2)), None);
    }
}
