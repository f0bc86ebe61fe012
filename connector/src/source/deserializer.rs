//! From fetched records to values, a whole poll at a time.
use std::sync::Arc;

use bytes::Bytes;
use ottla_client::{ConsumerRecords, PartitionRecords, TopicPartition};

use super::owned::{Chunk, OwnedSplits};
use super::settings::BadRecords;
use super::split::PartitionSplit;
use crate::contract::Stamped;
use crate::error::{Error, Result};
use crate::schema::{Collector, DeserializationSchema, KafkaRecord, Share, TimestampAssigner, bad_record};

/// Turns what a poll brought into values. It remembers nothing but counts.
pub(crate) struct Deserializer<D: DeserializationSchema> {
    schema: Arc<D>,
    assigner: Option<Arc<TimestampAssigner<D::Output>>>,
    bad_records: BadRecords,
    skipped: u64,
}

/// Values that are not emitted yet, partition by partition.
pub(crate) struct Staged<T> {
    pub(crate) values: Vec<Stamped<T>>,
    pub(crate) chunks: Vec<Chunk>,
    /// What came after these.
    pub(crate) failure: Option<Error>,
}

impl<T> Default for Staged<T> {
    fn default() -> Self {
        Self { values: Vec::new(), chunks: Vec::new(), failure: None }
    }
}

impl<T> Staged<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether values of a partition are among these.
    pub(crate) fn has(&self, partition: &TopicPartition) -> bool {
        self.chunks.iter().any(|chunk| chunk.len > 0 && chunk.topic_partition == *partition)
    }

    /// Drops what came of partitions that are not read any more.
    pub(crate) fn remove(&mut self, partitions: &[TopicPartition]) {
        let mut from = 0;
        let values = &mut self.values;
        self.chunks.retain(|chunk| {
            let keep = !partitions.contains(&chunk.topic_partition);
            if keep {
                from += chunk.len;
            } else {
                values.drain(from..(from + chunk.len).min(values.len()));
            }
            keep
        });
    }
}

impl Share for PartitionRecords {
    fn share(&self, slice: &[u8]) -> Bytes {
        // The method of the type itself goes first.
        Self::share(self, slice)
    }
}

impl<D: DeserializationSchema> Deserializer<D> {
    pub(crate) fn new(
        schema: Arc<D>,
        assigner: Option<Arc<TimestampAssigner<D::Output>>>,
        bad_records: BadRecords,
    ) -> Self {
        Self { schema, assigner, bad_records, skipped: 0 }
    }

    /// The values of all partitions that are still read. After a failure nothing more is taken.
    pub(crate) fn deserialize(
        &mut self,
        records: &ConsumerRecords,
        owned: &OwnedSplits<D::Output>,
    ) -> Staged<D::Output> {
        let mut staged = Staged { values: Vec::with_capacity(records.count()), ..Staged::default() };
        for partition in records.partitions() {
            let Some(split) = owned.reading(partition.topic_partition()) else { continue };
            let from = staged.values.len();
            let mut chunk = Chunk {
                topic_partition: partition.topic_partition().clone(),
                len: 0,
                next_offset: split.next_offset,
                leader_epoch: partition.leader_epoch(),
                ended: false,
            };
            let result = self.read(partition, split, &mut chunk, &mut staged.values);
            chunk.len = staged.values.len() - from;
            staged.chunks.push(chunk);
            if let Err(error) = result {
                staged.failure = Some(error);
                break;
            }
        }
        staged
    }

    fn read(
        &mut self,
        partition: &PartitionRecords,
        split: &PartitionSplit,
        chunk: &mut Chunk,
        values: &mut Vec<Stamped<D::Output>>,
    ) -> Result<()> {
        let stop = split.stop.unwrap_or(i64::MAX);
        for record in partition {
            let record = record.map_err(Error::client("reading"))?;
            if record.offset >= stop {
                break;
            }
            let record = KafkaRecord::of_client(partition.topic_partition(), &record, partition);
            let ended = self.read_record(&record, values)?;
            chunk.next_offset = record.offset() + 1;
            if ended {
                chunk.ended = true;
                return Ok(());
            }
        }
        // Also over what is no record: transaction markers, what was compacted or aborted (R28).
        chunk.next_offset = partition.next_offset().min(stop).max(chunk.next_offset);
        Ok(())
    }

    /// Whether nothing more of the partition is wanted.
    #[inline]
    fn read_record(&mut self, record: &KafkaRecord<'_>, values: &mut Vec<Stamped<D::Output>>) -> Result<bool> {
        let before = values.len();
        let mut collector = Collector::new(values, record.timestamp(), self.assigner.as_deref());
        match self.schema.deserialize(record, &mut collector) {
            Ok(()) => Ok(collector.has_ended()),
            Err(error) => {
                values.truncate(before);
                self.bad_record(record, error).map(|()| false)
            }
        }
    }

    #[cold]
    fn bad_record(&mut self, record: &KafkaRecord<'_>, error: Error) -> Result<()> {
        let error = match error {
            error @ Error::BadRecord { .. } => error,
            other => bad_record(record, other),
        };
        match self.bad_records {
            BadRecords::Fail => Err(error),
            BadRecords::Skip => {
                self.skipped += 1;
                tracing::warn!(%error, "a record is skipped");
                Ok(())
            }
        }
    }

    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }
}
