//! Which broker is asked what any broker can answer, and when none of them can be reached any more
//! (`NetworkClient.java`, `leastLoadedNode` and `maybeUpdate`).
use crate::types::BrokerId;

/// How a broker stands at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The connection for such requests is open.
    Ready {
        /// The broker wants to be left alone for a while (KIP-219).
        muted: bool,
        /// Requests without an answer yet.
        in_flight: usize,
    },
    /// It is being opened.
    Connecting,
    /// It may be opened now. `reached`: a connection for something else is open.
    CanConnect { reached: bool },
    /// It is left alone after failures. `reached` as before.
    BackingOff { reached: bool },
}

/// The broker to ask: an open connection with the fewest requests in flight, else one that is being opened, else a random
/// one that is not backing off, rather one that is reached in another way; and one that throttles us rather than none.
pub(crate) fn least_loaded(brokers: &[(BrokerId, Standing)], rng: &mut fastrand::Rng) -> Option<BrokerId> {
    let rank = |standing: Standing| match standing {
        Standing::Ready { muted: false, in_flight } => Some((0, in_flight)),
        Standing::Connecting => Some((1, 0)),
        Standing::CanConnect { reached: true } => Some((2, 0)),
        Standing::CanConnect { reached: false } => Some((3, 0)),
        Standing::Ready { muted: true, in_flight } => Some((4, in_flight)),
        Standing::BackingOff { .. } => None,
    };
    // Of those that are equal the first is taken, from a random start on.
    let ranked = from_random_start(brokers, rng).filter_map(|(broker, standing)| Some((rank(*standing)?, *broker)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, broker)| broker)
}

/// Each of the brokers once, from a random start, those that back off at the end: so that a bootstrap server that is down
/// does not cost every client its time.
pub(crate) fn in_turn(brokers: &[(BrokerId, Standing)], rng: &mut fastrand::Rng) -> Vec<BrokerId> {
    let mut turn: Vec<_> = from_random_start(brokers, rng).copied().collect();
    turn.sort_by_key(|(_, standing)| matches!(standing, Standing::BackingOff { .. }));
    turn.into_iter().map(|(broker, _)| broker).collect()
}

fn from_random_start<'a, T>(all: &'a [T], rng: &mut fastrand::Rng) -> impl Iterator<Item = &'a T> {
    let start = if all.is_empty() { 0 } else { rng.usize(..all.len()) };
    let (before, after) = all.split_at(start);
    after.iter().chain(before)
}

/// Whether no broker is connected in any way, nor may be connected to now: what is known of the cluster leads nowhere
/// (KIP-899).
pub(crate) fn is_out_of_reach(brokers: &[(BrokerId, Standing)]) -> bool {
    brokers.iter().all(|(_, standing)| *standing == Standing::BackingOff { reached: false })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Standing::{BackingOff, CanConnect, Connecting, Ready};
    use super::*;

    const AWAY: Standing = BackingOff { reached: false };
    const NEW: Standing = CanConnect { reached: false };

    fn ready(in_flight: usize) -> Standing {
        Ready { muted: false, in_flight }
    }

    fn brokers(standings: &[Standing]) -> Vec<(BrokerId, Standing)> {
        (1..).map(BrokerId).zip(standings.iter().copied()).collect()
    }

    /// Those that are chosen, by one chance or another.
    fn chosen(standings: &[Standing]) -> Vec<i32> {
        let brokers = brokers(standings);
        let chosen = (0..100).filter_map(|seed| least_loaded(&brokers, &mut fastrand::Rng::with_seed(seed)));
        chosen.map(|broker| broker.0).collect::<BTreeSet<_>>().into_iter().collect()
    }

    #[test]
    fn the_least_loaded_connection_comes_before_one_being_opened_and_that_before_a_random_broker() {
        let throttled = Ready { muted: true, in_flight: 0 };
        let rows: [(&[Standing], &[i32]); 10] = [
            (&[ready(3), ready(1), NEW, Connecting], &[2]),
            (&[ready(1), ready(1), ready(2)], &[1, 2]),
            (&[ready(1), throttled, AWAY], &[1]),
            (&[AWAY, throttled, Connecting], &[3]),
            (&[AWAY, throttled, NEW], &[3]),
            (&[AWAY, throttled, AWAY], &[2]),
            (&[NEW, AWAY, Connecting, NEW], &[3]),
            (&[NEW, AWAY, NEW, NEW], &[1, 3, 4]),
            (&[NEW, CanConnect { reached: true }, NEW], &[2]),
            (&[AWAY, BackingOff { reached: true }], &[]),
        ];
        for (standings, expected) in rows {
            assert_eq!(chosen(standings), expected, "{standings:?}");
        }
        assert!(chosen(&[]).is_empty());
    }

    #[test]
    fn bootstrap_servers_take_turns_from_a_random_start_and_those_that_back_off_come_last() {
        let turns = |standings: &[Standing]| -> BTreeSet<Vec<i32>> {
            let brokers = brokers(standings);
            let turns = (0..100).map(|seed| in_turn(&brokers, &mut fastrand::Rng::with_seed(seed)));
            turns.map(|turn| turn.iter().map(|broker| broker.0).collect()).collect()
        };
        assert_eq!(turns(&[NEW; 3]), BTreeSet::from([vec![1, 2, 3], vec![2, 3, 1], vec![3, 1, 2]]));
        assert_eq!(turns(&[AWAY, NEW, AWAY]), BTreeSet::from([vec![2, 1, 3], vec![2, 3, 1]]));
        assert_eq!(turns(&[]), BTreeSet::from([vec![]]));
    }

    #[test]
    fn a_cluster_is_out_of_reach_when_every_broker_backs_off_and_none_is_connected_in_any_way() {
        for (standings, expected) in [
            (&[AWAY, AWAY][..], true),
            (&[AWAY, NEW], false),
            (&[AWAY, Connecting], false),
            (&[AWAY, BackingOff { reached: true }], false),
            (&[AWAY, CanConnect { reached: true }], false),
            (&[AWAY, Ready { muted: true, in_flight: 9 }], false),
        ] {
            assert_eq!(is_out_of_reach(&brokers(standings)), expected, "{standings:?}");
        }
    }
}
