//! Anomalies of what was written.

use std::collections::BTreeMap;

use super::history::{Entry, Event, Outcome};
use super::log::{Log, Sent};
use super::report::Anomaly;

/// Acknowledged records that nobody saw, although their place was passed.
pub(super) fn lost(log: &Log) -> Vec<Anomaly> {
    let is_lost = |sent: &&Sent| {
        sent.fate == Outcome::Ok
            && !log.seen.contains_key(&sent.value)
            && sent.place.as_ref().is_some_and(|place| log.was_passed(place))
    };
    let lost = log.sent.iter().filter(is_lost);
    lost.filter_map(|sent| Some(Anomaly::LostWrite { value: sent.value, place: sent.place.clone()?.into() })).collect()
}

/// Values that were read in more than one place.
pub(super) fn duplicates(log: &Log) -> Vec<Anomaly> {
    let several = log.seen.iter().filter(|(_, places)| places.len() > 1);
    several
        .map(|(value, places)| Anomaly::Duplicate {
            value: *value,
            places: places.iter().cloned().map(Into::into).collect(),
        })
        .collect()
}

/// Values that a reader of committed records got although they were never, or not finally, written.
pub(super) fn aborted_reads(history: &[Entry], log: &Log) -> Vec<Anomaly> {
    let failed: std::collections::HashSet<_> =
        log.sent.iter().filter(|sent| sent.fate == Outcome::Failed).map(|sent| sent.value).collect();
    let mut found = Vec::new();
    for entry in history {
        let Event::Poll { records, uncommitted: false } = &entry.event else { continue };
        for record in records.iter().filter(|record| failed.contains(&record.value)) {
            let transaction = log.fate(record.value).and_then(|sent| sent.transaction.clone());
            found.push(Anomaly::AbortedRead { reader: entry.process.clone(), record: record.clone(), transaction });
        }
    }
    found
}

/// Places at which more than one value was written or read.
pub(super) fn inconsistent_offsets(log: &Log) -> Vec<Anomaly> {
    let several = log.places.iter().filter(|(_, values)| values.len() > 1);
    several
        .map(|(place, values)| Anomaly::InconsistentOffset {
            place: place.clone().into(),
            values: values.iter().copied().collect(),
        })
        .collect()
}

/// Transactions of which a part was read and another part passed over.
pub(super) fn torn_transactions(log: &Log) -> Vec<Anomaly> {
    let mut parts: BTreeMap<&str, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
    for sent in &log.sent {
        let Some(transaction) = &sent.transaction else { continue };
        let (read, missing) = parts.entry(transaction).or_default();
        if log.seen.contains_key(&sent.value) {
            read.push(sent.value);
        } else if sent.place.as_ref().is_some_and(|place| log.was_passed(place)) {
            missing.push(sent.value);
        }
    }
    let torn = parts.into_iter().filter(|(_, (read, missing))| !read.is_empty() && !missing.is_empty());
    torn.map(|(name, (read, missing))| Anomaly::TornTransaction { transaction: name.to_owned(), read, missing })
        .collect()
}
