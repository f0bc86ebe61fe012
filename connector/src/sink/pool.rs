//! The pool of transactional ids of one subtask: which slot is free, current, or waits for its commit.
use std::collections::{BTreeSet, VecDeque};

use crate::contract::CheckpointId;

/// Slots `0..size` of one subtask. A slot taken by [`acquire`](Self::acquire) is the caller's until it is held or released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerPool {
    size: u16,
    /// Longest unused first.
    free: VecDeque<u16>,
    /// Prepared and not known finished, by checkpoint.
    held: BTreeSet<(CheckpointId, u16)>,
}

impl ProducerPool {
    /// All slots in order, except those that restored committables of these checkpoints still hold.
    #[must_use]
    pub fn new(size: u16, restored: &[(CheckpointId, u16)]) -> Self {
        // After a pool was made smaller, restored committables may name slots that are no longer in it.
        let held: BTreeSet<_> = restored.iter().filter(|(_, slot)| *slot < size).copied().collect();
        let free = (0..size).filter(|slot| !held.iter().any(|(_, taken)| taken == slot)).collect();
        Self { size, free, held }
    }

    /// Takes the slot that was unused longest.
    pub fn acquire(&mut self) -> Option<u16> {
        self.free.pop_front()
    }

    /// Gives back a slot that could not be begun with; it is the next to be tried.
    pub fn release(&mut self, slot: u16) {
        self.free.push_front(slot);
    }

    /// The transaction of an acquired slot is prepared for `id` and waits for its commit.
    pub fn hold(&mut self, slot: u16, id: CheckpointId) {
        self.held.insert((id, slot));
    }

    /// The commit of a slot is over: frees it and those of strictly earlier checkpoints, earliest first (K16).
    pub fn finished(&mut self, slot: u16) {
        let Some(&(id, _)) = self.held.iter().find(|(_, held)| *held == slot) else { return };
        let later = self.held.split_off(&(id, 0));
        self.free.extend(self.held.iter().map(|(_, slot)| *slot));
        self.held = later;
        if self.held.remove(&(id, slot)) {
            self.free.push_back(slot);
        }
    }

    /// `pool_size`.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.size
    }

    /// How many slots can be acquired.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// The slots whose commits are not known finished, in checkpoint order.
    pub fn held(&self) -> impl Iterator<Item = u16> + '_ {
        self.held.iter().map(|(_, slot)| *slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acquire(pool: &mut ProducerPool, count: usize) -> Vec<u16> {
        (0..count).filter_map(|_| pool.acquire()).collect()
    }

    #[test]
    fn a24_restored_slots_come_last() {
        let mut pool = ProducerPool::new(7, &[(CheckpointId(2), 2), (CheckpointId(4), 4)]);
        assert_eq!(acquire(&mut pool, 5), [0, 1, 3, 5, 6]);
        assert_eq!(pool.acquire(), None);
        pool.finished(4);
        assert_eq!(acquire(&mut pool, 2), [2, 4]);
    }

    #[test]
    fn a26_finishing_one_frees_those_of_strictly_earlier_checkpoints() {
        for (third, left) in [(2, 1), (3, 0)] {
            let mut pool = ProducerPool::new(5, &[]);
            let slots = acquire(&mut pool, 3);
            for (slot, id) in slots.iter().zip([1, 2, third]) {
                pool.hold(*slot, CheckpointId(id));
            }
            pool.finished(slots[2]);
            assert_eq!(pool.held().count(), left, "third of checkpoint {third}");
        }
    }

    #[test]
    fn n1_a_pool_takes_size_minus_one_unfinished_snapshots() {
        for size in [2, 3, 5] {
            let mut pool = ProducerPool::new(size, &[]);
            let mut current = pool.acquire().expect("a fresh pool");
            let mut prepared = 0;
            while let Some(next) = pool.acquire() {
                prepared += 1;
                pool.hold(current, CheckpointId(prepared));
                current = next;
            }
            assert_eq!(prepared, u64::from(size) - 1);
        }
    }

    #[test]
    fn n21_ids_are_used_for_ever_in_turn() {
        let mut pool = ProducerPool::new(5, &[]);
        let mut current = pool.acquire().expect("a fresh pool");
        let mut order = vec![current];
        for id in 0..1000 {
            let next = pool.acquire().expect("one commit in flight");
            pool.hold(current, CheckpointId(id));
            pool.finished(current);
            current = next;
            order.push(next);
        }
        assert!(order.iter().enumerate().all(|(i, slot)| usize::from(*slot) == i % 5));
    }

    #[test]
    fn a_slot_that_could_not_be_begun_with_is_tried_again_first() {
        let mut pool = ProducerPool::new(3, &[]);
        let slot = pool.acquire().expect("free");
        pool.release(slot);
        assert_eq!(pool.acquire(), Some(slot));
    }

    #[test]
    fn a30_slots_outside_a_smaller_pool_are_nobodys() {
        let mut pool = ProducerPool::new(3, &[(CheckpointId(1), 4)]);
        assert_eq!(acquire(&mut pool, 4), [0, 1, 2]);
        pool.finished(4);
        assert_eq!(pool.free(), 0);
    }
}
