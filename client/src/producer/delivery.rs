//! The outcome of a record: one cell for all records of a batch, shared by their [`Delivery`]s.
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::record::RecordMetadata;
use crate::error::{Certainty, Error, Result};
use crate::sync::lock;
use crate::types::TopicPartition;

/// The outcome of one record, once its batch is answered. Dropping it changes nothing: the record is sent all the same,
/// and a failure is told by [`Producer::take_failure`](super::Producer::take_failure), or by the commit of its
/// transaction. Cancel safe.
#[derive(Debug)]
pub struct Delivery {
    batch: Arc<BatchOutcome>,
    index: i32,
    timestamp: i64,
}

impl Delivery {
    pub(crate) fn new(batch: &Arc<BatchOutcome>, index: i32, timestamp: i64) -> Self {
        Self { batch: Arc::clone(batch), index, timestamp }
    }

    fn of(&self, outcome: &Outcome) -> Result<RecordMetadata> {
        let topic_partition = || self.batch.topic_partition.clone();
        match outcome {
            // `poll` follows it before it asks.
            Outcome::Split(_) => Err(Error::Misuse { reason: "a batch was split and its part is gone".to_owned() }),
            Outcome::Written { base_offset, log_append_time } => Ok(RecordMetadata {
                topic_partition: topic_partition(),
                offset: if *base_offset < 0 { -1 } else { base_offset.saturating_add(i64::from(self.index)) },
                timestamp: log_append_time.unwrap_or(self.timestamp),
            }),
            Outcome::Failed { certainty, attempts, after, cause } => Err(Error::Delivery {
                certainty: *certainty,
                attempts: *attempts,
                after: *after,
                topic_partition: topic_partition(),
                cause: Box::new(cause.clone()),
            }),
        }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some((batch, first)) = self.batch.part_of(self.index) {
            self.batch = batch;
            self.index -= first;
        }
        let mut state = self.batch.lock();
        match &state.outcome {
            Some(outcome) => Poll::Ready(self.of(outcome)),
            None => {
                // One task that awaits many records of a batch is woken once.
                if !state.wakers.iter().any(|w| w.will_wake(cx.waker())) {
                    state.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

/// How a batch ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Written {
        /// -1: not known.
        base_offset: i64,
        log_append_time: Option<i64>,
    },
    Failed {
        certainty: Certainty,
        attempts: u32,
        /// How long ago the batch was begun.
        after: Duration,
        cause: Error,
    },
    /// Its records were sent again as these batches, in order.
    Split(Vec<Part>),
}

/// A part of a batch that was split.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The index of its first record in the whole.
    pub(crate) first: i32,
    pub(crate) outcome: Arc<BatchOutcome>,
}

/// The cell in which all records of a batch find how it ended.
#[derive(Debug)]
pub(crate) struct BatchOutcome {
    topic_partition: TopicPartition,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    wakers: Vec<Waker>,
}

impl BatchOutcome {
    pub(crate) fn new(topic_partition: TopicPartition) -> Arc<Self> {
        Arc::new(Self { topic_partition, state: Mutex::default() })
    }

    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The part that has the record `index`, and the index of its first record.
    fn part_of(&self, index: i32) -> Option<(Arc<Self>, i32)> {
        let state = self.lock();
        let Some(Outcome::Split(parts)) = &state.outcome else { return None };
        let part = parts.iter().rev().find(|part| part.first <= index)?;
        Some((Arc::clone(&part.outcome), part.first))
    }

    /// Tells everyone. The first outcome stays: a batch that has timed out is not written later. Whether this is it.
    pub(crate) fn complete(&self, outcome: Outcome) -> bool {
        let mut state = self.lock();
        if state.outcome.is_some() {
            return false;
        }
        state.outcome = Some(outcome);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use ottla_protocol::{ApiKey, ErrorCode};

    #[test]
    fn every_record_finds_its_own_offset_in_the_one_cell_of_its_batch() {
        let batch = BatchOutcome::new(TopicPartition::new("t", 1));
        let mut deliveries: Vec<_> = (0..3).map(|i| Delivery::new(&batch, i, 1000 + i64::from(i))).collect();
        assert!(deliveries.iter_mut().all(|d| d.now_or_never().is_none()));
        batch.complete(Outcome::Written { base_offset: 40, log_append_time: None });
        let offsets = deliveries.into_iter().map(|d| d.now_or_never().unwrap().unwrap());
        assert_eq!(offsets.map(|m| (m.offset, m.timestamp)).collect::<Vec<_>>(), [(40, 1000), (41, 1001), (42, 1002)]);
    }

    #[test]
    fn an_unknown_offset_stays_unknown_and_the_first_outcome_stays() {
        let batch = BatchOutcome::new(TopicPartition::new("t", 1));
        batch.complete(Outcome::Written { base_offset: -1, log_append_time: Some(7) });
        let cause = Error::broker(ErrorCode::UnknownServerError, ApiKey::Produce, "t-1");
        let (certainty, after) = (Certainty::NotWritten, Duration::ZERO);
        batch.complete(Outcome::Failed { certainty, attempts: 1, after, cause });
        let metadata = Delivery::new(&batch, 5, 1000).now_or_never().unwrap().unwrap();
        assert_eq!((metadata.offset, metadata.timestamp), (-1, 7));
    }
}
