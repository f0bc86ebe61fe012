//! From values to records.
use std::sync::Arc;

use crate::contract::Timestamp;
use crate::error::Result;

/// Turns values into records. Closures of the same shape are schemas too.
///
/// ```
/// use ottla_connector::{RecordBuffer, SerializationSchema};
///
/// let schema = |value: &String, _time: Option<i64>, record: &mut RecordBuffer| {
///     record.topic("words").value(value.as_bytes());
///     Ok(true)
/// };
/// let mut record = RecordBuffer::default();
/// assert!(schema.serialize(&"hello".to_owned(), None, &mut record).unwrap());
/// ```
pub trait SerializationSchema<T>: Send + Sync + 'static {
    /// Writes `value` into `record`, which is empty; `timestamp` is its event time. `false`: there is nothing to write.
    ///
    /// # Errors
    /// When the value cannot be written: the job fails.
    fn serialize(&self, value: &T, timestamp: Option<Timestamp>, record: &mut RecordBuffer) -> Result<bool>;
}

impl<T, F> SerializationSchema<T> for F
where
    F: Fn(&T, Option<Timestamp>, &mut RecordBuffer) -> Result<bool> + Send + Sync + 'static,
{
    fn serialize(&self, value: &T, timestamp: Option<Timestamp>, record: &mut RecordBuffer) -> Result<bool> {
        self(value, timestamp, record)
    }
}

/// The record that a schema writes. Its buffers are used again for the next one.
#[derive(Clone, Debug, Default)]
pub struct RecordBuffer {
    topic: Option<Arc<str>>,
    partition: Option<i32>,
    key: Option<()>,
    value: Option<()>,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<Timestamp>,
}

impl RecordBuffer {
    /// Where it goes; else to the sink's default topic.
    pub fn topic(&mut self, topic: &str) -> &mut Self {
        if self.topic.as_deref() != Some(topic) {
            self.topic = Some(topic.into());
        }
        self
    }

    /// Which partition; else the sink's partitioner chooses.
    pub fn partition(&mut self, partition: i32) -> &mut Self {
        self.partition = Some(partition);
        self
    }

    /// Its key.
    pub fn key(&mut self, key: &[u8]) -> &mut Self {
        self.key_mut().extend_from_slice(key);
        self
    }

    /// Its key, to be written into.
    pub fn key_mut(&mut self) -> &mut Vec<u8> {
        self.key = Some(());
        self.key_bytes.clear();
        &mut self.key_bytes
    }

    /// Its value; a record without one is a tombstone.
    pub fn value(&mut self, value: &[u8]) -> &mut Self {
        self.value_mut().extend_from_slice(value);
        self
    }

    /// Its value, to be written into.
    pub fn value_mut(&mut self) -> &mut Vec<u8> {
        self.value = Some(());
        self.value_bytes.clear();
        &mut self.value_bytes
    }

    /// A further header.
    pub fn header(&mut self, name: &str, value: Option<&[u8]>) -> &mut Self {
        self.headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }

    /// Its time, instead of the event time.
    pub fn timestamp(&mut self, timestamp: Option<Timestamp>) -> &mut Self {
        self.timestamp = timestamp;
        self
    }

    /// Empties it for the next record with this event time. The topic's name is kept, since most records have the same.
    pub(crate) fn reset(&mut self, timestamp: Option<Timestamp>) {
        (self.partition, self.key, self.value, self.timestamp) = (None, None, None, timestamp);
        self.headers.clear();
    }

    pub(crate) fn forget_topic(&mut self) {
        self.topic = None;
    }

    pub(crate) fn parts(&self) -> RecordParts<'_> {
        RecordParts {
            topic: self.topic.as_deref(),
            partition: self.partition,
            key: self.key.map(|()| self.key_bytes.as_slice()),
            value: self.value.map(|()| self.value_bytes.as_slice()),
            headers: &self.headers,
            timestamp: self.timestamp.filter(|time| *time >= 0),
        }
    }
}

/// What a schema wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordParts<'a> {
    pub(crate) topic: Option<&'a str>,
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(String, Option<Vec<u8>>)],
    pub(crate) timestamp: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k2_a_record_keeps_nothing_of_the_one_before() {
        let mut record = RecordBuffer::default();
        record.reset(Some(7));
        record.topic("t").partition(3).key(b"k").value(b"v").header("h", None);
        assert_eq!(record.parts().timestamp, Some(7));
        record.reset(None);
        let parts = record.parts();
        assert_eq!((parts.partition, parts.key, parts.value, parts.timestamp), (None, None, None, None));
        assert!(parts.headers.is_empty());
    }

    #[test]
    fn k4_a_negative_time_is_none_and_an_empty_value_is_not_a_tombstone() {
        let mut record = RecordBuffer::default();
        record.reset(Some(-5));
        record.value(b"");
        assert_eq!((record.parts().timestamp, record.parts().value), (None, Some(&b""[..])));
    }
}
