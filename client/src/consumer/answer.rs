//! What a broker's answer to a fetch means for one partition.
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::messages::fetch::{NodeEndpoint, PartitionData};
use ottla_protocol::record::Records;
use ottla_protocol::{ApiKey, ErrorCode};
use uuid::Uuid;

use super::completed_fetch::{CompletedFetch, FetchPosition, ReadOptions};
use super::fetch_session::Wanted;
use super::subscription::{FetchRemedy, Fetchable, SubscriptionState, fetch_remedy};
use crate::error::{Error, Place};
use crate::metadata::{LeaderHint, is_refused_leader};
use crate::types::BrokerId;

/// The answer about one partition.
#[derive(Debug)]
pub(crate) struct Answer {
    fetch: Fetchable,
    topic_id: Uuid,
    broker: BrokerId,
    outcome: Outcome,
    /// Who answered, and in which version; what was fetched has it with it.
    at: Option<Place>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are the largest one, and are moved on at once")]
enum Outcome {
    Fetched(CompletedFetch),
    /// Bytes came, and the position could not move over one batch of them.
    NoProgress,
    /// Another replica is to be asked (KIP-392).
    Prefer(BrokerId),
    /// The log was cut below the position (KIP-595).
    Diverged(FetchPosition),
    Refused(ErrorCode),
}

/// The time, and how long a preferred replica stays one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) wall_ms: i64,
    pub(crate) preference_age: Duration,
}

impl Answer {
    /// Reads the headers of all batches: not to be done under a lock.
    pub(crate) fn new(wanted: Wanted, broker: BrokerId, data: PartitionData, options: &ReadOptions) -> Self {
        let Wanted { fetch, topic_id, .. } = wanted;
        let outcome = Outcome::of(&fetch, data, options);
        Self { fetch, topic_id, broker, outcome, at: None }
    }

    /// With who answered, for the texts of errors.
    pub(crate) fn from(mut self, at: &Place) -> Self {
        match &mut self.outcome {
            Outcome::Fetched(fetched) => fetched.at = Some(at.clone()),
            _ => self.at = Some(at.clone()),
        }
        self
    }

    /// Takes it in. Whether metadata may be out of date.
    pub(crate) fn apply(self, state: &mut SubscriptionState, moment: Moment) -> bool {
        let Fetchable { topic_partition, stamp, from } = &self.fetch;
        let broker = || self.at.as_ref().map(Place::name);
        match self.outcome {
            Outcome::Fetched(fetched) => {
                state.read_from(topic_partition, *stamp, self.topic_id);
                state.fetched(fetched, *from);
            }
            Outcome::NoProgress => {
                let reason = "not one whole batch came from there on: raise max.partition.fetch.bytes above the \
                              largest batch"
                    .to_owned();
                let (topic_partition, offset) = (topic_partition.clone(), from.offset);
                let error = Error::CorruptRecords {
                    topic_partition: topic_partition.clone(),
                    offset,
                    broker: broker(),
                    reason,
                };
                state.report(moment.now, &topic_partition, *stamp, error);
            }
            Outcome::Prefer(replica) => {
                state.prefer(topic_partition, *stamp, replica, moment.now + moment.preference_age);
            }
            Outcome::Diverged(end) => state.diverged(topic_partition, *stamp, end, broker()),
            Outcome::Refused(code) => {
                let remedy = fetch_remedy(code);
                // A follower may lag behind its leader: only the leader knows what is out of range.
                let from_follower = state.drop_preference(topic_partition, self.broker);
                match remedy {
                    FetchRemedy::Reset if from_follower => {}
                    FetchRemedy::Wait | FetchRemedy::RefreshMetadata => {
                        state.back_off(moment.now, topic_partition, *stamp);
                    }
                    FetchRemedy::Reset => {
                        state.out_of_range(topic_partition, *stamp, from.offset, moment.wall_ms, broker());
                    }
                    FetchRemedy::Report => {
                        let error = Error::broker(code, ApiKey::Fetch, topic_partition);
                        let error = match &self.at {
                            Some(at) => error.at(at),
                            None => error,
                        };
                        state.report(moment.now, topic_partition, *stamp, error);
                    }
                }
                return remedy == FetchRemedy::RefreshMetadata;
            }
        }
        false
    }
}

impl Outcome {
    fn of(fetch: &Fetchable, data: PartitionData, options: &ReadOptions) -> Self {
        let code = ErrorCode::from(data.error_code);
        if code != ErrorCode::None {
            return Self::Refused(code);
        }
        if data.diverging_epoch.end_offset >= 0 {
            let end =
                FetchPosition { offset: data.diverging_epoch.end_offset, epoch: Some(data.diverging_epoch.epoch) };
            return Self::Diverged(end);
        }
        let records = data.records.map(Records::into_bytes).unwrap_or_default();
        let is_empty = records.is_empty();
        if is_empty && data.preferred_read_replica >= 0 {
            return Self::Prefer(BrokerId(data.preferred_read_replica));
        }
        let key = (fetch.topic_partition.clone(), fetch.stamp);
        let mut fetched = CompletedFetch::new(key, fetch.from, records, data.aborted_transactions, options);
        fetched.high_watermark = data.high_watermark;
        fetched.last_stable_offset = Some(data.last_stable_offset).filter(|offset| *offset >= 0);
        fetched.log_start_offset = Some(data.log_start_offset).filter(|offset| *offset >= 0);
        let is_stuck = !is_empty && !fetched.has_fault() && fetched.next == fetch.from;
        if is_stuck { Self::NoProgress } else { Self::Fetched(fetched) }
    }
}

/// The leader that a refusal names (KIP-951).
pub(crate) fn hint(fetch: &Fetchable, data: &PartitionData, endpoints: &[NodeEndpoint]) -> Option<LeaderHint> {
    let refused = is_refused_leader(data.error_code.into());
    let leader = &data.current_leader;
    if !refused || leader.leader_id < 0 || leader.leader_epoch < 0 {
        return None;
    }
    let endpoint = endpoints.iter().find(|e| e.node_id == leader.leader_id);
    Some(LeaderHint {
        topic: Arc::clone(&fetch.topic_partition.topic),
        partition: fetch.topic_partition.partition,
        leader: BrokerId(leader.leader_id),
        leader_epoch: leader.leader_epoch,
        endpoint: endpoint.and_then(|e| Some((e.host.clone(), u16::try_from(e.port).ok()?))),
    })
}
