//! Anomalies of the order in which a process wrote or read.

use std::collections::{BTreeSet, HashMap};

use super::history::{Entry, Event, Outcome};
use super::log::{Log, Partition, Place};
use super::report::Anomaly;

/// Two records that a reader got one after the other from a partition.
struct Step<'a> {
    reader: &'a str,
    partition: Partition,
    from: i64,
    to: i64,
}

/// All steps of all readers. An assignment breaks the chain, for it may move positions anywhere.
fn steps(history: &[Entry]) -> Vec<(Step<'_>, bool)> {
    let mut last: HashMap<(&str, Partition), i64> = HashMap::new();
    let mut steps = Vec::new();
    for entry in history {
        match &entry.event {
            Event::Assign => last.retain(|(reader, _), _| *reader != entry.process),
            Event::Poll { records, uncommitted } => {
                for record in records {
                    let partition = (record.topic.clone(), record.partition);
                    let before = last.insert((&entry.process, partition.clone()), record.offset);
                    if let Some(from) = before {
                        let step = Step { reader: &entry.process, partition, from, to: record.offset };
                        steps.push((step, *uncommitted));
                    }
                }
            }
            _ => {}
        }
    }
    steps
}

/// Readers that went back or stood still without being told to.
pub(super) fn non_monotonic_polls(history: &[Entry]) -> Vec<Anomaly> {
    let back = steps(history).into_iter().map(|(step, _)| step).filter(|step| step.to <= step.from);
    back.map(|step| Anomaly::NonMonotonicPoll {
        reader: step.reader.to_owned(),
        after: (step.partition.clone(), step.from).into(),
        place: (step.partition, step.to).into(),
    })
    .collect()
}

/// Readers that passed over a record which is in the log for them.
pub(super) fn skipped_polls(history: &[Entry], log: &Log) -> Vec<Anomaly> {
    let committed = committed_places(log);
    let mut found = Vec::new();
    for (step, uncommitted) in steps(history) {
        let (from, to) = ((step.partition.clone(), step.from + 1), (step.partition.clone(), step.to));
        if from >= to {
            continue;
        }
        let between: Vec<i64> = if uncommitted {
            log.places.range(from..to).map(|((_, offset), _)| *offset).collect()
        } else {
            committed.range(from..to).map(|(_, offset)| *offset).collect()
        };
        if !between.is_empty() {
            let place = (step.partition, step.to).into();
            found.push(Anomaly::SkippedPoll { reader: step.reader.to_owned(), skipped: between, place });
        }
    }
    found
}

/// Where there certainly is a record for readers of committed ones.
fn committed_places(log: &Log) -> BTreeSet<Place> {
    let acknowledged = log.sent.iter().filter(|sent| sent.fate == Outcome::Ok).filter_map(|sent| sent.place.clone());
    acknowledged.chain(log.seen.values().flatten().cloned()).collect()
}

/// Producers whose later record was acknowledged at a lower offset.
pub(super) fn non_monotonic_sends(history: &[Entry]) -> Vec<Anomaly> {
    let mut last: HashMap<(&str, Partition), (u64, i64)> = HashMap::new();
    let mut found = Vec::new();
    for entry in history {
        let Event::Send { topic, partition: Some(partition), offset: Some(offset), value, .. } = &entry.event else {
            continue;
        };
        let partition = (topic.clone(), *partition);
        let before = last.insert((&entry.process, partition.clone()), (*value, *offset));
        if let Some((earlier, before)) = before.filter(|(_, before)| offset <= before) {
            found.push(Anomaly::NonMonotonicSend {
                producer: entry.process.clone(),
                values: (earlier, *value),
                offsets: (before, *offset),
                partition: format!("{}-{}", partition.0, partition.1),
            });
        }
    }
    found
}
