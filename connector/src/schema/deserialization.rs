//! From records to values.
use std::fmt;
use std::marker::PhantomData;

use super::KafkaRecord;
use crate::contract::{Stamped, Timestamp};
use crate::error::{Error, Result};

/// Turns records into values: none, one or many of each (R9). All readers of a source share one schema.
///
/// A closure from a record to `Result<Option<T>>` is a schema, [`collecting`] makes one of a closure with a
/// [`Collector`], and [`values`] of a closure that sees the value only.
///
/// ```
/// use ottla_connector::{DeserializationSchema, KafkaRecord, StringSchema, values};
///
/// fn takes<D: DeserializationSchema<Output = usize>>(_: D) {}
/// takes(|record: &KafkaRecord<'_>| Ok(record.value().map(<[u8]>::len)));
/// takes(values(|value| Ok(Some(value.len()))));
/// ```
pub trait DeserializationSchema: Send + Sync + 'static {
    /// What it makes.
    type Output: Send + 'static;

    /// Called once per reader before its first record, after a fresh start as after a restore.
    ///
    /// # Errors
    /// When it cannot work: the reader is not opened.
    fn open(&self, context: &SchemaContext) -> Result<()> {
        let _ = context;
        Ok(())
    }

    /// Collects the values of `record`. Collecting nothing skips it.
    ///
    /// # Errors
    /// When the record cannot be read: the source's policy for bad records decides what happens. What was collected
    /// before is dropped.
    fn deserialize(&self, record: &KafkaRecord<'_>, out: &mut Collector<'_, Self::Output>) -> Result<()>;
}

/// Who opens a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaContext {
    /// The job's name.
    pub job: std::sync::Arc<str>,
    /// The subtask of the reader.
    pub subtask: u32,
}

/// How event times are made of values and Kafka's times; `None`: there is none.
pub(crate) type TimestampAssigner<T> = dyn Fn(&T, Option<Timestamp>) -> Option<Timestamp> + Send + Sync;

/// Takes the values of one record.
pub struct Collector<'a, T> {
    out: &'a mut Vec<Stamped<T>>,
    kafka_time: Option<Timestamp>,
    assigner: Option<&'a TimestampAssigner<T>>,
    ended: bool,
}

impl<'a, T> Collector<'a, T> {
    /// Collects into `out`, where others may be already.
    #[inline]
    pub(crate) fn new(
        out: &'a mut Vec<Stamped<T>>,
        kafka_time: Option<Timestamp>,
        assigner: Option<&'a TimestampAssigner<T>>,
    ) -> Self {
        Self { out, kafka_time, assigner, ended: false }
    }

    /// A collector for tests of a schema; event times are the times of Kafka.
    pub fn into_vec(out: &'a mut Vec<Stamped<T>>, record: &KafkaRecord<'_>) -> Self {
        Self::new(out, record.timestamp(), None)
    }

    /// A value of the record. After [`end_of_partition`](Self::end_of_partition) it is dropped.
    #[inline]
    pub fn collect(&mut self, value: T) {
        if self.ended {
            return;
        }
        let timestamp = match self.assigner {
            Some(assigner) => assigner(&value, self.kafka_time),
            None => self.kafka_time,
        };
        self.out.push(Stamped { value, timestamp });
    }

    /// Nothing of this partition is wanted any more. What was collected before counts, the rest of the record does not,
    /// and the position moves past the record (R10).
    pub fn end_of_partition(&mut self) {
        self.ended = true;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }
}

impl<T> fmt::Debug for Collector<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("collected", &self.out.len()).field("ended", &self.ended).finish()
    }
}

impl<T, F> DeserializationSchema for F
where
    T: Send + 'static,
    F: for<'r, 'a> Fn(&'r KafkaRecord<'a>) -> Result<Option<T>> + Send + Sync + 'static,
{
    type Output = T;

    #[inline]
    fn deserialize(&self, record: &KafkaRecord<'_>, out: &mut Collector<'_, T>) -> Result<()> {
        if let Some(value) = self(record)? {
            out.collect(value);
        }
        Ok(())
    }
}

/// The schema of [`collecting`].
pub struct Collecting<T, F> {
    function: F,
    output: PhantomData<fn() -> T>,
}

/// A schema of a function that collects any number of values.
pub fn collecting<T, F>(function: F) -> Collecting<T, F>
where
    T: Send + 'static,
    F: Fn(&KafkaRecord<'_>, &mut Collector<'_, T>) -> Result<()> + Send + Sync + 'static,
{
    Collecting { function, output: PhantomData }
}

impl<T, F> fmt::Debug for Collecting<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collecting")
    }
}

impl<T, F> DeserializationSchema for Collecting<T, F>
where
    T: Send + 'static,
    F: Fn(&KafkaRecord<'_>, &mut Collector<'_, T>) -> Result<()> + Send + Sync + 'static,
{
    type Output = T;

    #[inline]
    fn deserialize(&self, record: &KafkaRecord<'_>, out: &mut Collector<'_, T>) -> Result<()> {
        (self.function)(record, out)
    }
}

/// The schema of [`values`].
pub struct Values<T, F> {
    function: F,
    output: PhantomData<fn() -> T>,
}

/// A schema that sees the value only. Records without a value are skipped.
pub fn values<T, F>(function: F) -> Values<T, F>
where
    T: Send + 'static,
    F: Fn(&[u8]) -> Result<Option<T>> + Send + Sync + 'static,
{
    Values { function, output: PhantomData }
}

impl<T, F> fmt::Debug for Values<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Values")
    }
}

impl<T, F> DeserializationSchema for Values<T, F>
where
    T: Send + 'static,
    F: Fn(&[u8]) -> Result<Option<T>> + Send + Sync + 'static,
{
    type Output = T;

    #[inline]
    fn deserialize(&self, record: &KafkaRecord<'_>, out: &mut Collector<'_, T>) -> Result<()> {
        if let Some(value) = record.value()
            && let Some(output) = (self.function)(value)?
        {
            out.collect(output);
        }
        Ok(())
    }
}

/// Why `record` cannot be read.
pub(crate) fn bad_record(record: &KafkaRecord<'_>, reason: impl fmt::Display) -> Error {
    let (topic, reason) = (record.topic().to_owned(), reason.to_string());
    Error::BadRecord { topic, partition: record.partition(), offset: record.offset(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_client::TopicPartition;

    fn run<D: DeserializationSchema>(schema: &D, record: &KafkaRecord<'_>) -> (Vec<Stamped<D::Output>>, bool) {
        let mut out = Vec::new();
        let mut collector = Collector::into_vec(&mut out, record);
        schema.deserialize(record, &mut collector).unwrap();
        let ended = collector.has_ended();
        (out, ended)
    }

    #[test]
    fn r9_a_record_gives_none_one_or_many() {
        let partition = TopicPartition::new("t", 0);
        let record = KafkaRecord::new(&partition, 0).with_value(b"abc").with_timestamp(7);
        let letters = collecting(|record: &KafkaRecord<'_>, out| {
            record.value().unwrap_or_default().iter().for_each(|b| out.collect(*b));
            Ok(())
        });
        let (out, _) = run(&letters, &record);
        assert_eq!(out, [b'a', b'b', b'c'].map(|b| Stamped::new(b, Some(7))));
        assert!(run(&letters, &KafkaRecord::new(&partition, 1)).0.is_empty());
        let length = |record: &KafkaRecord<'_>| Ok(record.value().map(<[u8]>::len));
        assert_eq!(run(&length, &record).0, [Stamped::new(3, Some(7))]);
    }

    #[test]
    fn r10_what_comes_after_the_end_of_a_partition_is_dropped() {
        let partition = TopicPartition::new("t", 0);
        let record = KafkaRecord::new(&partition, 0).with_value(b"aEb");
        let until_end = collecting(|record: &KafkaRecord<'_>, out| {
            for byte in record.value().unwrap_or_default() {
                if *byte == b'E' { out.end_of_partition() } else { out.collect(*byte) }
            }
            Ok(())
        });
        assert_eq!(run(&until_end, &record), (vec![Stamped::new(b'a', None)], true));
    }

    #[test]
    fn d1_a_value_only_schema_skips_tombstones() {
        let partition = TopicPartition::new("t", 0);
        let schema = values(|value| Ok(Some(value.len())));
        assert!(run(&schema, &KafkaRecord::new(&partition, 0).with_key(b"k")).0.is_empty());
        assert_eq!(run(&schema, &KafkaRecord::new(&partition, 0).with_value(b"")).0, [Stamped::new(0, None)]);
    }
}
