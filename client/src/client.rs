//! The handle that everything else is built on: connections, metadata, coordinators.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

mod bootstrap;
mod controllers;
mod describe;
mod upkeep;
mod wanted;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use ottla_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_protocol::{ApiKey, ErrorCode, Request, VersionRange};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::bootstrap::Bootstrap;
pub(crate) use self::controllers::{CONTROLLERS, no_broker};
pub(crate) use self::describe::Describe;
use self::wanted::WantedTopics;
use crate::clock;
use crate::config::{ClientConfig, Endpoints};
use crate::error::{Error, Remedy, Result};
use crate::metadata::{ClusterSnapshot, LeaderHint, Metadata, Topic};
use crate::metrics::Metrics;
use crate::network::Lane;
use crate::network::connection::Connection;
use crate::network::pool::{Pool, pause};
use crate::properties::warn;
use crate::refresh::RefreshPace;
use crate::sync::lock;
use crate::types::BrokerId;

/// A client of one cluster. Producers, consumers and admin handles share its connections; a clone is another handle of
/// the same client. When the last handle goes, the connections are closed.
#[derive(Clone, Debug)]
pub struct Client(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.shut_down();
    }
}

#[derive(Debug)]
struct Inner {
    config: Arc<ClientConfig>,
    pool: Pool,
    metadata: Mutex<Metadata>,
    wanted: Mutex<WantedTopics>,
    changes: watch::Sender<Arc<ClusterSnapshot>>,
    refresh: Notify,
    pace: Mutex<RefreshPace>,
    /// How many want every topic.
    want_all: AtomicUsize,
    last_error: Mutex<Option<Error>>,
    coordinators: Mutex<HashMap<(CoordinatorKind, String), BrokerId>>,
    /// The producers and consumers, to describe them.
    users: Mutex<Vec<Weak<dyn Describe>>>,
    bootstrap: watch::Sender<Bootstrap>,
    closed: CancellationToken,
}

/// Keeps every topic up to date until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the watch"]
pub struct AllTopics {
    inner: Weak<Inner>,
}

impl Drop for AllTopics {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.want_all.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What is coordinated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CoordinatorKind {
    /// A group.
    Group = 0,
    /// A transactional id.
    Transaction = 1,
}

impl Client {
    /// Connects to the cluster behind the bootstrap servers: [`Client::start`], and its first call. Every server is tried
    /// once, and for `bootstrap.resolve.timeout.ms` again. Cancel safe: what was begun ends.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is not valid, [`Error::Connect`] when no server could be reached, with what each
    /// of them answered.
    pub async fn connect(config: ClientConfig) -> Result<Self> {
        let client = Self::start(config)?;
        client.found().await?;
        Ok(client)
    }

    /// Starts a client and does not wait: the cluster behind the bootstrap servers is looked for in the background, and calls
    /// wait for it. While it cannot be found, and `bootstrap.resolve.timeout.ms` is over, they fail with what the servers
    /// answered last (KIP-909); the search goes on. Until it is found [`Client::cluster`] is empty.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is not valid; [`Error::Misuse`] outside of a tokio runtime.
    pub fn start(config: ClientConfig) -> Result<Self> {
        config.validate()?;
        let runtime = runtime()?;
        warn(&config.warnings());
        let config = Arc::new(config);
        let inner = Arc::new(Inner {
            pool: Pool::new(Arc::clone(&config))?,
            config,
            metadata: Mutex::default(),
            wanted: Mutex::default(),
            changes: watch::Sender::new(Arc::default()),
            refresh: Notify::new(),
            pace: Mutex::default(),
            want_all: AtomicUsize::new(0),
            last_error: Mutex::default(),
            coordinators: Mutex::default(),
            users: Mutex::default(),
            bootstrap: watch::Sender::default(),
            closed: CancellationToken::new(),
        });
        let client = Self(Arc::new(Handle { inner: Arc::clone(&inner) }));
        runtime.spawn(upkeep::run(inner));
        Ok(client)
    }

    /// Waits for the cluster to be found. Cancel safe.
    pub(crate) async fn found(&self) -> Result<()> {
        self.inner().found().await
    }

    /// As [`Self::found`], until `deadline`.
    pub(crate) async fn found_by(&self, deadline: Instant, what: &str) -> Result<()> {
        let started = clock::now();
        tokio::time::timeout_at(deadline.into(), self.found()).await.unwrap_or_else(|_| {
            let last = self.inner().refresh_failure().map(Box::new);
            Err(Error::Timeout { what: what.to_owned(), after: clock::since(started), last })
        })
    }

    /// Whether no cluster was found yet, and calls are not to wait for it.
    pub(crate) fn is_not_found(&self) -> bool {
        self.inner().is_not_found()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.inner().config
    }

    /// What was counted so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let inner = self.inner();
        let age = lock(&inner.pace).last_answer().map(clock::since);
        inner.pool.metrics(age)
    }

    /// What the client is connected to and waits for, as a text for people; its form may change. A line for each broker with
    /// its connections, the oldest request on them, throttles and failures; for each producer what waits, for which topics,
    /// since when and why; for each consumer its partitions, positions and what waits for `poll`.
    #[must_use]
    pub fn describe(&self) -> String {
        self.inner().describe(clock::now())
    }

    /// Keeps every topic of the cluster up to date, those that are created later too, for as long as the answer lives. For
    /// subscriptions by pattern: [`ClusterSnapshot::topics_matching`].
    pub fn watch_all_topics(&self) -> AllTopics {
        self.inner().want_all.fetch_add(1, Ordering::Relaxed);
        self.refresh_metadata();
        AllTopics { inner: Arc::downgrade(&self.0.inner) }
    }

    /// A part of it that is described with it, for as long as it lives.
    pub(crate) fn register(&self, user: Weak<dyn Describe>) {
        self.inner().register(user);
    }

    /// What is known of the cluster.
    #[must_use]
    pub fn cluster(&self) -> Arc<ClusterSnapshot> {
        Arc::clone(&self.inner().changes.borrow())
    }

    /// Sees every new snapshot.
    pub(crate) fn cluster_changes(&self) -> watch::Receiver<Arc<ClusterSnapshot>> {
        self.inner().changes.subscribe()
    }

    /// Who we are on a lane.
    pub(crate) fn client_id(&self, lane: Lane) -> String {
        self.inner().pool.client_id(lane)
    }

    /// The consumer that fetches on a lane belongs to a group.
    pub(crate) fn name_consumer(&self, lane: Lane, group: &str, instance: Option<&str>) {
        self.inner().pool.name_consumer(lane, group, instance);
    }

    /// The consumer that fetches on a lane is gone.
    pub(crate) fn forget_consumer(&self, lane: Lane) {
        self.inner().pool.forget_consumer(lane);
    }

    /// Asks for a refresh and does not wait for it.
    pub(crate) fn refresh_metadata(&self) {
        self.inner().refresh.notify_one();
    }

    /// Keeps `topic` up to date until it is released, as often as it was retained.
    pub(crate) fn retain_topic(&self, topic: &str, may_create: bool) {
        lock(&self.inner().wanted).retain(topic, may_create);
    }

    /// Ends what [`Self::retain_topic`] began, with the same arguments.
    pub(crate) fn release_topic(&self, topic: &str, may_create: bool) {
        lock(&self.inner().wanted).release(topic, may_create);
    }

    /// Keeps topics up to date that records are sent to, for `metadata.max.idle.ms` from now on.
    pub(crate) fn use_topics<'a>(&self, topics: impl IntoIterator<Item = &'a str>) {
        let mut wanted = lock(&self.inner().wanted);
        topics.into_iter().for_each(|topic| wanted.use_now(clock::now(), topic, true));
    }

    /// The topic `name`, as soon as it is known; partitions may be without a leader for the moment. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Timeout`] at `deadline`, with what the last answer said; at once when the topic may not be read or its
    /// name is not legal. While no broker can be asked, because they are gone or refuse who we are, it is waited for: brokers
    /// come back, and rights are given.
    pub async fn topic(&self, name: &str, deadline: Instant) -> Result<Topic> {
        self.await_topic(name, false, deadline).await
    }

    pub(crate) async fn await_topic(&self, name: &str, may_create: bool, deadline: Instant) -> Result<Topic> {
        let mut changes = self.cluster_changes();
        lock(&self.inner().wanted).use_now(clock::now(), name, may_create);
        let started = clock::now();
        let what = format!("finding the topic {name}");
        self.found_by(deadline, &what).await?;
        let mut asked = false;
        loop {
            let cluster = Arc::clone(&changes.borrow_and_update());
            let error = match cluster.topic(name) {
                Some(topic) if topic.error.is_none() => return Ok(topic.clone()),
                Some(topic) => topic.error.map(|code| cluster.refusal(code, format!("topic {name}"))),
                None => None,
            };
            if let Some(error) = error.as_ref().filter(|e| asked && e.remedy() == Remedy::GiveUp) {
                return Err(error.clone());
            }
            self.refresh_metadata();
            asked = true;
            tokio::select! {
                biased;
                changed = changes.changed() => changed.map_err(|_| closed())?,
                () = self.inner().closed.cancelled() => return Err(closed()),
                () = tokio::time::sleep_until(deadline.into()) => {
                    let last = self.inner().refresh_failure().or(error);
                    return Err(Error::Timeout { what, after: clock::since(started), last: last.map(Box::new) });
                }
            }
        }
    }

    /// The cluster as it is now, by a request of its own.
    pub(crate) async fn refreshed(&self, retries: u32, deadline: Instant) -> Result<Arc<ClusterSnapshot>> {
        let inner = self.inner();
        self.retrying(retries, "finding the brokers", deadline, || inner.refresh_once()).await?;
        Ok(self.cluster())
    }

    /// Takes over what a broker said of new leaders (KIP-951). Whether any of it was news.
    pub(crate) fn apply_leader_hints(&self, hints: &[LeaderHint]) -> bool {
        let inner = self.inner();
        let mut metadata = lock(&inner.metadata);
        let applied = metadata.apply_hints(hints);
        if applied {
            inner.publish(metadata.current());
        }
        applied
    }

    /// The broker that coordinates `key`; looked up when it is not known, and so often again.
    pub(crate) async fn coordinator(
        &self,
        kind: CoordinatorKind,
        key: &str,
        retries: u32,
        deadline: Instant,
    ) -> Result<BrokerId> {
        let cache_key = (kind, key.to_owned());
        if let Some(broker) = lock(&self.inner().coordinators).get(&cache_key) {
            return Ok(*broker);
        }
        let what = format!("finding the coordinator of {key}");
        let broker = self.retrying(retries, &what, deadline, || self.find_coordinator(kind, key)).await?;
        lock(&self.inner().coordinators).insert(cache_key, broker);
        Ok(broker)
    }

    /// The coordinator moved.
    pub(crate) fn forget_coordinator(&self, kind: CoordinatorKind, key: &str) {
        lock(&self.inner().coordinators).remove(&(kind, key.to_owned()));
    }

    async fn find_coordinator(&self, kind: CoordinatorKind, key: &str) -> Result<BrokerId> {
        let connection = self.any_connection().await?;
        let version = connection.choose::<FindCoordinatorRequest>(None)?;
        if version < 1 && kind != CoordinatorKind::Group {
            // A broker before 0.11 would name the coordinator of the group of that name.
            let ours = VersionRange { min: 1, max: FindCoordinatorRequest::MAX_VERSION };
            let (api, theirs) = (ApiKey::FindCoordinator, connection.api_versions().range(ApiKey::FindCoordinator));
            return Err(Error::UnsupportedVersion { api, ours, theirs, broker: connection.place(version).name() });
        }
        let mut request = FindCoordinatorRequest { key_type: kind as i8, ..Default::default() };
        // Versions 4 and newer look up many keys at once (KIP-699).
        if version < 4 {
            request.key = key.to_owned();
        } else {
            request.coordinator_keys = vec![key.to_owned()];
        }
        let response = connection.send(&request, version)?.await?;
        let (code, node, message) = single_coordinator(response);
        if code != ErrorCode::None {
            let error = Error::broker(code, ApiKey::FindCoordinator, key).at(&connection.place(version));
            return Err(error.message(message));
        }
        let (id, host, port) = node;
        self.inner().pool.set_addresses(std::iter::once((id, host.as_str(), port)));
        Ok(id)
    }

    /// An open connection, if there is one.
    pub(crate) fn ready_connection(&self, broker: BrokerId, lane: Lane) -> Option<Connection> {
        self.inner().pool.ready(broker, lane)
    }

    /// An open connection, opened now if need be; one attempt. Cancel safe.
    pub(crate) async fn connection(&self, broker: BrokerId, lane: Lane) -> Result<Connection> {
        let opened = self.inner().pool.connection(broker, lane).await;
        if let Err(error) = &opened {
            self.inner().rebootstrap_as_told(error);
            // The broker may have moved.
            self.refresh_metadata();
        }
        opened
    }

    /// A connection to any broker: one that is open, else a known one, else a bootstrap server.
    pub(crate) async fn any_connection(&self) -> Result<Connection> {
        self.found().await?;
        self.inner().any_connection().await
    }

    /// Repeats `attempt` with growing pauses while its errors are such that it may help. The error of the last of so many
    /// retries is the call's.
    pub(crate) async fn retrying<T, F: Future<Output = Result<T>>>(
        &self,
        retries: u32,
        what: &str,
        deadline: Instant,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T> {
        let started = clock::now();
        let mut rng = fastrand::Rng::new();
        let mut last = None;
        for failures in 0.. {
            match tokio::time::timeout_at(deadline.into(), attempt()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) if error.remedy() == Remedy::GiveUp || failures >= retries => return Err(error),
                Ok(Err(error)) if self.is_not_found() => return Err(error),
                Ok(Err(error)) => last = Some(error),
                Err(_) => break,
            }
            if last.as_ref().is_some_and(|e| e.remedy() == Remedy::RefreshMetadata) {
                self.refresh_metadata();
            }
            let delay = self.config().retry().delay(failures, &mut rng);
            if clock::now() + delay >= deadline {
                break;
            }
            pause(delay).await;
        }
        let last = last.or_else(|| self.inner().refresh_failure());
        Err(Error::Timeout { what: what.to_owned(), after: clock::since(started), last: last.map(Box::new) })
    }

    /// Whether it talks to controllers, and knows no brokers.
    pub(crate) fn is_of_controllers(&self) -> bool {
        self.config().endpoints == Endpoints::Controllers
    }

    /// The level of the cluster's transaction protocol; 2 and above is KIP-890 part 2.
    pub(crate) fn transaction_version(&self) -> i16 {
        self.inner().pool.transaction_version()
    }

    /// When a call that starts now has to be done by.
    pub(crate) fn api_deadline(&self) -> Instant {
        clock::now() + self.config().default_api_timeout
    }

    /// Closes the connections of all handles, and returns at once. What was not answered yet fails. Dropping the last handle
    /// does the same.
    pub fn close(&self) {
        self.inner().shut_down();
    }

    fn inner(&self) -> &Inner {
        &self.0.inner
    }
}

impl Inner {
    fn shut_down(&self) {
        self.closed.cancel();
        self.pool.close();
    }

    fn publish(&self, snapshot: Arc<ClusterSnapshot>) {
        self.pool.set_cluster_id(snapshot.cluster_id());
        self.pool.set_addresses(snapshot.brokers().map(|b| (b.id, b.host.as_str(), b.port)));
        self.changes.send_replace(snapshot);
    }
}

/// The runtime that tasks are to run on.
pub(crate) fn runtime() -> Result<tokio::runtime::Handle> {
    tokio::runtime::Handle::try_current().map_err(|_| Error::Misuse {
        reason: "there is no tokio runtime here: call this inside of one (#[tokio::main], Runtime::enter)".to_owned(),
    })
}

fn single_coordinator(response: FindCoordinatorResponse) -> (ErrorCode, (BrokerId, String, u16), Option<String>) {
    let port = |port: i32| u16::try_from(port).unwrap_or(0);
    match response.coordinators.into_iter().next() {
        Some(c) => (c.error_code.into(), (BrokerId(c.node_id), c.host, port(c.port)), c.error_message),
        None => (
            response.error_code.into(),
            (BrokerId(response.node_id), response.host, port(response.port)),
            response.error_message,
        ),
    }
}

fn closed() -> Error {
    Error::Closed { what: "the client".to_owned() }
}
