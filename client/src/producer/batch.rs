//! Records of one partition that are sent, and sent again, as one.
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::compression::Compression;
use ottla_protocol::record::{BatchBuilder, FinishedBatch, Header, ProducerStamp, Records};

use super::accumulator::PartitionKey;
use super::delivery::{BatchOutcome, Delivery, Outcome, Part};
use super::sequence::advance;
use crate::error::{Certainty, Error, Result};
use crate::types::TopicPartition;
use uuid::Uuid;

/// Batches of a producer are numbered in the order of their first records, in steps that leave room for the parts of one
/// that is split.
pub(crate) type BatchNumber = u128;

/// The number of the `n`th batch that is begun.
pub(crate) fn nth(n: u64) -> BatchNumber {
    BatchNumber::from(n) << 64
}

/// A batch on its way.
#[derive(Debug)]
pub(crate) struct ProducerBatch {
    pub(crate) number: BatchNumber,
    /// The numbers from its own on that are its to give to parts.
    pub(crate) span: u64,
    pub(crate) key: PartitionKey,
    /// The topic that its records are for; nil where brokers have no ids.
    pub(crate) topic_id: Uuid,
    pub(crate) created: Instant,
    pub(crate) outcome: Arc<BatchOutcome>,
    /// Its identity in the log, from when it is first sent. A retry keeps it.
    pub(crate) stamp: Option<ProducerStamp>,
    /// How often it was handed to a connection.
    pub(crate) attempts: u32,
    /// An attempt ended without a definite answer: it may be in the log.
    pub(crate) is_ambiguous: bool,
    /// Not before this.
    pub(crate) retry_at: Option<Instant>,
    /// Why the last attempt failed.
    pub(crate) last_error: Option<Error>,
    /// What it takes of `buffer.memory`.
    pub(crate) memory: usize,
    /// Its bytes when it was finished, before it was compressed.
    pub(crate) uncompressed: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Open(BatchBuilder),
    Finished(FinishedBatch),
    /// Only while it is being finished.
    Moved,
}

impl ProducerBatch {
    pub(crate) fn new(
        number: BatchNumber,
        (key, topic_partition): (PartitionKey, TopicPartition),
        created: Instant,
        buffer: Vec<u8>,
        memory: usize,
    ) -> Self {
        Self {
            number,
            span: u64::MAX,
            key,
            topic_id: Uuid::nil(),
            created,
            outcome: BatchOutcome::new(topic_partition),
            stamp: None,
            attempts: 0,
            is_ambiguous: false,
            retry_at: None,
            last_error: None,
            memory,
            uncompressed: 0,
            body: Body::Open(BatchBuilder::from_buffer(buffer)),
        }
    }

    /// It goes to another topic of the same name, whose log does not know its identity.
    pub(crate) fn move_to(&mut self, topic_id: Uuid) {
        self.topic_id = topic_id;
        self.stamp = None;
    }

    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        self.outcome.topic_partition()
    }

    /// Appends a record, if it is open and has room within `limit` bytes; the first record always has.
    #[inline]
    pub(crate) fn try_append(
        &mut self,
        limit: usize,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Option<Delivery> {
        let Body::Open(builder) = &mut self.body else { return None };
        let index = builder.count();
        builder
            .try_append(limit, timestamp, key, value, headers)
            .then(|| Delivery::new(&self.outcome, index, timestamp))
    }

    /// Takes no more records.
    pub(crate) fn is_full(&self, limit: usize) -> bool {
        match &self.body {
            Body::Open(builder) => builder.len() >= limit,
            _ => true,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.body {
            Body::Open(builder) => builder.len(),
            Body::Finished(batch) => batch.len(),
            Body::Moved => 0,
        }
    }

    pub(crate) fn count(&self) -> i32 {
        match &self.body {
            Body::Open(builder) => builder.count(),
            Body::Finished(batch) => batch.count(),
            Body::Moved => 0,
        }
    }

    /// Compresses it, once, and writes its identity into it. Not under a lock: this is the work of a batch.
    pub(crate) fn seal(&mut self, compression: Compression, level: Option<i32>) -> Result<Records> {
        if let Body::Open(builder) = &self.body {
            self.uncompressed = builder.len();
        }
        let mut batch = match std::mem::replace(&mut self.body, Body::Moved) {
            Body::Finished(batch) => batch,
            Body::Open(builder) => builder.finish(compression, level).map_err(|e| Error::Misuse {
                reason: format!("a batch for {} cannot be compressed with {compression}: {e}", self.topic_partition()),
            })?,
            Body::Moved => {
                return Err(Error::Misuse { reason: "a batch that could not be compressed was sent again".to_owned() });
            }
        };
        if let Some(stamp) = self.stamp {
            batch.stamp(stamp);
        }
        let records = batch.records();
        self.body = Body::Finished(batch);
        Ok(records)
    }

    /// All of it as it was last sent; `None` before that.
    pub(crate) fn bytes(&self) -> Option<Bytes> {
        match &self.body {
            Body::Finished(batch) => Some(batch.records().into_bytes()),
            _ => None,
        }
    }

    /// A part of it: these records, from the `first` on.
    pub(crate) fn part(&self, number: BatchNumber, span: u64, records: BatchBuilder, first: i32) -> Self {
        let follows =
            |stamp: ProducerStamp| ProducerStamp { base_sequence: advance(stamp.base_sequence, first), ..stamp };
        Self {
            number,
            span,
            key: self.key,
            topic_id: self.topic_id,
            created: self.created,
            outcome: BatchOutcome::new(self.topic_partition().clone()),
            stamp: self.stamp.map(follows),
            attempts: 0,
            is_ambiguous: false,
            retry_at: None,
            last_error: None,
            memory: 0,
            uncompressed: 0,
            body: Body::Open(records),
        }
    }

    /// Its records find their outcomes in its parts from now on.
    pub(crate) fn was_split(self, parts: Vec<Part>) {
        self.outcome.complete(Outcome::Split(parts));
    }

    /// It is in the log.
    pub(crate) fn written(&self, base_offset: i64, log_append_time: Option<i64>) {
        self.outcome.complete(Outcome::Written { base_offset, log_append_time });
    }

    /// It failed for good. `false`: its records had their outcome before.
    pub(crate) fn fail(&self, now: Option<Instant>, cause: Error) -> bool {
        let (certainty, attempts, after) = (self.certainty(), self.attempts, self.age(now));
        self.outcome.complete(Outcome::Failed { certainty, attempts, after, cause })
    }

    /// What the deliveries of its records say when it fails with `cause`.
    pub(crate) fn failure(&self, now: Option<Instant>, cause: Error) -> Error {
        let (certainty, topic_partition) = (self.certainty(), self.topic_partition().clone());
        let (attempts, after) = (self.attempts, self.age(now));
        Error::Delivery { certainty, attempts, after, topic_partition, cause: Box::new(cause) }
    }

    fn age(&self, now: Option<Instant>) -> Duration {
        now.map_or(Duration::ZERO, |now| now.saturating_duration_since(self.created))
    }

    fn certainty(&self) -> Certainty {
        if self.is_ambiguous { Certainty::PossiblyWritten } else { Certainty::NotWritten }
    }

    /// The buffer, to be used again, when no write holds its bytes any more.
    pub(crate) fn into_buffer(self) -> Option<Vec<u8>> {
        match self.body {
            Body::Finished(batch) => batch.into_buffer(),
            _ => None,
        }
    }
}
