//! Records that wait to be sent, in batches by partition.
mod describe;
mod topics;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::availability::Availability;
use super::batch::{BatchNumber, ProducerBatch, nth};
use super::delivery::Delivery;
use super::partitioner::{Load, Partitioner, StickyPartition, chosen, estimated_size, partition_of_key};
use super::record::ProducerRecord;
use super::sequence::{Mode, PartitionSequence};
use crate::error::{Error, Result};
use crate::types::{BrokerId, ProducerIdAndEpoch, TopicPartition};
use uuid::Uuid;

/// Buffers kept for the next batches.
const SPARE_BUFFERS: usize = 64;

/// A partition by its place in the accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionKey {
    pub(crate) topic: usize,
    pub(crate) partition: usize,
}

/// The settings that it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) linger: Duration,
    pub(crate) batch_size: usize,
    pub(crate) memory: usize,
    pub(crate) max_request_size: usize,
    pub(crate) ignore_keys: bool,
    /// Records without a key go less often where batches queue up.
    pub(crate) adaptive: bool,
    /// They keep away from brokers that took nothing for so long; zero: they do not.
    pub(crate) availability_timeout: Duration,
    pub(crate) mode: Mode,
}

/// What became of a record.
#[derive(Debug)]
pub(crate) enum Appended {
    /// It is in a batch. `wake`: there is something new for the sender.
    Done { delivery: Delivery, wake: bool },
    /// The topic is not known yet, or does not have this partition.
    UnknownPartition,
    /// There is no memory for a new batch.
    NoMemory,
}

/// Whether records are taken at all.
#[derive(Debug)]
pub(crate) enum Gate {
    Open,
    Shut(Error),
}

/// Whether a partition is part of the transaction (transaction version 1 sends only to partitions that are).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    None,
    Wanted,
    Added,
}

#[derive(Debug)]
pub(crate) struct RecordAccumulator {
    limits: Limits,
    topics: Vec<TopicQueues>,
    by_name: HashMap<Arc<str>, usize>,
    /// Topics that metadata no longer has: their sequences are kept, their partitions have to be asked for.
    dormant: HashMap<Arc<str>, usize>,
    pub(crate) availability: Availability,
    /// The topic of the last record: most producers write to one.
    last: usize,
    active: BTreeSet<PartitionKey>,
    free: usize,
    waiting: VecDeque<u64>,
    next_ticket: u64,
    spare: Vec<Vec<u8>>,
    /// How many batches were begun.
    begun: u64,
    incomplete: BTreeSet<BatchNumber>,
    /// Batches below this number do not linger.
    flush_below: BatchNumber,
    pub(crate) gate: Gate,
    pub(crate) new_members: Vec<PartitionKey>,
    /// Batches for topics that were deleted and created again since.
    pub(crate) orphans: Vec<ProducerBatch>,
    rng: fastrand::Rng,
    generation: u64,
    pub(crate) partitioner: Partitioner,
    /// Leaders in this rack get the records without a key (KIP-1123).
    pub(crate) rack: Option<String>,
}

#[derive(Debug)]
struct TopicQueues {
    name: Arc<str>,
    /// Nil where brokers have no ids.
    id: Uuid,
    sticky: StickyPartition,
    partitions: Vec<PartitionQueue>,
}

/// The batches of one partition.
#[derive(Debug)]
pub(crate) struct PartitionQueue {
    batches: VecDeque<ProducerBatch>,
    pub(crate) sequence: PartitionSequence,
    pub(crate) membership: Membership,
    leader: Option<BrokerId>,
    near: bool,
}

impl RecordAccumulator {
    pub(crate) fn new(limits: Limits, rng: fastrand::Rng) -> Self {
        Self {
            limits,
            topics: Vec::new(),
            by_name: HashMap::new(),
            dormant: HashMap::new(),
            availability: Availability::new(limits.availability_timeout),
            last: 0,
            active: BTreeSet::new(),
            free: limits.memory,
            waiting: VecDeque::new(),
            next_ticket: 0,
            spare: Vec::new(),
            begun: 0,
            incomplete: BTreeSet::new(),
            flush_below: 0,
            gate: Gate::Open,
            new_members: Vec::new(),
            orphans: Vec::new(),
            rng,
            generation: 0,
            partitioner: Partitioner::BuiltIn,
            rack: None,
        }
    }

    /// The brokers know no idempotence: it is done without.
    pub(crate) fn follow_mode(&mut self, mode: Mode) {
        self.limits.mode = mode;
    }

    /// Appends a record to the last batch of its partition, or to a new one. `now` is only read for a new one.
    #[inline]
    pub(crate) fn append(
        &mut self,
        now: impl FnOnce() -> Instant,
        timestamp: i64,
        record: &ProducerRecord<'_>,
        ticket: Option<u64>,
    ) -> Result<Appended> {
        if let Gate::Shut(error) = &self.gate {
            return Err(error.clone());
        }
        let Some(key) = self.partition_for(record)? else { return Ok(Appended::UnknownPartition) };
        let limit = self.limits.batch_size.max(1);
        if self.limits.mode == Mode::Transactional {
            self.want_membership(key);
        }
        let Some(queue) = self.queue(key) else { return Ok(Appended::UnknownPartition) };
        if let Some(last) = queue.batches.back_mut()
            && let Some(delivery) = last.try_append(limit, timestamp, record.key, record.value, record.headers)
        {
            let wake = last.is_full(limit);
            self.appended(key, record, wake);
            return Ok(Appended::Done { delivery, wake });
        }
        self.append_to_new_batch(now(), timestamp, record, key, ticket)
    }

    fn append_to_new_batch(
        &mut self,
        now: Instant,
        timestamp: i64,
        record: &ProducerRecord<'_>,
        key: PartitionKey,
        ticket: Option<u64>,
    ) -> Result<Appended> {
        let size = self.limits.batch_size.max(upper_bound(record));
        // Whoever waits comes first.
        let is_first = self.waiting.front().is_none_or(|front| ticket == Some(*front));
        if size > self.free || !is_first {
            return Ok(Appended::NoMemory);
        }
        self.free -= size;
        let buffer = match self.spare.pop() {
            Some(buffer) if buffer.capacity() >= size => buffer,
            _ => Vec::with_capacity(size),
        };
        let number = nth(self.begun);
        self.begun += 1;
        let topic_partition = self.topic_partition(key);
        let mut batch = ProducerBatch::new(number, (key, topic_partition), now, buffer, size);
        batch.topic_id = self.topic_id(key);
        let limit = self.limits.batch_size.max(1);
        let Some(delivery) = batch.try_append(limit, timestamp, record.key, record.value, record.headers) else {
            return Err(Error::Misuse { reason: "a new batch did not take its first record".to_owned() });
        };
        let full = batch.is_full(limit);
        if let Some(queue) = self.queue(key) {
            queue.batches.push_back(batch);
        }
        self.incomplete.insert(number);
        self.active.insert(key);
        self.appended(key, record, full);
        Ok(Appended::Done { delivery, wake: true })
    }

    fn want_membership(&mut self, key: PartitionKey) {
        if let Some(queue) = self.queue(key).filter(|q| q.membership == Membership::None) {
            queue.membership = Membership::Wanted;
            self.new_members.push(key);
        }
    }

    #[inline]
    fn appended(&mut self, key: PartitionKey, record: &ProducerRecord<'_>, full: bool) {
        if record.partition.is_none() && (record.key.is_none() || self.limits.ignore_keys) {
            let bytes = estimated_size(record.key, record.value, record.headers);
            if let Some(topic) = self.topics.get_mut(key.topic) {
                topic.sticky.appended(bytes, self.limits.batch_size, !full);
            }
        }
    }

    fn partition_for(&mut self, record: &ProducerRecord<'_>) -> Result<Option<PartitionKey>> {
        if self.topics.get(self.last).is_none_or(|t| *t.name != *record.topic) {
            let Some(known) = self.by_name.get(record.topic) else { return Ok(None) };
            self.last = *known;
        }
        let topic = self.last;
        let Some(queues) = self.topics.get_mut(topic) else { return Ok(None) };
        let count = queues.partitions.len();
        let partition = match (record.partition, record.key, &self.partitioner) {
            (Some(partition), ..) => match usize::try_from(partition) {
                Ok(partition) if partition < count => partition,
                _ => return Ok(None),
            },
            _ if count == 0 => return Ok(None),
            (None, _, Partitioner::Custom(partitioner)) => chosen(&**partitioner, record, count)?,
            (None, Some(key), _) if !self.limits.ignore_keys => partition_of_key(key, count),
            _ => {
                let TopicQueues { sticky, partitions, .. } = queues;
                let adaptive = self.limits.adaptive.then_some(&self.availability);
                sticky.choose(&mut self.rng, count, |i| partitions.get(i).map_or(UNAVAILABLE, |p| p.load(adaptive)))
            }
        };
        Ok(Some(PartitionKey { topic, partition }))
    }

    /// Bytes that are free, and how many wait for some.
    pub(crate) fn memory(&self) -> (usize, usize) {
        (self.free, self.waiting.len())
    }

    /// Takes a place in the line for memory.
    pub(crate) fn wait_for_memory(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back(ticket);
        ticket
    }

    /// Leaves the line.
    pub(crate) fn stop_waiting(&mut self, ticket: u64) {
        self.waiting.retain(|waiting| *waiting != ticket);
    }

    /// Batches that began before now do not linger; the number that they are below.
    pub(crate) fn flush(&mut self) -> BatchNumber {
        self.flush_below = nth(self.begun);
        self.flush_below
    }

    /// No batch below `number` is without outcome.
    pub(crate) fn is_flushed(&self, number: BatchNumber) -> bool {
        self.incomplete.first().is_none_or(|first| *first >= number)
    }

    /// No batch is without outcome.
    pub(crate) fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    pub(crate) fn queue(&mut self, key: PartitionKey) -> Option<&mut PartitionQueue> {
        self.topics.get_mut(key.topic)?.partitions.get_mut(key.partition)
    }

    pub(crate) fn queues(&mut self) -> impl Iterator<Item = &mut PartitionQueue> {
        self.topics.iter_mut().flat_map(|t| t.partitions.iter_mut())
    }

    pub(crate) fn topic_partition(&self, key: PartitionKey) -> TopicPartition {
        let name = self.topics.get(key.topic).map_or_else(|| Arc::from(""), |t| Arc::clone(&t.name));
        TopicPartition { topic: name, partition: i32::try_from(key.partition).unwrap_or(i32::MAX) }
    }

    /// What can be sent now, by broker: at most one batch of each partition. Also when to look again, and whether a
    /// leader is missing.
    pub(crate) fn ready(&mut self, now: Instant, id: ProducerIdAndEpoch, needs_membership: bool) -> Ready {
        let mut ready = Ready::default();
        let hurry = !self.waiting.is_empty();
        if self.availability.is_watched() {
            let leader = |key: &PartitionKey| self.topics.get(key.topic)?.partitions.get(key.partition)?.leader;
            let leaders: BTreeSet<_> = self.active.iter().filter_map(leader).collect();
            self.availability.keep(|broker| leaders.contains(&broker));
        }
        for key in &self.active {
            let Some(queue) = self.topics.get(key.topic).and_then(|t| t.partitions.get(key.partition)) else {
                continue;
            };
            let Some(first) = queue.batches.front() else { continue };
            let Some(leader) = queue.leader else {
                ready.leader_is_missing = true;
                continue;
            };
            if needs_membership && queue.membership != Membership::Added {
                continue;
            }
            let limits = &self.limits;
            let full = queue.batches.len() > 1 || first.is_full(limits.batch_size);
            let due = match first.retry_at {
                Some(at) => at,
                None if full || hurry || first.number < self.flush_below => now,
                None => first.created + limits.linger,
            };
            if due > now {
                ready.look_again(due);
            } else if queue.sequence.may_send(first, limits.mode, id) {
                ready.brokers.entry(leader).or_default().push(*key);
            }
        }
        ready
    }

    /// Takes the first batches of these partitions for one request, as many as it holds.
    pub(crate) fn drain(&mut self, keys: &mut Vec<PartitionKey>, id: ProducerIdAndEpoch) -> Vec<ProducerBatch> {
        let mode = self.limits.mode;
        let max = self.limits.max_request_size;
        let mut size = 0;
        let mut batches = Vec::with_capacity(keys.len());
        while let Some(key) = keys.pop() {
            let Some(queue) = self.queue(key) else { continue };
            let Some(first) = queue.batches.front() else { continue };
            if !batches.is_empty() && size + first.len() > max {
                keys.push(key);
                break;
            }
            let Some(mut batch) = queue.batches.pop_front() else { continue };
            size += batch.len();
            queue.sequence.assign(&mut batch, mode, id);
            batch.attempts += 1;
            batch.retry_at = None;
            if queue.batches.is_empty() {
                self.active.remove(&key);
            }
            batches.push(batch);
        }
        batches
    }

    /// Puts a batch back to be sent again, in its order.
    pub(crate) fn reenqueue(&mut self, batch: ProducerBatch) {
        let key = batch.key;
        self.active.insert(key);
        if let Some(queue) = self.queue(key) {
            let place = queue.batches.iter().position(|b| b.number > batch.number).unwrap_or(queue.batches.len());
            queue.batches.insert(place, batch);
        }
    }

    /// Puts the parts of a batch in its place.
    pub(crate) fn replace(&mut self, number: BatchNumber, parts: Vec<ProducerBatch>) {
        self.incomplete.remove(&number);
        for part in parts {
            self.incomplete.insert(part.number);
            self.reenqueue(part);
        }
    }

    /// The batch has its outcome and no write holds its bytes: its memory is free again.
    pub(crate) fn release(&mut self, batch: ProducerBatch) {
        self.incomplete.remove(&batch.number);
        self.free += batch.memory;
        if self.spare.len() < SPARE_BUFFERS
            && let Some(buffer) = batch.into_buffer()
            && buffer.capacity() <= self.limits.batch_size + buffer.capacity() / 8
        {
            self.spare.push(buffer);
        }
    }

    /// Takes out the batches for which `which` holds.
    pub(crate) fn extract(&mut self, which: impl Fn(&ProducerBatch) -> bool) -> Vec<ProducerBatch> {
        let mut taken = Vec::new();
        for key in self.active.clone() {
            let Some(queue) = self.queue(key) else { continue };
            if !queue.batches.iter().any(&which) {
                continue;
            }
            for batch in std::mem::take(&mut queue.batches) {
                if which(&batch) { taken.push(batch) } else { queue.batches.push_back(batch) }
            }
            if queue.batches.is_empty() {
                self.active.remove(&key);
            }
        }
        taken
    }

    /// What waits for `leader`, or for anything, says why when its time has passed.
    pub(crate) fn explain_wait(&mut self, leader: Option<BrokerId>, error: &Error) {
        for key in &self.active {
            let queue = self.topics.get_mut(key.topic).and_then(|t| t.partitions.get_mut(key.partition));
            let Some(queue) = queue.filter(|q| leader.is_none() || q.leader == leader) else { continue };
            queue.batches.iter_mut().for_each(|batch| batch.last_error = Some(error.clone()));
        }
    }

    /// The oldest batch that waits began then.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let front = |key: &PartitionKey| self.topics.get(key.topic)?.partitions.get(key.partition)?.batches.front();
        self.active.iter().filter_map(front).map(|b| b.created).min()
    }
}

/// What a pass of the sender finds.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    pub(crate) brokers: BTreeMap<BrokerId, Vec<PartitionKey>>,
    pub(crate) next: Option<Instant>,
    pub(crate) leader_is_missing: bool,
}

impl Ready {
    fn look_again(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

const UNAVAILABLE: Load = Load { available: false, near: false, queued: 0 };

impl PartitionQueue {
    fn load(&self, adaptive: Option<&Availability>) -> Load {
        let queued = if adaptive.is_some() { self.batches.len() } else { 0 };
        let is_shunned = |leader| adaptive.is_some_and(|availability| availability.is_shunned(leader));
        Load { available: self.leader.is_some_and(|leader| !is_shunned(leader)), near: self.near, queued }
    }

    /// Takes away the identities of batches that wait, so that they get new ones. Returns those that may be in the log
    /// already: they would be doubled.
    pub(crate) fn renumber(&mut self) -> Vec<ProducerBatch> {
        let mut ambiguous = Vec::new();
        for mut batch in std::mem::take(&mut self.batches) {
            if batch.stamp.is_some() && batch.is_ambiguous {
                ambiguous.push(batch);
            } else {
                batch.stamp = None;
                self.batches.push_back(batch);
            }
        }
        ambiguous
    }
}

impl Default for PartitionQueue {
    fn default() -> Self {
        Self {
            batches: VecDeque::new(),
            sequence: PartitionSequence::default(),
            membership: Membership::None,
            leader: None,
            near: false,
        }
    }
}

/// The most bytes that a batch of this record alone takes (`DefaultRecordBatch.estimateBatchSizeUpperBound`).
pub(crate) fn upper_bound(record: &ProducerRecord<'_>) -> usize {
    let bytes = |b: Option<&[u8]>| 5 + b.map_or(0, <[u8]>::len);
    let headers = record.headers.iter().map(|h| 5 + h.key.len() + bytes(h.value)).sum::<usize>();
    61 + 21 + bytes(record.key) + bytes(record.value) + headers
}

#[cfg(test)]
#[path = "accumulator_tests.rs"]
mod tests;
