//! How often metadata is asked for: never in a hurry, and not again and again for the same answer.
use std::time::{Duration, Instant};

use crate::backoff::ExponentialBackoff;

/// The pace of metadata requests (`Metadata.java`, `timeToAllowUpdate`).
#[derive(Debug, Default)]
pub(crate) struct RefreshPace {
    /// When the last answer or failure came.
    last: Option<Instant>,
    /// When an answer last came.
    answered: Option<Instant>,
    failures: u32,
    /// Answers in a row in which no leader epoch grew.
    equivalent: u32,
    failing_since: Option<Instant>,
}

impl RefreshPace {
    /// An answer came; `news`: a leader epoch grew in it.
    pub(crate) fn answered(&mut self, now: Instant, news: bool) {
        let equivalent = if news { 0 } else { self.equivalent + 1 };
        *self = Self { last: Some(now), answered: Some(now), equivalent, ..Self::default() };
    }

    /// An attempt that began then brought no answer. Whether this is the first failure in a row.
    pub(crate) fn failed(&mut self, begun: Instant, now: Instant) -> bool {
        self.last = Some(now);
        self.failing_since.get_or_insert(begun);
        self.failures += 1;
        self.failures == 1
    }

    /// Metadata is asked for because of its age: what was asked for in vain before is past.
    pub(crate) fn grown_old(&mut self) {
        self.equivalent = 0;
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// The earliest moment of the next request.
    pub(crate) fn not_before(&self, backoff: ExponentialBackoff, rng: &mut fastrand::Rng) -> Option<Instant> {
        let in_a_row = if self.failures > 0 { self.failures } else { self.equivalent };
        Some(self.last? + backoff.delay(in_a_row.saturating_sub(1), rng))
    }

    /// When the last answer came.
    pub(crate) fn last_answer(&self) -> Option<Instant> {
        self.answered
    }

    /// Whether no answer could be had for `trigger`: the brokers that are known may all be the wrong ones (KIP-1102). Asks
    /// once for each such time.
    pub(crate) fn is_overdue(&mut self, now: Instant, trigger: Duration) -> bool {
        let overdue = self.failing_since.is_some_and(|since| now >= since + trigger);
        if overdue {
            self.failing_since = Some(now);
        }
        overdue
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use super::*;

    const BACKOFF: ExponentialBackoff =
        ExponentialBackoff { initial: Duration::from_millis(100), max: Duration::from_secs(1) };

    fn gap(pace: &RefreshPace, now: Instant) -> u128 {
        let at = pace.not_before(BACKOFF, &mut fastrand::Rng::with_seed(1)).unwrap();
        at.duration_since(now).as_millis()
    }

    #[test]
    fn the_first_request_is_made_at_once() {
        assert_eq!(RefreshPace::default().not_before(BACKOFF, &mut fastrand::Rng::with_seed(1)), None);
    }

    #[test]
    fn failures_and_equivalent_answers_in_a_row_slow_requests_down() {
        let now = Instant::now();
        let mut pace = RefreshPace::default();
        assert!(pace.failed(now, now));
        assert!((80..=120).contains(&gap(&pace, now)));
        assert!(!pace.failed(now, now));
        assert!((160..=240).contains(&gap(&pace, now)));
        pace.answered(now, true);
        assert!((80..=120).contains(&gap(&pace, now)));
        pace.answered(now, false);
        assert!((80..=120).contains(&gap(&pace, now)), "the first of them");
        pace.answered(now, false);
        assert!((160..=240).contains(&gap(&pace, now)));
        for _ in 0..5 {
            pace.answered(now, false);
        }
        assert!((800..=1000).contains(&gap(&pace, now)));
        pace.answered(now, true);
        assert!((80..=120).contains(&gap(&pace, now)));
        for _ in 0..5 {
            pace.answered(now, false);
        }
        pace.grown_old();
        assert!((80..=120).contains(&gap(&pace, now)), "a refresh by age is no sign of trouble");
    }

    #[test]
    fn metadata_is_overdue_after_the_trigger_and_once_for_each() {
        let now = Instant::now();
        let trigger = Duration::from_secs(300);
        let mut pace = RefreshPace::default();
        // Since the first attempt began, not since it failed.
        pace.failed(now, now + Duration::from_secs(30));
        assert!(!pace.is_overdue(now + Duration::from_secs(299), trigger));
        assert!(pace.is_overdue(now + trigger, trigger));
        assert!(!pace.is_overdue(now + trigger + Duration::from_secs(1), trigger));
        assert!(pace.is_overdue(now + trigger * 2, trigger));
        pace.answered(now, true);
        assert!(!pace.is_overdue(now + trigger * 9, trigger));
    }
}
