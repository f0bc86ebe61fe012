#![allow(clippy::disallowed_methods, reason = "starts the broker's tasks and reads the clock once")]
//! \[I/O\] Starting and steering an embedded broker.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::ApiKey;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::config::ClusterConfig;
use super::denials::Denial;
use super::leadership::{GROUP, TRANSACTION};
use super::rules::RuleBuilder;
use super::sasl::SaslMechanism;
use super::server::{self, Shared};
use super::tls::TlsFiles;
use super::topics::NewTopic;
use super::versions::KafkaVersion;

/// Why an embedded broker could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// [`BrokerBuilder::as_version`] was given something the broker can't play.
    #[error("{0}")]
    Version(String),
    /// A topic was refused as a real broker would refuse it.
    #[error("topic {topic}: {reason}")]
    Topic {
        /// Its name.
        topic: String,
        /// Why.
        reason: String,
    },
    /// The certificate, its key or the client authorities are not usable.
    #[error("TLS: {0}")]
    Tls(String),
    /// A node's port could not be bound.
    #[error("node {node} can't listen on 127.0.0.1:{port}")]
    Bind {
        /// The node.
        node: i32,
        /// The port that was asked for; 0 = any.
        port: u16,
        /// The system's reason.
        source: io::Error,
    },
}

/// What an embedded broker shall be. Everything has a default: one node, no topics, Kafka 4.1.
#[derive(Debug, Clone)]
#[must_use = "call start"]
pub struct BrokerBuilder {
    config: ClusterConfig,
    version: Result<(), String>,
    topics: Vec<NewTopic>,
    tls: Option<TlsFiles>,
    host: String,
}

impl BrokerBuilder {
    /// Number of nodes, at least 1; their ids count from 0. Default 1.
    pub fn nodes(mut self, count: i32) -> Self {
        self.config.nodes = count.max(1);
        self
    }

    /// Creates a topic at start, replicated to every node (at most 3).
    pub fn topic(self, name: &str, partitions: i32) -> Self {
        self.topic_with(name, partitions, &[])
    }

    /// Creates a topic with configs at start, e.g. `("min.insync.replicas", "2")`.
    pub fn topic_with(mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Self {
        self.topics.push(NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication: None,
            assignment: None,
            configs: configs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        });
        self
    }

    /// The Kafka version to play, `0.11` to `4.1`: API versions, features, and rules that changed. Default 4.1.
    pub fn as_version(mut self, version: &str) -> Self {
        self.version = version.parse::<KafkaVersion>().map(|version| self.config.version = version);
        self
    }

    /// `transaction.max.timeout.ms`. Default 15 minutes.
    pub fn transaction_max_timeout(mut self, timeout: Duration) -> Self {
        self.config.transaction_max_timeout = timeout;
        self
    }

    /// How often transactions are checked for their timeout. Default 10 s, as in Kafka.
    pub fn transaction_sweep(mut self, interval: Duration) -> Self {
        self.config.transaction_sweep = interval.max(Duration::from_millis(1));
        self
    }

    /// How long a transaction stays in PrepareCommit or PrepareAbort before its markers are written. Default none.
    pub fn marker_delay(mut self, delay: Duration) -> Self {
        self.config.marker_delay = delay;
        self
    }

    /// `auto.create.topics.enable`. Default true.
    pub fn auto_create_topics(mut self, enable: bool) -> Self {
        self.config.auto_create_topics = enable;
        self
    }

    /// `num.partitions`, for topics created without a number. Default 1.
    pub fn default_partitions(mut self, count: i32) -> Self {
        self.config.default_partitions = count;
        self
    }

    /// `message.max.bytes`. Default 1048588.
    pub fn message_max_bytes(mut self, bytes: i32) -> Self {
        self.config.message_max_bytes = bytes;
        self
    }

    /// `min.insync.replicas`. Default 1.
    pub fn min_insync_replicas(mut self, count: i32) -> Self {
        self.config.min_insync_replicas = count;
        self
    }

    /// `group.initial.rebalance.delay.ms`. Default 0, unlike Kafka's 3 s.
    pub fn group_initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.config.group_initial_rebalance_delay = delay;
        self
    }

    /// `group.min.session.timeout.ms`. Default 6 s.
    pub fn group_min_session_timeout(mut self, timeout: Duration) -> Self {
        self.config.group_min_session_timeout = timeout;
        self
    }

    /// `group.consumer.session.timeout.ms`: a member of a consumer group (KIP-848) that is silent for so long is out.
    /// Default 45 s.
    pub fn consumer_session_timeout(mut self, timeout: Duration) -> Self {
        self.config.consumer_session_timeout = timeout;
        self
    }

    /// `group.consumer.heartbeat.interval.ms`: what members of a consumer group (KIP-848) are told. Default 5 s.
    pub fn consumer_heartbeat_interval(mut self, interval: Duration) -> Self {
        self.config.consumer_heartbeat_interval = interval;
        self
    }

    /// `group.max.size` and `group.consumer.max.size`: most members of a group. Default unlimited.
    pub fn group_max_size(mut self, members: usize) -> Self {
        self.config.group_max_size = members;
        self
    }

    /// Speaks TLS with this certificate chain and private key, both PEM texts. Default: in the clear.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ottla_testkit::{Broker, CertificateAuthority};
    ///
    /// let authority = CertificateAuthority::new("Test CA")?; // clients must trust authority.pem()
    /// let certificate = authority.server(&["127.0.0.1"])?;
    /// let broker = Broker::builder().tls(certificate.chain(), certificate.key()).start().await?;
    /// # Ok(()) }
    /// ```
    pub fn tls(mut self, chain: &str, key: &str) -> Self {
        let client_authorities = self.tls.take().and_then(|tls| tls.client_authorities);
        self.tls = Some(TlsFiles { chain: chain.to_owned(), key: key.to_owned(), client_authorities });
        self
    }

    /// Lets in only TLS clients whose certificate one of these authorities (a PEM text) signed. Needs
    /// [`tls`](Self::tls).
    pub fn tls_client_authorities(mut self, pem: &str) -> Self {
        let tls =
            self.tls.take().unwrap_or(TlsFiles { chain: String::new(), key: String::new(), client_authorities: None });
        self.tls = Some(TlsFiles { client_authorities: Some(pem.to_owned()), ..tls });
        self
    }

    /// The mechanisms clients may authenticate by; all of them once there is a [`sasl_user`](Self::sasl_user) or a
    /// [`sasl_token`](Self::sasl_token). Default: nobody needs to authenticate.
    ///
    /// OAUTHBEARER takes registered tokens and, as Kafka's own test validator does, any unsecured JSON web token with
    /// `sub` and an `exp` to come.
    pub fn sasl_mechanisms(mut self, mechanisms: &[SaslMechanism]) -> Self {
        self.config.sasl.mechanisms = mechanisms.to_vec();
        self
    }

    /// Clients must authenticate, and this user may, by PLAIN and SCRAM.
    pub fn sasl_user(mut self, user: &str, password: &str) -> Self {
        self.config.sasl.users.insert(user.to_owned(), password.to_owned());
        self.with_sasl()
    }

    /// Clients must authenticate, and who presents this token by OAUTHBEARER is `user`.
    pub fn sasl_token(mut self, token: &str, user: &str) -> Self {
        self.config.sasl.tokens.insert(token.to_owned(), user.to_owned());
        self.with_sasl()
    }

    fn with_sasl(mut self) -> Self {
        if self.config.sasl.mechanisms.is_empty() {
            self.config.sasl.mechanisms = SaslMechanism::ALL.to_vec();
        }
        self
    }

    /// `connections.max.reauth.ms`: connections must authenticate again within this time, or are closed at their next
    /// request. Default: never.
    pub fn sasl_session_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.sasl.session_lifetime = Some(lifetime);
        self
    }

    /// The host name clients are told to connect to. It must lead to 127.0.0.1. Default `127.0.0.1`.
    pub fn advertised_host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// Seed of everything random: topic ids, session ids, the cluster id.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// The machine alone, without sockets: for simulations. `now` is its first instant, `wall_ms` that instant in
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// [`StartError::Version`] and [`StartError::Topic`].
    pub fn build(self, now: Instant, wall_ms: i64) -> Result<Cluster, StartError> {
        self.version.map_err(StartError::Version)?;
        let mut config = self.config;
        config.default_replication = config.nodes.min(3) as i16;
        let mut cluster = Cluster::new(config, now, wall_ms);
        for node in &mut cluster.nodes {
            node.host.clone_from(&self.host);
        }
        for topic in self.topics {
            cluster
                .create_topic(&topic, false)
                .map_err(|(_, reason)| StartError::Topic { topic: topic.name.clone(), reason })?;
        }
        Ok(cluster)
    }

    /// Starts on free ports of 127.0.0.1, inside the running tokio runtime.
    ///
    /// # Errors
    /// Any [`StartError`].
    pub async fn start(self) -> Result<Broker, StartError> {
        self.start_on(0).await
    }

    /// Starts with node `i` on `port + i`; port 0 takes free ones.
    ///
    /// # Errors
    /// Any [`StartError`].
    pub async fn start_on(self, port: u16) -> Result<Broker, StartError> {
        let tls = self.tls.as_ref().map(TlsFiles::server_config).transpose().map_err(StartError::Tls)?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut cluster = self.build(Instant::now(), i64::try_from(wall).unwrap_or(i64::MAX))?;
        let mut listeners = Vec::new();
        for node in &mut cluster.nodes {
            let wanted = if port == 0 { 0 } else { port.saturating_add(u16::try_from(node.id).unwrap_or(u16::MAX)) };
            let bound = server::bind(wanted);
            let (listener, port) = bound.map_err(|source| StartError::Bind { node: node.id, port: wanted, source })?;
            node.port = port;
            listeners.push((node.id, listener));
        }
        let mut broker =
            Broker { shared: Shared::new(cluster, tls), stop: CancellationToken::new(), nodes: HashMap::new() };
        tokio::spawn(server::clock(broker.shared.clone(), broker.stop.child_token()));
        for (id, listener) in listeners {
            broker.run_node(id, listener);
        }
        Ok(broker)
    }
}

#[derive(Debug)]
struct RunningNode {
    paused: watch::Sender<bool>,
    stop: CancellationToken,
}

/// A Kafka cluster inside this process, on loopback. Dropping it stops it.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    stop: CancellationToken,
    nodes: HashMap<i32, RunningNode>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Broker {
    /// Describes the broker to start.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder {
            config: ClusterConfig::default(),
            version: Ok(()),
            topics: Vec::new(),
            tls: None,
            host: "127.0.0.1".to_owned(),
        }
    }

    /// Addresses of all nodes: `127.0.0.1:p,127.0.0.1:q`.
    pub fn bootstrap(&self) -> String {
        let cluster = self.shared.cluster();
        let addresses: Vec<_> = cluster.nodes.iter().map(|node| format!("{}:{}", node.host, node.port)).collect();
        addresses.join(",")
    }

    /// Address of one node.
    pub fn address(&self, node: i32) -> Option<String> {
        self.shared.cluster().node(node).map(|node| format!("{}:{}", node.host, node.port))
    }

    fn run_node(&mut self, id: i32, listener: std::net::TcpListener) {
        let stop = self.stop.child_token();
        let (paused, receiver) = watch::channel(false);
        tokio::spawn(server::listen(self.shared.clone(), id, listener, receiver, stop.clone()));
        self.nodes.insert(id, RunningNode { paused, stop });
    }

    /// Kills a node: its listener and connections close, its partitions and coordinators move to other nodes where
    /// they can.
    pub fn kill_node(&mut self, id: i32) {
        if let Some(node) = self.nodes.remove(&id) {
            node.stop.cancel();
            self.shared.with(|cluster, _| cluster.node_died(id));
        }
    }

    /// Starts a killed node again on its old port, with its data; resumes it if it was paused.
    ///
    /// # Errors
    /// The port is taken by now, or there is no such node.
    pub async fn restart_node(&mut self, id: i32) -> io::Result<()> {
        if let Some(node) = self.nodes.get(&id) {
            node.paused.send_replace(false);
            return Ok(());
        }
        let port = self.shared.cluster().node(id).map(|node| node.port);
        let port = port.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no node {id}")))?;
        // The killed listener's task closes its socket on its next turn only.
        let mut bound = server::bind(port);
        for _ in 0..100 {
            if bound.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            bound = server::bind(port);
        }
        self.run_node(id, bound?.0);
        self.shared.with(|cluster, _| cluster.node_returned(id));
        Ok(())
    }

    /// Stops a node's time: connections stay open (new ones are accepted by the system), nothing is read or answered
    /// until [`resume_node`](Self::resume_node). Nobody takes over what it leads.
    pub fn pause_node(&self, id: i32) {
        if let Some(node) = self.nodes.get(&id) {
            node.paused.send_replace(true);
        }
    }

    /// Lets a paused node go on.
    pub fn resume_node(&self, id: i32) {
        if let Some(node) = self.nodes.get(&id) {
            node.paused.send_replace(false);
        }
    }

    /// Makes `node` lead a partition; false if there is no such partition or the node is not alive.
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> bool {
        self.shared.with(|cluster, _| cluster.move_leader(topic, partition, node))
    }

    /// The node that leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.shared.cluster().partition(topic, partition).and_then(|partition| partition.leader)
    }

    /// Gives a group's coordination to `node`.
    pub fn move_group_coordinator(&self, group: &str, node: i32) {
        self.shared.with(|cluster, _| cluster.move_coordinator(GROUP, group, node));
    }

    /// Gives a transactional id's coordination to `node`.
    pub fn move_transaction_coordinator(&self, transactional_id: &str, node: i32) {
        self.shared.with(|cluster, _| cluster.move_coordinator(TRANSACTION, transactional_id, node));
    }

    /// The node that coordinates a group.
    pub fn group_coordinator(&self, group: &str) -> Option<i32> {
        self.shared.cluster().coordinator(GROUP, group).map(|node| node.id)
    }

    /// The node that coordinates a transactional id.
    pub fn transaction_coordinator(&self, transactional_id: &str) -> Option<i32> {
        self.shared.cluster().coordinator(TRANSACTION, transactional_id).map(|node| node.id)
    }

    /// Begins a fault rule for requests of one API.
    pub fn on(&self, api: ApiKey) -> RuleBuilder {
        RuleBuilder::new(self.shared.clone(), api)
    }

    /// Denies something to clients, at once and until [`allow_everything`](Self::allow_everything).
    pub fn deny(&self, denial: Denial) {
        Arc::make_mut(&mut self.shared.cluster().denials).push(denial);
    }

    /// Takes back every [`deny`](Self::deny).
    pub fn allow_everything(&self) {
        self.shared.cluster().denials = Arc::default();
    }

    /// From now on every client is over its quota for this API: replies carry `throttle_time_ms` = `delay`, and
    /// nothing more is read from the connection for so long (brokers before 2.0: the reply comes that much later).
    /// Zero ends it.
    pub fn throttle(&self, api: ApiKey, delay: Duration) {
        let quotas = &mut self.shared.cluster().quotas;
        if delay.is_zero() {
            quotas.remove(&(api as i16));
        } else {
            quotas.insert(api as i16, delay);
        }
    }

    /// How many requests of an API have come so far.
    pub fn received(&self, api: ApiKey) -> u64 {
        self.shared.cluster().received(api)
    }

    /// Deletes a topic as an administrator would; false if there is none.
    pub fn delete_topic(&self, name: &str) -> bool {
        self.shared.with(|cluster, _| cluster.delete_topic(name).is_ok())
    }

    /// Moves a partition's log start to `offset`, as retention does.
    pub fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) {
        self.shared.with(|cluster, _| {
            if let Some(partition) = cluster.partition_mut(topic, partition) {
                partition.delete_before(offset);
            }
        });
    }

    /// Loses the end of a partition's log, as an unclean election does: batches at and after `offset` are gone and
    /// the leader epoch is newer.
    pub fn truncate(&self, topic: &str, partition: i32, offset: i64) {
        self.shared.with(|cluster, _| cluster.truncate(topic, partition, offset));
    }

    /// Log start and log end offset of a partition.
    pub fn offsets(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let cluster = self.shared.cluster();
        let partition = cluster.partition(topic, partition)?;
        Some((partition.log.start_offset(), partition.log.next_offset()))
    }

    /// Offsets a group has committed, by topic and partition.
    pub fn committed(&self, group: &str) -> HashMap<(String, i32), i64> {
        self.shared.cluster().offsets.snapshot(group)
    }

    /// State of a transactional id as DescribeTransactions names it, e.g. `CompleteCommit`.
    pub fn transaction_state(&self, transactional_id: &str) -> Option<&'static str> {
        self.shared.cluster().transactions.describe(transactional_id).map(|transaction| transaction.state.name())
    }
}
