//! Exponential backoff with jitter, one formula for retries, reconnects and set-up timeouts (KIP-580, KIP-601).
use std::time::Duration;

/// Doubles from `initial` to `max`, 20 % up or down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExponentialBackoff {
    pub(crate) initial: Duration,
    pub(crate) max: Duration,
}

impl ExponentialBackoff {
    /// How long to wait after `failures` failures in a row before this one. An initial value above the maximum is the
    /// maximum, always; one of 0 does not grow (`ExponentialBackoff.java`).
    pub(crate) fn delay(&self, failures: u32, rng: &mut fastrand::Rng) -> Duration {
        if self.initial >= self.max {
            return self.max;
        }
        if self.initial.is_zero() {
            return Duration::ZERO;
        }
        let initial = self.initial.as_secs_f64();
        let doublings = f64::from(failures).min((self.max.as_secs_f64() / initial).log2());
        let jitter = 0.8 + 0.4 * rng.f64();
        // The jitter comes before the cap, so that the maximum is one.
        Duration::from_secs_f64(initial * doublings.exp2() * jitter).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_with_a_fifth_of_jitter_up_to_the_maximum() {
        let backoff = ExponentialBackoff { initial: Duration::from_millis(100), max: Duration::from_secs(1) };
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..1000 {
            for (failures, from, to) in [(0, 80, 120), (1, 160, 240), (2, 320, 480), (4, 800, 1000), (99, 800, 1000)] {
                let delay = backoff.delay(failures, &mut rng).as_millis();
                assert!((from..=to).contains(&delay), "{failures} failures: {delay} ms");
            }
        }
    }

    #[test]
    fn an_initial_value_of_0_stays_0() {
        let backoff = ExponentialBackoff { initial: Duration::ZERO, max: Duration::from_secs(1) };
        let mut rng = fastrand::Rng::with_seed(1);
        assert!((0..100).all(|failures| backoff.delay(failures, &mut rng).is_zero()));
    }

    #[test]
    fn an_initial_value_above_the_maximum_is_the_maximum() {
        let backoff = ExponentialBackoff { initial: Duration::from_secs(5), max: Duration::from_secs(1) };
        assert_eq!(backoff.delay(0, &mut fastrand::Rng::with_seed(1)), Duration::from_secs(1));
    }
}
