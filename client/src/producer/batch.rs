//! Records of one partition that are sent, and sent again, as one.
use std::sync::Arc;
use std::time::Instant;

use ottla_protocol::compression::Compression;
use ottla_protocol::record::{BatchBuilder, FinishedBatch, Header, ProducerStamp, Records};

use super::accumulator::PartitionKey;
use super::delivery::{BatchOutcome, Delivery, Outcome};
use crate::error::{Certainty, Error, Result};
use crate::types::TopicPartition;
use uuid::Uuid;

/// A batch on its way.
#[derive(Debug)]
pub(crate) struct ProducerBatch {
    /// Batches of a producer are numbered in the order of their first records.
    pub(crate) number: u64,
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
        number: u64,
        (key, topic_partition): (PartitionKey, TopicPartition),
        created: Instant,
        buffer: Vec<u8>,
        memory: usize,
    ) -> Self {
        Self {
            number,
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
            body: Body::Open(BatchBuilder::from_buffer(buffer)),
        }
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

    /// It is in the log.
    pub(crate) fn written(&self, base_offset: i64, log_append_time: Option<i64>) {
        self.outcome.complete(Outcome::Written { base_offset, log_append_time });
    }

    /// It failed for good.
    pub(crate) fn fail(&self, cause: Error) {
        self.outcome.complete(Outcome::Failed { certainty: self.certainty(), cause });
    }

    /// What the deliveries of its records say when it fails with `cause`.
    pub(crate) fn failure(&self, cause: Error) -> Error {
        let topic_partition = self.topic_partition().clone();
        Error::Delivery { certainty: self.certainty(), topic_partition, cause: Box::new(cause) }
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
