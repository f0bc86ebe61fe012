//! The splits of one reader: positions, watermarks, and what is to be committed.
use std::collections::BTreeMap;

use ottla_client::{OffsetAndMetadata, TopicPartition};

use super::commits::{CommitBook, CommitMode, Offsets};
use super::split::PartitionSplit;
use super::watermark::{OutputId, SplitWatermarks};
use crate::contract::{CheckpointId, SplitId, Stamped, Timestamp};

/// Everything a reader knows of its splits. Positions move only when records are emitted.
pub(crate) struct OwnedSplits<T> {
    splits: BTreeMap<TopicPartition, Owned>,
    /// Given up because their topic was gone: whoever gets them back reads on from here (R37).
    retired: BTreeMap<TopicPartition, PartitionSplit>,
    pub(crate) watermarks: SplitWatermarks<T>,
    pub(crate) commits: CommitBook,
    records_lost: u64,
}

pub(crate) struct Owned {
    pub(crate) split: PartitionSplit,
    /// `None` when it is finished.
    pub(crate) output: Option<OutputId>,
}

/// Records of one partition in what is emitted at once.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) topic_partition: TopicPartition,
    /// How many values came of them.
    pub(crate) len: usize,
    pub(crate) next_offset: i64,
    pub(crate) leader_epoch: Option<i32>,
    /// Nothing more is wanted of the partition.
    pub(crate) ended: bool,
}

impl<T> OwnedSplits<T> {
    pub(crate) fn new(watermarks: SplitWatermarks<T>, mode: CommitMode) -> Self {
        let (splits, retired) = (BTreeMap::new(), BTreeMap::new());
        Self { splits, retired, watermarks, commits: CommitBook::new(mode), records_lost: 0 }
    }

    /// Takes a split over. Where to begin reading; `None` when there is nothing to read (R28).
    pub(crate) fn add(&mut self, mut split: PartitionSplit) -> Option<(TopicPartition, i64, Option<i32>)> {
        let partition = split.topic_partition.clone();
        self.give_up(&partition);
        if let Some(retired) = self.retired.remove(&partition)
            && !matches!((retired.topic_id, split.topic_id), (Some(old), Some(new)) if old != new)
        {
            split = PartitionSplit { topic_id: split.topic_id.or(retired.topic_id), ..retired };
        }
        self.commits.rejoin(&partition);
        split.finished |= split.is_at_end();
        let begin = (!split.finished).then(|| (partition.clone(), split.next_offset, split.leader_epoch));
        let output = begin.is_some().then(|| self.watermarks.add());
        if split.finished {
            self.commits.leave(partition.clone(), split.to_commit());
        }
        self.splits.insert(partition, Owned { split, output });
        begin
    }

    /// Gives a split up. Its partition, if it was owned.
    pub(crate) fn remove(&mut self, id: &SplitId) -> Option<TopicPartition> {
        let (topic, partition) = id.as_str().rsplit_once('-')?;
        let partition = TopicPartition::new(topic, partition.parse().ok()?);
        let split = self.give_up(&partition)?;
        self.commits.leave(partition.clone(), split.to_commit());
        self.retired.insert(partition.clone(), split);
        Some(partition)
    }

    fn give_up(&mut self, partition: &TopicPartition) -> Option<PartitionSplit> {
        let Owned { split, output } = self.splits.remove(partition)?;
        if let Some(output) = output {
            self.watermarks.remove(output);
        }
        Some(split)
    }

    /// A split that is being read.
    pub(crate) fn reading(&self, partition: &TopicPartition) -> Option<&PartitionSplit> {
        self.splits.get(partition).filter(|owned| owned.output.is_some()).map(|owned| &owned.split)
    }

    /// All splits that are being read.
    pub(crate) fn all_reading(&self) -> impl Iterator<Item = (&PartitionSplit, OutputId)> {
        self.splits.values().filter_map(|owned| Some((&owned.split, owned.output?)))
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.splits.values().all(|owned| owned.output.is_none())
    }

    /// Whether this reader holds no watermark back: at once without splits (W11).
    pub(crate) fn is_idle(&self) -> bool {
        self.is_finished() || self.watermarks.is_idle()
    }

    /// Values of a chunk are emitted: the position moves, and maybe the watermark. Whether the split is finished.
    pub(crate) fn emitted(&mut self, chunk: &Chunk, values: &[Stamped<T>]) -> (Option<Timestamp>, bool) {
        let Some(owned) = self.splits.get_mut(&chunk.topic_partition) else { return (None, false) };
        let Some(output) = owned.output else { return (None, false) };
        owned.split.next_offset = owned.split.next_offset.max(chunk.next_offset);
        owned.split.leader_epoch = chunk.leader_epoch.or(owned.split.leader_epoch);
        let watermark = self.watermarks.on_events(output, values);
        let finished = chunk.ended || owned.split.is_at_end();
        if finished {
            self.finish(&chunk.topic_partition);
        }
        (watermark, finished)
    }

    /// The position is elsewhere now, because it was outside of the log (R20). Whether the split is finished.
    pub(crate) fn moved(&mut self, partition: &TopicPartition, to: i64) -> bool {
        let Some(owned) = self.splits.get_mut(partition).filter(|owned| owned.output.is_some()) else { return false };
        let lost = u64::try_from(to.saturating_sub(owned.split.next_offset)).unwrap_or(0);
        self.records_lost += lost;
        (owned.split.next_offset, owned.split.leader_epoch) = (to.max(0), None);
        let finished = owned.split.is_at_end();
        if finished {
            self.finish(partition);
        }
        finished
    }

    fn finish(&mut self, partition: &TopicPartition) {
        let Some(owned) = self.splits.get_mut(partition) else { return };
        owned.split.finished = true;
        if let Some(output) = owned.output.take() {
            self.watermarks.remove(output);
        }
        self.commits.leave(partition.clone(), owned.split.to_commit());
    }

    /// All splits, also those that are finished or were retired, with their positions (R25).
    pub(crate) fn snapshot(&mut self, id: CheckpointId) -> Vec<PartitionSplit> {
        let offsets = self.offsets();
        self.commits.snapshot(id, offsets);
        self.splits.values().map(|owned| &owned.split).chain(self.retired.values()).cloned().collect()
    }

    /// The positions of what is being read.
    pub(crate) fn offsets(&self) -> Offsets {
        let commit = |split: &PartitionSplit| -> (TopicPartition, OffsetAndMetadata) {
            (split.topic_partition.clone(), split.to_commit())
        };
        self.all_reading().map(|(split, _)| commit(split)).collect()
    }

    pub(crate) fn partition_of(&self, output: OutputId) -> Option<&TopicPartition> {
        self.all_reading().find(|(_, id)| *id == output).map(|(split, _)| &split.topic_partition)
    }

    /// Offsets that were passed over because the log did not have them any more.
    pub(crate) fn records_lost(&self) -> u64 {
        self.records_lost
    }
}

#[cfg(test)]
mod tests {
    use super::super::watermark::WatermarkStrategy;
    use super::*;
    use uuid::Uuid;

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn owned() -> OwnedSplits<i64> {
        let punctuated = WatermarkStrategy::punctuated(|value: &i64, _| Some(*value));
        OwnedSplits::new(SplitWatermarks::new(Some(punctuated)), CommitMode::OnCheckpoints)
    }

    fn chunk(partition: i32, len: usize, next_offset: i64) -> Chunk {
        Chunk { topic_partition: tp(partition), len, next_offset, leader_epoch: Some(1), ended: false }
    }

    fn values(values: &[i64]) -> Vec<Stamped<i64>> {
        values.iter().map(|value| Stamped::new(*value, Some(*value))).collect()
    }

    #[test]
    fn a49_r11_records_without_output_move_the_position() {
        let mut owned = owned();
        owned.add(PartitionSplit::new(tp(0), 1));
        assert_eq!(owned.emitted(&chunk(0, 3, 4), &values(&[1, 2, 3])), (Some(3), false));
        assert_eq!(owned.emitted(&chunk(0, 0, 5), &[]), (None, false));
        let split = &owned.snapshot(CheckpointId(1))[0];
        assert_eq!((split.next_offset, split.leader_epoch), (5, Some(1)));
    }

    #[test]
    fn r25_a_snapshot_lists_unread_and_finished_splits() {
        let mut owned = owned();
        owned.add(PartitionSplit::new(tp(0), 7));
        let mut bounded = PartitionSplit::new(tp(1), 0);
        bounded.stop = Some(2);
        owned.add(bounded);
        assert!(owned.emitted(&chunk(1, 2, 2), &values(&[1, 2])).1);
        let splits = owned.snapshot(CheckpointId(1));
        assert_eq!(splits.iter().map(|s| (s.next_offset, s.finished)).collect::<Vec<_>>(), [(7, false), (2, true)]);
    }

    #[test]
    fn r28_a_split_at_its_end_is_finished_without_a_fetch() {
        for (start, stop) in [(10, 10), (0, 0), (12, 10)] {
            let mut split = PartitionSplit::new(tp(0), start);
            split.stop = Some(stop);
            let mut owned = owned();
            assert_eq!(owned.add(split), None);
            assert!(owned.is_finished());
            assert_eq!(owned.snapshot(CheckpointId(1))[0].next_offset, start);
        }
    }

    #[test]
    fn w13_a_finished_split_leaves_the_minimum() {
        let mut owned = owned();
        owned.add(PartitionSplit::new(tp(0), 0));
        owned.add(PartitionSplit::new(tp(1), 0));
        owned.emitted(&Chunk { ended: true, ..chunk(0, 1, 1) }, &values(&[1]));
        assert_eq!(owned.emitted(&chunk(1, 1, 1), &values(&[9])), (Some(9), false));
    }

    #[test]
    fn r37_a_retired_split_reads_on_where_it_was_unless_the_topic_is_another() {
        for (id, offset) in [(Some(1), 5), (Some(2), 0), (None, 5)] {
            let mut owned = owned();
            let with_id = |id: Option<u128>, offset| PartitionSplit {
                topic_id: id.map(Uuid::from_u128),
                ..PartitionSplit::new(tp(0), offset)
            };
            owned.add(with_id(Some(1), 0));
            owned.emitted(&chunk(0, 5, 5), &values(&[1; 5]));
            assert_eq!(owned.remove(&SplitId::new("t-0")), Some(tp(0)));
            assert_eq!(owned.remove(&SplitId::new("t-0")), None);
            assert_eq!(owned.snapshot(CheckpointId(1)).len(), 1, "its position is kept");
            assert_eq!(owned.add(with_id(id, 0)).map(|(_, offset, _)| offset), Some(offset));
            assert_eq!(owned.snapshot(CheckpointId(2)).len(), 1);
        }
    }

    #[test]
    fn r29_unknown_splits_are_passed_over() {
        let mut owned = owned();
        for name in ["t-0", "t", "", "t-x"] {
            assert_eq!(owned.remove(&SplitId::new(name)), None);
        }
    }

    #[test]
    fn n27_what_was_passed_over_is_counted() {
        let mut owned = owned();
        owned.add(PartitionSplit::new(tp(0), 5));
        assert!(!owned.moved(&tp(0), 12));
        assert_eq!(owned.records_lost(), 7);
        owned.moved(&tp(0), 3);
        assert_eq!((owned.records_lost(), owned.snapshot(CheckpointId(1))[0].next_offset), (7, 3));
    }

    #[test]
    fn a40_offsets_of_finished_splits_are_committed() {
        let mut owned = owned();
        owned.add(PartitionSplit::new(tp(0), 0));
        owned.emitted(&Chunk { ended: true, ..chunk(0, 1, 10) }, &values(&[1]));
        owned.snapshot(CheckpointId(1));
        assert_eq!(owned.commits.complete(CheckpointId(1)).unwrap()[&tp(0)].offset, 10);
    }

    #[test]
    fn r33_without_splits_a_reader_is_idle_and_active_with_one() {
        let mut owned = owned();
        assert!(owned.is_idle());
        owned.add(PartitionSplit::new(tp(0), 0));
        assert!(!owned.is_idle());
    }
}
