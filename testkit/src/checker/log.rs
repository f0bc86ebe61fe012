//! What a history says about the log itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::history::{Entry, Event, Outcome};

pub(super) type Partition = (String, i32);
/// A record's place.
pub(super) type Place = (Partition, i64);

/// A record that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) value: u64,
    /// Where it was acknowledged.
    pub(super) place: Option<Place>,
    /// What became of it, its transaction considered.
    pub(super) fate: Outcome,
    pub(super) transaction: Option<String>,
}

/// The log as clients saw it.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) sent: Vec<Sent>,
    /// Where readers of committed records saw each value. Readers of uncommitted records don't count: they may see what
    /// is aborted later.
    pub(super) seen: BTreeMap<u64, BTreeSet<Place>>,
    /// The values at each place, by whoever saw or wrote them.
    pub(super) places: BTreeMap<Place, BTreeSet<u64>>,
    /// Up to where each partition was read by readers of committed records.
    read_to: HashMap<Partition, i64>,
    pub(super) transactions: HashMap<String, Outcome>,
}

impl Log {
    pub(super) fn of(history: &[Entry]) -> Self {
        let mut log = Self::default();
        for entry in history {
            if let Event::EndTransaction { transaction, outcome } = &entry.event {
                log.transactions.insert(transaction.clone(), *outcome);
            }
        }
        for entry in history {
            log.learn(&entry.event);
        }
        log
    }

    /// Whether readers of committed records have passed the place.
    pub(super) fn was_passed(&self, (partition, offset): &Place) -> bool {
        self.read_to.get(partition).is_some_and(|end| offset < end)
    }

    /// What became of a value that was sent.
    pub(super) fn fate(&self, value: u64) -> Option<&Sent> {
        self.sent.iter().find(|sent| sent.value == value)
    }

    fn learn(&mut self, event: &Event) {
        match event {
            Event::Send { topic, partition, offset, value, outcome, transaction } => {
                let place = partition.zip(*offset).map(|(partition, offset)| ((topic.clone(), partition), offset));
                if let Some(place) = &place {
                    self.places.entry(place.clone()).or_default().insert(*value);
                }
                let fate = self.with_transaction(*outcome, transaction.as_deref());
                self.sent.push(Sent { value: *value, place, fate, transaction: transaction.clone() });
            }
            Event::Poll { records, uncommitted } => {
                for record in records {
                    let partition = (record.topic.clone(), record.partition);
                    let place = (partition.clone(), record.offset);
                    self.places.entry(place.clone()).or_default().insert(record.value);
                    if !uncommitted {
                        self.seen.entry(record.value).or_default().insert(place);
                        self.read_up_to(partition, record.offset + 1);
                    }
                }
            }
            Event::ReadToEnd { topic, partition, offset } => self.read_up_to((topic.clone(), *partition), *offset),
            Event::EndTransaction { .. } | Event::Assign | Event::Commit { .. } | Event::Resume { .. } => {}
        }
    }

    fn read_up_to(&mut self, partition: Partition, end: i64) {
        let known = self.read_to.entry(partition).or_insert(end);
        *known = end.max(*known);
    }

    /// A record of a transaction is as certain as the less certain of the two.
    fn with_transaction(&self, sent: Outcome, transaction: Option<&str>) -> Outcome {
        let Some(transaction) = transaction else { return sent };
        // A transaction without an end was left open: it may have been prepared and committed by someone else.
        match (sent, self.transactions.get(transaction).copied().unwrap_or(Outcome::Unknown)) {
            (Outcome::Failed, _) | (_, Outcome::Failed) => Outcome::Failed,
            (Outcome::Ok, Outcome::Ok) => Outcome::Ok,
            _ => Outcome::Unknown,
        }
    }
}
