//! What the enumerator keeps in checkpoints.
use bytes::{BufMut, Bytes, BytesMut};

use super::assignment::SplitAssignment;
use super::split::PartitionSplit;
use crate::contract::State;
use crate::error::Result;
use crate::state_bytes::StateReader;

const FIRST_DISCOVERY_DONE: u8 = 1;
/// Status, owner, misses, length of the split, and the split's own fixed fields.
const SMALLEST_ENTRY: usize = 1 + 4 + 2 + 4 + 15;

/// The partitions known, and whose they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaEnumeratorState {
    pub(crate) first_discovery_done: bool,
    pub(crate) assignment: SplitAssignment,
    pub(crate) parallelism: u32,
    pub(crate) partitions: Vec<KnownPartition>,
}

/// A partition that was found, with the position it was handed out with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownPartition {
    pub(crate) status: PartitionStatus,
    pub(crate) owner: u32,
    pub(crate) split: PartitionSplit,
}

/// How a partition stands (R37).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartitionStatus {
    /// Found and not handed out.
    New,
    /// Handed out.
    Active,
    /// So many successful answers in a row lacked it.
    Missing(u16),
    /// It was missing for too long and is nobody's now.
    Retired,
    /// Read to its end.
    Finished,
}

impl PartitionStatus {
    fn code(self) -> (u8, u16) {
        match self {
            Self::New => (0, 0),
            Self::Active => (1, 0),
            Self::Missing(misses) => (2, misses),
            Self::Retired => (3, 0),
            Self::Finished => (4, 0),
        }
    }

    fn of_code(code: u8, misses: u16) -> Option<Self> {
        match code {
            0 => Some(Self::New),
            1 => Some(Self::Active),
            2 => Some(Self::Missing(misses)),
            3 => Some(Self::Retired),
            4 => Some(Self::Finished),
            _ => None,
        }
    }
}

impl State for KafkaEnumeratorState {
    const VERSION: u16 = 1;

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(if self.first_discovery_done { FIRST_DISCOVERY_DONE } else { 0 });
        out.put_u8(self.assignment.code());
        out.put_u32(self.parallelism);
        out.put_u32(u32::try_from(self.partitions.len()).unwrap_or(u32::MAX));
        for known in &self.partitions {
            let (status, misses) = known.status.code();
            let split = known.split.encode();
            out.put_u8(status);
            out.put_u32(known.owner);
            out.put_u16(misses);
            out.put_u32(u32::try_from(split.len()).unwrap_or(u32::MAX));
            out.put_slice(&split);
        }
        out.freeze()
    }

    fn decode(version: u16, bytes: Bytes) -> Result<Self> {
        let mut reader = StateReader::new("the enumerator", version, Self::VERSION, bytes)?;
        let flags = reader.u8("the flags")?;
        if flags & !FIRST_DISCOVERY_DONE != 0 {
            return Err(reader.error(format!("unknown flags {flags:#x}")));
        }
        let code = reader.u8("the assignment")?;
        let assignment =
            SplitAssignment::of_code(code).ok_or_else(|| reader.error(format!("unknown assignment {code}")))?;
        let parallelism = reader.u32("the parallelism")?;
        let count = reader.u32("the number of partitions")? as usize;
        if count > reader.remaining() / SMALLEST_ENTRY {
            return Err(reader.error(format!("{count} partitions are more than its bytes can hold")));
        }
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            partitions.push(decode_partition(&mut reader, version)?);
        }
        reader.end()?;
        Ok(Self { first_discovery_done: flags != 0, assignment, parallelism, partitions })
    }
}

fn decode_partition(reader: &mut StateReader, version: u16) -> Result<KnownPartition> {
    let code = reader.u8("a status")?;
    let owner = reader.u32("an owner")?;
    let misses = reader.u16("the misses")?;
    let status =
        PartitionStatus::of_code(code, misses).ok_or_else(|| reader.error(format!("unknown status {code}")))?;
    let length = reader.u32("the length of a split")? as usize;
    let split = PartitionSplit::decode(version, reader.take(length, "a split")?)?;
    Ok(KnownPartition { status, owner, split })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::split::tests::{check_format, full};
    use ottla_client::TopicPartition;

    #[test]
    fn n18_the_format_of_the_enumerator() {
        use PartitionStatus::{Active, Finished, Missing, New, Retired};
        let split = |i| PartitionSplit::new(TopicPartition::new("t", i), 5);
        let mut partitions: Vec<_> = (0..)
            .zip([New, Active, Missing(2), Retired, Finished])
            .map(|(i, status)| KnownPartition { status, owner: 3, split: split(i) })
            .collect();
        partitions.push(KnownPartition { status: Active, owner: 0, split: full() });
        let state = KafkaEnumeratorState {
            first_discovery_done: true,
            assignment: SplitAssignment::LegacyHash,
            parallelism: 4,
            partitions,
        };
        check_format(&state);
        check_format(&KafkaEnumeratorState::default());
    }

    #[test]
    fn n18_a_count_is_bounded_by_the_bytes_there_are() {
        let bytes = [0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        assert!(KafkaEnumeratorState::decode(1, Bytes::copy_from_slice(&bytes)).is_err());
    }
}
