//! A partition to read, and how far it was read.
use bytes::{BufMut, Bytes, BytesMut};
use ottla_client::{OffsetAndMetadata, TopicPartition};
use uuid::Uuid;

use crate::contract::{SplitId, State};
use crate::error::Result;
use crate::state_bytes::{StateReader, put_str};

const EPOCH: u8 = 1;
const TOPIC_ID: u8 = 2;
const STOP: u8 = 4;
const FINISHED: u8 = 8;

/// A partition with the position to read on from. Positions are always concrete offsets (R21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSplit {
    pub(crate) topic_partition: TopicPartition,
    pub(crate) next_offset: i64,
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) topic_id: Option<Uuid>,
    pub(crate) stop: Option<i64>,
    pub(crate) finished: bool,
}

impl PartitionSplit {
    /// The partition from `next_offset` on, without an end. Negative offsets become 0.
    #[must_use]
    pub fn new(topic_partition: TopicPartition, next_offset: i64) -> Self {
        let next_offset = next_offset.max(0);
        Self { topic_partition, next_offset, leader_epoch: None, topic_id: None, stop: None, finished: false }
    }

    /// Its name, `topic-partition`.
    #[must_use]
    pub fn id(&self) -> SplitId {
        SplitId::new(self.topic_partition.to_string())
    }

    /// The partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The offset of the next record to read.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The leader epoch of the last record.
    #[must_use]
    pub fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }

    /// The topic's id; `None` where brokers are older than 2.8.
    #[must_use]
    pub fn topic_id(&self) -> Option<Uuid> {
        self.topic_id
    }

    /// The first offset that is not wanted any more.
    #[must_use]
    pub fn stopping_offset(&self) -> Option<i64> {
        self.stop
    }

    /// Nothing of it is left to read.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// What to commit for it (R42).
    pub(crate) fn to_commit(&self) -> OffsetAndMetadata {
        OffsetAndMetadata { leader_epoch: self.leader_epoch, ..OffsetAndMetadata::new(self.next_offset) }
    }

    /// Whether the position is at the end that was asked for (R28).
    pub(crate) fn is_at_end(&self) -> bool {
        self.stop.is_some_and(|stop| self.next_offset >= stop)
    }
}

impl State for PartitionSplit {
    const VERSION: u16 = 1;

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(48 + self.topic_partition.topic.len());
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.put_u8(
            flag(self.leader_epoch.is_some(), EPOCH)
                | flag(self.topic_id.is_some(), TOPIC_ID)
                | flag(self.stop.is_some(), STOP)
                | flag(self.finished, FINISHED),
        );
        put_str(&mut out, &self.topic_partition.topic);
        out.put_i32(self.topic_partition.partition);
        out.put_i64(self.next_offset);
        if let Some(epoch) = self.leader_epoch {
            out.put_i32(epoch);
        }
        if let Some(id) = self.topic_id {
            out.put_slice(id.as_bytes());
        }
        if let Some(stop) = self.stop {
            out.put_i64(stop);
        }
        out.freeze()
    }

    fn decode(version: u16, bytes: Bytes) -> Result<Self> {
        let mut reader = StateReader::new("a partition split", version, Self::VERSION, bytes)?;
        let flags = reader.u8("the flags")?;
        if flags & !(EPOCH | TOPIC_ID | STOP | FINISHED) != 0 {
            return Err(reader.error(format!("unknown flags {flags:#x}")));
        }
        let topic = reader.str("the topic")?;
        let partition = reader.i32("the partition")?;
        let next_offset = reader.i64("the next offset")?;
        if topic.is_empty() || partition < 0 || next_offset < 0 {
            return Err(reader.error(format!("no split is {topic:?}-{partition} at offset {next_offset}")));
        }
        let mut split = Self::new(TopicPartition::new(topic, partition), next_offset);
        split.finished = flags & FINISHED != 0;
        if flags & EPOCH != 0 {
            split.leader_epoch = Some(reader.i32("the leader epoch")?);
        }
        if flags & TOPIC_ID != 0 {
            let id = reader.take(16, "the topic id")?;
            split.topic_id = Uuid::from_slice(&id).ok();
        }
        if flags & STOP != 0 {
            split.stop = Some(reader.i64("the stopping offset")?);
        }
        reader.end()?;
        Ok(split)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::Error;

    pub(crate) fn check_format<S: State + PartialEq>(state: &S) {
        let bytes = state.encode();
        assert_eq!(&S::decode(S::VERSION, bytes.clone()).unwrap(), state);
        for length in 0..bytes.len() {
            assert!(S::decode(S::VERSION, bytes.slice(..length)).is_err(), "cut at {length}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(S::decode(S::VERSION, longer.into()).is_err());
        match S::decode(S::VERSION + 1, bytes) {
            Err(Error::StateVersion { found, supported, .. }) => {
                assert_eq!((found, supported), (S::VERSION + 1, S::VERSION));
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn full() -> PartitionSplit {
        PartitionSplit {
            leader_epoch: Some(7),
            topic_id: Some(Uuid::from_u128(0x0102)),
            stop: Some(99),
            finished: true,
            ..PartitionSplit::new(TopicPartition::new("abc", 13), 16_769)
        }
    }

    #[test]
    fn n18_the_format_of_a_split() {
        check_format(&full());
        check_format(&PartitionSplit::new(TopicPartition::new("t", 0), 0));
        let plain = PartitionSplit::new(TopicPartition::new("ab", 1), 2).encode();
        assert_eq!(&plain[..], [0, 0, 2, b'a', b'b', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn n18_values_that_cannot_be_are_refused() {
        let encode = |partition: i32, offset: i64| {
            let mut split = PartitionSplit::new(TopicPartition::new("t", partition), 0);
            split.next_offset = offset;
            PartitionSplit::decode(1, split.encode())
        };
        assert!(encode(-1, 0).is_err());
        assert!(encode(0, -2).is_err());
        assert!(
            PartitionSplit::decode(1, Bytes::from_static(&[16, 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
                .is_err()
        );
        assert!(PartitionSplit::decode(0, full().encode()).is_err());
    }

    #[test]
    fn r25_a_split_is_named_after_its_partition() {
        assert_eq!(full().id().as_str(), "abc-13");
    }
}
