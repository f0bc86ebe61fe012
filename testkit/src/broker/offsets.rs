//! Committed offsets of groups, and those that wait for the end of a transaction (KIP-447).

use std::collections::{BTreeMap, HashMap};

use super::ErrorCode;
use super::leadership::coordinator_partition;
use super::transactions::TopicPartition;

/// The topic transactions name when offsets are part of them.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// `offset.metadata.max.bytes`.
const MAX_METADATA: usize = 4096;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

#[derive(Debug, Default)]
struct GroupOffsets {
    committed: BTreeMap<TopicPartition, Committed>,
    /// Offsets of open transactions, by producer id.
    pending: BTreeMap<i64, BTreeMap<TopicPartition, Committed>>,
}

/// Offsets of all groups.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    groups: BTreeMap<String, GroupOffsets>,
}

impl Offsets {
    /// The partition of [`OFFSETS_TOPIC`] a group's offsets live in.
    pub(crate) fn partition_of(group: &str) -> TopicPartition {
        (OFFSETS_TOPIC.to_owned(), coordinator_partition(group))
    }

    /// Whether who claims this generation may commit. Groups have no members here, so only who claims none may, whatever
    /// its member id is: a KIP-848 consumer has one from birth (`ClassicGroup.validateOffsetCommit`).
    pub(crate) fn check(&self, group: &str, generation: i32, unknown: ErrorCode) -> Result<(), ErrorCode> {
        match generation {
            ..0 => Ok(()),
            _ if self.groups.contains_key(group) => Err(ErrorCode::UnknownMemberId),
            _ => Err(unknown),
        }
    }

    pub(crate) fn commit(&mut self, group: &str, key: TopicPartition, offset: Committed) -> Result<(), ErrorCode> {
        check_metadata(&offset)?;
        self.groups.entry(group.to_owned()).or_default().committed.insert(key, offset);
        Ok(())
    }

    /// Keeps an offset until the producer's transaction ends.
    pub(crate) fn commit_pending(
        &mut self,
        group: &str,
        producer_id: i64,
        key: TopicPartition,
        offset: Committed,
    ) -> Result<(), ErrorCode> {
        check_metadata(&offset)?;
        let group = self.groups.entry(group.to_owned()).or_default();
        group.pending.entry(producer_id).or_default().insert(key, offset);
        Ok(())
    }

    /// An end marker reached a partition of [`OFFSETS_TOPIC`].
    pub(crate) fn end_transaction(&mut self, partition: i32, producer_id: i64, commit: bool) {
        for (name, group) in &mut self.groups {
            if coordinator_partition(name) != partition {
                continue;
            }
            let pending = group.pending.remove(&producer_id).unwrap_or_default();
            if commit {
                group.committed.extend(pending);
            }
        }
    }

    pub(crate) fn committed(&self, group: &str, key: &TopicPartition) -> Option<&Committed> {
        self.groups.get(group)?.committed.get(key)
    }

    /// Everything a group has committed, by topic.
    pub(crate) fn all(&self, group: &str) -> BTreeMap<String, Vec<i32>> {
        let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in self.groups.get(group).into_iter().flat_map(|group| group.committed.keys()) {
            topics.entry(topic.clone()).or_default().push(*partition);
        }
        topics
    }

    /// Whether an open transaction holds an offset for this partition.
    pub(crate) fn is_unstable(&self, group: &str, key: &TopicPartition) -> bool {
        self.groups.get(group).is_some_and(|group| group.pending.values().any(|pending| pending.contains_key(key)))
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &String> {
        self.groups.keys()
    }

    pub(crate) fn has(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// Forgets everything of a group.
    pub(crate) fn delete_group(&mut self, group: &str) {
        self.groups.remove(group);
    }

    /// Forgets one committed offset.
    pub(crate) fn delete(&mut self, group: &str, key: &TopicPartition) {
        if let Some(group) = self.groups.get_mut(group) {
            group.committed.remove(key);
        }
    }

    /// A deleted topic takes its offsets along.
    pub(crate) fn delete_topic(&mut self, topic: &str) {
        for group in self.groups.values_mut() {
            group.committed.retain(|(name, _), _| name != topic);
            for pending in group.pending.values_mut() {
                pending.retain(|(name, _), _| name != topic);
            }
        }
    }

    /// Committed offsets of a group as tests ask for them.
    pub(crate) fn snapshot(&self, group: &str) -> HashMap<TopicPartition, i64> {
        let group = self.groups.get(group).into_iter();
        group.flat_map(|group| &group.committed).map(|(key, committed)| (key.clone(), committed.offset)).collect()
    }
}

fn check_metadata(offset: &Committed) -> Result<(), ErrorCode> {
    if offset.metadata.len() > MAX_METADATA { Err(ErrorCode::OffsetMetadataTooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TopicPartition {
        ("t".to_owned(), 0)
    }

    fn at(offset: i64) -> Committed {
        Committed { offset, leader_epoch: -1, metadata: String::new() }
    }

    #[test]
    fn pending_offsets_are_unstable_until_the_transaction_ends() {
        let mut offsets = Offsets::default();
        offsets.commit("g", key(), at(1)).unwrap();
        offsets.commit_pending("g", 9, key(), at(5)).unwrap();
        assert!(offsets.is_unstable("g", &key()));
        assert_eq!(offsets.committed("g", &key()), Some(&at(1)));
        offsets.end_transaction(Offsets::partition_of("g").1, 9, true);
        assert!(!offsets.is_unstable("g", &key()));
        assert_eq!(offsets.committed("g", &key()), Some(&at(5)));
    }

    #[test]
    fn aborted_offsets_are_forgotten_and_other_producers_kept() {
        let mut offsets = Offsets::default();
        offsets.commit_pending("g", 8, key(), at(4)).unwrap();
        offsets.commit_pending("g", 9, key(), at(5)).unwrap();
        let partition = Offsets::partition_of("g").1;
        offsets.end_transaction(partition, 9, false);
        assert_eq!(offsets.committed("g", &key()), None);
        offsets.end_transaction(partition, 8, true);
        assert_eq!(offsets.committed("g", &key()), Some(&at(4)));
    }

    #[test]
    fn generation_of_a_group_without_members_is_refused() {
        let mut offsets = Offsets::default();
        let check = |offsets: &Offsets, generation| offsets.check("g", generation, ErrorCode::IllegalGeneration);
        assert_eq!(check(&offsets, -1), Ok(()));
        assert_eq!(check(&offsets, 3), Err(ErrorCode::IllegalGeneration));
        offsets.commit("g", key(), at(1)).unwrap();
        assert_eq!(check(&offsets, -1), Ok(()));
        assert_eq!(check(&offsets, 3), Err(ErrorCode::UnknownMemberId));
    }

    #[test]
    fn long_metadata_is_12() {
        let long = Committed { metadata: "x".repeat(4097), ..at(1) };
        assert_eq!(Offsets::default().commit("g", key(), long), Err(ErrorCode::OffsetMetadataTooLarge));
    }
}
