//! Which partitions there are, and what becomes of each (R34 to R39).
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ottla_client::TopicPartition;
use uuid::Uuid;

use super::assignment::SplitAssignment;
use super::enumerator_state::{KafkaEnumeratorState, KnownPartition, PartitionStatus};
use super::split::PartitionSplit;
use crate::contract::SplitId;
use crate::error::{Error, Result};

/// The partitions of the subscribed topics, as one answer lists them.
pub(crate) type Listing = HashMap<TopicPartition, Option<Uuid>>;

/// Everything that is known of the partitions of a source.
#[derive(Debug)]
pub(crate) struct PartitionDiscovery {
    assignment: SplitAssignment,
    parallelism: u32,
    missing_threshold: u16,
    failure_threshold: u32,
    /// Whether an answer ever came, even one without partitions, or state was restored (R35).
    first_done: bool,
    failures: u32,
    partitions: BTreeMap<TopicPartition, KnownPartition>,
    /// Found, and not yet at a concrete offset (R21).
    unresolved: BTreeMap<TopicPartition, Unresolved>,
    /// Restored from a job that read without an end, and to be read up to one now: where that is must be found first.
    endless: BTreeSet<TopicPartition>,
    /// To be handed out next.
    due: BTreeSet<TopicPartition>,
    removed: u64,
}

/// A partition that has to be resolved before it can be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    /// Its topic's id.
    pub(crate) topic_id: Option<Uuid>,
    /// Whether the start mode counts for it; else it is read from its start.
    pub(crate) is_first: bool,
}

impl PartitionDiscovery {
    pub(crate) fn new(
        assignment: SplitAssignment,
        parallelism: u32,
        missing_threshold: u16,
        failure_threshold: u32,
    ) -> Self {
        Self {
            assignment,
            parallelism: parallelism.max(1),
            missing_threshold: missing_threshold.max(1),
            failure_threshold: failure_threshold.max(1),
            first_done: false,
            failures: 0,
            partitions: BTreeMap::new(),
            unresolved: BTreeMap::new(),
            endless: BTreeSet::new(),
            due: BTreeSet::new(),
            removed: 0,
        }
    }

    /// Takes over what a checkpoint has; positions of readers win (C4). `keep` says which topics are still subscribed
    /// (R23), `bounded` whether the source has an end now: a stopping offset of the checkpoint is kept if so (R28), else
    /// reading goes on behind it. All but what is retired is due to be handed out again. Returns what was dropped.
    pub(crate) fn restore(
        &mut self,
        state: KafkaEnumeratorState,
        splits: Vec<PartitionSplit>,
        bounded: bool,
        keep: impl Fn(&str) -> bool,
    ) -> Vec<TopicPartition> {
        self.first_done = true;
        let same_owners = state.parallelism == self.parallelism && state.assignment == self.assignment;
        let mut restored: BTreeMap<_, _> =
            state.partitions.into_iter().map(|known| (known.split.topic_partition.clone(), known)).collect();
        for split in splits {
            merge_position(&mut restored, split);
        }
        let (kept, dropped): (BTreeMap<_, _>, BTreeMap<_, _>) =
            restored.into_iter().partition(|(partition, _)| keep(&partition.topic));
        self.partitions = kept;
        for (partition, known) in &mut self.partitions {
            if !same_owners || known.owner >= self.parallelism {
                known.owner = NOBODY;
            }
            if !bounded {
                known.read_on();
            }
            if known.split.finished {
                known.status = PartitionStatus::Finished;
            }
            let waiting = match known.status {
                PartitionStatus::Retired => continue,
                PartitionStatus::Finished => &mut self.due,
                _ if bounded && known.split.stop.is_none() => &mut self.endless,
                _ => &mut self.due,
            };
            waiting.insert(partition.clone());
        }
        self.deal_unowned();
        dropped.into_keys().collect()
    }

    /// Takes a successful answer over and says what readers have to give up. Ends a row of failures (R38).
    pub(crate) fn observe(&mut self, listing: &Listing) -> Vec<(u32, SplitId)> {
        let is_first = !std::mem::replace(&mut self.first_done, true);
        self.failures = 0;
        self.unresolved.retain(|partition, _| listing.contains_key(partition));
        let mut retired = self.count_missing(listing);
        for (partition, topic_id) in listing {
            match self.partitions.get_mut(partition) {
                None => {
                    let unresolved = Unresolved { topic_id: *topic_id, is_first };
                    self.unresolved.entry(partition.clone()).or_insert(unresolved).topic_id = *topic_id;
                }
                Some(known) if is_other_topic(known.split.topic_id, *topic_id) => {
                    self.removed += 1;
                    let was_waiting = self.due.remove(partition) | self.endless.remove(partition);
                    if !was_waiting && known.status != PartitionStatus::Retired {
                        retired.push((known.owner, known.split.id()));
                    }
                    self.partitions.remove(partition);
                    let unresolved = Unresolved { topic_id: *topic_id, is_first: false };
                    self.unresolved.insert(partition.clone(), unresolved);
                }
                Some(known) => {
                    if known.reappear(*topic_id) {
                        self.due.insert(partition.clone());
                    }
                }
            }
        }
        retired.sort_unstable();
        retired
    }

    fn count_missing(&mut self, listing: &Listing) -> Vec<(u32, SplitId)> {
        let mut retired = Vec::new();
        let absent = self.partitions.iter_mut().filter(|(partition, _)| !listing.contains_key(*partition));
        for (partition, known) in absent {
            let misses = match known.status {
                PartitionStatus::New | PartitionStatus::Active => 1,
                PartitionStatus::Missing(misses) => misses.saturating_add(1),
                PartitionStatus::Retired | PartitionStatus::Finished => continue,
            };
            known.status = PartitionStatus::Missing(misses);
            if misses >= self.missing_threshold {
                known.status = PartitionStatus::Retired;
                self.removed += 1;
                if !(self.due.remove(partition) | self.endless.remove(partition)) {
                    retired.push((known.owner, known.split.id()));
                }
            }
        }
        retired
    }

    /// An answer did not come.
    ///
    /// # Errors
    /// `cause`, when it was the last of too many in a row.
    pub(crate) fn fail(&mut self, cause: Error) -> Result<()> {
        self.failures += 1;
        if self.failures >= self.failure_threshold {
            return Err(cause);
        }
        tracing::warn!(failures = self.failures, of = self.failure_threshold, error = %cause, "partitions were not listed");
        Ok(())
    }

    /// What has to be resolved.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = (&TopicPartition, &Unresolved)> {
        self.unresolved.iter()
    }

    /// A partition is at a concrete offset now.
    pub(crate) fn resolved(&mut self, mut split: PartitionSplit) {
        let Some(unresolved) = self.unresolved.remove(&split.topic_partition) else { return };
        split.topic_id = unresolved.topic_id;
        let known = KnownPartition { status: PartitionStatus::New, owner: NOBODY, split };
        self.due.insert(known.split.topic_partition.clone());
        self.partitions.insert(known.split.topic_partition.clone(), known);
    }

    /// Restored partitions whose end has to be found.
    pub(crate) fn endless(&self) -> impl Iterator<Item = &TopicPartition> {
        self.endless.iter()
    }

    /// A restored partition is to be read up to `stop`.
    pub(crate) fn ends_at(&mut self, partition: &TopicPartition, stop: i64) {
        if self.endless.remove(partition)
            && let Some(known) = self.partitions.get_mut(partition)
        {
            known.split.stop = Some(stop);
            self.due.insert(partition.clone());
        }
    }

    /// Deals everything that is due.
    pub(crate) fn assign(&mut self) -> Vec<(u32, PartitionSplit)> {
        self.deal_unowned();
        let mut assigned = Vec::new();
        for partition in std::mem::take(&mut self.due) {
            let Some(known) = self.partitions.get_mut(&partition) else { continue };
            if known.status == PartitionStatus::New {
                known.status = PartitionStatus::Active;
            }
            assigned.push((known.owner, known.split.clone()));
        }
        assigned
    }

    fn deal_unowned(&mut self) {
        let mut loads = vec![0; self.parallelism as usize];
        let mut unowned = Vec::new();
        for (partition, known) in &self.partitions {
            match known.status {
                PartitionStatus::Retired => {}
                _ if known.owner == NOBODY => unowned.push(partition.clone()),
                _ => {
                    if let Some(load) = loads.get_mut(known.owner as usize) {
                        *load += 1;
                    }
                }
            }
        }
        for (owner, partition) in self.assignment.deal(unowned, &mut loads) {
            if let Some(known) = self.partitions.get_mut(&partition) {
                known.owner = owner;
            }
        }
    }

    pub(crate) fn snapshot(&self) -> KafkaEnumeratorState {
        KafkaEnumeratorState {
            first_discovery_done: self.first_done,
            assignment: self.assignment,
            parallelism: self.parallelism,
            partitions: self.partitions.values().cloned().collect(),
        }
    }

    /// Whether a partition is known, resolved or not.
    pub(crate) fn knows(&self, partition: &TopicPartition) -> bool {
        self.partitions.contains_key(partition) || self.unresolved.contains_key(partition)
    }

    /// The topics that partitions are known of.
    pub(crate) fn topics(&self) -> HashSet<&str> {
        self.partitions.keys().chain(self.unresolved.keys()).map(|partition| &*partition.topic).collect()
    }

    /// How many partitions were removed so far.
    pub(crate) fn removed(&self) -> u64 {
        self.removed
    }
}

const NOBODY: u32 = u32::MAX;

impl KnownPartition {
    /// It has no end any more. If that was all that finished it, it is read on.
    fn read_on(&mut self) {
        if self.split.is_at_end() {
            self.split.finished = false;
            if self.status == PartitionStatus::Finished {
                self.status = PartitionStatus::Active;
            }
        }
        self.split.stop = None;
    }

    /// It is there. What was retired lives on where it was, with the owner it had, who remembers how far it got (R37).
    /// Whether it has to be handed out.
    fn reappear(&mut self, topic_id: Option<Uuid>) -> bool {
        self.split.topic_id = topic_id.or(self.split.topic_id);
        let was_retired = self.status == PartitionStatus::Retired;
        match self.status {
            PartitionStatus::Missing(_) => self.status = PartitionStatus::Active,
            PartitionStatus::Retired => self.status = PartitionStatus::New,
            _ => {}
        }
        was_retired
    }
}

/// A topic that was deleted and created again has another id; brokers before 2.8 do not say (R24).
fn is_other_topic(known: Option<Uuid>, listed: Option<Uuid>) -> bool {
    matches!((known, listed), (Some(known), Some(listed)) if known != listed)
}

fn merge_position(restored: &mut BTreeMap<TopicPartition, KnownPartition>, split: PartitionSplit) {
    match restored.get_mut(&split.topic_partition) {
        // A reader that has not heard of the topic created anew still holds the position in the old one.
        Some(known) if is_other_topic(split.topic_id, known.split.topic_id) => {}
        Some(known) => known.split = split,
        None => {
            let status = if split.finished { PartitionStatus::Finished } else { PartitionStatus::Active };
            restored.insert(split.topic_partition.clone(), KnownPartition { status, owner: NOBODY, split });
        }
    }
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
