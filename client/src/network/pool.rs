//! The connections of a client, one per broker and lane, opened when first used.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

mod describe;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ottla_protocol::messages::ApiVersionsRequest;
use ottla_protocol::{ApiKey, ErrorCode, Request};

use super::Lane;
use super::addresses::Addresses;
use super::answered_versions::AnsweredVersions;
use super::connection::{Connection, Settings};
use super::handshake::Identity;
use super::least_loaded::Standing;
use super::names::ClientNames;
use super::open::{self, NotOpened, Opened, Opener, Target};
use crate::clock;
use crate::config::{ClientConfig, DnsLookup, split_address};
use crate::error::{Error, NO_COMMON_VERSION, Place, RESOLVING, Result, peer_name};
use crate::metrics::{self, Counters, Metrics};
use crate::sync::lock;
use crate::types::BrokerId;

/// The feature that turns the transactions of KIP-890 part 2 on.
const TRANSACTION_VERSION: &str = "transaction.version";

/// How many clients this process has had.
static CLIENTS: AtomicU32 = AtomicU32::new(0);

/// Requests in flight on a connection for metadata and admin calls.
const GENERAL_IN_FLIGHT: usize = 100;

#[derive(Debug)]
pub(crate) struct Pool {
    config: Arc<ClientConfig>,
    opener: Opener,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    names: ClientNames,
    slots: BTreeMap<(BrokerId, Lane), Slot>,
    peers: BTreeMap<BrokerId, Peer>,
    versions: AnsweredVersions,
    cluster_id: Option<String>,
    /// They outlive the brokers that they are about.
    counters: BTreeMap<BrokerId, Arc<Counters>>,
    closed: bool,
}

/// A broker: where it listens and how connecting to it went lately.
#[derive(Debug, Default)]
struct Peer {
    host: String,
    port: u16,
    addresses: Addresses,
    health: Health,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    /// Held while somebody dials, so that others wait for that one attempt.
    dialing: Arc<tokio::sync::Mutex<()>>,
}

/// Whom to open a connection to, and as whom.
struct Whom<'a> {
    broker: BrokerId,
    host: &'a str,
    port: u16,
    client_id: &'a str,
}

impl State {
    /// A name was resolved to these addresses. Where no connection is left, the broker may be a newer one.
    fn forget_versions(&mut self, found: &[SocketAddr]) {
        let open = self.slots.values().filter_map(|slot| slot.connection.as_ref()).filter(|c| !c.is_closed());
        let open: Vec<_> = open.map(Connection::socket).collect();
        found.iter().filter(|address| !open.contains(address)).for_each(|address| self.versions.resolved(*address));
    }

    fn standing(&self, broker: BrokerId, now: Instant) -> Standing {
        let general = self.slots.get(&(broker, Lane::General));
        if let Some(open) = general.and_then(|slot| slot.connection.as_ref()).filter(|c| !c.is_closed()) {
            return Standing::Ready { muted: open.muted_for(now).is_some(), in_flight: open.in_flight() };
        }
        let mut others = self.slots.iter().filter(|((id, _), _)| *id == broker);
        let reached = others.any(|(_, slot)| slot.connection.as_ref().is_some_and(|c| !c.is_closed()));
        let health = self.peers.get(&broker).map(|peer| &peer.health);
        match health.and_then(|health| health.not_before) {
            Some(until) if until > now => Standing::BackingOff { reached },
            _ if general.is_some_and(|slot| slot.dialing.try_lock().is_err()) => Standing::Connecting,
            _ => Standing::CanConnect { reached },
        }
    }
}

/// How connecting to a broker went lately.
#[derive(Debug, Default)]
struct Health {
    failures: u32,
    attempts: u64,
    /// When the first of the failures in a row was.
    failing_since: Option<Instant>,
    not_before: Option<Instant>,
    last_error: Option<Error>,
}

impl Pool {
    /// A pool that knows the bootstrap servers, as brokers -1, -2 and so on.
    pub(crate) fn new(config: Arc<ClientConfig>) -> Result<Self> {
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed) + 1;
        let mut state = State {
            names: ClientNames::new(&config.client_id, number),
            slots: BTreeMap::new(),
            peers: BTreeMap::new(),
            versions: AnsweredVersions::default(),
            cluster_id: None,
            counters: BTreeMap::new(),
            closed: false,
        };
        for (i, server) in config.bootstrap_servers.iter().enumerate() {
            let (host, port) = split_address(config.endpoints.key(), server)?;
            state.peers.insert(bootstrap_id(i), Peer { host, port, ..Peer::default() });
        }
        Ok(Self { opener: Opener::new(&config)?, config, state: Mutex::new(state) })
    }

    /// The brokers of the cluster and where they listen now. A connection to an address that is no longer the broker's
    /// is closed.
    pub(crate) fn set_addresses<'a>(&self, brokers: impl Iterator<Item = (BrokerId, &'a str, u16)>) {
        let mut state = self.lock();
        for (id, host, port) in brokers {
            let peer = state.peers.entry(id).or_default();
            if peer.host == host && peer.port == port {
                continue;
            }
            // What is known of the old address says nothing of the new one.
            *peer = Peer { host: host.to_owned(), port, ..Peer::default() };
            for (_, slot) in state.slots.iter_mut().filter(|((broker, _), _)| *broker == id) {
                slot.connection = None;
            }
        }
    }

    /// Who we are on a lane.
    pub(crate) fn client_id(&self, lane: Lane) -> String {
        self.lock().names.of(lane)
    }

    /// The consumer that fetches on a lane belongs to a group.
    pub(crate) fn name_consumer(&self, lane: Lane, group: &str, instance: Option<&str>) {
        if let Lane::Fetch(consumer) = lane {
            self.lock().names.join(consumer, group, instance);
        }
    }

    /// The consumer that fetches on a lane is gone.
    pub(crate) fn forget_consumer(&self, lane: Lane) {
        if let Lane::Fetch(consumer) = lane {
            let mut state = self.lock();
            state.names.leave(consumer);
            state.slots.retain(|(_, other), _| *other != lane);
        }
    }

    /// An open connection, if there is one.
    pub(crate) fn ready(&self, broker: BrokerId, lane: Lane) -> Option<Connection> {
        let state = self.lock();
        state.slots.get(&(broker, lane))?.connection.clone().filter(|c| !c.is_closed())
    }

    /// How each of these brokers stands, for requests that any broker can answer.
    pub(crate) fn standings(&self, brokers: impl IntoIterator<Item = BrokerId>) -> Vec<(BrokerId, Standing)> {
        let (state, now) = (self.lock(), clock::now());
        brokers.into_iter().map(|broker| (broker, state.standing(broker, now))).collect()
    }

    /// What the last attempt to connect to `broker` met, if it failed.
    pub(crate) fn last_error(&self, broker: BrokerId) -> Option<Error> {
        self.lock().peers.get(&broker)?.health.last_error.clone()
    }

    /// Whether the name of `broker` has addresses that were not tried in this round.
    pub(crate) fn has_untried(&self, broker: BrokerId) -> bool {
        self.lock().peers.get(&broker).is_some_and(|p| p.addresses.has_untried())
    }

    /// The cluster's id, which brokers are told from now on.
    pub(crate) fn set_cluster_id(&self, id: Option<&str>) {
        let mut state = self.lock();
        if state.cluster_id.as_deref() != id {
            state.cluster_id = id.map(str::to_owned);
        }
    }

    /// Forgets all brokers but the bootstrap servers, whose names are resolved again, and closes all connections (KIP-899).
    pub(crate) fn rebootstrap(&self) {
        let mut state = self.lock();
        state.cluster_id = None;
        for (_, slot) in std::mem::take(&mut state.slots) {
            if let Some(connection) = slot.connection {
                connection.close("the client begins again with its bootstrap servers (metadata.recovery.strategy)");
            }
        }
        state.peers.retain(|broker, _| broker.0 < 0);
        for peer in state.peers.values_mut() {
            peer.addresses.forget();
        }
    }

    /// An open connection, opened now if need be. Cancel safe.
    ///
    /// # Errors
    /// When one attempt fails. Attempts keep a growing distance from each other.
    pub(crate) async fn connection(&self, broker: BrokerId, lane: Lane) -> Result<Connection> {
        if let Some(connection) = self.ready(broker, lane) {
            return Ok(connection);
        }
        let (gate, seen) = {
            let mut state = self.lock();
            let seen = state.peers.get(&broker).map_or(0, |p| p.health.attempts);
            (Arc::clone(&state.slots.entry((broker, lane)).or_default().dialing), seen)
        };
        let _dialing = gate.lock().await;
        if let Some(connection) = self.ready(broker, lane) {
            return Ok(connection);
        }
        if let Some(error) = self.failed_since(broker, seen) {
            return Err(error);
        }
        let not_before = self.lock().peers.get(&broker).and_then(|p| p.health.not_before);
        if let Some(until) = not_before {
            tokio::time::sleep_until(until.into()).await;
        }
        let opened = self.open(broker, lane).await;
        self.attempt_ended(broker, lane, opened)
    }

    /// What the transaction feature's level is, by the broker whose news is the latest; 0: it is absent.
    pub(crate) fn transaction_version(&self) -> i16 {
        let state = self.lock();
        let open = state.slots.values().filter_map(|slot| slot.connection.as_ref()).filter(|c| !c.is_closed());
        open.map(|c| c.api_versions())
            .max_by_key(|v| v.finalized_features_epoch())
            .and_then(|v| v.finalized_feature(TRANSACTION_VERSION))
            .unwrap_or(0)
    }

    /// What was counted, and how old metadata is.
    pub(crate) fn metrics(&self, metadata_age: Option<Duration>) -> Metrics {
        let state = self.lock();
        let open = state.slots.values().filter_map(|slot| slot.connection.as_ref()).filter(|c| !c.is_closed());
        metrics::collect(state.counters.iter().map(|(id, c)| (*id, &**c)), open.count(), metadata_age)
    }

    /// Closes all connections; none is opened any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for slot in state.slots.values_mut() {
            if let Some(connection) = slot.connection.take() {
                connection.close("the client was closed");
            }
        }
    }

    fn failed_since(&self, broker: BrokerId, seen: u64) -> Option<Error> {
        let state = self.lock();
        let health = &state.peers.get(&broker)?.health;
        if health.attempts > seen { health.last_error.clone() } else { None }
    }

    fn attempt_ended(&self, broker: BrokerId, lane: Lane, mut opened: Result<Connection>) -> Result<Connection> {
        let now = clock::now();
        let mut state = self.lock();
        let closed = state.closed;
        // A rebootstrap may have left it meanwhile; what was opened is closed with its handle.
        let Some(peer) = state.peers.get_mut(&broker) else { return opened.and_then(|_| Err(not_named(broker))) };
        // Or the broker of this number is another one by now: what was said to the old one says nothing of it.
        if opened.as_ref().is_ok_and(|connection| connection.address() != format!("{}:{}", peer.host, peer.port)) {
            return Err(not_named(broker));
        }
        let health = &mut peer.health;
        health.attempts += 1;
        match &mut opened {
            Ok(_) if closed => return Err(Error::Closed { what: "the client".to_owned() }),
            Ok(connection) => {
                let attempts = health.attempts;
                let before = std::mem::replace(health, Health { attempts, ..Health::default() });
                if let Some(since) = before.failing_since {
                    let after = now.saturating_duration_since(since);
                    tracing::info!(%broker, failures = before.failures, ?after, "connected after failures");
                }
                state.slots.entry((broker, lane)).or_default().connection = Some(connection.clone());
            }
            Err(Error::Closed { .. }) => {}
            Err(error) => {
                let delay = self.config.reconnect().delay(health.failures, &mut fastrand::Rng::new());
                health.failures += 1;
                health.not_before = Some(now + delay);
                let since = now.saturating_duration_since(*health.failing_since.get_or_insert(now));
                if let Error::Connect { reason, .. } | Error::Authentication { reason, .. } = error
                    && health.failures > 1
                {
                    reason.push_str(&format!(" (failure {} in a row, the first {since:.1?} ago)", health.failures));
                }
                health.last_error = Some(error.clone());
                // One event per change of state, not per retry (`design.md` §6).
                if health.failures == 1 {
                    tracing::warn!(%broker, %error, "cannot connect");
                }
            }
        }
        opened
    }

    async fn open(&self, broker: BrokerId, lane: Lane) -> Result<Connection> {
        let (host, port, failures) = self.whereabouts(broker)?;
        let limit = self.config.setup().delay(failures, &mut fastrand::Rng::new());
        let address: Arc<str> = format!("{host}:{port}").into();
        let mut phase = RESOLVING;
        let client_id = self.client_id(lane);
        let whom = Whom { broker, host: &host, port, client_id: &client_id };
        let opening = self.open_address(whom, &mut phase);
        let failed = match tokio::time::timeout(limit, opening).await {
            Ok(Ok((opened, host))) => return Ok(self.start((broker, lane), address, (host, client_id), opened)),
            Ok(Err(failed)) => failed,
            Err(_) => NotOpened::Connect(format!(
                "nothing came of it within {limit:.1?} (socket.connection.setup.timeout.ms) while {phase}{}",
                open::slow(phase)
            )),
        };
        if matches!(failed, NotOpened::Authentication(_)) {
            self.counters(broker).failed_authentication_total.add(1);
        }
        Err(self.not_opened((broker, address), phase, failed))
    }

    fn whereabouts(&self, broker: BrokerId) -> Result<(String, u16, u32)> {
        let state = self.lock();
        if state.closed {
            return Err(Error::Closed { what: "the client".to_owned() });
        }
        let peer = state.peers.get(&broker).ok_or_else(|| not_named(broker))?;
        Ok((peer.host.clone(), peer.port, peer.health.failures))
    }

    /// One attempt: the next address of the broker's name. Also the name that TLS and SASL know it by.
    async fn open_address(&self, whom: Whom<'_>, phase: &mut &'static str) -> Result<(Opened, String), NotOpened> {
        let Whom { broker, host, port, client_id } = whom;
        let address = match self.with_addresses(broker, Addresses::take) {
            Some(address) => address,
            None => self.resolve(broker, host, port).await?,
        };
        let host = match self.config.client_dns_lookup {
            DnsLookup::ResolveCanonicalBootstrapServersOnly if broker.0 < 0 => {
                self.opener.canonical_name(address).await
            }
            _ => host.to_owned(),
        };
        let remembered = self.lock().versions.first(address);
        let target = Target { host: &host, client_id, address, remembered, identity: self.identity(broker) };
        let opened = self.opener.open(target, phase).await?;
        let (newest, version) = (ApiVersionsRequest::MAX_VERSION, opened.asked_with);
        let is_news = self.lock().versions.answered(address, version, newest);
        if is_news {
            tracing::info!(%broker, %address, version, newest, "the broker speaks an older version of ApiVersions");
        }
        self.with_addresses(broker, Addresses::forget);
        Ok((opened, host))
    }

    async fn resolve(&self, broker: BrokerId, host: &str, port: u16) -> Result<SocketAddr, NotOpened> {
        let found = self.opener.resolve(host, port).await.map_err(NotOpened::Connect)?;
        self.lock().forget_versions(&found);
        let first = self.with_addresses(broker, |addresses| {
            addresses.resolved(found);
            addresses.take()
        });
        first.ok_or_else(|| NotOpened::Connect(format!("the name {host} has no address")))
    }

    fn start(
        &self,
        (broker, lane): (BrokerId, Lane),
        address: Arc<str>,
        (host, client_id): (String, String),
        opened: Opened,
    ) -> Connection {
        let login = self.opener.login().cloned();
        let name = self.lock().names.of_client();
        let settings = Settings {
            broker,
            lane,
            counters: self.counters(broker),
            open: metrics::open_connection(&name),
            authenticated: login.is_some(),
            address,
            socket: opened.address,
            client_id,
            request_timeout: self.config.request_timeout,
            max_idle: self.config.connections_max_idle,
            max_response_bytes: self.config.max_response_bytes,
            max_in_flight: if lane == Lane::General { GENERAL_IN_FLIGHT } else { usize::MAX },
            flush: self.config.security_protocol.has_tls() || self.config.dial.is_some(),
            session: opened.session_lifetime.and_then(|lifetime| Some((login?, host, lifetime))),
        };
        if settings.authenticated {
            settings.counters.successful_authentication_total.add(1);
        }
        let connection = Connection::start(settings, opened.versions, opened.stream);
        if let Some(throttle) = opened.throttle {
            connection.mute(throttle);
        }
        connection
    }

    fn not_opened(&self, (id, address): (BrokerId, Arc<str>), phase: &'static str, failed: NotOpened) -> Error {
        let broker = peer_name(id, &address);
        match failed {
            NotOpened::Connect(reason) => Error::Connect { broker, phase, reason },
            NotOpened::TooOld(reason) => Error::Connect { broker, phase: NO_COMMON_VERSION, reason },
            NotOpened::Authentication(reason) => {
                let mechanism = self.opener.login().map_or("SASL", |login| login.mechanism()).to_owned();
                Error::Authentication { broker, mechanism, reason }
            }
            NotOpened::WrongBroker(version) => {
                let subject = "who we take the broker for";
                let at = Place { broker: id, address, version };
                Error::broker(ErrorCode::RebootstrapRequired, ApiKey::ApiVersions, subject).at(&at)
            }
        }
    }

    fn identity(&self, broker: BrokerId) -> Option<Identity> {
        let cluster_id = self.lock().cluster_id.clone().filter(|_| self.config.metadata_cluster_check_enable)?;
        (broker.0 >= 0).then_some(Identity { cluster_id, node_id: broker.0 })
    }

    fn counters(&self, broker: BrokerId) -> Arc<Counters> {
        let mut state = self.lock();
        let name = state.names.of_client();
        let new = || Arc::new(Counters::of_broker(&name, broker));
        Arc::clone(state.counters.entry(broker).or_insert_with(new))
    }

    fn with_addresses<T>(&self, broker: BrokerId, f: impl FnOnce(&mut Addresses) -> T) -> T {
        match self.lock().peers.get_mut(&broker) {
            Some(peer) => f(&mut peer.addresses),
            None => f(&mut Addresses::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn not_named(broker: BrokerId) -> Error {
    Error::Connect {
        broker: format!("broker {broker}"),
        phase: "looking up its address",
        reason: "the cluster's metadata does not name it; it may be down".to_owned(),
    }
}

/// The id that stands for the `i`th bootstrap server.
pub(crate) fn bootstrap_id(i: usize) -> BrokerId {
    BrokerId(-1 - i32::try_from(i).unwrap_or(i32::MAX - 1))
}

/// Pauses, here because machines have no clock.
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
