//! Which partition a record goes to: by its key as Java does, else the sticky partition of KIP-794.
use std::fmt;
use std::sync::Arc;

use ottla_protocol::record::Header;

use super::record::ProducerRecord;
use crate::error::{Error, Result};

/// Who chooses the partition of a record that names none (`partitioner.class`).
#[derive(Clone, Debug, Default)]
pub enum Partitioner {
    /// Kafka's: a key by its murmur2 hash, as every Java client does; records without one stay in a partition for about a
    /// batch (KIP-794).
    #[default]
    BuiltIn,
    /// A choice of your own. The other settings of partitioners have no effect on it.
    Custom(Arc<dyn ChoosePartition>),
}

/// A partitioner of your own.
pub trait ChoosePartition: fmt::Debug + Send + Sync {
    /// The partition for `record`, out of `partitions`: 0 and more, below `partitions`; the send of a record that gets
    /// another is refused. Called for each attempt to append the record, under the producer's lock: it must be quick, and
    /// must not send.
    fn choose(&self, record: &ProducerRecord<'_>, partitions: usize) -> usize;
}

impl PartialEq for Partitioner {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::BuiltIn, Self::BuiltIn) => true,
            (Self::Custom(a), Self::Custom(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Partitioner {}

/// What a partitioner of the user's says.
pub(crate) fn chosen(by: &dyn ChoosePartition, record: &ProducerRecord<'_>, partitions: usize) -> Result<usize> {
    let partition = by.choose(record, partitions);
    if partition < partitions {
        return Ok(partition);
    }
    let topic = record.topic;
    let reason = format!("the partitioner chose {partition} for topic {topic}, which has {partitions} partitions");
    Err(Error::Misuse { reason })
}

/// Kafka's murmur2 (`Utils.murmur2`), so that a key meets the partition it has in every other client.
#[must_use]
pub fn murmur2(key: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut h = SEED ^ (key.len() as u32);
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    (h ^ (h >> 15)) as i32
}

/// The partition of a key among `partitions`, with a leader or without.
#[must_use]
pub fn partition_of_key(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & i32::MAX) as usize % partitions.max(1)
}

/// What a record roughly adds to its batch, so that the sticky partition changes about once a batch.
pub(crate) fn estimated_size(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> usize {
    let headers = headers.iter().map(|h| h.key.len() + h.value.map_or(0, <[u8]>::len) + 2).sum::<usize>();
    7 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers
}

/// The partition that records without a key go to for a batch (`BuiltInPartitioner.java`).
#[derive(Debug, Default)]
pub(crate) struct StickyPartition {
    current: Option<usize>,
    bytes: usize,
}

/// The load of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// It has a leader.
    pub(crate) available: bool,
    /// The leader is in our rack.
    pub(crate) near: bool,
    /// Batches that wait in its queue.
    pub(crate) queued: usize,
}

impl StickyPartition {
    /// The partition for the next record.
    pub(crate) fn choose(&mut self, rng: &mut fastrand::Rng, partitions: usize, load: impl Fn(usize) -> Load) -> usize {
        match self.current {
            Some(current) if current < partitions => current,
            _ => self.switch(rng, partitions, load),
        }
    }

    /// Counts what was appended to the current partition. The partition changes when a batch's worth is there; it stays
    /// up to twice that, in order not to leave a half filled batch behind.
    pub(crate) fn appended(&mut self, bytes: usize, batch_size: usize, half_filled: bool) {
        let batch_size = batch_size.max(1);
        self.bytes += bytes;
        if self.bytes >= 2 * batch_size || self.bytes >= batch_size && !half_filled {
            self.current = None;
        }
    }

    fn switch(&mut self, rng: &mut fastrand::Rng, partitions: usize, load: impl Fn(usize) -> Load) -> usize {
        let mut loads: Vec<Load> = (0..partitions).map(load).collect();
        // KIP-1123: those that are near, if there are any.
        if loads.iter().any(|l| l.available && l.near) {
            loads.iter_mut().for_each(|l| l.available &= l.near);
        }
        let any_available = loads.iter().any(|l| l.available);
        let longest = loads.iter().filter(|l| l.available).map(|l| l.queued).max().unwrap_or(0);
        // A partition with a shorter queue is likelier; one without a leader is only taken when there is no other.
        let weight = |l: &Load| if l.available || !any_available { longest.max(l.queued) + 1 - l.queued } else { 0 };
        let total: usize = loads.iter().map(weight).sum();
        let mut point = rng.usize(0..total.max(1));
        let chosen = loads.iter().position(|l| {
            let weight = weight(l);
            let here = point < weight;
            point = point.saturating_sub(weight);
            here
        });
        let chosen = chosen.unwrap_or(0);
        (self.current, self.bytes) = (Some(chosen), 0);
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `client.md` §5.1; the first column is also in Kafka's `UtilsTest.java` in part.
    #[test]
    fn keys_meet_the_partitions_of_the_java_client() {
        let rows: [(&[u8], i32, [usize; 4]); 11] = [
            (b"", 275646681, [0, 3, 9, 31]),
            (b"a", -1563381124, [1, 4, 4, 24]),
            (b"abc", 479470107, [0, 3, 3, 7]),
            (b"21", -973932308, [0, 0, 0, 40]),
            (b"foobar", -790332482, [0, 0, 6, 16]),
            (b"a-little-bit-long-string", -985981536, [2, 2, 8, 12]),
            (b"a-little-bit-longer-string", -1486304829, [2, 5, 11, 19]),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971, [2, 5, 5, 27]),
            (b"key-0", 29210041, [1, 1, 1, 41]),
            ("größe".as_bytes(), 588164084, [2, 2, 8, 34]),
            (&[0xff, 0x80, 0x7f], 968261134, [1, 4, 10, 34]),
        ];
        for (key, hash, partitions) in rows {
            assert_eq!(murmur2(key), hash, "{key:?}");
            for (n, partition) in [3, 6, 12, 50].into_iter().zip(partitions) {
                assert_eq!(partition_of_key(key, n), partition, "{key:?} of {n}");
            }
        }
    }

    #[test]
    fn the_sticky_partition_changes_when_a_batch_is_full() {
        let mut rng = fastrand::Rng::with_seed(1);
        let idle = |_| Load { available: true, near: false, queued: 0 };
        let mut sticky = StickyPartition::default();
        let first = sticky.choose(&mut rng, 100, idle);
        sticky.appended(99, 100, true);
        assert_eq!(sticky.choose(&mut rng, 100, idle), first);
        sticky.appended(50, 100, true);
        assert_eq!(sticky.choose(&mut rng, 100, idle), first, "a half filled batch is not left behind");
        sticky.appended(1, 100, false);
        assert_ne!(sticky.choose(&mut rng, 100, idle), first);
        let second = sticky.choose(&mut rng, 100, idle);
        sticky.appended(200, 100, true);
        assert_ne!(sticky.choose(&mut rng, 100, idle), second, "twice the size is enough");
    }

    #[test]
    fn short_queues_are_likelier_and_missing_leaders_avoided() {
        let mut rng = fastrand::Rng::with_seed(2);
        let load = |i| match i {
            0 => Load { available: true, near: false, queued: 3 },
            1 => Load { available: true, near: false, queued: 0 },
            _ => Load { available: false, near: false, queued: 0 },
        };
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[StickyPartition::default().choose(&mut rng, 3, load)] += 1;
        }
        assert_eq!(counts[2], 0);
        assert!((1_700..2_300).contains(&counts[0]), "one in five: {counts:?}");
        let none = |_| Load { available: false, near: false, queued: 0 };
        assert!(StickyPartition::default().choose(&mut rng, 3, none) < 3);
    }
    #[test]
    fn leaders_in_our_rack_are_taken_where_there_are_any() {
        let mut rng = fastrand::Rng::with_seed(3);
        let load = |i| Load { available: i != 2, near: i > 1, queued: 0 };
        for _ in 0..100 {
            assert_eq!(StickyPartition::default().choose(&mut rng, 4, load), 3, "2 is near and has no leader");
        }
    }
}
