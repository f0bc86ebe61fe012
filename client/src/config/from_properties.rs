//! The common settings by Kafka's names, with their ranges.
use std::time::Duration;

use super::{ClientConfig, DnsLookup, MetadataRecoveryStrategy};
use crate::admin::ADMIN_SETTINGS;
use crate::consumer::CONSUMER_SETTINGS;
use crate::error::{Error, Result};
use crate::producer::PRODUCER_SETTINGS;
use crate::properties::{INT, Known, LONG, Number, Property, check, unknown};

/// `client.md` §1.1.
const NUMBERS: &[Number] = &[
    ("bootstrap.resolve.timeout.ms", 0, LONG),
    ("request.timeout.ms", 0, INT),
    ("default.api.timeout.ms", 0, INT),
    ("retry.backoff.ms", 0, LONG),
    ("retry.backoff.max.ms", 0, LONG),
    ("reconnect.backoff.ms", 0, LONG),
    ("reconnect.backoff.max.ms", 0, LONG),
    ("socket.connection.setup.timeout.ms", 0, LONG),
    ("socket.connection.setup.timeout.max.ms", 0, LONG),
    ("connections.max.idle.ms", -1, LONG),
    ("metadata.max.age.ms", 0, LONG),
    ("metadata.max.idle.ms", 5000, LONG),
    ("max.response.bytes", 1, INT),
    ("send.buffer.bytes", -1, INT),
    ("receive.buffer.bytes", -1, INT),
    ("metadata.recovery.rebootstrap.trigger.ms", 0, LONG),
    ("sasl.login.refresh.min.period.seconds", 0, 900),
    ("sasl.login.refresh.buffer.seconds", 0, 3600),
    ("sasl.login.retry.backoff.ms", 0, LONG),
    ("sasl.login.retry.backoff.max.ms", 0, LONG),
];

pub(crate) const CLIENT_SETTINGS: Known = Known {
    owner: "ClientConfig",
    keys: &[
        "bootstrap.servers",
        "client.id",
        "client.dns.lookup",
        "bootstrap.resolve.timeout.ms",
        "request.timeout.ms",
        "default.api.timeout.ms",
        "retry.backoff.ms",
        "retry.backoff.max.ms",
        "reconnect.backoff.ms",
        "reconnect.backoff.max.ms",
        "socket.connection.setup.timeout.ms",
        "socket.connection.setup.timeout.max.ms",
        "connections.max.idle.ms",
        "metadata.max.age.ms",
        "metadata.max.idle.ms",
        "client.rack",
        "enable.metrics.push",
        "max.response.bytes",
        "send.buffer.bytes",
        "receive.buffer.bytes",
        "metadata.recovery.strategy",
        "metadata.recovery.rebootstrap.trigger.ms",
        "metadata.cluster.check.enable",
        "security.protocol",
        "ssl.truststore.type",
        "ssl.truststore.location",
        "ssl.truststore.certificates",
        "ssl.keystore.type",
        "ssl.keystore.location",
        "ssl.keystore.certificate.chain",
        "ssl.keystore.key",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.truststore.password",
        "ssl.enabled.protocols",
        "ssl.endpoint.identification.algorithm",
        "sasl.mechanism",
        "sasl.jaas.config",
        "sasl.kerberos.service.name",
        "sasl.login.refresh.window.factor",
        "sasl.login.refresh.window.jitter",
        "sasl.login.refresh.min.period.seconds",
        "sasl.login.refresh.buffer.seconds",
        "sasl.login.retry.backoff.ms",
        "sasl.login.retry.backoff.max.ms",
    ],
};

impl ClientConfig {
    /// Reads settings by Kafka's names, such as the lines of a `client.properties`. Settings of [`ProducerConfig`],
    /// [`ConsumerConfig`] and [`AdminConfig`] are passed over, so that the same lines can be given to both.
    ///
    /// ```
    /// # fn main() -> ottla_client::Result<()> {
    /// use ottla_client::ClientConfig;
    ///
    /// let config = ClientConfig::from_properties([("bootstrap.servers", "a:9092,b:9092"), ("client.id", "shop")])?;
    /// assert_eq!(config.bootstrap_servers.len(), 2);
    ///
    /// let error = ClientConfig::from_properties([("bootstrap.server", "a:9092")]).unwrap_err();
    /// assert!(error.to_string().contains("did you mean bootstrap.servers?"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for the first value that is not valid, and for a name that is not Kafka's, with the nearest one.
    ///
    /// [`ProducerConfig`]: crate::ProducerConfig
    /// [`ConsumerConfig`]: crate::ConsumerConfig
    /// [`AdminConfig`]: crate::AdminConfig
    pub fn from_properties<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut config = Self::default();
        let (mut first, mut most) = (None, false);
        for (key, value) in properties {
            let property = Property::new(key, value, NUMBERS);
            match key {
                "reconnect.backoff.ms" => first = Some(property.millis()?),
                "reconnect.backoff.max.ms" => most = true,
                _ => {}
            }
            let others = [&PRODUCER_SETTINGS, &CONSUMER_SETTINGS, &ADMIN_SETTINGS];
            if !config.set(property)? && !others.iter().any(|s| s.keys.contains(&key)) {
                return Err(unknown(property, &CLIENT_SETTINGS, &others));
            }
        }
        // As Java: who sets only the first pause wants no growth.
        if let Some(first) = first.filter(|_| !most) {
            tracing::warn!("reconnect.backoff.max.ms is not set: it is reconnect.backoff.ms, {first:?}");
            config.reconnect_backoff_max = first;
        }
        Ok(config)
    }

    /// Whether the key is one of ours.
    fn set(&mut self, property: Property<'_>) -> Result<bool> {
        match property.key {
            "bootstrap.servers" => self.bootstrap_servers = property.list().map(str::to_owned).collect(),
            "client.id" => self.client_id = property.text(),
            "client.dns.lookup" => {
                self.client_dns_lookup = property.one_of(&[
                    ("use_all_dns_ips", DnsLookup::UseAllDnsIps),
                    ("resolve_canonical_bootstrap_servers_only", DnsLookup::ResolveCanonicalBootstrapServersOnly),
                ])?;
            }
            "bootstrap.resolve.timeout.ms" => self.bootstrap_resolve_timeout = property.millis()?,
            "request.timeout.ms" => self.request_timeout = property.millis()?,
            "default.api.timeout.ms" => self.default_api_timeout = property.millis()?,
            "retry.backoff.ms" => self.retry_backoff = property.millis()?,
            "retry.backoff.max.ms" => self.retry_backoff_max = property.millis()?,
            "reconnect.backoff.ms" => self.reconnect_backoff = property.millis()?,
            "reconnect.backoff.max.ms" => self.reconnect_backoff_max = property.millis()?,
            "socket.connection.setup.timeout.ms" => self.socket_connection_setup_timeout = property.millis()?,
            "socket.connection.setup.timeout.max.ms" => self.socket_connection_setup_timeout_max = property.millis()?,
            "connections.max.idle.ms" => {
                self.connections_max_idle = property.unless_minus_one()?.map(Duration::from_millis);
            }
            "metadata.max.age.ms" => self.metadata_max_age = property.millis()?,
            "metadata.max.idle.ms" => self.metadata_max_idle = property.millis()?,
            "client.rack" => self.client_rack = property.text(),
            "enable.metrics.push" => self.enable_metrics_push = property.boolean()?,
            "max.response.bytes" => self.max_response_bytes = property.integer()?,
            "send.buffer.bytes" => self.send_buffer_bytes = property.unless_minus_one()?,
            "receive.buffer.bytes" => self.receive_buffer_bytes = property.unless_minus_one()?,
            "metadata.recovery.strategy" => {
                self.metadata_recovery_strategy = property.one_of(&[
                    ("rebootstrap", MetadataRecoveryStrategy::Rebootstrap),
                    ("none", MetadataRecoveryStrategy::None),
                ])?;
            }
            "metadata.recovery.rebootstrap.trigger.ms" => {
                self.metadata_recovery_rebootstrap_trigger = property.millis()?;
            }
            "metadata.cluster.check.enable" => self.metadata_cluster_check_enable = property.boolean()?,
            _ => return self.set_security(property),
        }
        Ok(true)
    }

    pub(super) fn check_numbers(&self) -> Result<()> {
        let millis = [
            ("bootstrap.resolve.timeout.ms", self.bootstrap_resolve_timeout),
            ("request.timeout.ms", self.request_timeout),
            ("default.api.timeout.ms", self.default_api_timeout),
            ("retry.backoff.ms", self.retry_backoff),
            ("retry.backoff.max.ms", self.retry_backoff_max),
            ("reconnect.backoff.ms", self.reconnect_backoff),
            ("reconnect.backoff.max.ms", self.reconnect_backoff_max),
            ("socket.connection.setup.timeout.ms", self.socket_connection_setup_timeout),
            ("socket.connection.setup.timeout.max.ms", self.socket_connection_setup_timeout_max),
            ("connections.max.idle.ms", self.connections_max_idle.unwrap_or_default()),
            ("metadata.max.age.ms", self.metadata_max_age),
            ("metadata.max.idle.ms", self.metadata_max_idle),
            ("metadata.recovery.rebootstrap.trigger.ms", self.metadata_recovery_rebootstrap_trigger),
            ("sasl.login.retry.backoff.ms", self.sasl.sasl_login_retry_backoff),
            ("sasl.login.retry.backoff.max.ms", self.sasl.sasl_login_retry_backoff_max),
        ];
        for (key, duration) in millis {
            check(NUMBERS, key, duration.as_millis())?;
        }
        for (key, seconds) in [
            ("sasl.login.refresh.min.period.seconds", self.sasl.sasl_login_refresh_min_period),
            ("sasl.login.refresh.buffer.seconds", self.sasl.sasl_login_refresh_buffer),
        ] {
            let whole = seconds.as_secs().saturating_add(u64::from(seconds.subsec_nanos() > 0));
            check(NUMBERS, key, whole)?;
        }
        check(NUMBERS, "max.response.bytes", self.max_response_bytes)?;
        check(NUMBERS, "send.buffer.bytes", self.send_buffer_bytes.unwrap_or_default())?;
        check(NUMBERS, "receive.buffer.bytes", self.receive_buffer_bytes.unwrap_or_default())?;
        self.check_tls()?;
        self.check_sasl()?;
        if self.enable_metrics_push {
            return Err(Error::config("enable.metrics.push", true, "metrics are not pushed yet: it must be false"));
        }
        Ok(())
    }

    /// What is taken otherwise than it was given.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let pairs = [
            ("retry.backoff", self.retry_backoff, self.retry_backoff_max),
            ("reconnect.backoff", self.reconnect_backoff, self.reconnect_backoff_max),
            (
                "socket.connection.setup.timeout",
                self.socket_connection_setup_timeout,
                self.socket_connection_setup_timeout_max,
            ),
        ];
        let too_large = pairs.into_iter().filter(|(_, first, most)| first > most);
        let warnings = too_large.map(|(key, first, most)| {
            format!("{key}.ms is {} ms, above {key}.max.ms: it is always {} ms", first.as_millis(), most.as_millis())
        });
        warnings.collect()
    }
}
