//! The settings that every part of a client shares. Defaults are Kafka's; differences are said.
mod from_properties;
mod sasl;
mod security;
mod tls;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::from_properties::CLIENT_SETTINGS;
pub use self::sasl::{SaslConfig, SaslMechanism};
pub use self::tls::{SecurityProtocol, TlsConfig, TlsVersion};
use crate::backoff::ExponentialBackoff;
use crate::error::{Error, Result};
use crate::network::dial::Dial;

/// Which addresses of a name are tried (`client.dns.lookup`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsLookup {
    /// All of them, one after the other.
    #[default]
    UseAllDnsIps,
    /// As before, and the bootstrap servers by the names that their addresses lead back to: TLS and Kerberos check those,
    /// and not the alias that was given. The name service has to be trusted.
    ResolveCanonicalBootstrapServersOnly,
}

/// What to do when no known broker can be reached (`metadata.recovery.strategy`, KIP-899).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataRecoveryStrategy {
    /// Begin again with the bootstrap servers.
    #[default]
    Rebootstrap,
    /// Stay with the brokers that are known.
    None,
}

/// What [`ClientConfig::bootstrap_servers`] are (KIP-919).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Endpoints {
    /// Brokers.
    #[default]
    Brokers,
    /// Controllers with KRaft, for an [`Admin`](crate::Admin) alone.
    Controllers,
}

impl Endpoints {
    /// The setting that names them.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Brokers => "bootstrap.servers",
            Self::Controllers => "bootstrap.controllers",
        }
    }
}

/// Where the cluster is, and how patient to be with it. Every field is Kafka's setting of that name; see
/// [`ClientConfig::from_properties`] to read them from a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// `bootstrap.servers`: the addresses (`host:port`) to find the cluster by. Required; each once. Two or three, so that
    /// one that is down does not matter.
    pub bootstrap_servers: Vec<String>,
    /// What those are.
    pub(crate) endpoints: Endpoints,
    /// `client.id`: who we are, for the brokers' logs and quotas; at most 32767 bytes. Default: empty, and then Kafka's
    /// names: `producer-N`, `consumer-N` or with a group `consumer-{group}-{group.instance.id or N}`, and else
    /// `adminclient-N`.
    pub client_id: String,
    /// `security.protocol`: what the listeners of the brokers speak. Default: PLAINTEXT.
    pub security_protocol: SecurityProtocol,
    /// `ssl.*`: whom to trust and who we are, with TLS.
    pub tls: TlsConfig,
    /// `sasl.*`: who we are, with SASL.
    pub sasl: SaslConfig,
    /// `send.buffer.bytes`: of a socket. Default: the system's, which grows as needed (Kafka's is 128 KiB).
    pub send_buffer_bytes: Option<u32>,
    /// `receive.buffer.bytes`: of a socket. Default: the system's, which grows as needed (Kafka's is 64 KiB).
    pub receive_buffer_bytes: Option<u32>,
    /// How brokers are reached. Ours; default: TCP and the system's resolver.
    pub dial: Option<Arc<dyn Dial>>,
    /// `request.timeout.ms`: how long an answer may take from when the request was written; then the connection is closed,
    /// and what was in flight may or may not have been done. Default: 30 s.
    pub request_timeout: Duration,
    /// `default.api.timeout.ms`: how long a call of a consumer or of [`Admin`](crate::Admin) may take in all, with its
    /// retries. A producer has `max.block.ms`. Default: 60 s.
    pub default_api_timeout: Duration,
    /// `retry.backoff.ms`: the first pause before a retry; it doubles, 20 % up or down. Above the maximum, every pause is
    /// the maximum. 0: always 1 ms. Default: 100 ms.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`: the longest pause before a retry. Default: 1 s.
    pub retry_backoff_max: Duration,
    /// `reconnect.backoff.ms`: the first pause before connecting again; it doubles. 0: never a pause. Default: 50 ms.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`: the longest pause before connecting again. Default: 1 s.
    pub reconnect_backoff_max: Duration,
    /// `socket.connection.setup.timeout.ms`: how long opening a connection may take, from TCP to the broker's versions.
    /// It doubles with each failure. Default: 10 s.
    pub socket_connection_setup_timeout: Duration,
    /// `socket.connection.setup.timeout.max.ms`. Default: 30 s.
    pub socket_connection_setup_timeout_max: Duration,
    /// `connections.max.idle.ms`: a connection without traffic is closed after this. Default: 540 s; `None`: never.
    pub connections_max_idle: Option<Duration>,
    /// `metadata.recovery.strategy`: whether to begin again with the bootstrap servers when no known broker is connected and
    /// connecting to each has just failed (KIP-899), or when one says that it is another. Default: rebootstrap.
    pub metadata_recovery_strategy: MetadataRecoveryStrategy,
    /// `metadata.recovery.rebootstrap.trigger.ms`: begin again also when metadata could not be had for this long
    /// (KIP-1102). Default: 300 s.
    pub metadata_recovery_rebootstrap_trigger: Duration,
    /// `metadata.cluster.check.enable`: tell brokers which cluster and broker they are taken for, so that they refuse when
    /// they are not (KIP-1242). Default: yes.
    pub metadata_cluster_check_enable: bool,
    /// `metadata.max.age.ms`: metadata is refreshed after this at the latest. New partitions are seen as late as this; a
    /// short time is a load on the brokers. Default: 300 s.
    pub metadata_max_age: Duration,
    /// `metadata.max.idle.ms`: a topic that no record was sent to for so long is no longer kept up to date. At least 5 s.
    /// Default: 300 s. Found out when metadata is refreshed.
    pub metadata_max_idle: Duration,
    /// `client.dns.lookup`: which addresses of a name are tried, and by which name. Default: all, by the name given.
    pub client_dns_lookup: DnsLookup,
    /// `bootstrap.resolve.timeout.ms`: how long calls, [`Client::connect`](crate::Client::connect) among them, wait while no
    /// bootstrap server can be reached, as where names are known only once brokers run (KIP-909). They are looked for in
    /// the background. Default: 0, the first failed round is the error of the first call.
    pub bootstrap_resolve_timeout: Duration,
    /// `enable.metrics.push`: send metrics to the brokers (KIP-714). Default: false, and not Kafka's true; true is refused,
    /// as it cannot be done yet.
    pub enable_metrics_push: bool,
    /// `client.rack`: where we are, to read from the nearest replica (KIP-392). Default: empty.
    pub client_rack: String,
    /// `max.response.bytes`: the longest response to accept. Ours; default: 100 MiB.
    pub max_response_bytes: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: Vec::new(),
            endpoints: Endpoints::Brokers,
            client_id: String::new(),
            security_protocol: SecurityProtocol::default(),
            tls: TlsConfig::default(),
            sasl: SaslConfig::default(),
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            dial: None,
            request_timeout: Duration::from_secs(30),
            default_api_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            socket_connection_setup_timeout: Duration::from_secs(10),
            socket_connection_setup_timeout_max: Duration::from_secs(30),
            connections_max_idle: Some(Duration::from_secs(540)),
            metadata_recovery_strategy: MetadataRecoveryStrategy::Rebootstrap,
            metadata_recovery_rebootstrap_trigger: Duration::from_secs(300),
            metadata_cluster_check_enable: true,
            metadata_max_age: Duration::from_secs(300),
            metadata_max_idle: Duration::from_secs(300),
            client_dns_lookup: DnsLookup::UseAllDnsIps,
            bootstrap_resolve_timeout: Duration::ZERO,
            enable_metrics_push: false,
            client_rack: String::new(),
            max_response_bytes: 100 << 20,
        }
    }
}

/// What stands for 0 where 0 would be an endless loop without a rest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

impl ClientConfig {
    /// The defaults with these servers: `host:port`, separated by commas.
    #[must_use]
    pub fn new(bootstrap_servers: &str) -> Self {
        let servers = bootstrap_servers.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned);
        Self { bootstrap_servers: servers.collect(), ..Self::default() }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first that is not valid.
    pub fn validate(&self) -> Result<()> {
        let key = self.endpoints.key();
        if self.bootstrap_servers.is_empty() {
            return Err(invalid(key, "", &format!("{key} must be supplied, as host:port")));
        }
        for (i, server) in self.bootstrap_servers.iter().enumerate() {
            split_address(key, server)?;
            if self.bootstrap_servers[..i].contains(server) {
                return Err(invalid(key, server, "it comes twice"));
            }
        }
        if self.client_id.len() > i16::MAX as usize {
            return Err(invalid("client.id", "…", "it must be at most 32767 bytes"));
        }
        self.check_numbers()
    }

    /// Whether it may begin again with the bootstrap servers.
    pub(crate) fn may_rebootstrap(&self) -> bool {
        self.metadata_recovery_strategy == MetadataRecoveryStrategy::Rebootstrap
    }

    pub(crate) fn reconnect(&self) -> ExponentialBackoff {
        ExponentialBackoff { initial: self.reconnect_backoff, max: self.reconnect_backoff_max }
    }

    /// Never without a pause: loops of retries rest in nothing else.
    pub(crate) fn retry(&self) -> ExponentialBackoff {
        match self.retry_backoff {
            Duration::ZERO => ExponentialBackoff { initial: SHORTEST_PAUSE, max: SHORTEST_PAUSE },
            initial => ExponentialBackoff { initial, max: self.retry_backoff_max.max(SHORTEST_PAUSE) },
        }
    }

    pub(crate) fn setup(&self) -> ExponentialBackoff {
        ExponentialBackoff {
            initial: self.socket_connection_setup_timeout.max(SHORTEST_PAUSE),
            max: self.socket_connection_setup_timeout_max,
        }
    }
}

fn invalid(key: &str, value: &str, reason: &str) -> Error {
    Error::config(key, value, reason)
}

/// The host and port of `host:port` or `[v6]:port`; `key`: the setting that has it.
pub(crate) fn split_address(key: &str, address: &str) -> Result<(String, u16)> {
    let bad = || invalid(key, address, "it must be host:port, or [address]:port for IPv6");
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(bad)?,
        None if host.contains(':') => return Err(bad()),
        None => host,
    };
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?;
    if host.is_empty() { Err(bad()) } else { Ok((host.to_owned(), port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        let split_address = |address| split_address("bootstrap.servers", address);
        assert_eq!(split_address("localhost:9092").unwrap(), ("localhost".into(), 9092));
        assert_eq!(split_address("[::1]:9092").unwrap(), ("::1".into(), 9092));
        for bad in ["localhost", "localhost:", ":9092", "localhost:0", "localhost:99999", "::1:9092", "[::1:9092"] {
            assert!(split_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bootstrap_servers_are_required_and_distinct() {
        let text = ClientConfig::new("").validate().unwrap_err().to_string();
        assert!(text.contains("bootstrap.servers must be supplied"), "{text}");
        assert!(ClientConfig::new("a:1,a:1").validate().is_err());
        assert!(ClientConfig::new("a:1, b:1").validate().is_ok());
    }
}
