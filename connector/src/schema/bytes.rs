//! Bytes as they are.
use bytes::Bytes;

use super::{Collector, DeserializationSchema, KafkaRecord};
use crate::error::Result;

/// The value's bytes. They are not copied: each holds on to the frame it came in. Records without a value are skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BytesSchema;

impl DeserializationSchema for BytesSchema {
    type Output = Bytes;

    #[inline]
    fn deserialize(&self, record: &KafkaRecord<'_>, out: &mut Collector<'_, Bytes>) -> Result<()> {
        if let Some(value) = record.value() {
            out.collect(record.share(value));
        }
        Ok(())
    }
}

/// The bytes of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyAndValue {
    /// The key.
    pub key: Option<Bytes>,
    /// The value; a record without one is a tombstone.
    pub value: Option<Bytes>,
}

/// The bytes of key and value, not copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyValueSchema;

impl DeserializationSchema for KeyValueSchema {
    type Output = KeyAndValue;

    #[inline]
    fn deserialize(&self, record: &KafkaRecord<'_>, out: &mut Collector<'_, KeyAndValue>) -> Result<()> {
        let [key, value] = [record.key(), record.value()].map(|bytes| bytes.map(|bytes| record.share(bytes)));
        out.collect(KeyAndValue { key, value });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_client::TopicPartition;

    #[test]
    fn d2_bytes_are_what_they_were_and_a_tombstone_has_a_key() {
        let partition = TopicPartition::new("t", 0);
        let record = KafkaRecord::new(&partition, 0).with_key(b"k");
        let mut out = Vec::new();
        KeyValueSchema.deserialize(&record, &mut Collector::into_vec(&mut out, &record)).unwrap();
        assert_eq!(out[0].value, KeyAndValue { key: Some(Bytes::from_static(b"k")), value: None });
        let mut out = Vec::new();
        BytesSchema.deserialize(&record, &mut Collector::into_vec(&mut out, &record)).unwrap();
        assert!(out.is_empty());
    }
}
