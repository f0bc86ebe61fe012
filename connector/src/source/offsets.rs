//! Where to start and where to stop reading, as pure functions over what the cluster answers.
use std::collections::{BTreeMap, HashMap};

use ottla_client::{OffsetAndMetadata, TopicPartition};

use crate::contract::Timestamp;
use crate::error::{Error, Result};

/// Where to start reading partitions that no checkpoint knows. Partitions found after the first discovery, and those that
/// a restored checkpoint does not have, are read from their start whatever this says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartOffsets {
    /// Where the group stands; where it has no offset, [`OnOutOfRange`] decides.
    #[default]
    CommittedOffsets,
    /// The start of the log.
    Earliest,
    /// The end of the log.
    Latest,
    /// The first record whose time is not before this; the end of the log when there is none. Milliseconds since the
    /// epoch, not in the future.
    Timestamp(Timestamp),
    /// The next offset to read of each partition. Other partitions start at the group's offset.
    Offsets(BTreeMap<TopicPartition, i64>),
}

/// Where to stop reading. It is looked up when the job starts: what is written later is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopOffsets {
    /// At the end of the log.
    LatestAtStart,
    /// Before the first record whose time is not before this; at the end of the log when there is none. Milliseconds
    /// since the epoch.
    Timestamp(Timestamp),
    /// Where the group stands; where it has no offset, [`OnOutOfRange`] decides.
    Committed,
    /// Before this offset of each partition. Other partitions stop at the end of the log.
    Offsets(BTreeMap<TopicPartition, i64>),
}

/// What to do when a position lies outside of the log, or the group has none: at the start and later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOutOfRange {
    /// Go on at the start of the log.
    Earliest,
    /// Go on at the end of the log.
    #[default]
    Latest,
    /// Fail.
    Fail,
}

impl StartOffsets {
    /// Whether it needs a group to ask for.
    pub(crate) fn needs_group(&self) -> bool {
        matches!(self, Self::CommittedOffsets | Self::Offsets(_))
    }

    pub(crate) fn validate(&self, now: Timestamp) -> Result<()> {
        match self {
            Self::Timestamp(time) if *time < 0 || *time > now => {
                Err(Error::config(format!("the start timestamp {time} must lie between 0 and now, which is {now}")))
            }
            Self::Offsets(offsets) => not_negative("start", offsets),
            _ => Ok(()),
        }
    }

    /// Entries of partitions that are not read (R19).
    pub(crate) fn unused<'a>(&'a self, known: impl Fn(&TopicPartition) -> bool + 'a) -> Vec<&'a TopicPartition> {
        match self {
            Self::Offsets(offsets) => offsets.keys().filter(|partition| !known(partition)).collect(),
            _ => Vec::new(),
        }
    }
}

impl StopOffsets {
    pub(crate) fn needs_group(&self) -> bool {
        *self == Self::Committed
    }

    pub(crate) fn validate(&self) -> Result<()> {
        match self {
            Self::Timestamp(time) if *time < 0 => {
                Err(Error::config(format!("the stop timestamp {time} must not be negative")))
            }
            Self::Offsets(offsets) => not_negative("stop", offsets),
            _ => Ok(()),
        }
    }
}

fn not_negative(which: &str, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
    match offsets.iter().find(|(_, offset)| **offset < 0) {
        Some((partition, offset)) => {
            Err(Error::config(format!("the {which} offset {offset} of {partition} must not be negative")))
        }
        None => Ok(()),
    }
}

/// A position that may still have to be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    At(i64),
    Earliest,
    Latest,
    Committed,
    Time(Timestamp),
}

impl Wanted {
    /// Where a partition starts. Only the first discovery of a job without state asks for the start mode (R22, R35).
    pub(crate) fn start(partition: &TopicPartition, start: &StartOffsets, is_first: bool) -> Self {
        match start {
            _ if !is_first => Self::Earliest,
            StartOffsets::CommittedOffsets => Self::Committed,
            StartOffsets::Earliest => Self::Earliest,
            StartOffsets::Latest => Self::Latest,
            StartOffsets::Timestamp(time) => Self::Time(*time),
            StartOffsets::Offsets(offsets) => {
                offsets.get(partition).map_or(Self::Committed, |offset| Self::At(*offset))
            }
        }
    }

    /// Where a partition stops.
    pub(crate) fn stop(partition: &TopicPartition, stop: &StopOffsets) -> Self {
        match stop {
            StopOffsets::LatestAtStart => Self::Latest,
            StopOffsets::Timestamp(time) => Self::Time(*time),
            StopOffsets::Committed => Self::Committed,
            StopOffsets::Offsets(offsets) => offsets.get(partition).map_or(Self::Latest, |offset| Self::At(*offset)),
        }
    }

    fn needs(self, policy: OnOutOfRange) -> Needs {
        let default = Needs::default();
        match self {
            Self::At(_) => default,
            Self::Earliest => Needs { start: true, ..default },
            Self::Latest => Needs { end: true, ..default },
            Self::Time(time) => Needs { end: true, time: Some(time), ..default },
            Self::Committed => Needs {
                committed: true,
                start: policy == OnOutOfRange::Earliest,
                end: policy == OnOutOfRange::Latest,
                ..default
            },
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Needs {
    start: bool,
    end: bool,
    committed: bool,
    time: Option<Timestamp>,
}

/// What to ask the cluster. Ends are asked for before times: a record that is appended in between is read then (R17).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Questions {
    pub(crate) committed: Vec<TopicPartition>,
    pub(crate) starts: Vec<TopicPartition>,
    pub(crate) ends: Vec<TopicPartition>,
    pub(crate) times: BTreeMap<Timestamp, Vec<TopicPartition>>,
}

impl Questions {
    pub(crate) fn add(&mut self, partition: &TopicPartition, wanted: Wanted, policy: OnOutOfRange) {
        let needs = wanted.needs(policy);
        let lists =
            [(needs.committed, &mut self.committed), (needs.start, &mut self.starts), (needs.end, &mut self.ends)];
        for (needed, list) in lists {
            if needed && !list.contains(partition) {
                list.push(partition.clone());
            }
        }
        if let Some(time) = needs.time {
            self.times.entry(time).or_default().push(partition.clone());
        }
    }
}

/// What the cluster answered. What is not in it could not be found out: its partition has to wait (R21).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) committed: HashMap<TopicPartition, Option<OffsetAndMetadata>>,
    pub(crate) starts: HashMap<TopicPartition, i64>,
    pub(crate) ends: HashMap<TopicPartition, i64>,
    /// `None`: no record is so young.
    pub(crate) times: HashMap<(TopicPartition, Timestamp), Option<i64>>,
}

impl Answers {
    /// A concrete offset, and the epoch that a committed one has; `None` while an answer is missing.
    pub(crate) fn resolve(
        &self,
        partition: &TopicPartition,
        wanted: Wanted,
        policy: OnOutOfRange,
    ) -> Result<Option<(i64, Option<i32>)>> {
        let offset = match wanted {
            Wanted::At(offset) => Some(offset),
            Wanted::Earliest => self.starts.get(partition).copied(),
            Wanted::Latest => self.ends.get(partition).copied(),
            Wanted::Time(time) => match self.times.get(&(partition.clone(), time)) {
                Some(Some(offset)) => Some(*offset),
                Some(None) => self.ends.get(partition).copied(),
                None => None,
            },
            Wanted::Committed => return self.resolve_committed(partition, policy),
        };
        Ok(offset.map(|offset| (offset, None)))
    }

    fn resolve_committed(
        &self,
        partition: &TopicPartition,
        policy: OnOutOfRange,
    ) -> Result<Option<(i64, Option<i32>)>> {
        match self.committed.get(partition) {
            Some(Some(committed)) => Ok(Some((committed.offset, committed.leader_epoch))),
            Some(None) => match policy {
                OnOutOfRange::Earliest => self.resolve(partition, Wanted::Earliest, policy),
                OnOutOfRange::Latest => self.resolve(partition, Wanted::Latest, policy),
                OnOutOfRange::Fail => {
                    Err(Error::Source { reason: format!("no committed offset and no reset policy for {partition}") })
                }
            },
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("myTopic", partition)
    }

    /// Partitions of 50 records, with these committed offsets.
    fn fifty(committed: &[Option<i64>]) -> Answers {
        let mut answers = Answers::default();
        for (i, committed) in (0..).zip(committed) {
            answers.starts.insert(tp(i), 0);
            answers.ends.insert(tp(i), 50);
            answers.committed.insert(tp(i), committed.map(OffsetAndMetadata::new));
        }
        answers
    }

    fn starts(start: &StartOffsets, answers: &Answers, n: i32) -> Vec<i64> {
        let policy = OnOutOfRange::Earliest;
        let resolve = |i| answers.resolve(&tp(i), Wanted::start(&tp(i), start, true), policy).unwrap().unwrap().0;
        (0..n).map(resolve).collect()
    }

    #[test]
    fn r15_committed_offsets_and_the_policy_where_there_is_none() {
        let answers = fifty(&[Some(23), None, Some(43)]);
        let starts = starts(&StartOffsets::default(), &answers, 3);
        assert_eq!(starts.iter().map(|start| 50 - start).collect::<Vec<_>>(), [27, 50, 7]);
        let latest = answers.resolve(&tp(1), Wanted::Committed, OnOutOfRange::Latest).unwrap();
        assert_eq!(latest, Some((50, None)));
        let error = answers.resolve(&tp(1), Wanted::Committed, OnOutOfRange::Fail).unwrap_err().to_string();
        assert_eq!(error, "no committed offset and no reset policy for myTopic-1");
    }

    #[test]
    fn r16_earliest_and_latest_ignore_committed_offsets() {
        let answers = fifty(&[Some(23), Some(31), Some(43)]);
        assert_eq!(starts(&StartOffsets::Earliest, &answers, 3), [0, 0, 0]);
        assert_eq!(starts(&StartOffsets::Latest, &answers, 3), [50, 50, 50]);
        let mut questions = Questions::default();
        for wanted in [Wanted::Earliest, Wanted::Latest, Wanted::Time(5)] {
            questions.add(&tp(0), wanted, OnOutOfRange::Earliest);
        }
        assert!(questions.committed.is_empty());
    }

    #[test]
    fn r17_a_timestamp_without_a_younger_record_is_the_end() {
        let mut answers = fifty(&[Some(23), None]);
        answers.times.insert((tp(0), 1000), Some(7));
        answers.times.insert((tp(1), 1000), None);
        assert_eq!(starts(&StartOffsets::Timestamp(1000), &answers, 2), [7, 50]);
        assert!(StartOffsets::Timestamp(-1).validate(10).is_err());
        assert!(StartOffsets::Timestamp(11).validate(10).is_err());
        assert!(StartOffsets::Timestamp(0).validate(10).is_ok());
        assert!(StartOffsets::Timestamp(10).validate(10).is_ok());
        let mut questions = Questions::default();
        questions.add(&tp(0), Wanted::Time(1000), OnOutOfRange::Fail);
        assert_eq!((questions.ends, questions.times), (vec![tp(0)], BTreeMap::from([(1000, vec![tp(0)])])));
    }

    #[test]
    fn r18_given_offsets_need_no_question() {
        let start = StartOffsets::Offsets(BTreeMap::from([(tp(0), 23), (tp(1), 31), (tp(2), 43)]));
        assert_eq!(starts(&start, &Answers::default(), 3), [23, 31, 43]);
        let zero = StartOffsets::Offsets(BTreeMap::from([(tp(0), 0)]));
        assert!(zero.validate(0).is_ok());
        assert_eq!(starts(&zero, &Answers::default(), 1), [0]);
        assert!(StartOffsets::Offsets(BTreeMap::from([(tp(0), -1)])).validate(0).is_err());
    }

    #[test]
    fn r19_partitions_not_in_the_map_follow_committed_offsets() {
        let answers = fifty(&[None, Some(31), None, None]);
        let start = StartOffsets::Offsets(BTreeMap::from([(tp(0), 19), (tp(2), 22), (tp(4), 5)]));
        let counts: Vec<_> = starts(&start, &answers, 4).iter().map(|start| 50 - start).collect();
        assert_eq!(counts, [31, 19, 28, 50]);
        assert_eq!(start.unused(|partition| partition.partition < 4), [&tp(4)]);
    }

    #[test]
    fn r21_a_missing_answer_leaves_the_partition_unresolved() {
        let none = Answers::default();
        for wanted in [Wanted::Earliest, Wanted::Latest, Wanted::Committed, Wanted::Time(3)] {
            assert_eq!(none.resolve(&tp(0), wanted, OnOutOfRange::Fail).unwrap(), None);
        }
    }

    #[test]
    fn r22_what_is_not_in_restored_state_is_earliest() {
        for start in [StartOffsets::Latest, StartOffsets::CommittedOffsets, StartOffsets::Timestamp(5)] {
            assert_eq!(Wanted::start(&tp(0), &start, false), Wanted::Earliest);
        }
    }

    #[test]
    fn r28_stopping_offsets() {
        let mut answers = fifty(&[Some(23), None]);
        answers.times.insert((tp(0), 5), Some(2));
        let stop = |i, stop: &StopOffsets| {
            let wanted = Wanted::stop(&tp(i), stop);
            answers.resolve(&tp(i), wanted, OnOutOfRange::Latest).unwrap().unwrap().0
        };
        assert_eq!(stop(0, &StopOffsets::LatestAtStart), 50);
        assert_eq!(stop(0, &StopOffsets::Timestamp(5)), 2);
        assert_eq!(stop(0, &StopOffsets::Committed), 23);
        let map = StopOffsets::Offsets(BTreeMap::from([(tp(0), 2)]));
        assert_eq!((stop(0, &map), stop(1, &map)), (2, 50));
        assert!(StopOffsets::Timestamp(-1).validate().is_err());
    }

    #[test]
    fn a43_a_map_and_committed_offsets_together() {
        let mut answers = Answers::default();
        answers
            .committed
            .insert(tp(0), Some(OffsetAndMetadata { leader_epoch: Some(4), ..OffsetAndMetadata::new(12) }));
        let start = StartOffsets::Offsets((1..10).map(|i| (tp(i), i64::from(i))).collect());
        let resolve = |i| answers.resolve(&tp(i), Wanted::start(&tp(i), &start, true), OnOutOfRange::Fail).unwrap();
        assert_eq!(resolve(0), Some((12, Some(4))));
        assert_eq!(resolve(7), Some((7, None)));
    }
}
