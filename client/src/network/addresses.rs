//! The addresses behind a broker's name: each attempt takes the next one (KIP-302).
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What a name was resolved to, and what is left of it to try.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    untried: VecDeque<SocketAddr>,
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

    /// The name was resolved to `found`.
    pub(crate) fn resolved(&mut self, found: Vec<SocketAddr>) {
        self.untried.clear();
        for address in found {
            if !self.untried.contains(&address) {
                self.untried.push_back(address);
            }
        }
    }

    /// The name has to be resolved again: a connection was ready, and the broker may have moved since; or the client begins
    /// again.
    pub(crate) fn forget(&mut self) {
        self.untried.clear();
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
        addresses.forget();
        assert_eq!(addresses.take(), None);
    }
}
