//! When a split counts as idle (W11, W12).
use std::time::{Duration, Instant};

/// Finds out that a split has been silent for longer than a timeout. Its time is that of an [`IdleClock`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdlenessTimer {
    timeout: Duration,
    active: bool,
    silent_since: Option<Duration>,
}

impl IdlenessTimer {
    /// `timeout` is above 0.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, active: false, silent_since: None }
    }

    /// There was an event.
    pub(crate) fn activity(&mut self) {
        self.active = true;
    }

    /// Asked at every tick: whether the split is idle now. The countdown starts at the first tick that saw no event.
    pub(crate) fn check(&mut self, now: Duration) -> bool {
        if std::mem::replace(&mut self.active, false) {
            self.silent_since = None;
            return false;
        }
        match self.silent_since {
            None => {
                self.silent_since = Some(now);
                false
            }
            Some(since) => now.saturating_sub(since) > self.timeout,
        }
    }

    /// Instead of [`check`](Self::check) while the split could not have an event: the time since the last tick does not
    /// count.
    pub(crate) fn stand_still(&mut self, since_last_tick: Duration) {
        if let Some(since) = &mut self.silent_since {
            *since += since_last_tick;
        }
    }
}

/// A clock that goes only while records are asked for. A gap between two readings counts up to a limit: what is longer is
/// back-pressure, not silence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleClock {
    limit: Duration,
    read: Option<Instant>,
    elapsed: Duration,
}

impl IdleClock {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, read: None, elapsed: Duration::ZERO }
    }

    /// Reads it. Call it often.
    pub(crate) fn read(&mut self, now: Instant) -> Duration {
        if let Some(read) = self.read {
            self.elapsed += now.saturating_duration_since(read).min(self.limit);
        }
        self.read = Some(now);
        self.elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a52_the_first_check_starts_the_countdown() {
        let mut timer = IdlenessTimer::new(ms(10));
        assert!(!timer.check(ms(5)));
        assert!(timer.check(ms(5 + 11)));
    }

    #[test]
    fn a52_idle_stays_idle_until_there_is_an_event() {
        let mut timer = IdlenessTimer::new(ms(122));
        assert!(!timer.check(ms(0)));
        assert!(!timer.check(ms(122)), "strictly longer");
        assert!(timer.check(ms(123)));
        assert!(timer.check(ms(223)));
        timer.activity();
        assert!(!timer.check(ms(224)));
        assert!(!timer.check(ms(300)), "this one starts the countdown");
        assert!(timer.check(ms(300 + 123)));
    }

    #[test]
    fn a52_detection_lies_within_three_ticks() {
        let mut timer = IdlenessTimer::new(ms(10));
        timer.activity();
        let idle: Vec<_> = [1, 6, 11, 16, 21].into_iter().filter(|tick| timer.check(ms(*tick))).collect();
        assert_eq!(idle, [21]);
    }

    #[test]
    fn w12_time_in_which_nothing_could_come_does_not_count() {
        let mut timer = IdlenessTimer::new(ms(10));
        timer.check(ms(0));
        timer.stand_still(ms(100));
        assert!(!timer.check(ms(110)));
        assert!(timer.check(ms(111)));
    }

    #[test]
    fn n13_a_reader_that_is_not_asked_does_not_become_idle() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let (start, mut clock) = (Instant::now(), IdleClock::new(ms(5)));
        let mut timer = IdlenessTimer::new(ms(10));
        assert!(!timer.check(clock.read(start)));
        assert!(!timer.check(clock.read(start + ms(100))), "100 ms without a poll");
        assert!(!timer.check(clock.read(start + ms(105))));
        assert!(timer.check(clock.read(start + ms(106))));
    }
}
