//! The task of a consumer: one fetch in flight per broker, lookups of offsets, and what their answers bring.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use ottla_protocol::messages::fetch::{FetchRequest, FetchResponse};
use ottla_protocol::{ApiKey, ErrorCode};

use super::Shared;
use super::answer::{Answer, Moment, hint};
use super::fetch_session::{FetchSession, SessionError, TOPIC_IDS_FROM, Wanted};
use super::subscription::{BrokerPlan, Fetchable, LookupRemedy, SubscriptionState, list_offsets_remedy};
use crate::admin::{Admin, ListedOffset, PerItem};
use crate::clock;
use crate::error::{Error, Place, Remedy, Result};
use crate::metadata::{ClusterSnapshot, TopicCursor};
use crate::types::{BrokerId, TopicPartition};

/// How long a broker waits for data while other partitions of it wait for `poll`.
const IMPATIENT: Duration = Duration::from_millis(10);
/// How long closing sessions may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a broker is left alone after a failed fetch.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Fetcher {
    shared: Arc<Shared>,
    sessions: HashMap<BrokerId, FetchSession>,
    busy: HashSet<BrokerId>,
    tasks: FuturesUnordered<BoxFuture<'static, Done>>,
    failing: HashMap<BrokerId, Failing>,
    /// Brokers whose session was begun anew since their last good answer.
    begun_anew: HashSet<BrokerId>,
    /// Refreshes in a row that were for want of a leader, and when the next one is due.
    leaderless: (u32, Option<Instant>),
    rng: fastrand::Rng,
}

/// A broker that nothing can be fetched from.
struct Failing {
    since: Instant,
    failures: u32,
    /// The application has been told.
    told: bool,
    /// An event was logged, and one is due when it ends.
    logged: bool,
}

enum Done {
    Fetched(BrokerId, Vec<Fetchable>, Result<(FetchResponse, Place)>),
    LookedUp(Vec<(TopicPartition, u64)>, PerItem<TopicPartition, ListedOffset>),
    /// A broker may be asked again; or there is no connection to it.
    Rested(BrokerId, Option<Error>),
}

impl Fetcher {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            sessions: HashMap::new(),
            busy: HashSet::new(),
            tasks: FuturesUnordered::new(),
            failing: HashMap::new(),
            begun_anew: HashSet::new(),
            leaderless: (0, None),
            rng: fastrand::Rng::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut changes = shared.client.cluster_changes();
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return self.close().await,
            found = shared.client.found() => if let Err(error) = found {
                shared.lock().tell(error);
                shared.ready.notify_waiters();
            }
        }
        loop {
            let look_again = self.pass(clock::now());
            tokio::select! {
                // In order, not by chance: after each of them everything is looked at, and simulations are repeatable.
                biased;
                () = shared.stop.cancelled() => return self.close().await,
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
        if state.follow(now, now_millis(), &cluster) {
            shared.ready.notify_waiters();
        }
        let mut topics = TopicCursor::new(&cluster);
        let plan = state.fetchable(now, |tp, preferred| {
            let leader = topics.topic(&tp.topic).and_then(|t| t.partition(tp.partition)?.leader);
            preferred.filter(|replica| cluster.broker(*replica).is_some()).or(leader)
        });
        if !plan.lookups.is_empty() {
            for (partition, stamp, _) in &plan.lookups {
                state.set_looked_up(partition, *stamp, true);
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
        // Also when nothing comes: that nobody polls is to be seen.
        #[cfg(feature = "metrics")]
        shared.meters.show_partitions(now, || state.partition_metrics(now));
        #[cfg(feature = "metrics")]
        let look_again = plan.look_again.into_iter().chain([now + super::metrics::SHOWN_EVERY]);
        #[cfg(not(feature = "metrics"))]
        let look_again = plan.look_again.into_iter();
        drop(state);
        look_again.chain(self.find_leaders(plan.leader_is_missing, now)).min()
    }

    fn fetch(&mut self, state: &mut SubscriptionState, cluster: &ClusterSnapshot, broker: BrokerId, plan: BrokerPlan) {
        let client = self.shared.client.clone();
        let connection = client.ready_connection(broker, self.shared.lane);
        let Some(connection) = connection else {
            let lane = self.shared.lane;
            self.tasks.push(Box::pin(async move {
                let error = client.connection(broker, lane).await.err();
                if error.is_some() {
                    tokio::time::sleep(PAUSE).await;
                }
                Done::Rested(broker, error)
            }));
            // A session lives with its connection.
            self.sessions.remove(&broker);
            return;
        };
        let shared = Arc::clone(&self.shared);
        let config = &shared.config;
        let max_wait = if plan.left_out { config.fetch_max_wait.min(IMPATIENT) } else { config.fetch_max_wait };
        let fetches = plan.partitions;
        let max_bytes = i32::try_from(config.max_partition_fetch_bytes).unwrap_or(i32::MAX);
        let mut topics = TopicCursor::new(cluster);
        let wanted: Vec<_> = fetches.iter().map(|f| wanted(&mut topics, f, max_bytes)).collect();
        // Only with its id is a topic told from one of the same name that came after it.
        let by_name = wanted.iter().any(|w| w.topic_id.is_nil());
        let sent = connection.choose::<FetchRequest>(by_name.then_some(TOPIC_IDS_FROM - 1)).and_then(|version| {
            let room = i32::try_from(state.room()).unwrap_or(i32::MAX);
            let mut request = FetchRequest {
                max_wait_ms: i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX),
                min_bytes: i32::try_from(config.fetch_min_bytes).unwrap_or(i32::MAX),
                max_bytes: i32::try_from(config.fetch_max_bytes).unwrap_or(i32::MAX).min(room),
                isolation_level: config.isolation_level.code(),
                rack_id: client.config().client_rack.clone(),
                ..Default::default()
            };
            self.sessions.entry(broker).or_default().ask(wanted, version, &mut request);
            Ok((connection.send(&request, version)?, connection.place(version)))
        });
        for fetch in &fetches {
            state.asked(&fetch.topic_partition, broker);
        }
        let now = clock::now();
        let asked_by = Arc::clone(&self.shared);
        self.tasks.push(match sent {
            Ok((reply, at)) => Box::pin(async move {
                let answer = reply.await;
                if let Ok(response) = &answer {
                    asked_by.meters.answered(clock::since(now), response);
                }
                Done::Fetched(broker, fetches, answer.map(|response| (response, at)))
            }),
            Err(error) => Box::pin(std::future::ready(Done::Fetched(broker, fetches, Err(error)))),
        });
    }

    fn take_in(&mut self, done: Done) {
        match done {
            Done::Rested(broker, error) => {
                self.busy.remove(&broker);
                error.into_iter().for_each(|error| self.failed(broker, error));
            }
            Done::LookedUp(asked, found) => self.take_offsets(&asked, &found),
            Done::Fetched(broker, mut fetches, answer) => {
                {
                    let mut state = self.shared.lock();
                    // The session goes on with all of them; an answer that comes too late is not looked at.
                    fetches.retain(|fetch| state.answered(&fetch.topic_partition, broker));
                }
                match answer {
                    Ok((response, at)) => self.take_data(broker, &fetches, response, &at),
                    Err(error) => self.take_failure(broker, error),
                }
            }
        }
    }

    fn take_data(&mut self, broker: BrokerId, fetches: &[Fetchable], mut response: FetchResponse, at: &Place) {
        self.busy.remove(&broker);
        let session = self.sessions.entry(broker).or_default();
        let endpoints = std::mem::take(&mut response.node_endpoints);
        let answered = match session.answered(response) {
            Ok(answered) => answered,
            Err(error) => return self.session_failed(broker, error, at),
        };
        let is_current = |tp: &TopicPartition| fetches.binary_search_by(|f| f.topic_partition.cmp(tp)).is_ok();
        let options = self.shared.read_options();
        let (mut answers, mut hints) = (Vec::new(), Vec::new());
        for (wanted, data) in answered {
            if is_current(&wanted.fetch.topic_partition) {
                hints.extend(hint(&wanted.fetch, &data, &endpoints));
                answers.push(Answer::new(wanted, broker, data, &options).from(at));
            }
        }
        let knows_better = !hints.is_empty() && self.shared.client.apply_leader_hints(&hints);
        self.begun_anew.remove(&broker);
        if let Some(Failing { since, failures, .. }) = self.failing.remove(&broker).filter(|f| f.logged) {
            tracing::info!(%broker, failures, after = ?clock::since(since), "fetching goes on");
        }
        if answers.is_empty() {
            return;
        }
        let moment = self.moment();
        let mut state = self.shared.lock();
        let stale = answers.into_iter().fold(false, |stale, answer| stale | answer.apply(&mut state, moment));
        drop(state);
        if stale && !knows_better {
            self.shared.client.refresh_metadata();
        }
        self.shared.ready.notify_waiters();
    }

    /// Everything is asked for again.
    fn session_failed(&mut self, broker: BrokerId, error: SessionError, at: &Place) {
        if self.begun_anew.insert(broker) {
            tracing::debug!(?error, %broker, "the fetch session is begun anew");
        }
        match error {
            SessionError::Lost => {}
            SessionError::Unusable => self.rest(broker),
            SessionError::Refused(code) => {
                let error = Error::broker(code, ApiKey::Fetch, "all partitions").at(at);
                self.shared.client.refresh_metadata();
                self.failed(broker, error);
                self.rest(broker);
            }
        }
    }

    fn moment(&self) -> Moment {
        let preference_age = self.shared.client.config().metadata_max_age;
        Moment { now: clock::now(), wall_ms: now_millis(), preference_age }
    }

    /// Leaves a broker alone for a moment.
    fn rest(&mut self, broker: BrokerId) {
        self.busy.insert(broker);
        self.tasks.push(Box::pin(async move {
            tokio::time::sleep(PAUSE).await;
            Done::Rested(broker, None)
        }));
    }

    fn take_failure(&mut self, broker: BrokerId, error: Error) {
        self.sessions.entry(broker).or_default().failed();
        self.shared.client.refresh_metadata();
        self.failed(broker, error);
        self.rest(broker);
    }

    /// Tells the application what it can do something about, and what has gone on for too long; once.
    fn failed(&mut self, broker: BrokerId, error: Error) {
        let new = || Failing { since: clock::now(), failures: 0, told: false, logged: false };
        let failing = self.failing.entry(broker).or_insert_with(new);
        failing.failures += 1;
        // One event per change of state, not per retry (`design.md` §6); connections have their own.
        if !failing.logged && !matches!(error, Error::Connect { .. } | Error::Authentication { .. }) {
            failing.logged = true;
            tracing::warn!(%broker, %error, "fetching failed");
        }
        let hopeless = error.remedy() == Remedy::GiveUp && error.code() != Some(ErrorCode::UnknownServerError);
        let after = clock::since(failing.since);
        if failing.told || !(hopeless || after >= self.shared.client.config().default_api_timeout) {
            return;
        }
        failing.told = true;
        let what = format!("fetching from broker {broker}");
        let error = if hopeless { error } else { Error::Timeout { what, after, last: Some(Box::new(error)) } };
        self.shared.lock().tell(error);
        self.shared.ready.notify_waiters();
    }

    /// Asks for metadata at a growing distance while a leader is missing; when the next time is.
    fn find_leaders(&mut self, is_missing: bool, now: Instant) -> Option<Instant> {
        let (refreshes, due) = &mut self.leaderless;
        if !is_missing {
            (*refreshes, *due) = (0, None);
        } else if due.is_none_or(|at| at <= now) {
            self.shared.client.refresh_metadata();
            *due = Some(now + self.shared.client.config().retry().delay(*refreshes, &mut self.rng));
            *refreshes = refreshes.saturating_add(1);
        }
        *due
    }

    /// Gives the brokers the memory of the sessions back.
    async fn close(mut self) {
        let (client, lane) = (&self.shared.client, self.shared.lane);
        let mut replies = Vec::new();
        for (broker, session) in &mut self.sessions {
            let Some(connection) = client.ready_connection(*broker, lane) else { continue };
            let last = session.close().and_then(|request| {
                let version = connection.choose::<FetchRequest>(None).ok()?;
                connection.send(&request, version).ok()
            });
            replies.push((connection, last));
        }
        // A broker that does not hear of it drops the session by itself some time.
        let answered = async {
            for reply in replies.iter_mut().filter_map(|(_, reply)| reply.as_mut()) {
                let _ = reply.await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, answered).await;
        replies.iter().for_each(|(connection, _)| connection.close("the consumer was closed"));
        client.forget_consumer(lane);
    }

    fn take_offsets(&self, asked: &[(TopicPartition, u64)], found: &PerItem<TopicPartition, ListedOffset>) {
        let now = clock::now();
        let mut state = self.shared.lock();
        let mut stale = false;
        for (partition, stamp) in asked {
            state.set_looked_up(partition, *stamp, false);
            match found.get(partition) {
                Some(Ok(listed)) => {
                    let at = listed.offset.map(|offset| (offset, None));
                    state.looked_up(partition, *stamp, at);
                }
                Some(Err(error)) if list_offsets_remedy(error) == LookupRemedy::NoResult => {
                    state.looked_up(partition, *stamp, None);
                }
                Some(Err(error)) if list_offsets_remedy(error) == LookupRemedy::Report => {
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

fn wanted(topics: &mut TopicCursor<'_>, fetch: &Fetchable, max_bytes: i32) -> Wanted {
    let TopicPartition { topic, partition } = &fetch.topic_partition;
    let topic = topics.topic(topic);
    let leader_epoch = topic.and_then(|t| t.partition(*partition)?.leader_epoch);
    let topic_id = topic.and_then(|t| t.id).unwrap_or_default();
    Wanted { fetch: fetch.clone(), topic_id, leader_epoch: leader_epoch.unwrap_or(-1), max_bytes }
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
