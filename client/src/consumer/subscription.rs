//! Which partitions are read, from where, and what waits for `poll`.
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use ottla_protocol::ErrorCode;

use super::completed_fetch::{CompletedFetch, FetchPosition};
use super::config::AutoOffsetReset;
use crate::admin::OffsetSpec;
use crate::backoff::ExponentialBackoff;
use crate::error::Error;
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

/// Data of one partition that may wait for `poll` while more is fetched, in fetches.
const FETCHES_AHEAD: usize = 2;

#[derive(Debug)]
pub(crate) struct SubscriptionState {
    partitions: BTreeMap<TopicPartition, Assigned>,
    buffer: VecDeque<CompletedFetch>,
    buffered_bytes: usize,
    budget: usize,
    errors: VecDeque<Error>,
    next_stamp: u64,
    reset: AutoOffsetReset,
    isolation_level: IsolationLevel,
    backoff: ExponentialBackoff,
    rng: fastrand::Rng,
}

#[derive(Debug)]
struct Assigned {
    /// Changes whenever the position does other than by reading: what was asked for under another is dropped.
    stamp: u64,
    place: Place,
    is_paused: bool,
    is_in_flight: bool,
    /// Fetches in the buffer.
    buffered: usize,
    failures: u32,
    retry_at: Option<Instant>,
    high_watermark: i64,
    last_stable_offset: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
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
        }
    }

    // The application's side.

    /// Begins to read a partition. One that is read already goes on from `start`.
    pub(crate) fn add(&mut self, partition: TopicPartition, start: StartOffset) {
        self.drop_buffered(&partition);
        let is_in_flight = self.partitions.get(&partition).is_some_and(|p| p.is_in_flight);
        let is_paused = self.partitions.get(&partition).is_some_and(|p| p.is_paused);
        let assigned = Assigned {
            stamp: self.next_stamp,
            place: place_of(start),
            is_paused,
            is_in_flight,
            buffered: 0,
            failures: 0,
            retry_at: None,
            high_watermark: -1,
            last_stable_offset: None,
        };
        self.next_stamp += 1;
        self.partitions.insert(partition, assigned);
    }

    /// Reads a partition no more.
    pub(crate) fn remove(&mut self, partition: &TopicPartition) {
        self.drop_buffered(partition);
        self.partitions.remove(partition);
    }

    pub(crate) fn assignment(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    pub(crate) fn is_assigned(&self, partition: &TopicPartition) -> bool {
        self.partitions.contains_key(partition)
    }

    pub(crate) fn position(&self, partition: &TopicPartition) -> Option<FetchPosition> {
        match self.partitions.get(partition)?.place {
            Place::Known { position, .. } => Some(position),
            _ => None,
        }
    }

    /// How far the end is; `None` before the first fetch.
    pub(crate) fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        let assigned = self.partitions.get(partition)?;
        let end = match self.isolation_level {
            IsolationLevel::ReadCommitted => assigned.last_stable_offset.unwrap_or(assigned.high_watermark),
            IsolationLevel::ReadUncommitted => assigned.high_watermark,
        };
        (end >= 0).then_some(end - self.position(partition)?.offset).map(|lag| lag.max(0))
    }

    /// Paused partitions keep what is buffered, and deliver nothing.
    pub(crate) fn pause(&mut self, partition: &TopicPartition, is_paused: bool) {
        if let Some(assigned) = self.partitions.get_mut(partition) {
            assigned.is_paused = is_paused;
        }
    }

    fn drop_buffered(&mut self, partition: &TopicPartition) {
        let buffered = &mut self.buffered_bytes;
        self.buffer.retain(|fetch| {
            let keep = fetch.topic_partition != *partition;
            if !keep {
                *buffered -= fetch.size();
            }
            keep
        });
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

    /// What can be fetched now from each leader, the topics whose leaders are missing, and when to look again.
    pub(crate) fn fetchable(&self, now: Instant, leader: impl Fn(&TopicPartition) -> Option<BrokerId>) -> Plan {
        let mut plan = Plan::default();
        let is_full = self.buffered_bytes >= self.budget;
        for (partition, assigned) in &self.partitions {
            if let Some(at) = assigned.retry_at.filter(|at| *at > now) {
                plan.look_again = Some(plan.look_again.map_or(at, |earlier| earlier.min(at)));
                continue;
            }
            let Some(broker) = leader(partition) else {
                plan.leader_is_missing = true;
                continue;
            };
            match assigned.place {
                Place::Wanted(spec) if !assigned.is_in_flight => {
                    plan.lookups.push((partition.clone(), assigned.stamp, spec));
                }
                Place::Known { fetch_at, .. } if !assigned.is_in_flight && !assigned.is_paused => {
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

    /// Bytes that may still be buffered.
    pub(crate) fn room(&self) -> usize {
        self.budget.saturating_sub(self.buffered_bytes)
    }

    pub(crate) fn set_in_flight(&mut self, partition: &TopicPartition, is_in_flight: bool) {
        if let Some(assigned) = self.partitions.get_mut(partition) {
            assigned.is_in_flight = is_in_flight;
        }
    }

    /// Data came. Dropped when it was asked for under another position or assignment.
    pub(crate) fn fetched(&mut self, fetch: CompletedFetch, from: FetchPosition) {
        let Some(assigned) = self.partitions.get_mut(&fetch.topic_partition) else { return };
        if assigned.stamp != fetch.stamp {
            return;
        }
        assigned.high_watermark = fetch.high_watermark;
        assigned.last_stable_offset = fetch.last_stable_offset;
        (assigned.failures, assigned.retry_at) = (0, None);
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

    /// An offset was looked up. `None`: no record is so young.
    pub(crate) fn looked_up(&mut self, partition: &TopicPartition, stamp: u64, found: Option<(i64, Option<i32>)>) {
        let Some(assigned) = self.partitions.get_mut(partition).filter(|a| a.stamp == stamp) else { return };
        (assigned.failures, assigned.retry_at) = (0, None);
        assigned.place = match found {
            Some((offset, epoch)) => known(FetchPosition { offset, epoch }),
            None => Place::Wanted(OffsetSpec::Latest),
        };
    }

    /// A fetch or a lookup failed with something that time may cure.
    pub(crate) fn back_off(&mut self, now: Instant, partition: &TopicPartition, stamp: u64) {
        let Some(assigned) = self.partitions.get_mut(partition).filter(|a| a.stamp == stamp) else { return };
        let delay = self.backoff.delay(assigned.failures, &mut self.rng);
        assigned.failures += 1;
        assigned.retry_at = Some(now + delay);
    }

    /// Tells the application, and tries again after a pause.
    pub(crate) fn report(&mut self, now: Instant, partition: &TopicPartition, stamp: u64, error: Error) {
        if self.partitions.get(partition).is_none_or(|a| a.stamp != stamp) {
            return;
        }
        self.back_off(now, partition, stamp);
        self.errors.push_back(error);
    }

    /// The leader does not have the position: goes where the policy says (`client.md` §7.6). Ignored for a position that
    /// is not the current one any more.
    pub(crate) fn out_of_range(&mut self, partition: &TopicPartition, stamp: u64, offset: i64, now_ms: i64) {
        let reset = self.reset;
        let Some(assigned) = self.partitions.get_mut(partition).filter(|a| a.stamp == stamp) else { return };
        if !matches!(assigned.place, Place::Known { fetch_at, .. } if fetch_at.offset == offset) {
            return;
        }
        // What is buffered in front of it is still good: it comes first.
        if assigned.buffered > 0 {
            return;
        }
        assigned.place = match reset {
            AutoOffsetReset::Earliest => Place::Wanted(OffsetSpec::Earliest),
            AutoOffsetReset::Latest => Place::Wanted(OffsetSpec::Latest),
            AutoOffsetReset::ByDuration(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                Place::Wanted(OffsetSpec::Timestamp(now_ms.saturating_sub(age)))
            }
            AutoOffsetReset::None => {
                self.errors.push_back(Error::OffsetOutOfRange { topic_partition: partition.clone(), offset });
                Place::Lost
            }
        };
        assigned.stamp = self.next_stamp;
        self.next_stamp += 1;
        tracing::warn!(%partition, offset, ?reset, "the position is not in the log");
    }

    /// The log was cut below the position (KIP-595): goes back to where it was cut, or says so.
    pub(crate) fn diverged(&mut self, partition: &TopicPartition, stamp: u64, end: FetchPosition) {
        let may_move = self.reset != AutoOffsetReset::None;
        let Some(assigned) = self.partitions.get_mut(partition).filter(|a| a.stamp == stamp) else { return };
        let Place::Known { position, .. } = assigned.place else { return };
        let back_to = if end.offset < position.offset { end } else { position };
        tracing::warn!(%partition, from = position.offset, to = back_to.offset, "the log was truncated");
        if may_move {
            self.add(partition.clone(), StartOffset::At(back_to.offset, back_to.epoch));
        } else {
            assigned.place = Place::Lost;
            let topic_partition = partition.clone();
            self.errors.push_back(Error::OffsetOutOfRange { topic_partition, offset: position.offset });
        }
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
    pub(crate) partitions: Vec<Fetchable>,
    /// Others wait for `poll` to make room: the broker should not wait long for data of these.
    pub(crate) left_out: bool,
}

fn known(position: FetchPosition) -> Place {
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
    use crate::error::{Remedy, remedy_of};
    match code {
        ErrorCode::OffsetOutOfRange => FetchRemedy::Reset,
        // A broker that cannot read a batch now may have mended it by the next fetch, or another leads then.
        ErrorCode::UnknownServerError => FetchRemedy::RefreshMetadata,
        code => match remedy_of(code) {
            Remedy::RefreshMetadata | Remedy::FindCoordinator => FetchRemedy::RefreshMetadata,
            Remedy::Wait => FetchRemedy::Wait,
            Remedy::GiveUp => FetchRemedy::Report,
        },
    }
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
