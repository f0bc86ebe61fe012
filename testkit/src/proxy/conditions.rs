//! What the wire is like in one direction.

use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToBroker,
    /// Replies.
    ToClient,
    /// Either.
    Both,
}

impl Direction {
    pub(super) fn includes(self, other: Self) -> bool {
        self == Self::Both || self == other
    }
}

/// The state of one direction of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    /// Bytes per second.
    pub(super) bandwidth: Option<u64>,
    pub(super) silent: bool,
}

impl Conditions {
    /// How long the next bytes are under way.
    pub(super) fn delay(&self, rng: &mut fastrand::Rng) -> Duration {
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        self.latency + Duration::from_micros(rng.u64(0..=jitter))
    }

    /// How long `bytes` take to pass.
    pub(super) fn transfer(&self, bytes: usize) -> Duration {
        match self.bandwidth {
            Some(rate) => Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64),
            None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Conditions;

    #[test]
    fn a_delay_lies_between_latency_and_latency_plus_jitter() {
        let (latency, jitter) = (Duration::from_millis(10), Duration::from_millis(5));
        let conditions = Conditions { latency, jitter, ..Conditions::default() };
        let mut rng = fastrand::Rng::with_seed(1);
        let delays: Vec<_> = (0..1000).map(|_| conditions.delay(&mut rng)).collect();
        assert!(delays.iter().all(|delay| (latency..=latency + jitter).contains(delay)));
        assert!(delays.iter().any(|delay| *delay > latency + jitter / 2));
    }

    #[test]
    fn bandwidth_is_bytes_per_second() {
        let conditions = Conditions { bandwidth: Some(1000), ..Conditions::default() };
        assert_eq!(conditions.transfer(500), Duration::from_millis(500));
        assert_eq!(Conditions::default().transfer(500), Duration::ZERO);
    }
}
