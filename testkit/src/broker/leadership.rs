//! Who leads what: partitions, groups, transactions; nodes that die and come back.

use super::ErrorCode;
use super::cluster::{Call, Cluster, Node};
use super::partition::Partition;

/// Coordinator kinds of FindCoordinator.
pub(crate) const GROUP: i8 = 0;
pub(crate) const TRANSACTION: i8 = 1;
/// Partitions of `__consumer_offsets` and `__transaction_state`.
const COORDINATOR_PARTITIONS: i32 = 50;

/// The partition of `__consumer_offsets` or `__transaction_state` a key belongs to: Java's `String.hashCode`.
pub(crate) fn coordinator_partition(key: &str) -> i32 {
    let hash = key.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) % COORDINATOR_PARTITIONS
}

impl Cluster {
    pub(crate) fn alive(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.alive)
    }

    pub(crate) fn node(&self, id: i32) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    pub(crate) fn is_alive(&self, id: i32) -> bool {
        self.node(id).is_some_and(|node| node.alive)
    }

    /// The controller as clients see it: the first node alive.
    pub(crate) fn controller(&self) -> i32 {
        self.alive().next().map_or(-1, |node| node.id)
    }

    /// The node that coordinates `key` now.
    pub(crate) fn coordinator(&self, kind: i8, key: &str) -> Option<&Node> {
        if let Some(&id) = self.moved_coordinators.get(&(kind, key.to_owned())) {
            return self.node(id).filter(|node| node.alive);
        }
        let first = usize::try_from(coordinator_partition(key)).unwrap_or(0) % self.nodes.len().max(1);
        let order = self.nodes.iter().cycle().skip(first).take(self.nodes.len());
        order.into_iter().find(|node| node.alive)
    }

    /// Refuses requests that are denied, or that reached the wrong coordinator.
    pub(crate) fn check_coordinator(&self, call: &Call, kind: i8, key: &str) -> Result<(), ErrorCode> {
        call.may_coordinate(kind, key)?;
        match self.coordinator(kind, key) {
            None => Err(ErrorCode::CoordinatorNotAvailable),
            Some(coordinator) if coordinator.id == call.node => Ok(()),
            Some(_) => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Gives the coordination of `key` to `node`; `kind` as in FindCoordinator: 0 group, 1 transaction.
    pub fn move_coordinator(&mut self, kind: i8, key: &str, node: i32) {
        self.moved_coordinators.insert((kind, key.to_owned()), node);
        self.coordinator_epoch += 1;
    }

    /// Makes `node` the leader; it becomes a replica if it was none. False if there is no such partition or node.
    pub fn move_leader(&mut self, topic: &str, index: i32, node: i32) -> bool {
        if !self.is_alive(node) {
            return false;
        }
        let Some(partition) = self.partition_mut(topic, index) else { return false };
        if !partition.replicas.contains(&node) {
            let old = partition.leader.unwrap_or(-1);
            for replicas in [&mut partition.replicas, &mut partition.isr] {
                replicas.retain(|&replica| replica != old);
                replicas.insert(0, node);
            }
        } else if !partition.isr.contains(&node) {
            partition.isr.push(node);
        }
        lead(partition, Some(node));
        self.wake(topic, index);
        true
    }

    /// An election by hand: the preferred replica leads, or (`unclean`) any replica alive where nobody leads.
    pub(crate) fn elect(&mut self, topic: &str, index: i32, unclean: bool) -> Result<(), ErrorCode> {
        let alive: Vec<i32> = self.alive().map(|node| node.id).collect();
        let partition = self.partition_mut(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let next = if unclean {
            if partition.leader.is_some() {
                return Err(ErrorCode::ElectionNotNeeded);
            }
            let next = partition.replicas.iter().copied().find(|id| alive.contains(id));
            next.ok_or(ErrorCode::EligibleLeadersNotAvailable)?
        } else {
            let first = partition.replicas.first().copied();
            if first == partition.leader {
                return Err(ErrorCode::ElectionNotNeeded);
            }
            let ready = |id: &i32| alive.contains(id) && partition.isr.contains(id);
            first.filter(ready).ok_or(ErrorCode::PreferredLeaderNotAvailable)?
        };
        if unclean {
            partition.isr = vec![next];
        }
        lead(partition, Some(next));
        self.wake(topic, index);
        Ok(())
    }

    /// An unclean election: the batch with `offset`, and all after it, are lost.
    pub fn truncate(&mut self, topic: &str, index: i32, offset: i64) {
        if let Some(partition) = self.partition_mut(topic, index) {
            partition.log.truncate(offset);
            let leader = partition.leader;
            lead(partition, leader);
        }
        self.wake(topic, index);
    }

    /// Compacts a partition's log: of each key only the newest record stays.
    pub fn compact(&mut self, topic: &str, index: i32) {
        if let Some(partition) = self.partition_mut(topic, index) {
            partition.compact();
        }
    }

    /// Node `id` is gone: its partitions move to other in-sync replicas, or are without a leader.
    pub fn node_died(&mut self, id: i32) {
        self.mark(id, false);
        self.coordinator_epoch += 1;
        self.sessions.forget_node(id);
        self.settle_all();
    }

    /// Node `id` is back and in sync.
    pub fn node_returned(&mut self, id: i32) {
        self.mark(id, true);
        self.settle_all();
    }

    fn mark(&mut self, id: i32, alive: bool) {
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id == id) {
            node.alive = alive;
        }
    }

    fn settle_all(&mut self) {
        let names: Vec<String> = self.topics.keys().cloned().collect();
        for name in &names {
            self.settle_leaders(name);
        }
    }

    /// Brings in-sync replicas and leaders of a topic in line with the nodes that are alive.
    pub(crate) fn settle_leaders(&mut self, topic: &str) {
        let alive: Vec<i32> = self.alive().map(|node| node.id).collect();
        let Some(topic_state) = self.topics.get_mut(topic) else { return };
        let mut changed = Vec::new();
        for partition in &mut topic_state.partitions {
            if settle(partition, &alive) {
                changed.push(partition.index);
            }
        }
        for index in changed {
            self.wake(topic, index);
        }
    }
}

fn settle(partition: &mut Partition, alive: &[i32]) -> bool {
    let live_isr: Vec<i32> = partition.isr.iter().copied().filter(|id| alive.contains(id)).collect();
    // The last in-sync replica stays in the set even when it dies: only it may lead again without loss.
    if !live_isr.is_empty() {
        partition.isr = live_isr;
        let back = |id: &&i32| alive.contains(id) && !partition.isr.contains(id);
        let returning: Vec<i32> = partition.replicas.iter().filter(back).copied().collect();
        partition.isr.extend(returning);
    }
    if partition.leader.is_some_and(|leader| alive.contains(&leader)) {
        return false;
    }
    let next = partition.replicas.iter().copied().find(|id| partition.isr.contains(id) && alive.contains(id));
    if next == partition.leader {
        return false;
    }
    lead(partition, next);
    true
}

fn lead(partition: &mut Partition, leader: Option<i32>) {
    partition.leader = leader;
    partition.leader_epoch += 1;
    if leader.is_some() {
        let end = partition.log.next_offset();
        partition.log.epochs.assign(partition.leader_epoch, end);
    }
}

#[cfg(test)]
mod tests {
    use super::super::producers::SequenceRules;
    use super::*;

    fn partition(replicas: &[i32]) -> Partition {
        let rules = SequenceRules { unknown_producer_may_start_anywhere: true, old_duplicate_is_46: false };
        Partition::new(0, replicas.to_vec(), rules)
    }

    #[test]
    fn coordinator_partition_is_javas_string_hash() {
        // "a".hashCode() = 97, "payments".hashCode() = 1382682413, "polygenelubricants".hashCode() = i32::MIN.
        assert_eq!(coordinator_partition("a"), 97 % 50);
        assert_eq!(coordinator_partition("payments"), 1_382_682_413 % 50);
        assert_eq!(coordinator_partition("polygenelubricants"), 0);
    }

    #[test]
    fn leader_moves_to_an_in_sync_replica_with_a_newer_epoch() {
        let mut moved = partition(&[0, 1, 2]);
        assert!(settle(&mut moved, &[1, 2]));
        assert_eq!((moved.leader, moved.leader_epoch, moved.isr.clone()), (Some(1), 1, vec![1, 2]));
        assert!(!settle(&mut moved, &[0, 1, 2]));
        assert_eq!((moved.leader, moved.isr), (Some(1), vec![1, 2, 0]));
    }

    #[test]
    fn last_in_sync_replica_leads_again_after_its_return() {
        let mut lonely = partition(&[0]);
        assert!(settle(&mut lonely, &[1, 2]));
        assert_eq!((lonely.leader, lonely.isr.clone()), (None, vec![0]));
        assert!(settle(&mut lonely, &[0, 1, 2]));
        assert_eq!((lonely.leader, lonely.leader_epoch), (Some(0), 2));
    }
}
