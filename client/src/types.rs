//! The small words of the field.
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The number of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerId(pub i32);

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 { f.write_str("bootstrap") } else { write!(f, "{}", self.0) }
    }
}

/// A time that a broker sent; a negative one is none.
pub(crate) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Who a batch is written by (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdAndEpoch {
    /// The producer id.
    pub producer_id: i64,
    /// Grows when the producer is fenced or, from transaction version 2 on, when a transaction ends.
    pub epoch: i16,
}

impl ProducerIdAndEpoch {
    /// No producer id.
    pub const NONE: Self = Self { producer_id: -1, epoch: -1 };
}

/// A position of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the last record read, to find truncation (KIP-320).
    pub leader_epoch: Option<i32>,
    /// Anything the application likes to keep with it.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// The position `offset`, with nothing else.
    #[must_use]
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }
}

/// Whether records of open and aborted transactions are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Everything that is in the log.
    #[default]
    ReadUncommitted,
    /// What was committed, or written outside of transactions.
    ReadCommitted,
}

impl IsolationLevel {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i8 {
        self as i8
    }
}
