//! The whole cluster as one machine: requests in, outcomes out; no clock, no sockets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::ErrorCode;
use super::acl::{self, Acl};
use super::batch::Marker;
use super::client_metrics::ClientMetrics;
use super::client_quotas::ClientQuotas;
use super::config::ClusterConfig;
use super::control::{Control, Fault, Matcher};
use super::denials::{Denial, Denied};
use super::features::{Features, TRANSACTION_VERSION};
use super::fetch_session::FetchSessions;
use super::groups::Groups;
use super::handlers::{self, fetch::Parked};
use super::offsets::Offsets;
use super::producers::SequenceRules;
use super::request::{Reply, Request};
use super::sasl::{Clock, Identities};
use super::topics::Topic;
use super::transactions::Transactions;

/// Names a connection, so that a parked request can be found again.
pub type ConnectionId = u64;

/// Pause before end markers that could not be written (no leader) are tried again.
const MARKER_RETRY: Duration = Duration::from_millis(100);

/// What becomes of a request.
#[derive(Debug)]
#[must_use = "the connection must act on it"]
pub enum Outcome {
    /// Send this now.
    Reply(Reply),
    /// Send this at that time; later requests of the connection wait.
    ReplyAt(Instant, Reply),
    /// Nothing to say yet: call [`Cluster::resume`] when [`Cluster::poll_woken`] names the connection, or at `until`.
    Park {
        /// When to resume at the latest.
        until: Instant,
    },
    /// Nothing to say at all.
    NoReply,
    /// Send these bytes as a frame of their own: a SASL token without a header.
    Token(Bytes),
    /// Send this, then close the connection.
    LastReply(Reply),
    /// Send this now, and read nothing more from the connection until then: the client is over its quota (KIP-219).
    Throttled(Reply, Instant),
    /// Close the connection.
    HangUp,
}

/// What every handler knows of its request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) now: Instant,
    pub(crate) node: i32,
    pub(crate) connection: ConnectionId,
    pub(crate) version: i16,
    pub(crate) client_id: StrBytes,
    fault: Option<(Matcher, ErrorCode)>,
    denied: Option<Denied>,
}

impl Call {
    /// The error a denial or a rule wants for this topic and partition.
    pub(crate) fn fails(&self, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        self.may_topic(topic)?;
        match &self.fault {
            Some((matcher, code)) if matcher.names(topic, partition) => Err(*code),
            _ => Ok(()),
        }
    }

    /// The error a denial wants for this topic.
    pub(crate) fn may_topic(&self, topic: &str) -> Result<(), ErrorCode> {
        self.denied.as_ref().map_or(Ok(()), |denied| denied.topic(topic))
    }

    /// The error a denial wants for a group or transactional id; `kind` as in FindCoordinator.
    pub(crate) fn may_coordinate(&self, kind: i8, key: &str) -> Result<(), ErrorCode> {
        self.denied.as_ref().map_or(Ok(()), |denied| denied.coordinated(kind, key))
    }

    /// The error a denial wants for what concerns the cluster.
    pub(crate) fn may_cluster(&self) -> Result<(), ErrorCode> {
        self.denied.as_ref().map_or(Ok(()), Denied::cluster)
    }

    /// The error a rule wants for a request that names no topics.
    pub(crate) fn fails_whole(&self) -> Result<(), ErrorCode> {
        self.fault.as_ref().map_or(Ok(()), |&(_, code)| Err(code))
    }
}

/// One broker of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) alive: bool,
    pub(crate) rack: Option<String>,
}

/// A Kafka cluster in memory. Drive it with [`handle`](Self::handle), [`resume`](Self::resume) and
/// [`tick`](Self::tick); [`Broker`](super::Broker) does so over sockets.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) config: ClusterConfig,
    started: Instant,
    started_ms: i64,
    pub(crate) cluster_id: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) topic_ids: BTreeMap<Uuid, String>,
    pub(crate) transactions: Transactions,
    pub(crate) offsets: Offsets,
    pub(crate) groups: Groups,
    pub(crate) sessions: FetchSessions,
    pub(crate) control: Control,
    pub(crate) denials: Arc<Vec<Denial>>,
    pub(crate) acls: Arc<Vec<Acl>>,
    /// Configs of brokers and groups, by resource type and name.
    pub(crate) kept_configs: BTreeMap<(i8, String), BTreeMap<String, String>>,
    /// Delays by API.
    pub(crate) quotas: BTreeMap<i16, Duration>,
    pub(crate) client_quotas: ClientQuotas,
    pub(crate) client_metrics: ClientMetrics,
    pub(crate) features: Features,
    pub(crate) identities: Identities,
    /// Requests by API.
    received: BTreeMap<i16, u64>,
    pub(crate) rng: fastrand::Rng,
    pub(crate) moved_coordinators: BTreeMap<(i8, String), i32>,
    pub(crate) coordinator_epoch: i32,
    pub(crate) parked: BTreeMap<ConnectionId, Parked>,
    woken: VecDeque<ConnectionId>,
    next_sweep: Instant,
    /// Transactional ids whose end markers are to be written, and when.
    ends: BTreeMap<String, Instant>,
}

impl Cluster {
    /// A cluster whose clock reads `wall_ms` (milliseconds since 1970) at `now`.
    pub(crate) fn new(config: ClusterConfig, now: Instant, wall_ms: i64) -> Self {
        let mut rng = fastrand::Rng::with_seed(config.seed);
        let features = Features::new(config.version);
        let second_protocol = features.level(TRANSACTION_VERSION) >= 2;
        let rack = |id: i32| config.racks.get(usize::try_from(id).ok()?).cloned();
        let node = |id| Node { id, host: "127.0.0.1".to_owned(), port: 9092, alive: true, rack: rack(id) };
        let nodes = (0..config.nodes).map(node).collect();
        Self {
            started: now,
            started_ms: wall_ms,
            cluster_id: format!("ottla-{:016x}", rng.u64(..)),
            nodes,
            topics: BTreeMap::new(),
            topic_ids: BTreeMap::new(),
            transactions: Transactions::new(config.transaction_max_timeout_ms(), second_protocol),
            offsets: Offsets::default(),
            groups: Groups::default(),
            sessions: FetchSessions::default(),
            control: Control::default(),
            denials: Arc::default(),
            acls: Arc::default(),
            kept_configs: BTreeMap::new(),
            quotas: BTreeMap::new(),
            client_quotas: ClientQuotas::default(),
            client_metrics: ClientMetrics::default(),
            features,
            identities: Identities::default(),
            received: BTreeMap::new(),
            rng,
            moved_coordinators: BTreeMap::new(),
            coordinator_epoch: 0,
            parked: BTreeMap::new(),
            woken: VecDeque::new(),
            next_sweep: now + config.transaction_sweep,
            ends: BTreeMap::new(),
            config,
        }
    }

    /// The Kafka version this cluster plays; give it to [`Request::decode`].
    pub fn version(&self) -> super::KafkaVersion {
        self.config.version
    }

    /// Wall clock in milliseconds at `now`.
    pub(crate) fn wall_ms(&self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.started).as_millis();
        self.started_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    pub(crate) fn random_uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid()
    }

    pub(crate) fn sequence_rules(&self) -> SequenceRules {
        SequenceRules {
            unknown_producer_may_start_anywhere: self.config.version.at_least(2, 5),
            old_duplicate_is_46: !self.config.version.at_least(1, 0),
        }
    }

    /// Carries out one request that arrived at `node`.
    pub fn handle(&mut self, now: Instant, node: i32, connection: ConnectionId, request: Request) -> Outcome {
        self.tick(now);
        let api = request.head.api;
        *self.received.entry(api as i16).or_default() += 1;
        if !self.may_ask(now, connection, api) {
            return Outcome::HangUp;
        }
        let fault = self.strike(node, &request);
        let client_id = request.client_id.clone();
        let denied = Denied::new(&self.denials, &self.acls, self.identities.user(connection), api);
        let version = request.head.version;
        let mut call = Call { now, node, connection, version, client_id, fault: None, denied };
        let then = match fault {
            Some((_, Fault::HangUp)) => return Outcome::HangUp,
            Some((_, Fault::Reply(answer))) => return answer.to(&request).map_or(Outcome::HangUp, Outcome::Reply),
            Some((matcher, Fault::Fail(code))) => {
                call.fault = Some((matcher, code));
                None
            }
            Some((_, fault)) => Some(fault),
            None => None,
        };
        let outcome = handlers::dispatch(self, &call, connection, request);
        let outcome = self.apply(now, connection, then, outcome);
        self.throttle(now, outcome)
    }

    /// Whether the next frame of `connection` is for [`token`](Self::token): the client began SASL by SaslHandshake v0.
    pub fn wants_token(&self, connection: ConnectionId) -> bool {
        self.identities.wants_token(connection)
    }

    /// Carries out a frame that is a bare SASL token. Who is refused is hung up on, as nothing else can be said.
    pub fn token(&mut self, now: Instant, connection: ConnectionId, token: &[u8]) -> Outcome {
        let clock = Clock { now, wall_ms: self.wall_ms(now) };
        let nonce = self.rng.u128(..);
        match self.identities.authenticate(connection, &self.config.sasl, clock, nonce, token) {
            Ok(answer) => Outcome::Token(answer.say),
            Err(_) => Outcome::HangUp,
        }
    }

    /// Before a connection has authenticated, and when its session is over, only authentication goes on.
    fn may_ask(&self, now: Instant, connection: ConnectionId, api: ApiKey) -> bool {
        let is_new = self.identities.user(connection).is_none();
        self.config.sasl.mechanisms.is_empty()
            || matches!(api, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate)
            || (api == ApiKey::ApiVersions && is_new)
            || self.identities.may_ask(connection, now)
    }

    /// Tells the client of its quota's delay. Since 2.0 the client waits, before the broker did.
    fn throttle(&self, now: Instant, outcome: Outcome) -> Outcome {
        let Outcome::Reply(mut reply) = outcome else { return outcome };
        let Some(&delay) = self.quotas.get(&(reply.api() as i16)) else { return Outcome::Reply(reply) };
        reply.throttle(delay);
        if self.config.version.at_least(2, 0) {
            Outcome::Throttled(reply, now + delay)
        } else {
            Outcome::ReplyAt(now + delay, reply)
        }
    }

    /// What the client may do to a resource, one bit per operation (KIP-430); `kind` as in ACLs.
    pub(crate) fn operations(&self, call: &Call, kind: i8, name: &str) -> i32 {
        let user = call.denied.as_ref().map_or("", Denied::user);
        acl::operations(&self.acls, user, kind, name, self.config.version)
    }

    fn strike(&mut self, node: i32, request: &Request) -> Option<(Matcher, Fault)> {
        if self.control.is_empty() {
            return None;
        }
        let ids = &self.topic_ids;
        self.control.strike(request.head.api, node, |matcher| handlers::touches(ids, &request.body, matcher))
    }

    fn apply(&mut self, now: Instant, connection: ConnectionId, fault: Option<Fault>, outcome: Outcome) -> Outcome {
        match (fault, outcome) {
            (Some(Fault::Delay(delay)), Outcome::Reply(reply)) => Outcome::ReplyAt(now + delay, reply),
            (Some(Fault::DropResponse), _) => {
                self.disconnect(connection);
                Outcome::NoReply
            }
            (Some(Fault::HangUpAfter), _) => Outcome::HangUp,
            (_, outcome) => outcome,
        }
    }

    /// Looks again at the request `connection` has parked.
    pub fn resume(&mut self, now: Instant, connection: ConnectionId) -> Outcome {
        self.tick(now);
        let outcome = match self.groups.resume(now, connection) {
            Some(outcome) => outcome,
            None => handlers::fetch::resume(self, now, connection),
        };
        self.throttle(now, outcome)
    }

    /// Forgets what `connection` has parked.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        if let Some(parked) = self.parked.remove(&connection) {
            self.unwatch(connection, &parked);
        }
        self.groups.disconnect(connection);
    }

    /// The connection is closed: forgets what it has parked, and who it is.
    pub fn closed(&mut self, connection: ConnectionId) {
        self.disconnect(connection);
        self.identities.forget(connection);
        self.client_metrics.closed(connection);
    }

    /// The next connection to [`resume`](Self::resume); call until `None` after every other call.
    pub fn poll_woken(&mut self) -> Option<ConnectionId> {
        self.woken.pop_front()
    }

    /// When to call [`tick`](Self::tick) next.
    pub fn poll_timeout(&self) -> Instant {
        let due = self.ends.values().min().copied().into_iter().chain(self.groups.poll_timeout());
        due.fold(self.next_sweep, Instant::min)
    }

    /// Does what is due: end markers, transaction timeouts, expiration of transactional ids.
    pub fn tick(&mut self, now: Instant) {
        if now >= self.next_sweep {
            let sweep = self.config.transaction_sweep.max(Duration::from_millis(1));
            self.next_sweep = now + sweep;
            if self.transactions.abort_timed_out(now) {
                for id in self.transactions.preparing() {
                    self.end_soon(now, &id);
                }
            }
            self.transactions.expire(now, self.config.transactional_id_expiration);
            let wall_ms = self.wall_ms(now);
            self.config.sasl.delegation.sweep(wall_ms);
        }
        if !self.ends.is_empty() {
            self.write_due_markers(now);
        }
        self.tick_groups(now);
    }

    /// Schedules the end markers of a transaction that was just prepared.
    pub(crate) fn end_soon(&mut self, now: Instant, id: &str) {
        self.ends.entry(id.to_owned()).or_insert(now + self.config.marker_delay);
        self.write_due_markers(now);
    }

    fn write_due_markers(&mut self, now: Instant) {
        let due: Vec<String> = self.ends.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            if self.write_markers(now, &id) {
                self.ends.remove(&id);
                self.transactions.complete(now, &id);
            } else {
                self.ends.insert(id, now + MARKER_RETRY);
            }
        }
    }

    /// Writes the end markers of `id`; false if a partition had no leader.
    fn write_markers(&mut self, now: Instant, id: &str) -> bool {
        let Some(markers) = self.transactions.markers(id) else { return true };
        let marker = Marker {
            producer_id: markers.producer.producer_id,
            producer_epoch: markers.producer.epoch,
            coordinator_epoch: self.coordinator_epoch,
            commit: markers.commit,
        };
        let timestamp = self.wall_ms(now);
        let mut complete = true;
        for partition in &markers.partitions {
            if partition.0 == super::offsets::OFFSETS_TOPIC {
                self.offsets.end_transaction(partition.1, marker.producer_id, marker.commit);
            } else if let Some(target) = self.partition_mut(&partition.0, partition.1) {
                if target.leader.is_none() {
                    complete = false;
                    continue;
                }
                // A marker the partition refuses is one it already has, or one a newer epoch made void.
                if let Err(error) = target.end_transaction(marker, markers.bumped, timestamp) {
                    tracing::warn!(transactional_id = id, topic = partition.0, partition = partition.1, %error, "end marker refused");
                }
                self.wake(&partition.0, partition.1);
            }
            self.transactions.marker_written(id, partition);
        }
        complete
    }

    /// Wakes the fetches parked on a partition.
    pub(crate) fn wake(&mut self, topic: &str, partition: i32) {
        if let Some(partition) = self.partition_mut(topic, partition) {
            let watchers = std::mem::take(&mut partition.watchers);
            self.woken.extend(watchers);
        }
    }

    pub(crate) fn wake_connections(&mut self, connections: impl IntoIterator<Item = ConnectionId>) {
        self.woken.extend(connections);
    }

    pub(crate) fn watch(&mut self, connection: ConnectionId, parked: &Parked) {
        for (topic, index) in parked.partitions(&self.topic_ids) {
            let Some(partition) = self.topics.get_mut(&*topic).and_then(|topic| topic.partition_mut(index)) else {
                continue;
            };
            if !partition.watchers.contains(&connection) {
                partition.watchers.push(connection);
            }
        }
    }

    pub(crate) fn unwatch(&mut self, connection: ConnectionId, parked: &Parked) {
        for (topic, index) in parked.partitions(&self.topic_ids) {
            if let Some(partition) = self.topics.get_mut(&*topic).and_then(|topic| topic.partition_mut(index)) {
                partition.watchers.retain(|&watcher| watcher != connection);
            }
        }
    }

    /// Adds a fault rule for the next `times` requests that match, `None` = until it is removed; returns its id. The
    /// oldest matching rule applies. ([`Broker::on`](super::Broker::on) is the same over sockets.)
    pub fn add_rule(&mut self, matcher: Matcher, fault: Fault, times: Option<u64>) -> u64 {
        let id = self.control.add(matcher, fault);
        self.control.limit(id, times);
        id
    }

    /// How many requests a rule has applied to.
    pub fn rule_hits(&self, id: u64) -> u64 {
        self.control.hits(id)
    }

    /// Ends a rule.
    pub fn remove_rule(&mut self, id: u64) {
        self.control.remove(id);
    }

    /// A number that grows with everything that happens, where Kafka has the end of its metadata log.
    pub(crate) fn metadata_offset(&self) -> i64 {
        i64::try_from(self.received.values().sum::<u64>()).unwrap_or(i64::MAX)
    }

    /// How many requests of an API have come.
    pub fn received(&self, api: ApiKey) -> u64 {
        self.received.get(&(api as i16)).copied().unwrap_or(0)
    }

    /// Whether this API is answered by this cluster's version at all.
    pub fn has(&self, api: ApiKey) -> bool {
        self.config.version.accepted(api).is_some()
    }
}
