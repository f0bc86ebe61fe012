//! Where the watermark of one split comes from.
use std::time::Duration;

use crate::contract::Timestamp;

/// Says how far event time has come in one split. There is one generator per split. Values below those returned before
/// are ignored.
pub trait WatermarkGenerator<T>: Send {
    /// A value that was emitted, and its event time. A watermark returned here acts at once.
    fn on_event(&mut self, value: &T, timestamp: Timestamp) -> Option<Timestamp>;

    /// The regular tick.
    fn on_periodic(&mut self) -> Option<Timestamp>;
}

/// Records come at most so much later than the latest one (W4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BoundedOutOfOrderness {
    max: Timestamp,
    delay: i64,
}

impl BoundedOutOfOrderness {
    pub(crate) fn new(delay: Duration) -> Self {
        let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        Self { max: Timestamp::MIN.saturating_add(delay).saturating_add(1), delay }
    }

    #[inline]
    pub(crate) fn observe(&mut self, timestamp: Timestamp) {
        self.max = self.max.max(timestamp);
    }

    pub(crate) fn watermark(&self) -> Timestamp {
        self.max.saturating_sub(self.delay).saturating_sub(1)
    }
}

/// A watermark wherever a function of the value says so (W6).
pub(crate) struct Punctuated<F>(pub(crate) F);

impl<T, F> WatermarkGenerator<T> for Punctuated<F>
where
    F: FnMut(&T, Timestamp) -> Option<Timestamp> + Send,
{
    fn on_event(&mut self, value: &T, timestamp: Timestamp) -> Option<Timestamp> {
        (self.0)(value, timestamp)
    }

    fn on_periodic(&mut self) -> Option<Timestamp> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a51_w4_numbers() {
        let mut generator = BoundedOutOfOrderness::new(Duration::from_millis(10));
        assert_eq!(generator.watermark(), Timestamp::MIN);
        generator.observe(1337);
        assert_eq!(generator.watermark(), 1326);
        [12_345, 12_300, 12_340, 12_280].into_iter().for_each(|time| generator.observe(time));
        assert_eq!(generator.watermark(), 12_334);
        generator.observe(723_456);
        assert_eq!(generator.watermark(), 723_445);
        let mut generator = BoundedOutOfOrderness::new(Duration::from_secs(20));
        generator.observe(100_000);
        assert_eq!(generator.watermark(), 79_999);
    }

    #[test]
    fn w4_arithmetic_saturates() {
        let mut generator = BoundedOutOfOrderness::new(Duration::MAX);
        assert!(generator.watermark() <= Timestamp::MIN + 1);
        generator.observe(Timestamp::MIN);
        generator.observe(5);
        assert!(generator.watermark() < 0);
        let mut generator = BoundedOutOfOrderness::new(Duration::ZERO);
        generator.observe(Timestamp::MIN);
        assert_eq!(generator.watermark(), Timestamp::MIN);
    }

    #[test]
    fn w5_monotonous_is_a_delay_of_nothing() {
        let mut generator = BoundedOutOfOrderness::new(Duration::ZERO);
        generator.observe(1337);
        assert_eq!(generator.watermark(), 1336);
    }
}
