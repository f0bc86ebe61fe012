//! What was found, in words.

use std::collections::BTreeMap;
use std::fmt;

use super::history::{Entry, Event, PolledRecord};
use super::log;

/// A record's place, for reports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl From<log::Place> for Place {
    fn from(((topic, partition), offset): log::Place) -> Self {
        Self { topic, partition, offset }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{}", self.topic, self.partition, self.offset)
    }
}

/// Something that must not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what the sentence of each names")]
pub enum Anomaly {
    /// An acknowledged record was not there when its place was read.
    LostWrite { value: u64, place: Place },
    /// A record that was sent once was read in several places.
    Duplicate { value: u64, places: Vec<Place> },
    /// A reader of committed records got one that failed or whose transaction was aborted.
    AbortedRead { reader: String, record: PolledRecord, transaction: Option<String> },
    /// Different values were seen in one place.
    InconsistentOffset { place: Place, values: Vec<u64> },
    /// A reader went back, or got a record twice, without a new assignment.
    NonMonotonicPoll { reader: String, after: Place, place: Place },
    /// A producer's later record got a lower offset.
    NonMonotonicSend { producer: String, partition: String, values: (u64, u64), offsets: (i64, i64) },
    /// A reader passed over records.
    SkippedPoll { reader: String, skipped: Vec<i64>, place: Place },
    /// Of a transaction one part was read and another part was not there.
    TornTransaction { transaction: String, read: Vec<u64>, missing: Vec<u64> },
    /// A member was told a position before the committed one.
    LostCommit { group: String, partition: String, committed: i64, told: i64 },
}

impl Anomaly {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LostWrite { .. } => "lost write",
            Self::Duplicate { .. } => "duplicate",
            Self::AbortedRead { .. } => "aborted read",
            Self::InconsistentOffset { .. } => "inconsistent offsets",
            Self::NonMonotonicPoll { .. } => "non-monotonic poll",
            Self::NonMonotonicSend { .. } => "non-monotonic send",
            Self::SkippedPoll { .. } => "skipped poll",
            Self::TornTransaction { .. } => "torn transaction",
            Self::LostCommit { .. } => "lost commit",
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            Self::LostWrite { value, place } => {
                write!(f, "{value} was acknowledged at {place}; the partition was read past that, and nobody saw it")
            }
            Self::Duplicate { value, places } => {
                let places: Vec<_> = places.iter().map(ToString::to_string).collect();
                write!(f, "{value} was sent once and read at {}", places.join(" and "))
            }
            Self::AbortedRead { reader, record, transaction } => {
                let PolledRecord { topic, partition, offset, value } = record;
                write!(f, "{reader} read {value} at {topic}-{partition}@{offset}, ")?;
                match transaction {
                    Some(transaction) => write!(f, "but its transaction {transaction} was aborted or it failed in it"),
                    None => write!(f, "but sending it had failed"),
                }
            }
            Self::InconsistentOffset { place, values } => write!(f, "{place} held each of {values:?}"),
            Self::NonMonotonicPoll { reader, after, place } => write!(f, "{reader} read {place} after {after}"),
            Self::NonMonotonicSend { producer, partition, values, offsets } => write!(
                f,
                "{producer} sent {} after {} to {partition}, but it got offset {} and the earlier one {}",
                values.1, values.0, offsets.1, offsets.0
            ),
            Self::SkippedPoll { reader, skipped, place } => {
                write!(f, "{reader} came to {place} without reading {skipped:?} before it")
            }
            Self::TornTransaction { transaction, read, missing } => {
                write!(f, "of {transaction}, {read:?} were read and {missing:?} were not there")
            }
            Self::LostCommit { group, partition, committed, told } => {
                write!(f, "{group} had committed {committed} in {partition}, and a member was told {told}")
            }
        }
    }
}

/// The verdict on a history.
#[derive(Clone, Debug)]
pub struct Report {
    entries: usize,
    sent: usize,
    polled: usize,
    anomalies: Vec<Anomaly>,
}

/// How many anomalies of a kind a printed report tells in full.
const TOLD: usize = 10;

impl Report {
    pub(super) fn new(history: &[Entry], anomalies: Vec<Anomaly>) -> Self {
        let sent = history.iter().filter(|entry| matches!(entry.event, Event::Send { .. })).count();
        let polled = |entry: &Entry| if let Event::Poll { records, .. } = &entry.event { records.len() } else { 0 };
        Self { entries: history.len(), sent, polled: history.iter().map(polled).sum(), anomalies }
    }

    /// What was found.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// Whether nothing was found.
    pub fn is_good(&self) -> bool {
        self.anomalies.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} events, {} records sent, {} read", self.entries, self.sent, self.polled)?;
        if self.is_good() {
            return write!(f, "good: nothing was lost, doubled, torn or out of order");
        }
        let mut kinds: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for anomaly in &self.anomalies {
            kinds.entry(anomaly.name()).or_default().push(anomaly);
        }
        for found in kinds.values() {
            found.iter().take(TOLD).try_for_each(|anomaly| writeln!(f, "{anomaly}"))?;
            if found.len() > TOLD {
                writeln!(f, "  and {} more of these", found.len() - TOLD)?;
            }
        }
        let counts: Vec<_> = kinds.iter().map(|(name, found)| format!("{} × {name}", found.len())).collect();
        write!(f, "bad: {}", counts.join(", "))
    }
}
