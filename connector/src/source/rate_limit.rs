//! How many records a reader may emit.
use std::time::{Duration, Instant};

/// Spaces fetches so that not more than so many records a second are emitted (R13).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimit {
    records_per_second: f64,
    free_at: Option<Instant>,
}

impl RateLimit {
    /// `records_per_second` is above 0.
    pub(crate) fn new(records_per_second: u64) -> Self {
        Self { records_per_second: records_per_second as f64, free_at: None }
    }

    /// Records were emitted: they have to be paid for before there are more.
    pub(crate) fn emitted(&mut self, now: Instant, records: usize) {
        let cost = Duration::from_secs_f64(records as f64 / self.records_per_second);
        self.free_at = Some(self.free_at.unwrap_or(now).max(now) + cost);
    }

    /// Until when nothing may be emitted.
    pub(crate) fn blocked_until(&self, now: Instant) -> Option<Instant> {
        self.free_at.filter(|at| *at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_records_are_paid_for() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut limit = RateLimit::new(100);
        assert_eq!(limit.blocked_until(start), None);
        limit.emitted(start, 50);
        assert_eq!(limit.blocked_until(start), Some(start + Duration::from_millis(500)));
        let later = start + Duration::from_millis(500);
        assert_eq!(limit.blocked_until(later), None);
        limit.emitted(later + Duration::from_secs(9), 1);
        let paid = later + Duration::from_secs(9) + Duration::from_millis(10);
        assert_eq!(limit.blocked_until(later + Duration::from_secs(9)), Some(paid), "idle time is not saved up");
    }
}
