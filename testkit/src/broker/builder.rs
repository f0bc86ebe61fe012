#![allow(clippy::disallowed_methods, reason = "starts the broker's tasks and reads the clock once")]
//! \[I/O\] Describing and starting an embedded broker.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::cluster::Cluster;
use super::config::ClusterConfig;
use super::delegation_tokens::DelegationTokens;
use super::group::migration::GroupMigration;
use super::running::Broker;
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
    telemetry: Option<i32>,
    host: String,
}

impl Default for BrokerBuilder {
    fn default() -> Self {
        Self {
            config: ClusterConfig::default(),
            version: Ok(()),
            topics: Vec::new(),
            tls: None,
            telemetry: None,
            host: "127.0.0.1".to_owned(),
        }
    }
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

    /// `group.consumer.migration.policy`: whether a group with members changes its protocol when a member of the other
    /// one joins, or the last of its own is gone. Default both ways, as in Kafka 4.
    pub fn group_migration(mut self, policy: GroupMigration) -> Self {
        self.config.group_migration = policy;
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

    /// `delegation.token.secret.key`: users that authenticated may have tokens (KIP-48), which log in by SCRAM. Default:
    /// none, and requests about tokens are answered with DELEGATION_TOKEN_AUTH_DISABLED.
    pub fn delegation_tokens(mut self, secret: &str) -> Self {
        self.config.sasl.delegation = DelegationTokens::new(secret);
        self
    }

    /// Receives clients' metrics (KIP-714), pushes of at most so many bytes (`telemetry.max.bytes`). What is wanted of
    /// whom is said by configs of resources of type CLIENT_METRICS. Default: the APIs are not offered, as by a Kafka
    /// without a plugin for it.
    pub fn telemetry(mut self, max_bytes: i32) -> Self {
        self.telemetry = Some(max_bytes);
        self
    }

    /// `broker.rack` of each node, in order of their ids. Readers that name a rack (`client.rack`) are sent to an in-sync
    /// replica there (KIP-392). Default: no racks.
    pub fn racks(mut self, racks: &[&str]) -> Self {
        self.config.racks = racks.iter().map(|&rack| rack.to_owned()).collect();
        self
    }

    /// An authorizer: clients may make ACLs, and what an ACL names is closed to whom it does not allow
    /// (`allow.everyone.if.no.acl.found`). Default false: to ask for ACLs is SECURITY_DISABLED.
    pub fn authorizer(mut self, enable: bool) -> Self {
        self.config.authorizer = enable;
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
        cluster.client_metrics.max_bytes = self.telemetry;
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
        Ok(Broker::run(Shared::new(cluster, tls), listeners))
    }
}
