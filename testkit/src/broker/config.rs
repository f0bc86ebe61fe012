//! Broker and topic configuration: names, defaults, and the few that change behaviour.

use std::collections::BTreeMap;
use std::time::Duration;

use super::group::migration::GroupMigration;
use super::sasl::SaslConfig;
use super::versions::KafkaVersion;

/// Kafka's names, types (of DescribeConfigs) and defaults of topic configs.
const TOPIC_DEFAULTS: &[(&str, i8, &str)] = &[
    ("cleanup.policy", LIST, "delete"),
    ("compression.type", STRING, "producer"),
    ("delete.retention.ms", LONG, "86400000"),
    ("file.delete.delay.ms", LONG, "60000"),
    ("flush.messages", LONG, "9223372036854775807"),
    ("flush.ms", LONG, "9223372036854775807"),
    ("follower.replication.throttled.replicas", LIST, ""),
    ("index.interval.bytes", INT, "4096"),
    ("leader.replication.throttled.replicas", LIST, ""),
    ("max.compaction.lag.ms", LONG, "9223372036854775807"),
    ("max.message.bytes", INT, "1048588"),
    ("message.timestamp.after.max.ms", LONG, "3600000"),
    ("message.timestamp.before.max.ms", LONG, "9223372036854775807"),
    ("message.timestamp.type", STRING, "CreateTime"),
    ("min.cleanable.dirty.ratio", DOUBLE, "0.5"),
    ("min.compaction.lag.ms", LONG, "0"),
    ("min.insync.replicas", INT, "1"),
    ("preallocate", BOOLEAN, "false"),
    ("retention.bytes", LONG, "-1"),
    ("retention.ms", LONG, "604800000"),
    ("segment.bytes", INT, "1073741824"),
    ("segment.index.bytes", INT, "10485760"),
    ("segment.jitter.ms", LONG, "0"),
    ("segment.ms", LONG, "604800000"),
    ("unclean.leader.election.enable", BOOLEAN, "false"),
];

/// Configs of a group (KIP-848).
pub(crate) const GROUP_CONFIGS: &[(&str, i8, &str)] =
    &[("consumer.heartbeat.interval.ms", INT, "5000"), ("consumer.session.timeout.ms", INT, "45000")];

/// Resource types that have configs.
pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const GROUP: i8 = 32;

/// Topic configs that Kafka 4.0 removed.
const REMOVED_IN_4: &[(&str, i8, &str)] = &[
    ("message.downconversion.enable", BOOLEAN, "true"),
    ("message.format.version", STRING, "3.0-IV1"),
    ("message.timestamp.difference.max.ms", LONG, "9223372036854775807"),
];

/// The topic configs that `version` knows.
pub(crate) fn topic_configs(version: KafkaVersion) -> impl Iterator<Item = &'static (&'static str, i8, &'static str)> {
    let removed = if version.at_least(4, 0) { &[] } else { REMOVED_IN_4 };
    TOPIC_DEFAULTS.iter().chain(removed)
}

pub(crate) const BOOLEAN: i8 = 1;
pub(crate) const STRING: i8 = 2;
pub(crate) const INT: i8 = 3;
pub(crate) const LONG: i8 = 5;
pub(crate) const DOUBLE: i8 = 6;
pub(crate) const LIST: i8 = 7;

/// What the whole cluster is started with.
#[derive(Debug, Clone)]
pub(crate) struct ClusterConfig {
    pub(crate) version: KafkaVersion,
    pub(crate) nodes: i32,
    pub(crate) auto_create_topics: bool,
    pub(crate) default_partitions: i32,
    pub(crate) default_replication: i16,
    pub(crate) message_max_bytes: i32,
    pub(crate) min_insync_replicas: i32,
    pub(crate) transaction_max_timeout: Duration,
    pub(crate) transaction_sweep: Duration,
    /// How long end markers take to be written; a transaction stays in Prepare… that long.
    pub(crate) marker_delay: Duration,
    pub(crate) transactional_id_expiration: Duration,
    /// `group.initial.rebalance.delay.ms`; 0, not Kafka's 3 s, so that tests need not wait.
    pub(crate) group_initial_rebalance_delay: Duration,
    pub(crate) group_min_session_timeout: Duration,
    pub(crate) group_max_session_timeout: Duration,
    /// `group.consumer.session.timeout.ms`.
    pub(crate) consumer_session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`.
    pub(crate) consumer_heartbeat_interval: Duration,
    /// `group.max.size` and `group.consumer.max.size`.
    pub(crate) group_max_size: usize,
    pub(crate) group_migration: GroupMigration,
    /// `broker.rack` of each node; empty: none, and nobody reads from followers.
    pub(crate) racks: Vec<String>,
    /// ACLs may be made, and hold.
    pub(crate) authorizer: bool,
    pub(crate) sasl: SaslConfig,
    pub(crate) seed: u64,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            version: KafkaVersion::NEWEST,
            nodes: 1,
            auto_create_topics: true,
            default_partitions: 1,
            default_replication: 1,
            message_max_bytes: 1_048_588,
            min_insync_replicas: 1,
            transaction_max_timeout: Duration::from_secs(900),
            transaction_sweep: Duration::from_secs(10),
            marker_delay: Duration::ZERO,
            transactional_id_expiration: Duration::from_secs(7 * 24 * 3600),
            group_initial_rebalance_delay: Duration::ZERO,
            group_min_session_timeout: Duration::from_secs(6),
            group_max_session_timeout: Duration::from_secs(1800),
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
            group_max_size: i32::MAX as usize,
            group_migration: GroupMigration::default(),
            racks: Vec::new(),
            authorizer: false,
            sasl: SaslConfig::default(),
            seed: 0x0771_a000,
        }
    }
}

impl ClusterConfig {
    pub(crate) fn transaction_max_timeout_ms(&self) -> i32 {
        i32::try_from(self.transaction_max_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// Broker configs of node `id`, as DescribeConfigs lists them.
    pub(crate) fn described(&self, id: i32) -> Vec<(&'static str, i8, String)> {
        vec![
            ("auto.create.topics.enable", BOOLEAN, self.auto_create_topics.to_string()),
            ("broker.id", INT, id.to_string()),
            ("connections.max.reauth.ms", LONG, self.sasl.session_lifetime.unwrap_or_default().as_millis().to_string()),
            ("default.replication.factor", INT, self.default_replication.to_string()),
            ("message.max.bytes", INT, self.message_max_bytes.to_string()),
            ("min.insync.replicas", INT, self.min_insync_replicas.to_string()),
            ("node.id", INT, id.to_string()),
            ("num.partitions", INT, self.default_partitions.to_string()),
            ("transaction.max.timeout.ms", INT, self.transaction_max_timeout_ms().to_string()),
            (
                "transaction.abort.timed.out.transaction.cleanup.interval.ms",
                INT,
                self.transaction_sweep.as_millis().to_string(),
            ),
            ("transactional.id.expiration.ms", INT, self.transactional_id_expiration.as_millis().to_string()),
        ]
    }
}

/// Configs of one topic: what was set, and what that means.
#[derive(Debug, Clone)]
pub(crate) struct TopicConfig {
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) max_message_bytes: usize,
    pub(crate) min_insync_replicas: usize,
    pub(crate) log_append_time: bool,
    pub(crate) compacted: bool,
    pub(crate) timestamp_after_max_ms: i64,
}

impl TopicConfig {
    /// Reads what was set over the broker's defaults; the error names the config and why it is refused.
    pub(crate) fn new(set: BTreeMap<String, String>, cluster: &ClusterConfig) -> Result<Self, String> {
        for (name, value) in &set {
            let Some((_, kind, _)) = topic_configs(cluster.version).find(|(known, ..)| known == name) else {
                return Err(format!("Unknown topic config name: {name}"));
            };
            check(name, *kind, value)?;
        }
        let number = |name: &str, default: i64| set.get(name).and_then(|value| value.parse().ok()).unwrap_or(default);
        // Kafka 4.0 lowered the default of message.timestamp.after.max.ms from unlimited to one hour.
        let after_max = if cluster.version.at_least(4, 0) { 3_600_000 } else { i64::MAX };
        Ok(Self {
            max_message_bytes: usize::try_from(number("max.message.bytes", i64::from(cluster.message_max_bytes)))
                .unwrap_or(0),
            min_insync_replicas: usize::try_from(number("min.insync.replicas", i64::from(cluster.min_insync_replicas)))
                .unwrap_or(1),
            compacted: set.get("cleanup.policy").is_some_and(|value| value.contains("compact")),
            log_append_time: set.get("message.timestamp.type").is_some_and(|value| value == "LogAppendTime"),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms", after_max),
            set,
        })
    }

    /// The value in force, and whether the topic itself set it.
    pub(crate) fn value(&self, name: &str, default: &str, cluster: &ClusterConfig) -> (String, bool) {
        if let Some(value) = self.set.get(name) {
            return (value.clone(), true);
        }
        let value = match name {
            "max.message.bytes" => cluster.message_max_bytes.to_string(),
            "min.insync.replicas" => cluster.min_insync_replicas.to_string(),
            "message.timestamp.after.max.ms" => self.timestamp_after_max_ms.to_string(),
            _ => default.to_owned(),
        };
        (value, false)
    }
}

fn check(name: &str, kind: i8, value: &str) -> Result<(), String> {
    let valid = match (name, kind) {
        ("cleanup.policy", _) => value.split(',').all(|policy| matches!(policy.trim(), "compact" | "delete" | "")),
        ("message.timestamp.type", _) => matches!(value, "CreateTime" | "LogAppendTime"),
        ("compression.type", _) => {
            matches!(value, "uncompressed" | "zstd" | "lz4" | "snappy" | "gzip" | "producer")
        }
        ("min.insync.replicas", _) => value.parse::<i32>().is_ok_and(|number| number >= 1),
        ("max.message.bytes", _) => value.parse::<i32>().is_ok_and(|number| number >= 0),
        (_, BOOLEAN) => matches!(value, "true" | "false"),
        (_, INT) => value.parse::<i32>().is_ok(),
        (_, LONG) => value.parse::<i64>().is_ok(),
        (_, DOUBLE) => value.parse::<f64>().is_ok(),
        _ => true,
    };
    if valid { Ok(()) } else { Err(format!("Invalid value {value} for configuration {name}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<TopicConfig, String> {
        let set = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        TopicConfig::new(set, &ClusterConfig::default())
    }

    #[test]
    fn unset_configs_have_kafkas_defaults() {
        let config = config(&[]).unwrap();
        assert_eq!(
            (config.max_message_bytes, config.min_insync_replicas, config.log_append_time),
            (1_048_588, 1, false)
        );
    }

    #[test]
    fn set_configs_take_effect() {
        let config = config(&[("max.message.bytes", "5"), ("message.timestamp.type", "LogAppendTime")]).unwrap();
        assert_eq!((config.max_message_bytes, config.log_append_time), (5, true));
    }

    #[test]
    fn unknown_names_and_bad_values_are_refused() {
        assert!(config(&[("retention.sm", "5")]).is_err());
        assert!(config(&[("retention.ms", "soon")]).is_err());
        assert!(config(&[("cleanup.policy", "compact,delete")]).is_ok());
        assert!(config(&[("min.insync.replicas", "0")]).is_err());
    }
}
