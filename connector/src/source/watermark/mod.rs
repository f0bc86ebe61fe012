//! How far event time has come.
mod alignment;
mod generator;
mod idleness;
mod multiplexer;
mod splits;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::contract::Timestamp;
use crate::error::{Error, Result};
use crate::schema::TimestampAssigner;

pub use generator::WatermarkGenerator;
pub(crate) use idleness::IdleClock;
pub(crate) use multiplexer::OutputId;
pub(crate) use splits::SplitWatermarks;

/// How event times and watermarks are made (W1). Every split has a generator of its own, so that a split that lags behind
/// holds the watermark back instead of having all its records late.
///
/// Without a timeout for idleness a single partition without records holds the watermark for ever.
pub struct WatermarkStrategy<T> {
    pub(crate) generators: Generators<T>,
    pub(crate) assigner: Option<Arc<TimestampAssigner<T>>>,
    pub(crate) idleness: Option<Duration>,
    pub(crate) max_drift: Option<Duration>,
}

pub(crate) enum Generators<T> {
    Bounded(Duration),
    Custom(Arc<dyn Fn() -> Box<dyn WatermarkGenerator<T>> + Send + Sync>),
}

impl<T> WatermarkStrategy<T> {
    fn new(generators: Generators<T>) -> Self {
        Self { generators, assigner: None, idleness: None, max_drift: None }
    }

    /// Records of a partition come at most `delay` (whole milliseconds) later than the latest one before them.
    #[must_use]
    pub fn bounded_out_of_orderness(delay: Duration) -> Self {
        Self::new(Generators::Bounded(delay))
    }

    /// Event times of a partition never go back.
    #[must_use]
    pub fn monotonous() -> Self {
        Self::bounded_out_of_orderness(Duration::ZERO)
    }

    /// A watermark wherever `f` of a value and its event time gives one. It is emitted after the records of the same
    /// fetch.
    #[must_use]
    pub fn punctuated(f: impl Fn(&T, Timestamp) -> Option<Timestamp> + Clone + Send + Sync + 'static) -> Self
    where
        T: 'static,
    {
        Self::custom(move || generator::Punctuated(f.clone()))
    }

    /// A generator of one's own for each split.
    #[must_use]
    pub fn custom<G: WatermarkGenerator<T> + 'static>(factory: impl Fn() -> G + Send + Sync + 'static) -> Self {
        Self::new(Generators::Custom(Arc::new(move || Box::new(factory()))))
    }

    /// The event time of a value, made of the value and the record's time in Kafka. `None`: it has none, and does not
    /// move the watermark. Default: the time in Kafka.
    #[must_use]
    pub fn timestamps(
        mut self,
        assigner: impl Fn(&T, Option<Timestamp>) -> Option<Timestamp> + Send + Sync + 'static,
    ) -> Self {
        self.assigner = Some(Arc::new(assigner));
        self
    }

    /// A split without records for so long does not hold the watermark back. Default: never.
    #[must_use]
    pub fn idleness(mut self, timeout: Duration) -> Self {
        self.idleness = Some(timeout);
        self
    }

    /// A split whose watermark is further than this ahead of the slowest subtask waits. Default: none does.
    #[must_use]
    pub fn max_drift(mut self, max_drift: Duration) -> Self {
        self.max_drift = Some(max_drift);
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.idleness == Some(Duration::ZERO) {
            return Err(Error::config("the idleness timeout is 0: it must be above 0, or left out"));
        }
        Ok(())
    }
}

impl<T> Clone for WatermarkStrategy<T> {
    fn clone(&self) -> Self {
        let generators = match &self.generators {
            Generators::Bounded(delay) => Generators::Bounded(*delay),
            Generators::Custom(factory) => Generators::Custom(Arc::clone(factory)),
        };
        Self { generators, assigner: self.assigner.clone(), ..*self }
    }
}

impl<T> fmt::Debug for WatermarkStrategy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("WatermarkStrategy");
        match &self.generators {
            Generators::Bounded(delay) => out.field("bounded_out_of_orderness", delay),
            Generators::Custom(_) => out.field("generator", &"custom"),
        };
        out.field("idleness", &self.idleness).field("max_drift", &self.max_drift).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a52_an_idleness_timeout_of_nothing_is_an_error() {
        let strategy = WatermarkStrategy::<()>::monotonous().idleness(Duration::ZERO);
        assert!(strategy.validate().unwrap_err().to_string().contains("idleness"));
        assert!(WatermarkStrategy::<()>::monotonous().idleness(Duration::from_nanos(1)).validate().is_ok());
    }
}
