//! A record to send, and where it ended up.
use ottla_protocol::record::Header;

use crate::types::TopicPartition;

/// A record to send. It borrows everything: its bytes are copied once, into the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerRecord<'a> {
    /// Where it goes.
    pub topic: &'a str,
    /// Which partition; `None`: by the key, or any.
    pub partition: Option<i32>,
    /// Records with the same key go to the same partition.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone: compaction removes what has this key.
    pub value: Option<&'a [u8]>,
    /// Named values beside it.
    pub headers: &'a [Header<'a>],
    /// Milliseconds since the Unix epoch; `None`: now.
    pub timestamp: Option<i64>,
}

impl<'a> ProducerRecord<'a> {
    /// A record for `topic` without key, value and headers.
    #[must_use]
    pub const fn new(topic: &'a str) -> Self {
        Self { topic, partition: None, key: None, value: None, headers: &[], timestamp: None }
    }

    /// With this key.
    #[must_use]
    pub fn key(mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// With this value.
    #[must_use]
    pub fn value(mut self, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.value = Some(value.as_ref());
        self
    }

    /// To this partition.
    #[must_use]
    pub const fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// With these headers.
    #[must_use]
    pub const fn headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = headers;
        self
    }

    /// At this time, in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn timestamp(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

/// Where a record ended up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordMetadata {
    /// Its partition.
    pub topic_partition: TopicPartition,
    /// Its offset; -1 when it is written and the broker did not say where (`acks=0`, or a very late retry).
    pub offset: i64,
    /// Its time, in milliseconds since the Unix epoch: its own, or the broker's where the topic says so.
    pub timestamp: i64,
}
