//! The committables of a job that are not known finished.
use std::collections::BTreeMap;

use crate::contract::CheckpointId;

/// Names one entry of a [`CommittableLedger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// The checkpoint it was prepared for.
    pub checkpoint: CheckpointId,
    number: u64,
}

/// What was prepared and is not known finished, in checkpoint order (C5).
///
/// A committable of an aborted checkpoint stays: its data lies below the positions of the next checkpoint, so it has to
/// commit with that one.
#[derive(Clone, Debug)]
pub struct CommittableLedger<C> {
    entries: BTreeMap<Ticket, C>,
    next: u64,
}

impl<C> Default for CommittableLedger<C> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), next: 0 }
    }
}

impl<C: Clone> CommittableLedger<C> {
    /// Enters what was prepared for checkpoint `id`.
    pub fn add(&mut self, id: CheckpointId, committable: C) -> Ticket {
        let ticket = Ticket { checkpoint: id, number: self.next };
        self.next += 1;
        self.entries.insert(ticket, committable);
        ticket
    }

    /// What the file of checkpoint `id` has to carry. Later ones are left out: after a restore of `id` their input is
    /// read again, so they have to be aborted, not committed.
    pub fn snapshot(&self, id: CheckpointId) -> impl Iterator<Item = &C> {
        self.entries.iter().take_while(move |(ticket, _)| ticket.checkpoint <= id).map(|(_, committable)| committable)
    }

    /// Checkpoint `id` is durable: what has to be committed now, in order. Entries stay until they are `finished`, so
    /// asking again is safe.
    pub fn complete(&self, id: CheckpointId) -> Vec<(Ticket, C)> {
        let due = self.entries.iter().take_while(|(ticket, _)| ticket.checkpoint <= id);
        due.map(|(ticket, committable)| (*ticket, committable.clone())).collect()
    }

    /// The commit of an entry gave a final outcome. False when it was finished before.
    pub fn finished(&mut self, ticket: Ticket) -> bool {
        self.entries.remove(&ticket).is_some()
    }

    /// How many entries are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> CommittableLedger<u32> {
        let mut ledger = CommittableLedger::default();
        for (id, value) in [(0, 42), (1, 43), (2, 44)] {
            ledger.add(CheckpointId(id), value);
        }
        ledger
    }

    fn commit(ledger: &mut CommittableLedger<u32>, id: u64) -> Vec<u32> {
        let due = ledger.complete(CheckpointId(id));
        due.into_iter()
            .map(|(ticket, value)| {
                assert!(ledger.finished(ticket));
                value
            })
            .collect()
    }

    #[test]
    fn a13_a_later_completion_subsumes_an_earlier_one() {
        let mut ledger = prepared();
        assert_eq!(commit(&mut ledger, 2), [42, 43, 44]);
        assert_eq!(commit(&mut ledger, 1), [0; 0]);
    }

    #[test]
    fn a14_later_committables_stay_prepared() {
        let mut ledger = prepared();
        assert_eq!(commit(&mut ledger, 1), [42, 43]);
        assert_eq!(ledger.complete(CheckpointId(2)).into_iter().map(|(_, c)| c).collect::<Vec<_>>(), [44]);
    }

    #[test]
    fn a15_the_file_of_a_checkpoint_holds_nothing_of_later_ones() {
        let ledger = prepared();
        assert_eq!(ledger.snapshot(CheckpointId(1)).copied().collect::<Vec<_>>(), [42, 43]);
    }

    #[test]
    fn what_is_not_finished_is_due_again() {
        let mut ledger = prepared();
        assert_eq!(ledger.complete(CheckpointId(0)).len(), 1);
        assert_eq!(commit(&mut ledger, 1), [42, 43]);
        assert_eq!(ledger.len(), 1);
    }

    #[test]
    fn finishing_twice_is_a_no_op() {
        let mut ledger = prepared();
        let (ticket, _) = ledger.complete(CheckpointId(0))[0];
        assert!(ledger.finished(ticket));
        assert!(!ledger.finished(ticket));
    }
}
