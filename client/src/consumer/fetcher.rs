//! The task of a consumer: one fetch in flight per broker, lookups of offsets, and what their answers bring.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use ottla_protocol::messages::fetch::{FetchRequest, FetchResponse, PartitionData};
use ottla_protocol::{ApiKey, ErrorCode};

use super::Shared;
use super::completed_fetch::{CompletedFetch, FetchPosition};
use super::fetch_session::{FetchSession, Wanted};
use super::subscription::{BrokerPlan, FetchRemedy, Fetchable, SubscriptionState, fetch_remedy};
use crate::admin::{Admin, ListedOffset, PerItem};
use crate::error::{Error, Remedy, Result};
use crate::metadata::ClusterSnapshot;
use crate::network::Lane;
use crate::types::{BrokerId, TopicPartition};

/// Version 13 names topics by id; positions belong to names.
const NEWEST_WITH_NAMES: i16 = 12;
/// How long a broker waits for data while other partitions of it wait for `poll`.
const IMPATIENT: Duration = Duration::from_millis(10);
/// How long a broker is left alone after a failed fetch.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Fetcher {
    shared: Arc<Shared>,
    sessions: HashMap<BrokerId, FetchSession>,
    busy: HashSet<BrokerId>,
    tasks: FuturesUnordered<BoxFuture<'static, Done>>,
}

enum Done {
    Fetched(BrokerId, Vec<Fetchable>, Result<FetchResponse>),
    LookedUp(Vec<(TopicPartition, u64)>, PerItem<TopicPartition, ListedOffset>),
    /// A broker may be asked again.
    Rested(BrokerId),
}

impl Fetcher {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, sessions: HashMap::new(), busy: HashSet::new(), tasks: FuturesUnordered::new() }
    }

    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut changes = shared.client.cluster_changes();
        loop {
            let look_again = self.pass(Instant::now());
            tokio::select! {
                () = shared.stop.cancelled() => return,
                () = shared.wake.notified() => {}
                Some(done) = self.tasks.next(), if !self.tasks.is_empty() => self.take_in(done),
                changed = changes.changed() => if changed.is_err() { return },
                () = sleep_until(look_again) => {}
            }
        }
    }

    /// Asks for everything that can be asked for now; when to look again.
    fn pass(&mut self, now: Instant) -> Option<Instant> {
        let shared = Arc::clone(&self.shared);
        let cluster = shared.client.cluster();
        let mut state = shared.lock();
        let plan = state.fetchable(now, |tp| cluster.partition(&tp.topic, tp.partition).and_then(|p| p.leader));
        if plan.leader_is_missing {
            shared.client.refresh_metadata();
        }
        if !plan.lookups.is_empty() {
            for (partition, _, _) in &plan.lookups {
                state.set_in_flight(partition, true);
            }
            let specs = plan.lookups.iter().map(|(tp, _, spec)| (tp.clone(), *spec)).collect();
            let asked = plan.lookups.into_iter().map(|(tp, stamp, _)| (tp, stamp)).collect();
            let (admin, level) = (Admin::new(&shared.client), shared.config.isolation_level);
            let deadline = now + shared.client.config().request_timeout;
            self.tasks.push(Box::pin(async move {
                Done::LookedUp(asked, admin.list_offsets_once(&specs, level, deadline).await)
            }));
        }
        for (broker, fetch) in plan.fetches {
            if !fetch.partitions.is_empty() && self.busy.insert(broker) {
                self.fetch(&mut state, &cluster, broker, fetch);
            }
        }
        plan.look_again
    }

    fn fetch(&mut self, state: &mut SubscriptionState, cluster: &ClusterSnapshot, broker: BrokerId, plan: BrokerPlan) {
        let client = self.shared.client.clone();
        let connection = client.ready_connection(broker, Lane::Fetch);
        let Some(connection) = connection else {
            self.tasks.push(Box::pin(async move {
                if let Err(error) = client.connection(broker, Lane::Fetch).await {
                    tracing::debug!(%error, "no connection to fetch over");
                    tokio::time::sleep(PAUSE).await;
                }
                Done::Rested(broker)
            }));
            // A session lives with its connection.
            self.sessions.remove(&broker);
            return;
        };
        let shared = Arc::clone(&self.shared);
        let config = &shared.config;
        let max_wait = if plan.left_out { config.fetch_max_wait.min(IMPATIENT) } else { config.fetch_max_wait };
        let fetches = plan.partitions;
        let sent = connection.choose::<FetchRequest>(Some(NEWEST_WITH_NAMES)).and_then(|version| {
            let max_bytes = i32::try_from(config.max_partition_fetch_bytes).unwrap_or(i32::MAX);
            let wanted: Vec<_> =
                fetches.iter().map(|f| (f.topic_partition.clone(), wanted(cluster, f, max_bytes))).collect();
            let session = self.sessions.entry(broker).or_default().build(&wanted, version);
            let room = i32::try_from(state.room()).unwrap_or(i32::MAX);
            let request = FetchRequest {
                max_wait_ms: i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX),
                min_bytes: i32::try_from(config.fetch_min_bytes).unwrap_or(i32::MAX),
                max_bytes: i32::try_from(config.fetch_max_bytes).unwrap_or(i32::MAX).min(room),
                isolation_level: config.isolation_level.code(),
                session_id: session.session_id,
                session_epoch: session.session_epoch,
                topics: session.topics,
                forgotten_topics_data: session.forgotten,
                rack_id: client.config().client_rack.clone(),
                ..Default::default()
            };
            connection.send(&request, version)
        });
        for fetch in &fetches {
            state.set_in_flight(&fetch.topic_partition, true);
        }
        self.tasks.push(match sent {
            Ok(reply) => Box::pin(async move { Done::Fetched(broker, fetches, reply.await) }),
            Err(error) => Box::pin(std::future::ready(Done::Fetched(broker, fetches, Err(error)))),
        });
    }

    fn take_in(&mut self, done: Done) {
        match done {
            Done::Rested(broker) => {
                self.busy.remove(&broker);
            }
            Done::LookedUp(asked, found) => self.take_offsets(&asked, &found),
            Done::Fetched(broker, fetches, answer) => {
                {
                    let mut state = self.shared.lock();
                    for fetch in &fetches {
                        state.set_in_flight(&fetch.topic_partition, false);
                    }
                }
                match answer {
                    Ok(response) => self.take_data(broker, &fetches, response),
                    Err(error) => self.take_failure(broker, &fetches, error),
                }
            }
        }
    }

    fn take_data(&mut self, broker: BrokerId, fetches: &[Fetchable], response: FetchResponse) {
        self.busy.remove(&broker);
        let now = Instant::now();
        let session = self.sessions.entry(broker).or_default();
        let code = ErrorCode::from(response.error_code);
        if !session.handle_response(code, response.session_id) {
            tracing::debug!(%code, %broker, "the fetch session is begun anew");
            return;
        }
        let asked: HashMap<&TopicPartition, &Fetchable> = fetches.iter().map(|f| (&f.topic_partition, f)).collect();
        let mut stale = false;
        let mut state = self.shared.lock();
        for topic in response.responses {
            for data in topic.partitions {
                let partition = TopicPartition::new(topic.topic.as_str(), data.partition_index);
                // A broker may send what is left of an earlier request of the session.
                let Some(fetch) = asked.get(&partition) else { continue };
                session.answered(&partition);
                stale |= take_partition(&mut state, now, fetch, data);
            }
        }
        drop(state);
        if stale {
            self.shared.client.refresh_metadata();
        }
        self.shared.ready.notify_waiters();
    }

    fn take_failure(&mut self, broker: BrokerId, fetches: &[Fetchable], error: Error) {
        tracing::debug!(%error, %broker, "a fetch failed");
        self.sessions.entry(broker).or_default().handle_disconnect();
        if error.remedy() == Remedy::GiveUp {
            let now = Instant::now();
            let mut state = self.shared.lock();
            for fetch in fetches {
                state.back_off(now, &fetch.topic_partition, fetch.stamp);
            }
            if let Some(fetch) = fetches.first() {
                state.report(now, &fetch.topic_partition, fetch.stamp, error);
            }
        }
        self.shared.client.refresh_metadata();
        self.shared.ready.notify_waiters();
        self.tasks.push(Box::pin(async move {
            tokio::time::sleep(PAUSE).await;
            Done::Rested(broker)
        }));
    }

    fn take_offsets(&self, asked: &[(TopicPartition, u64)], found: &PerItem<TopicPartition, ListedOffset>) {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let mut stale = false;
        for (partition, stamp) in asked {
            state.set_in_flight(partition, false);
            match found.get(partition) {
                Some(Ok(listed)) => {
                    let at = listed.offset.map(|offset| (offset, None));
                    state.looked_up(partition, *stamp, at);
                }
                Some(Err(error)) if error.remedy() == Remedy::GiveUp => {
                    state.report(now, partition, *stamp, error.clone());
                }
                _ => {
                    stale = true;
                    state.back_off(now, partition, *stamp);
                }
            }
        }
        drop(state);
        if stale {
            self.shared.client.refresh_metadata();
        }
        self.shared.ready.notify_waiters();
    }
}

fn wanted(cluster: &ClusterSnapshot, fetch: &Fetchable, max_bytes: i32) -> Wanted {
    let TopicPartition { topic, partition } = &fetch.topic_partition;
    let leader_epoch = cluster.partition(topic, *partition).and_then(|p| p.leader_epoch);
    Wanted {
        offset: fetch.from.offset,
        leader_epoch: leader_epoch.unwrap_or(-1),
        last_fetched_epoch: fetch.from.epoch.unwrap_or(-1),
        max_bytes,
    }
}

/// Takes in what a broker said of one partition. Whether metadata may be out of date.
fn take_partition(state: &mut SubscriptionState, now: Instant, fetch: &Fetchable, data: PartitionData) -> bool {
    let Fetchable { topic_partition, stamp, from } = fetch;
    let code = ErrorCode::from(data.error_code);
    if code != ErrorCode::None {
        match fetch_remedy(code) {
            FetchRemedy::Wait => state.back_off(now, topic_partition, *stamp),
            FetchRemedy::RefreshMetadata => {
                state.back_off(now, topic_partition, *stamp);
                return true;
            }
            FetchRemedy::Reset => state.out_of_range(topic_partition, *stamp, from.offset, now_millis()),
            FetchRemedy::Report => {
                let error = Error::broker(code, ApiKey::Fetch, topic_partition);
                state.report(now, topic_partition, *stamp, error);
            }
        }
        return false;
    }
    if data.diverging_epoch.end_offset >= 0 {
        let end = FetchPosition { offset: data.diverging_epoch.end_offset, epoch: Some(data.diverging_epoch.epoch) };
        state.diverged(topic_partition, *stamp, end);
        return false;
    }
    let records = data.records.map(|r| r.into_bytes()).unwrap_or_default();
    let is_empty = records.is_empty();
    let key = (topic_partition.clone(), *stamp);
    let mut fetched = CompletedFetch::new(key, *from, records, data.aborted_transactions);
    fetched.high_watermark = data.high_watermark;
    fetched.last_stable_offset = Some(data.last_stable_offset).filter(|offset| *offset >= 0);
    if !is_empty && fetched.has_no_whole_batch() {
        let reason = "not one whole batch came: raise max.partition.fetch.bytes above the largest batch".to_owned();
        let error = Error::CorruptRecords { topic_partition: topic_partition.clone(), offset: from.offset, reason };
        state.report(now, topic_partition, *stamp, error);
        return false;
    }
    state.fetched(fetched, *from);
    false
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
