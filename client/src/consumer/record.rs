//! What a poll returns: records, borrowed from the frames they came in.
use bytes::Bytes;
use ottla_protocol::record::{DecodedBatch, Record, RecordIter, RecordPosition};

use crate::error::{Error, Place, Result};
use crate::types::TopicPartition;

/// The records of one poll, by partition.
///
/// ```no_run
/// # async fn run(consumer: &ottla_client::Consumer) -> ottla_client::Result<()> {
/// let records = consumer.poll(std::time::Duration::from_millis(100)).await?;
/// for partition in records.partitions() {
///     for record in partition.iter() {
///         let record = record?;
///         println!("{} {}: {:?}", partition.topic_partition(), record.offset, record.value);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConsumerRecords {
    partitions: Vec<PartitionRecords>,
    count: usize,
}

impl ConsumerRecords {
    /// The partitions that records came from, and those whose position moved over markers, aborted or compacted records.
    pub fn partitions(&self) -> std::slice::Iter<'_, PartitionRecords> {
        self.partitions.iter()
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// There are no records. Positions may have moved nevertheless.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// No record came and no position moved.
    pub(crate) fn is_nothing(&self) -> bool {
        self.partitions.is_empty()
    }

    pub(crate) fn push(&mut self, records: PartitionRecords) {
        self.count += records.count;
        match self.partitions.iter_mut().find(|p| p.topic_partition == records.topic_partition) {
            Some(earlier) => earlier.append(records),
            None => self.partitions.push(records),
        }
    }
}

impl<'a> IntoIterator for &'a ConsumerRecords {
    type Item = &'a PartitionRecords;
    type IntoIter = std::slice::Iter<'a, PartitionRecords>;

    fn into_iter(self) -> Self::IntoIter {
        self.partitions()
    }
}

impl IntoIterator for ConsumerRecords {
    type Item = PartitionRecords;
    type IntoIter = std::vec::IntoIter<PartitionRecords>;

    fn into_iter(self) -> Self::IntoIter {
        self.partitions.into_iter()
    }
}

/// The records of one partition in one poll, in order.
#[derive(Clone, Debug)]
pub struct PartitionRecords {
    pub(crate) topic_partition: TopicPartition,
    pub(crate) batches: Vec<BatchRecords>,
    pub(crate) count: usize,
    pub(crate) next_offset: i64,
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: Option<i64>,
    /// Who sent them, if they are of one broker.
    pub(crate) at: Option<Place>,
}

/// Records of one batch that belong to one poll.
#[derive(Clone, Debug)]
pub(crate) struct BatchRecords {
    pub(crate) batch: DecodedBatch,
    pub(crate) from: RecordPosition,
    pub(crate) count: u32,
    /// The offset of the batch, to say where it is if it cannot be read.
    pub(crate) base_offset: i64,
}

impl PartitionRecords {
    /// Whose records they are.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// There are none; only the position moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where to read on: what to commit when all of these are processed.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The leader epoch of the last of these batches, to be committed with the offset (KIP-320).
    #[must_use]
    pub fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }

    /// The end of what is replicated, when these were fetched.
    #[must_use]
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The first offset of the oldest open transaction, or the high watermark; `None` on brokers before 0.11.
    #[must_use]
    pub fn last_stable_offset(&self) -> Option<i64> {
        self.last_stable_offset
    }

    /// The records in order, borrowed.
    ///
    /// An item is [`Error::CorruptRecords`] when a record in a batch with a valid checksum is malformed. The position
    /// of the consumer has passed the batch then: seek to read it again.
    #[must_use]
    pub fn iter(&self) -> RecordsOf<'_> {
        RecordsOf { partition: self, batches: self.batches.iter(), current: None, left: 0 }
    }

    /// Owned bytes of a key, value or header of one of these records. They are not copied: the frame that they came in
    /// is kept as long as they are.
    #[must_use]
    pub fn share(&self, slice: &[u8]) -> Bytes {
        let shared = self.batches.iter().find_map(|b| b.batch.share(slice));
        shared.unwrap_or_else(|| Bytes::copy_from_slice(slice))
    }

    fn append(&mut self, later: Self) {
        self.batches.extend(later.batches);
        self.count += later.count;
        self.next_offset = later.next_offset;
        self.leader_epoch = later.leader_epoch;
        self.high_watermark = later.high_watermark;
        self.last_stable_offset = later.last_stable_offset;
        self.at = self.at.take().filter(|at| later.at.as_ref() == Some(at));
    }
}

impl<'a> IntoIterator for &'a PartitionRecords {
    type Item = Result<Record<'a>>;
    type IntoIter = RecordsOf<'a>;

    fn into_iter(self) -> RecordsOf<'a> {
        self.iter()
    }
}

/// The records of a partition in order.
#[derive(Clone, Debug)]
pub struct RecordsOf<'a> {
    partition: &'a PartitionRecords,
    batches: std::slice::Iter<'a, BatchRecords>,
    current: Option<(RecordIter<'a>, i64)>,
    left: u32,
}

impl<'a> Iterator for RecordsOf<'a> {
    type Item = Result<Record<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.left > 0
                && let Some((records, base_offset)) = &mut self.current
            {
                self.left -= 1;
                match records.next() {
                    Some(Ok(record)) => return Some(Ok(record)),
                    Some(Err(error)) => {
                        self.left = 0;
                        let reason = error.to_string();
                        let PartitionRecords { topic_partition, at, .. } = self.partition;
                        return Some(Err(corrupt(topic_partition, *base_offset, at.as_ref(), reason)));
                    }
                    None => self.left = 0,
                }
            } else {
                let next = self.batches.next()?;
                self.left = next.count;
                self.current = Some((next.batch.resume(next.from), next.base_offset));
            }
        }
    }
}

#[cold]
pub(super) fn corrupt(topic_partition: &TopicPartition, offset: i64, at: Option<&Place>, reason: String) -> Error {
    Error::CorruptRecords { topic_partition: topic_partition.clone(), offset, broker: at.map(Place::name), reason }
}
