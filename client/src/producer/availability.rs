//! Which brokers have taken nothing for too long: records without a key keep away from them (KIP-794,
//! `partitioner.availability.timeout.ms`).
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::types::BrokerId;

/// Brokers that batches wait for.
#[derive(Debug, Default)]
pub(crate) struct Availability {
    /// Zero: brokers are not looked at.
    timeout: Duration,
    waiting: BTreeMap<BrokerId, Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Instant,
    is_too_long: bool,
}

impl Availability {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, waiting: BTreeMap::new() }
    }

    pub(crate) fn is_watched(&self) -> bool {
        !self.timeout.is_zero()
    }

    /// There is something to send to `broker`, and it cannot be sent now.
    pub(crate) fn refused(&mut self, now: Instant, broker: BrokerId) {
        if self.is_watched() {
            let waiting = self.waiting.entry(broker).or_insert(Waiting { since: now, is_too_long: false });
            waiting.is_too_long = now.saturating_duration_since(waiting.since) > self.timeout;
        }
    }

    /// Something was sent to `broker`.
    pub(crate) fn accepted(&mut self, broker: BrokerId) {
        self.waiting.remove(&broker);
    }

    /// Forgets the brokers that nothing waits for any more: else one whose batches have all failed were shunned for ever.
    pub(crate) fn keep(&mut self, has_batches: impl Fn(BrokerId) -> bool) {
        self.waiting.retain(|broker, _| has_batches(*broker));
    }

    /// `broker` has taken nothing for too long.
    pub(crate) fn is_shunned(&self, broker: BrokerId) -> bool {
        self.waiting.get(&broker).is_some_and(|waiting| waiting.is_too_long)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BROKER: BrokerId = BrokerId(1);

    #[test]
    fn a_broker_that_takes_nothing_for_longer_than_the_timeout_is_shunned_until_it_does() {
        let (mut availability, start) = (Availability::new(SECOND), Instant::now());
        availability.refused(start, BROKER);
        availability.refused(start + SECOND, BROKER);
        assert!(!availability.is_shunned(BROKER));
        availability.refused(start + SECOND * 2, BROKER);
        assert!(availability.is_shunned(BROKER) && !availability.is_shunned(BrokerId(2)));
        availability.accepted(BROKER);
        assert!(!availability.is_shunned(BROKER));
        availability.refused(start + SECOND * 9, BROKER);
        assert!(!availability.is_shunned(BROKER), "its time begins anew");
    }

    #[test]
    fn a_broker_that_nothing_waits_for_is_not_shunned() {
        let (mut availability, start) = (Availability::new(SECOND), Instant::now());
        availability.refused(start, BROKER);
        availability.refused(start + SECOND * 2, BROKER);
        availability.keep(|_| true);
        assert!(availability.is_shunned(BROKER));
        availability.keep(|_| false);
        assert!(!availability.is_shunned(BROKER));
    }

    #[test]
    fn without_a_timeout_no_broker_is_shunned() {
        let (mut availability, start) = (Availability::default(), Instant::now());
        availability.refused(start, BROKER);
        availability.refused(start + SECOND * 99, BROKER);
        assert!(!availability.is_shunned(BROKER));
    }
}
