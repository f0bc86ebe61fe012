//! Which offsets are committed when (R41 to R47).
use std::collections::{BTreeMap, HashMap};

use ottla_client::{OffsetAndMetadata, TopicPartition};

use crate::contract::CheckpointId;

/// The most checkpoints whose offsets are kept while none of them completes (R43).
const MOST_SETS: usize = 100;

/// Offsets by partition.
pub(crate) type Offsets = HashMap<TopicPartition, OffsetAndMetadata>;

/// When offsets are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitMode {
    /// When a checkpoint is complete.
    OnCheckpoints,
    /// Every now and then.
    Periodic,
    /// Never.
    Disabled,
}

impl CommitMode {
    /// The table of R47.
    pub(crate) fn of(checkpointing: bool, commit_on_checkpoint: bool, auto_commit: bool) -> Self {
        match (checkpointing, commit_on_checkpoint, auto_commit) {
            (true, true, _) => Self::OnCheckpoints,
            (false, _, true) => Self::Periodic,
            (true, false, _) | (false, _, false) => Self::Disabled,
        }
    }
}

/// The offsets of checkpoints that may complete.
#[derive(Debug)]
pub(crate) struct CommitBook {
    mode: CommitMode,
    sets: BTreeMap<CheckpointId, Offsets>,
    /// Of partitions that are finished or gone: committed once more, then forgotten (R46).
    leaving: Offsets,
}

impl CommitBook {
    pub(crate) fn new(mode: CommitMode) -> Self {
        Self { mode, sets: BTreeMap::new(), leaving: Offsets::new() }
    }

    pub(crate) fn mode(&self) -> CommitMode {
        self.mode
    }

    /// A partition is read to its end, or gone.
    pub(crate) fn leave(&mut self, partition: TopicPartition, offset: OffsetAndMetadata) {
        if self.mode != CommitMode::Disabled {
            self.leaving.insert(partition, offset);
        }
    }

    /// A partition is read again.
    pub(crate) fn rejoin(&mut self, partition: &TopicPartition) {
        self.leaving.remove(partition);
    }

    /// Checkpoint `id` has these positions of what is being read.
    pub(crate) fn snapshot(&mut self, id: CheckpointId, mut offsets: Offsets) {
        if self.mode != CommitMode::OnCheckpoints {
            return;
        }
        offsets.extend(self.leaving.iter().map(|(partition, offset)| (partition.clone(), offset.clone())));
        self.sets.insert(id, offsets);
        if self.sets.len() > MOST_SETS
            && let Some((oldest, _)) = self.sets.pop_first()
        {
            tracing::warn!(checkpoint = %oldest, "{MOST_SETS} checkpoints are open: the offsets of the oldest will not be committed");
        }
    }

    /// Checkpoint `id` is complete: what to commit now. All older ones are forgotten.
    pub(crate) fn complete(&mut self, id: CheckpointId) -> Option<Offsets> {
        if self.mode != CommitMode::OnCheckpoints {
            return None;
        }
        let Some(offsets) = self.sets.remove(&id) else {
            tracing::warn!(checkpoint = %id, "a checkpoint completed that is not known or was subsumed; nothing is committed");
            return None;
        };
        self.sets = self.sets.split_off(&id);
        self.forget_leaving(&offsets);
        Some(offsets).filter(|offsets| !offsets.is_empty())
    }

    /// Checkpoint `id` will never complete.
    pub(crate) fn abort(&mut self, id: CheckpointId) {
        self.sets.remove(&id);
    }

    /// What to commit now in mode Periodic.
    pub(crate) fn periodic(&mut self, mut offsets: Offsets) -> Option<Offsets> {
        if self.mode != CommitMode::Periodic {
            return None;
        }
        offsets.extend(std::mem::take(&mut self.leaving));
        Some(offsets).filter(|offsets| !offsets.is_empty())
    }

    fn forget_leaving(&mut self, committed: &Offsets) {
        self.leaving.retain(|partition, offset| committed.get(partition) != Some(offset));
    }

    #[cfg(test)]
    fn pending(&self) -> Vec<u64> {
        self.sets.keys().map(|id| id.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: CommitMode = CommitMode::OnCheckpoints;

    fn offsets(abc: i64, def: i64) -> Offsets {
        let offset =
            |topic: &str, partition, offset| (TopicPartition::new(topic, partition), OffsetAndMetadata::new(offset));
        HashMap::from([offset("abc", 13, abc), offset("def", 7, def)])
    }

    #[test]
    fn a34_r47_modes() {
        use CommitMode::{Disabled, OnCheckpoints, Periodic};
        for (checkpointing, on_checkpoint, auto, mode) in [
            (true, true, true, OnCheckpoints),
            (true, true, false, OnCheckpoints),
            (true, false, true, Disabled),
            (true, false, false, Disabled),
            (false, true, true, Periodic),
            (false, false, true, Periodic),
            (false, true, false, Disabled),
            (false, false, false, Disabled),
        ] {
            assert_eq!(CommitMode::of(checkpointing, on_checkpoint, auto), mode);
        }
    }

    #[test]
    fn a32_a_completed_checkpoint_commits_its_own_offsets() {
        let mut book = CommitBook::new(ON);
        book.snapshot(CheckpointId(138), offsets(16_768, 987_654_321));
        book.snapshot(CheckpointId(140), offsets(16_770, 987_654_329));
        assert_eq!(book.complete(CheckpointId(138)), Some(offsets(16_768, 987_654_321)));
        assert_eq!(book.pending(), [140]);
        book.snapshot(CheckpointId(141), offsets(16_780, 987_654_377));
        assert_eq!(book.complete(CheckpointId(141)), Some(offsets(16_780, 987_654_377)));
        assert!(book.pending().is_empty(), "141 subsumes 140");
        assert_eq!(book.complete(CheckpointId(666)), None);
        assert_eq!(book.complete(CheckpointId(141)), None, "twice");
    }

    #[test]
    fn a33_nothing_is_kept_where_nothing_is_committed() {
        let mut book = CommitBook::new(CommitMode::Disabled);
        book.snapshot(CheckpointId(138), offsets(1, 2));
        assert!(book.pending().is_empty());
        assert_eq!(book.complete(CheckpointId(138)), None);
    }

    #[test]
    fn a40_checkpoints_without_offsets_commit_nothing() {
        let mut book = CommitBook::new(ON);
        for id in 100..=102 {
            book.snapshot(CheckpointId(id), Offsets::new());
        }
        assert_eq!(book.complete(CheckpointId(101)), None);
        assert_eq!(book.pending(), [102]);
    }

    #[test]
    fn r43_at_most_a_hundred_sets() {
        let mut book = CommitBook::new(ON);
        for id in 1..=101 {
            book.snapshot(CheckpointId(id), offsets(1, 2));
        }
        assert_eq!(book.pending().len(), 100);
        assert_eq!(book.complete(CheckpointId(1)), None);
        assert!(book.complete(CheckpointId(2)).is_some());
    }

    #[test]
    fn r46_offsets_of_what_left_are_committed_once_more() {
        let mut book = CommitBook::new(ON);
        let gone = TopicPartition::new("gone", 0);
        book.leave(gone.clone(), OffsetAndMetadata::new(9));
        book.snapshot(CheckpointId(1), Offsets::new());
        book.abort(CheckpointId(1));
        book.snapshot(CheckpointId(2), Offsets::new());
        assert_eq!(book.complete(CheckpointId(2)).unwrap()[&gone], OffsetAndMetadata::new(9));
        book.snapshot(CheckpointId(3), Offsets::new());
        assert_eq!(book.complete(CheckpointId(3)), None);
    }

    #[test]
    fn r43_aborted_checkpoints_are_dropped() {
        let mut book = CommitBook::new(ON);
        book.snapshot(CheckpointId(1), offsets(1, 2));
        book.abort(CheckpointId(1));
        assert!(book.pending().is_empty());
        assert_eq!(book.complete(CheckpointId(1)), None);
    }
}
