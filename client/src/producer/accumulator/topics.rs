//! What the metadata says of the topics that records wait for: partitions, leaders, racks, ids; and topics that left it.
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::{PartitionKey, PartitionQueue, RecordAccumulator, TopicQueues};
use crate::metadata::{ClusterSnapshot, Topic};
use crate::producer::batch::ProducerBatch;
use crate::producer::partitioner::StickyPartition;
use crate::types::{BrokerId, ProducerIdAndEpoch};

impl RecordAccumulator {
    /// Takes over the partitions of a topic.
    pub(crate) fn update_topic(&mut self, topic: &Topic) {
        let index = *self.by_name.entry(Arc::clone(&topic.name)).or_insert_with(|| {
            if let Some(index) = self.dormant.remove(&topic.name) {
                return index;
            }
            let queues = TopicQueues {
                name: Arc::clone(&topic.name),
                id: Uuid::nil(),
                sticky: StickyPartition::default(),
                partitions: Vec::new(),
            };
            self.topics.push(queues);
            self.topics.len() - 1
        });
        let count = topic.partitions.iter().filter_map(|p| usize::try_from(p.index).ok()).max().map_or(0, |p| p + 1);
        if let Some(id) = topic.id {
            self.update_id(index, id, count);
        }
        let queues = &mut self.topics[index].partitions;
        while queues.len() < count {
            queues.push(PartitionQueue::default());
        }
        for partition in &topic.partitions {
            if let Some(queue) = usize::try_from(partition.index).ok().and_then(|i| queues.get_mut(i)) {
                queue.leader = partition.leader;
            }
        }
    }

    /// Takes over the id of a topic. Under another id it is another topic, whose log knows none of our sequences. It may have
    /// fewer partitions. Batches go to it as well, for their sender named a topic and no id, but for those that it may
    /// have got already: from an attempt by name.
    fn update_id(&mut self, index: usize, id: Uuid, partitions: usize) {
        let topic = &mut self.topics[index];
        let old = std::mem::replace(&mut topic.id, id);
        if old.is_nil() || old == id {
            return;
        }
        for (partition, queue) in topic.partitions.iter_mut().enumerate() {
            queue.sequence.restart(ProducerIdAndEpoch::NONE);
            for mut batch in std::mem::take(&mut queue.batches) {
                if batch.is_ambiguous || partition >= partitions {
                    self.orphans.push(batch);
                } else {
                    batch.move_to(id);
                    queue.batches.push_back(batch);
                }
            }
            if queue.batches.is_empty() {
                self.active.remove(&PartitionKey { topic: index, partition });
            }
        }
        topic.partitions.truncate(partitions);
    }

    /// Lets a batch for an old topic go to the one that has its name now, unless that may have it, or has no such partition.
    pub(crate) fn adopt(&mut self, batch: &mut ProducerBatch) -> bool {
        let is_adopted = !batch.is_ambiguous && self.queue(batch.key).is_some();
        if is_adopted {
            batch.move_to(self.topic_id(batch.key));
        }
        is_adopted
    }

    /// Whether the batch was made for a topic that was deleted and created again.
    pub(crate) fn is_orphan(&self, batch: &ProducerBatch) -> bool {
        let now = self.topic_id(batch.key);
        !batch.topic_id.is_nil() && !now.is_nil() && batch.topic_id != now
    }

    pub(super) fn topic_id(&self, key: PartitionKey) -> Uuid {
        self.topics.get(key.topic).map_or(Uuid::nil(), |topic| topic.id)
    }

    /// Takes over the leaders, if `snapshot` is news.
    pub(crate) fn update_leaders(&mut self, snapshot: &ClusterSnapshot) {
        if self.generation == snapshot.generation() {
            return;
        }
        self.generation = snapshot.generation();
        let names: Vec<_> = self.by_name.keys().map(Arc::clone).collect();
        for name in names.iter().filter(|name| snapshot.topic(name).is_none()) {
            self.send_to_sleep(name);
        }
        for topic in names.iter().filter_map(|name| snapshot.topic(name)).filter(|t| t.error.is_none()) {
            self.update_topic(topic);
        }
        self.update_racks(snapshot);
    }

    /// The topic is not in the metadata: the next record asks for it, once nothing waits for its partitions.
    fn send_to_sleep(&mut self, name: &Arc<str>) {
        let Some(index) = self.by_name.get(name).copied() else { return };
        if !self.active.iter().any(|key| key.topic == index) {
            self.by_name.remove(name);
            self.dormant.insert(Arc::clone(name), index);
            // The topic of the last record is found without its name.
            self.last = usize::MAX;
        }
    }

    /// The topics that batches wait for.
    pub(crate) fn active_topics(&self) -> BTreeSet<Arc<str>> {
        let name = |key: &PartitionKey| self.topics.get(key.topic).map(|t| Arc::clone(&t.name));
        self.active.iter().filter_map(name).collect()
    }

    /// Takes over which leaders are in our rack.
    pub(crate) fn update_racks(&mut self, snapshot: &ClusterSnapshot) {
        let Some(rack) = &self.rack else { return };
        let near: HashSet<BrokerId> =
            snapshot.brokers().filter(|b| b.rack.as_ref() == Some(rack)).map(|b| b.id).collect();
        for queue in self.topics.iter_mut().flat_map(|t| &mut t.partitions) {
            queue.near = queue.leader.is_some_and(|leader| near.contains(&leader));
        }
    }
}
