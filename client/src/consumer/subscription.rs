//! Which partitions are read, from where, and what waits for `poll`.
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use ottla_protocol::ErrorCode;
use uuid::Uuid;

use super::completed_fetch::{CompletedFetch, FetchPosition};
use super::config::AutoOffsetReset;
use super::metrics::ConsumerPartitionMetrics;
use crate::admin::OffsetSpec;
use crate::backoff::ExponentialBackoff;
use crate::error::{Action, Context, Error, Remedy, action};
use crate::types::{BrokerId, IsolationLevel, TopicPartition};

/// Where to begin reading a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartOffset {
    /// At this offset; with the leader epoch of the record before it, truncation is found.
    At(i64, Option<i32>),
    /// At the first record there is.
    Earliest,
    /// After the last record there is.
    Latest,
    /// At the first record that is not older than this time in milliseconds since the epoch; where there is none, at the
    /// end.
    Timestamp(i64),
}

/// Failures that wait to be told; the oldest go first.
const MAX_ERRORS: usize = 64;
/// Data of one partition that may wait for `poll` while more is fetched, in fetches.
const FETCHES_AHEAD: usize = 2;

#[derive(Debug)]
pub(crate) struct SubscriptionState {
    pub(super) partitions: BTreeMap<TopicPartition, Assigned>,
    buffer: VecDeque<CompletedFetch>,
    pub(super) buffered_bytes: usize,
    pub(super) budget: usize,
    pub(super) errors: VecDeque<Error>,
    pub(super) next_stamp: u64,
    pub(super) reset: AutoOffsetReset,
    isolation_level: IsolationLevel,
    backoff: ExponentialBackoff,
    rng: fastrand::Rng,
    /// The snapshot that all partitions were compared with.
    pub(super) followed: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Assigned {
    /// Changes whenever the position does other than by reading: what was asked for under another is dropped.
    pub(super) stamp: u64,
    pub(super) place: Place,
    pub(super) is_paused: bool,
    /// The broker that was asked for it and has not answered. When another one leads by then, it is asked at once.
    pub(super) in_flight: Option<BrokerId>,
    pub(super) is_looked_up: bool,
    /// Fetches in the buffer.
    pub(super) buffered: usize,
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    /// What was told of it, and has not been cured since.
    pub(super) told: Option<String>,
    /// The replica that the leader wants it to be read from (KIP-392), and until when.
    pub(super) preferred: Option<(BrokerId, Instant)>,
    pub(super) high_watermark: i64,
    pub(super) last_stable_offset: Option<i64>,
    pub(super) log_start_offset: Option<i64>,
    /// The topic that the position is of, as soon as it was read from: one of the same name may come after it.
    pub(super) topic_id: Option<Uuid>,
    /// Since when the cluster does not have its topic any more.
    pub(super) gone: Option<Instant>,
    /// For long enough to believe it: nothing is asked of it until it is there again.
    pub(super) is_given_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Not known yet: looked up.
    Wanted(OffsetSpec),
    Known {
        /// What `poll` has delivered up to.
        position: FetchPosition,
        /// Where the next fetch begins; ahead of `position` by what is buffered.
        fetch_at: FetchPosition,
    },
    /// There is no policy for where it got lost; waits for a seek.
    Lost,
}

/// One partition of a fetch that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetchable {
    pub(crate) topic_partition: TopicPartition,
    pub(crate) stamp: u64,
    pub(crate) from: FetchPosition,
}

impl SubscriptionState {
    pub(crate) fn new(
        (reset, isolation_level, budget): (AutoOffsetReset, IsolationLevel, usize),
        backoff: ExponentialBackoff,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            partitions: BTreeMap::new(),
            buffer: VecDeque::new(),
            buffered_bytes: 0,
            budget,
            errors: VecDeque::new(),
            next_stamp: 1,
            reset,
            isolation_level,
            backoff,
            rng,
            followed: None,
        }
    }

    // The application's side.

    /// Begins to read a partition. One that is read already goes on from `start`.
    pub(crate) fn add(&mut self, partition: TopicPartition, start: StartOffset) {
        self.drop_buffered(&partition);
        let known = self.partitions.get(&partition);
        let (in_flight, is_paused) = known.map_or((None, false), |k| (k.in_flight, k.is_paused));
        let assigned = Assigned {
            stamp: self.next_stamp,
            place: place_of(start),
            is_paused,
            in_flight,
            is_looked_up: false,
            buffered: 0,
            failures: 0,
            retry_at: None,
            told: None,
            preferred: None,
            high_watermark: -1,
            last_stable_offset: None,
            log_start_offset: None,
            topic_id: None,
            gone: None,
            is_given_up: false,
        };
        self.next_stamp += 1;
        self.followed = None;
        self.partitions.insert(partition, assigned);
    }

    /// Reads a partition no more. Whether it was read.
    pub(crate) fn remove(&mut self, partition: &TopicPartition) -> bool {
        self.drop_buffered(partition);
        self.partitions.remove(partition).is_some()
    }

    /// Whether any partition of the topic is read.
    pub(crate) fn reads(&self, topic: &Arc<str>) -> bool {
        let first = TopicPartition::new(Arc::clone(topic), i32::MIN);
        self.partitions.range(first..).next().is_some_and(|(partition, _)| partition.topic == *topic)
    }

    pub(crate) fn assignment(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    pub(crate) fn is_assigned(&self, partition: &TopicPartition) -> bool {
        self.partitions.contains_key(partition)
    }

    pub(crate) fn position(&self, partition: &TopicPartition) -> Option<FetchPosition> {
        self.partitions.get(partition)?.position()
    }

    /// How far the end is; `None` before the first fetch.
    pub(crate) fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(partition)?.lag(self.isolation_level)
    }

    /// Where each partition is, in their order.
    pub(crate) fn partition_metrics(&self, now: Instant) -> Vec<(TopicPartition, ConsumerPartitionMetrics)> {
        let of = |(partition, assigned): (&TopicPartition, &Assigned)| {
            let position = assigned.position().map(|position| position.offset);
            let lead = position.zip(assigned.log_start_offset).map(|(at, start)| (at - start).max(0));
            let preferred = assigned.preferred.filter(|(_, until)| *until > now).map(|(replica, _)| replica);
            let metrics = ConsumerPartitionMetrics {
                records_lag: assigned.lag(self.isolation_level),
                records_lead: lead,
                preferred_read_replica: preferred,
            };
            (partition.clone(), metrics)
        };
        self.partitions.iter().map(of).collect()
    }

    /// Paused partitions keep what is buffered, and deliver nothing.
    pub(crate) fn pause(&mut self, partition: &TopicPartition, is_paused: bool) {
        if let Some(assigned) = self.partitions.get_mut(partition) {
            assigned.is_paused = is_paused;
        }
    }

    pub(super) fn drop_buffered(&mut self, partition: &TopicPartition) {
        let buffered = &mut self.buffered_bytes;
        self.buffer.retain(|fetch| {
            let keep = fetch.topic_partition != *partition;
            if !keep {
                *buffered -= fetch.size();
            }
            keep
        });
    }

    /// The next `poll` says this.
    pub(crate) fn tell(&mut self, error: Error) {
        if self.errors.len() == MAX_ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back(error);
    }

    /// The next failure to be told.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.errors.pop_front()
    }

    /// The next data to be delivered, and the position it has to begin at.
    pub(crate) fn pop(&mut self) -> Option<(CompletedFetch, FetchPosition)> {
        let mut at = 0;
        while let Some(fetch) = self.buffer.get(at) {
            let assigned = self.partitions.get(&fetch.topic_partition);
            match assigned.filter(|a| a.stamp == fetch.stamp).map(|a| (a.is_paused, a.place)) {
                Some((false, Place::Known { position, .. })) => {
                    let fetch = self.buffer.remove(at)?;
                    self.buffered_bytes -= fetch.size();
                    return Some((fetch, position));
                }
                Some((true, _)) => at += 1,
                _ => {
                    let stale = self.buffer.remove(at)?;
                    self.buffered_bytes -= stale.size();
                }
            }
        }
        None
    }

    /// Data was taken out of `fetch`, and `rest` of it is left. `false`: a seek or another assignment came between, and
    /// what was taken has to be dropped.
    pub(crate) fn delivered(&mut self, fetch: CompletedFetch, next: FetchPosition) -> bool {
        let assigned = self.partitions.get_mut(&fetch.topic_partition);
        let Some(assigned) = assigned.filter(|a| a.stamp == fetch.stamp) else { return false };
        if let Place::Known { position, .. } = &mut assigned.place {
            *position = next;
        }
        if fetch.is_exhausted() {
            assigned.buffered = assigned.buffered.saturating_sub(1);
        } else {
            self.buffered_bytes += fetch.size();
            self.buffer.push_front(fetch);
        }
        true
    }

    // The fetcher's side.

    /// What can be fetched now from each broker, whether leaders are missing, and when to look again. `reader` names the
    /// broker to read a partition from, given the replica that is preferred. Partitions come in their order.
    pub(crate) fn fetchable(
        &self,
        now: Instant,
        mut reader: impl FnMut(&TopicPartition, Option<BrokerId>) -> Option<BrokerId>,
    ) -> Plan {
        let mut plan = Plan::default();
        let is_full = self.room() == 0;
        for (partition, assigned) in &self.partitions {
            if assigned.is_given_up {
                plan.leader_is_missing = true;
                continue;
            }
            if let Some(at) = assigned.retry_at.filter(|at| *at > now) {
                plan.look_again = Some(plan.look_again.map_or(at, |earlier| earlier.min(at)));
                continue;
            }
            let preferred = assigned.preferred.filter(|(_, until)| *until > now).map(|(replica, _)| replica);
            let Some(broker) = reader(partition, preferred) else {
                plan.leader_is_missing = true;
                continue;
            };
            match assigned.place {
                Place::Wanted(spec) if !assigned.is_looked_up => {
                    plan.lookups.push((partition.clone(), assigned.stamp, spec));
                }
                Place::Known { fetch_at, .. } if assigned.in_flight != Some(broker) && !assigned.is_paused => {
                    let fetches = plan.fetches.entry(broker).or_default();
                    if is_full || assigned.buffered >= FETCHES_AHEAD {
                        fetches.left_out = true;
                    } else {
                        let (topic_partition, stamp) = (partition.clone(), assigned.stamp);
                        fetches.partitions.push(Fetchable { topic_partition, stamp, from: fetch_at });
                    }
                }
                _ => {}
            }
        }
        plan
    }

    /// Bytes that may still be buffered. What waits of paused partitions does not count: the others are not to be held up
    /// by it, and no more of it is fetched.
    pub(crate) fn room(&self) -> usize {
        let is_paused = |tp: &TopicPartition| self.partitions.get(tp).is_some_and(|a| a.is_paused);
        let parked: usize =
            self.buffer.iter().filter(|f| is_paused(&f.topic_partition)).map(CompletedFetch::size).sum();
        self.budget.saturating_sub(self.buffered_bytes.saturating_sub(parked))
    }

    /// A broker was asked for a partition.
    pub(crate) fn asked(&mut self, partition: &TopicPartition, broker: BrokerId) {
        if let Some(assigned) = self.partitions.get_mut(partition) {
            assigned.in_flight = Some(broker);
        }
    }

    /// The broker answered, or never will. `false`: another one was asked since, and the answer is of no interest.
    pub(crate) fn answered(&mut self, partition: &TopicPartition, broker: BrokerId) -> bool {
        self.partitions.get_mut(partition).is_some_and(|a| a.in_flight.take_if(|asked| *asked == broker).is_some())
    }

    /// A lookup began or ended.
    pub(crate) fn set_looked_up(&mut self, partition: &TopicPartition, stamp: u64, is_looked_up: bool) {
        if let Some(assigned) = self.partitions.get_mut(partition).filter(|a| a.stamp == stamp) {
            assigned.is_looked_up = is_looked_up;
        }
    }

    /// A broker has read the topic of this id at the position.
    pub(crate) fn read_from(&mut self, partition: &TopicPartition, stamp: u64, topic_id: Uuid) {
        if let Some(assigned) = self.partitions.get_mut(partition).filter(|a| a.stamp == stamp && !topic_id.is_nil()) {
            assigned.topic_id = Some(topic_id);
        }
    }

    /// The leader wants this partition to be read from `replica` until then.
    pub(crate) fn prefer(&mut self, partition: &TopicPartition, stamp: u64, replica: BrokerId, until: Instant) {
        if let Some(assigned) = self.partitions.get_mut(partition).filter(|a| a.stamp == stamp) {
            assigned.preferred = Some((replica, until));
        }
    }

    /// `broker` refused the partition. Whether it was the preferred replica: the leader is asked again then.
    pub(crate) fn drop_preference(&mut self, partition: &TopicPartition, broker: BrokerId) -> bool {
        let assigned = self.partitions.get_mut(partition);
        assigned.is_some_and(|a| a.preferred.take_if(|(replica, _)| *replica == broker).is_some())
    }

    /// Data came. Dropped when it was asked for under another position or assignment.
    pub(crate) fn fetched(&mut self, fetch: CompletedFetch, from: FetchPosition) {
        let Some(assigned) = self.partitions.get_mut(&fetch.topic_partition) else { return };
        if assigned.stamp != fetch.stamp {
            return;
        }
        assigned.high_watermark = fetch.high_watermark;
        assigned.last_stable_offset = fetch.last_stable_offset;
        assigned.log_start_offset = fetch.log_start_offset;
        (assigned.failures, assigned.retry_at, assigned.told) = (0, None, None);
        let Place::Known { fetch_at, .. } = &mut assigned.place else { return };
        if *fetch_at != from || fetch.is_exhausted() {
            return;
        }
        *fetch_at = fetch.next;
        assigned.buffered += 1;
        if fetch.has_fault() {
            // What comes behind it is not read before it is dealt with.
            assigned.buffered = FETCHES_AHEAD;
        }
        self.buffered_bytes += fetch.size();
        self.buffer.push_back(fetch);
    }

    /// A fetch or a lookup failed with something that time may cure.
    pub(crate) fn back_off(&mut self, now: Instant, partition: &TopicPartition, stamp: u64) {
        let Some(assigned) = self.partitions.get_mut(partition).filter(|a| a.stamp == stamp) else { return };
        let delay = self.backoff.delay(assigned.failures, &mut self.rng);
        assigned.failures += 1;
        assigned.retry_at = Some(now + delay);
    }

    /// Tells the application, and tries again after a pause. The same is told again only when the partition could be
    /// read in between.
    pub(crate) fn report(&mut self, now: Instant, partition: &TopicPartition, stamp: u64, error: Error) {
        self.back_off(now, partition, stamp);
        let Some(assigned) = self.partitions.get_mut(partition).filter(|a| a.stamp == stamp) else { return };
        let text = error.to_string();
        if assigned.told.as_ref() != Some(&text) {
            assigned.told = Some(text);
            self.tell(error);
        }
    }
}

impl Assigned {
    fn position(&self) -> Option<FetchPosition> {
        match self.place {
            Place::Known { position, .. } => Some(position),
            _ => None,
        }
    }

    /// How far the end is; `None` before the first fetch.
    fn lag(&self, isolation_level: IsolationLevel) -> Option<i64> {
        let end = match isolation_level {
            IsolationLevel::ReadCommitted => self.last_stable_offset.unwrap_or(self.high_watermark),
            IsolationLevel::ReadUncommitted => self.high_watermark,
        };
        (end >= 0).then_some(end - self.position()?.offset).map(|lag| lag.max(0))
    }
}

/// What the fetcher can do now.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) fetches: BTreeMap<BrokerId, BrokerPlan>,
    pub(crate) lookups: Vec<(TopicPartition, u64, OffsetSpec)>,
    pub(crate) leader_is_missing: bool,
    pub(crate) look_again: Option<Instant>,
}

/// What can be fetched from one broker.
#[derive(Debug, Default)]
pub(crate) struct BrokerPlan {
    /// In their order.
    pub(crate) partitions: Vec<Fetchable>,
    /// Others wait for `poll` to make room: the broker should not wait long for data of these.
    pub(crate) left_out: bool,
}

pub(super) fn known(position: FetchPosition) -> Place {
    Place::Known { position, fetch_at: position }
}

fn place_of(start: StartOffset) -> Place {
    match start {
        StartOffset::At(offset, epoch) => known(FetchPosition { offset, epoch }),
        StartOffset::Earliest => Place::Wanted(OffsetSpec::Earliest),
        StartOffset::Latest => Place::Wanted(OffsetSpec::Latest),
        StartOffset::Timestamp(time) => Place::Wanted(OffsetSpec::Timestamp(time)),
    }
}

/// What a partition's error code means for its fetch (`client.md` §2, column F).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchRemedy {
    Wait,
    RefreshMetadata,
    Reset,
    Report,
}

pub(crate) fn fetch_remedy(code: ErrorCode) -> FetchRemedy {
    match action(code, Context::Fetch) {
        Action::Reset => FetchRemedy::Reset,
        Action::Refresh => FetchRemedy::RefreshMetadata,
        Action::Retry | Action::NewSession => FetchRemedy::Wait,
        _ => FetchRemedy::Report,
    }
}

/// What a failed look-up of a position means (`client.md` §2, column L).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookupRemedy {
    /// Metadata is refreshed, and it is tried again.
    Again,
    /// The topic has no timestamps: as if no record were so young.
    NoResult,
    Report,
}

pub(crate) fn list_offsets_remedy(error: &Error) -> LookupRemedy {
    match error.code().map(|code| action(code, Context::ListOffsets)) {
        Some(Action::Fail) => LookupRemedy::Report,
        Some(Action::NoResult) => LookupRemedy::NoResult,
        None if error.remedy() == Remedy::GiveUp => LookupRemedy::Report,
        _ => LookupRemedy::Again,
    }
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
