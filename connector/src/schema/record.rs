//! A record as a schema sees it.
use bytes::Bytes;
use ottla_client::{Header, Headers, Record, RecordError, TopicPartition};

use crate::contract::Timestamp;

/// Makes owned bytes of a slice of the frame that records came in, without copying it.
pub(crate) trait Share {
    /// The slice, owned.
    fn share(&self, slice: &[u8]) -> Bytes;
}

/// A record that was read, borrowed from the frame it came in.
#[derive(Clone)]
pub struct KafkaRecord<'a> {
    topic_partition: &'a TopicPartition,
    offset: i64,
    timestamp: Option<Timestamp>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: HeaderSource<'a>,
    frame: Option<&'a (dyn Share + Sync)>,
}

#[derive(Clone)]
enum HeaderSource<'a> {
    Decoded(Headers<'a>),
    Given(&'a [Header<'a>]),
}

impl<'a> KafkaRecord<'a> {
    /// A record without time, key, value and headers: what tests of a schema start with.
    #[must_use]
    pub fn new(topic_partition: &'a TopicPartition, offset: i64) -> Self {
        let headers = HeaderSource::Given(&[]);
        Self { topic_partition, offset, timestamp: None, key: None, value: None, headers, frame: None }
    }

    /// The same with this key.
    #[must_use]
    pub fn with_key(self, key: &'a [u8]) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The same with this value.
    #[must_use]
    pub fn with_value(self, value: &'a [u8]) -> Self {
        Self { value: Some(value), ..self }
    }

    /// The same with this time.
    #[must_use]
    pub fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp: Some(timestamp), ..self }
    }

    /// The same with these headers.
    #[must_use]
    pub fn with_headers(self, headers: &'a [Header<'a>]) -> Self {
        Self { headers: HeaderSource::Given(headers), ..self }
    }

    /// A record without a time has -1 on the wire (R12).
    #[inline]
    pub(crate) fn of_client(
        topic_partition: &'a TopicPartition,
        record: &Record<'a>,
        frame: &'a (dyn Share + Sync),
    ) -> Self {
        Self {
            topic_partition,
            offset: record.offset,
            timestamp: Some(record.timestamp).filter(|time| *time >= 0),
            key: record.key,
            value: record.value,
            headers: HeaderSource::Decoded(record.headers()),
            frame: Some(frame),
        }
    }

    /// Where it was read.
    #[must_use]
    pub fn topic_partition(&self) -> &'a TopicPartition {
        self.topic_partition
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        &self.topic_partition.topic
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.topic_partition.partition
    }

    /// Its offset in the partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Its time in Kafka; `None` when it has none.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// Its key; absent and empty differ.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// Its value; a record without one is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// Its headers in order, with duplicates. `Err` says what is wrong with one; there are no more after it.
    pub fn headers(&self) -> impl Iterator<Item = Result<Header<'a>, RecordError>> + use<'a> {
        let (decoded, given) = match &self.headers {
            HeaderSource::Decoded(headers) => (Some(headers.clone()), [].as_slice()),
            HeaderSource::Given(headers) => (None, *headers),
        };
        decoded.into_iter().flatten().chain(given.iter().map(|h| Ok(Header { key: h.key, value: h.value })))
    }

    /// Owned bytes of a slice of the key, the value or a header. They are not copied: the frame that the record came in
    /// is kept as long as they are.
    #[must_use]
    pub fn share(&self, slice: &[u8]) -> Bytes {
        match self.frame {
            Some(frame) => frame.share(slice),
            None => Bytes::copy_from_slice(slice),
        }
    }
}

impl std::fmt::Debug for KafkaRecord<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaRecord")
            .field("topic_partition", &self.topic_partition)
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_headers_keep_their_order_and_their_duplicates() {
        let partition = TopicPartition::new("t", 0);
        let headers =
            [("b", Some(&b"1"[..])), ("a", None), ("b", Some(&b""[..]))].map(|(key, value)| Header { key, value });
        let record = KafkaRecord::new(&partition, 3).with_headers(&headers);
        let seen: Vec<_> = record.headers().map(|h| h.unwrap()).map(|h| (h.key, h.value)).collect();
        assert_eq!(seen, [("b", Some(&b"1"[..])), ("a", None), ("b", Some(&b""[..]))]);
        assert_eq!((record.key(), record.value(), record.timestamp()), (None, None, None));
    }
}
