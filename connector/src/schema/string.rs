//! UTF-8 text.
use super::bad_record;
use super::{Collector, DeserializationSchema, KafkaRecord, RecordBuffer, SerializationSchema};
use crate::contract::Timestamp;
use crate::error::Result;

/// The value as text. Records without a value are skipped; bytes that are not UTF-8 make a bad record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StringSchema;

impl DeserializationSchema for StringSchema {
    type Output = String;

    fn deserialize(&self, record: &KafkaRecord<'_>, out: &mut Collector<'_, String>) -> Result<()> {
        if let Some(value) = record.value() {
            let text = std::str::from_utf8(value).map_err(|e| bad_record(record, format!("it is not UTF-8: {e}")))?;
            out.collect(text.to_owned());
        }
        Ok(())
    }
}

impl<T: AsRef<str>> SerializationSchema<T> for StringSchema {
    fn serialize(&self, value: &T, _timestamp: Option<Timestamp>, record: &mut RecordBuffer) -> Result<bool> {
        record.value(value.as_ref().as_bytes());
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_client::TopicPartition;

    #[test]
    fn d2_text_that_is_not_utf8_names_its_record() {
        let partition = TopicPartition::new("t", 4);
        let mut out = Vec::new();
        let good = KafkaRecord::new(&partition, 6).with_value("dž".as_bytes());
        StringSchema.deserialize(&good, &mut Collector::into_vec(&mut out, &good)).unwrap();
        assert_eq!(out[0].value, "dž");
        let bad = KafkaRecord::new(&partition, 7).with_value(b"\xff");
        let error = StringSchema.deserialize(&bad, &mut Collector::into_vec(&mut out, &bad)).unwrap_err().to_string();
        assert!(error.contains("offset 7 of t-4"), "{error}");
    }
}
