//! The settings of a consumer. Defaults are Kafka's; differences are said.
use std::time::Duration;

use crate::config::{CLIENT_SETTINGS, ClientConfig};
use crate::error::{Error, Result};
use crate::producer::PRODUCER_SETTINGS;
use crate::properties::{Given, INT, Known, LONG, Number, Property, check, iso_duration, unknown};
use crate::types::IsolationLevel;

/// Where to go when a position is missing or out of range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AutoOffsetReset {
    /// The start of the log.
    Earliest,
    /// The end of the log.
    #[default]
    Latest,
    /// Nowhere: `poll` fails and says for which partition.
    None,
    /// The first record that is not older than this; the end of the log when there is none (KIP-1106).
    ByDuration(Duration),
}

/// How the members of a group agree on who reads what (`group.protocol`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// A member assigns (JoinGroup and SyncGroup).
    #[default]
    Classic,
    /// The coordinator assigns (KIP-848).
    Consumer,
    /// `Consumer` where the coordinator has it, else `Classic`. Ours.
    Auto,
}

/// How partitions are shared among the members of a classic group (`partition.assignment.strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartitionAssignor {
    /// Neighbouring partitions of each topic.
    Range,
    /// One partition after the other, to one member after the other.
    RoundRobin,
    /// Balanced, and as before as far as possible.
    Sticky,
    /// As `Sticky`, without stopping what stays.
    CooperativeSticky,
}

impl PartitionAssignor {
    /// The name that members tell each other.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }
}

/// What a consumer reads, and how much of it at once. Every field is Kafka's setting of that name.
///
/// Consumers read by assignment so far: the settings of membership (`group_instance_id` to `auto_commit_interval`, and
/// `exclude_internal_topics`) are read and checked, and have no effect yet. Nothing is committed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// `group.id`: the group whose offsets are committed. Default: none.
    pub group_id: Option<String>,
    /// `group.instance.id`: a name that stays over restarts, so that a restart within `session_timeout` moves no partition
    /// (KIP-345); one member alone may have it. Default: none.
    pub group_instance_id: Option<String>,
    /// `group.protocol`: how the members agree. Default: classic.
    pub group_protocol: GroupProtocol,
    /// `group.remote.assignor`: the coordinator's assignor, with the consumer protocol only. Default: the coordinator's.
    pub group_remote_assignor: Option<String>,
    /// `partition.assignment.strategy`: with the classic protocol only; at least one, each once. The members of a group need
    /// one in common. Default: range, cooperative-sticky.
    pub partition_assignment_strategy: Vec<PartitionAssignor>,
    /// `session.timeout.ms`: a member not heard of for so long is out of its group; the brokers have bounds for it. Classic
    /// protocol only. Default: 45 s.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`: below `session_timeout`, a third of it at best. Classic protocol only. Default: 3 s.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: a member that does not poll for so long leaves its group; also how long a rebalance may
    /// take. Default: 300 s.
    pub max_poll_interval: Duration,
    /// `enable.auto.commit`: commit what was polled from time to time; needs `group_id`. Default: yes with a `group_id`.
    /// A record may be committed before it was dealt with.
    pub enable_auto_commit: Option<bool>,
    /// `auto.commit.interval.ms`: how often. Default: 5 s.
    pub auto_commit_interval: Duration,
    /// `auto.offset.reset`: where to go when a position is missing or out of range. Default: latest, which leaves out what
    /// was written before the first poll.
    pub auto_offset_reset: AutoOffsetReset,
    /// `isolation.level`: whether records of open and aborted transactions are seen. Default: read_uncommitted.
    pub isolation_level: IsolationLevel,
    /// `max.poll.records`: the most records one poll returns; at least 1. Default: 500.
    pub max_poll_records: usize,
    /// `fetch.min.bytes`: a broker answers once it has so many bytes, or `fetch_max_wait` has passed. Default: 1.
    pub fetch_min_bytes: u32,
    /// `fetch.max.wait.ms`: how long a broker waits for `fetch_min_bytes`. Below `request.timeout.ms`. Default: 500 ms.
    pub fetch_max_wait: Duration,
    /// `fetch.max.bytes`: the most bytes of one answer. The first batch comes whole even if it is larger. Default: 50 MiB.
    pub fetch_max_bytes: u32,
    /// `max.partition.fetch.bytes`: the most bytes of one partition in one answer; the first batch comes whole.
    /// Default: 1 MiB.
    pub max_partition_fetch_bytes: u32,
    /// `check.crcs`: compare the checksum of every batch with its bytes. Default: true.
    pub check_crcs: bool,
    /// `exclude.internal.topics`: a pattern matches no topic of Kafka's own. Default: true.
    pub exclude_internal_topics: bool,
    /// `allow.auto.create.topics`: assigning a topic that does not exist creates it, if the brokers allow it.
    /// Default: true.
    pub allow_auto_create_topics: bool,
    /// `prefetch.memory.bytes`: how many bytes may wait for `poll` in all, decompressed ones included; at least
    /// `max_partition_fetch_bytes`. Ours; default: 64 MiB.
    pub prefetch_memory_bytes: usize,
    given: Given,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group_id: None,
            group_instance_id: None,
            group_protocol: GroupProtocol::Classic,
            group_remote_assignor: None,
            partition_assignment_strategy: vec![PartitionAssignor::Range, PartitionAssignor::CooperativeSticky],
            session_timeout: SESSION_TIMEOUT,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            max_poll_interval: Duration::from_secs(300),
            enable_auto_commit: None,
            auto_commit_interval: Duration::from_secs(5),
            auto_offset_reset: AutoOffsetReset::Latest,
            isolation_level: IsolationLevel::ReadUncommitted,
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
            check_crcs: true,
            exclude_internal_topics: true,
            allow_auto_create_topics: true,
            prefetch_memory_bytes: 64 << 20,
            given: Given::default(),
        }
    }
}

const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// `client.md` §1.4.
const NUMBERS: &[Number] = &[
    ("session.timeout.ms", 1, INT),
    ("heartbeat.interval.ms", 0, INT),
    ("max.poll.interval.ms", 1, INT),
    ("max.poll.records", 1, INT),
    ("auto.commit.interval.ms", 0, INT),
    ("fetch.min.bytes", 0, INT),
    ("fetch.max.wait.ms", 0, INT),
    ("fetch.max.bytes", 0, INT),
    ("max.partition.fetch.bytes", 0, INT),
    ("prefetch.memory.bytes", 0, LONG),
];

pub(crate) const CONSUMER_SETTINGS: Known = Known {
    owner: "ConsumerConfig",
    keys: &[
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
        "partition.assignment.strategy",
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "max.poll.records",
        "enable.auto.commit",
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "isolation.level",
        "fetch.min.bytes",
        "fetch.max.wait.ms",
        "fetch.max.bytes",
        "max.partition.fetch.bytes",
        "check.crcs",
        "exclude.internal.topics",
        "allow.auto.create.topics",
        "prefetch.memory.bytes",
    ],
};

impl ConsumerConfig {
    /// Reads settings by Kafka's names, such as the lines of a `consumer.properties`. Settings of [`ClientConfig`] are
    /// passed over: it reads them from the same lines.
    ///
    /// ```
    /// # fn main() -> ottla_client::Result<()> {
    /// use ottla_client::{AutoOffsetReset, ConsumerConfig};
    ///
    /// let config = ConsumerConfig::from_properties([("group.id", "shop"), ("auto.offset.reset", "earliest")])?;
    /// assert_eq!(config.auto_offset_reset, AutoOffsetReset::Earliest);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for the first value that is not valid, and for a name that is not a consumer's, with the nearest
    /// one.
    pub fn from_properties<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut config = Self::default();
        for (key, value) in properties {
            let property = Property::new(key, value, NUMBERS);
            config.given.add(&CONSUMER_SETTINGS, key);
            if !config.set(property)? && !CLIENT_SETTINGS.keys.contains(&key) {
                return Err(unknown(property, &CONSUMER_SETTINGS, &[&PRODUCER_SETTINGS, &CLIENT_SETTINGS]));
            }
        }
        Ok(config)
    }

    /// Whether the key is one of ours.
    fn set(&mut self, property: Property<'_>) -> Result<bool> {
        match property.key {
            "group.id" => self.group_id = Some(property.text()),
            "group.instance.id" => self.group_instance_id = Some(property.text()),
            "group.protocol" => {
                self.group_protocol = property.one_of(&[
                    ("classic", GroupProtocol::Classic),
                    ("consumer", GroupProtocol::Consumer),
                    ("auto", GroupProtocol::Auto),
                ])?;
            }
            "group.remote.assignor" => self.group_remote_assignor = Some(property.text()),
            "partition.assignment.strategy" => self.partition_assignment_strategy = assignors(property)?,
            "session.timeout.ms" => self.session_timeout = property.millis()?,
            "heartbeat.interval.ms" => self.heartbeat_interval = property.millis()?,
            "max.poll.interval.ms" => self.max_poll_interval = property.millis()?,
            "max.poll.records" => self.max_poll_records = property.integer()?,
            "enable.auto.commit" => self.enable_auto_commit = Some(property.boolean()?),
            "auto.commit.interval.ms" => self.auto_commit_interval = property.millis()?,
            "auto.offset.reset" => self.auto_offset_reset = reset(property)?,
            "isolation.level" => {
                self.isolation_level = property.one_of(&[
                    ("read_uncommitted", IsolationLevel::ReadUncommitted),
                    ("read_committed", IsolationLevel::ReadCommitted),
                ])?;
            }
            "fetch.min.bytes" => self.fetch_min_bytes = property.integer()?,
            "fetch.max.wait.ms" => self.fetch_max_wait = property.millis()?,
            "fetch.max.bytes" => self.fetch_max_bytes = property.integer()?,
            "max.partition.fetch.bytes" => self.max_partition_fetch_bytes = property.integer()?,
            "check.crcs" => self.check_crcs = property.boolean()?,
            "exclude.internal.topics" => self.exclude_internal_topics = property.boolean()?,
            "allow.auto.create.topics" => self.allow_auto_create_topics = property.boolean()?,
            "prefetch.memory.bytes" => self.prefetch_memory_bytes = property.integer()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Checks every setting, alone and together.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first that is not valid.
    pub fn validate(&self, client: &ClientConfig) -> Result<()> {
        self.check_numbers()?;
        self.validate_group()?;
        if self.fetch_max_wait >= client.request_timeout {
            let ms = client.request_timeout.as_millis();
            let range = format!("it must be below request.timeout.ms, which is {ms} ms");
            return Err(Error::config("fetch.max.wait.ms", self.fetch_max_wait.as_millis(), range));
        }
        if self.prefetch_memory_bytes < self.max_partition_fetch_bytes as usize {
            let range = format!("it must be at least max.partition.fetch.bytes, {}", self.max_partition_fetch_bytes);
            return Err(Error::config("prefetch.memory.bytes", self.prefetch_memory_bytes, range));
        }
        match self.auto_offset_reset {
            AutoOffsetReset::ByDuration(age) => check(NUMBERS, "auto.offset.reset", age.as_millis()),
            _ => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<()> {
        for (key, duration) in [
            ("session.timeout.ms", self.session_timeout),
            ("heartbeat.interval.ms", self.heartbeat_interval),
            ("max.poll.interval.ms", self.max_poll_interval),
            ("auto.commit.interval.ms", self.auto_commit_interval),
            ("fetch.max.wait.ms", self.fetch_max_wait),
        ] {
            check(NUMBERS, key, duration.as_millis())?;
        }
        for (key, bytes) in [
            ("fetch.min.bytes", self.fetch_min_bytes),
            ("fetch.max.bytes", self.fetch_max_bytes),
            ("max.partition.fetch.bytes", self.max_partition_fetch_bytes),
        ] {
            check(NUMBERS, key, bytes)?;
        }
        check(NUMBERS, "max.poll.records", self.max_poll_records)?;
        check(NUMBERS, "prefetch.memory.bytes", self.prefetch_memory_bytes)
    }

    fn validate_group(&self) -> Result<()> {
        if self.group_id.as_deref() == Some("") {
            return Err(Error::config("group.id", "", "it may be left out, but not be empty"));
        }
        if let Some(id) = self.group_instance_id.as_ref().filter(|id| !is_legal_name(id)) {
            let range = "it must be 1 to 249 letters, digits, '.', '_' and '-', and not \".\" or \"..\"";
            return Err(Error::config("group.instance.id", id, range));
        }
        if self.enable_auto_commit == Some(true) && self.group_id.is_none() {
            return Err(Error::config("enable.auto.commit", true, "it needs group.id"));
        }
        let assignors = &self.partition_assignment_strategy;
        if assignors.is_empty() || (1..assignors.len()).any(|i| assignors[..i].contains(&assignors[i])) {
            let range = "it must have at least one assignor, and each once";
            return Err(Error::config("partition.assignment.strategy", names(assignors), range));
        }
        if self.heartbeat_interval >= self.session_timeout {
            let range = format!("it must be below session.timeout.ms, {} ms", self.session_timeout.as_millis());
            return Err(Error::config("heartbeat.interval.ms", self.heartbeat_interval.as_millis(), range));
        }
        match self.group_protocol {
            GroupProtocol::Classic => self.refuse_remote_assignor(),
            GroupProtocol::Consumer => self.refuse_classic_settings(),
            GroupProtocol::Auto => Ok(()),
        }
    }

    fn refuse_remote_assignor(&self) -> Result<()> {
        match &self.group_remote_assignor {
            Some(name) => {
                Err(Error::config("group.remote.assignor", name, "it needs group.protocol consumer: leave it out"))
            }
            None => Ok(()),
        }
    }

    /// The coordinator decides these.
    fn refuse_classic_settings(&self) -> Result<()> {
        let range = "the coordinator decides it with group.protocol consumer: leave it out";
        let assignors = &self.partition_assignment_strategy;
        let is_given = |key: &str| self.given.has(key);
        if *assignors != Self::default().partition_assignment_strategy || is_given("partition.assignment.strategy") {
            return Err(Error::config("partition.assignment.strategy", names(assignors), range));
        }
        if self.session_timeout != SESSION_TIMEOUT || is_given("session.timeout.ms") {
            return Err(Error::config("session.timeout.ms", self.session_timeout.as_millis(), range));
        }
        if self.heartbeat_interval != HEARTBEAT_INTERVAL || is_given("heartbeat.interval.ms") {
            return Err(Error::config("heartbeat.interval.ms", self.heartbeat_interval.as_millis(), range));
        }
        Ok(())
    }

    /// What may not be what was meant.
    pub(crate) fn warnings(&self, client: &ClientConfig) -> Vec<String> {
        let idle = client.connections_max_idle.filter(|idle| *idle < self.max_poll_interval);
        let is_classic = self.group_id.is_some() && self.group_protocol != GroupProtocol::Consumer;
        let warning = idle.filter(|_| is_classic).map(|idle| {
            format!(
                "connections.max.idle.ms is {} ms, below max.poll.interval.ms: a long rebalance may lose its connection",
                idle.as_millis()
            )
        });
        warning.into_iter().collect()
    }
}

fn names(assignors: &[PartitionAssignor]) -> String {
    assignors.iter().map(|a| a.name()).collect::<Vec<_>>().join(",")
}

/// By their names, or by those of the Java classes.
fn assignors(property: Property<'_>) -> Result<Vec<PartitionAssignor>> {
    const PACKAGE: &str = "org.apache.kafka.clients.consumer.";
    let words = [
        ("range", PartitionAssignor::Range),
        ("roundrobin", PartitionAssignor::RoundRobin),
        ("sticky", PartitionAssignor::Sticky),
        ("cooperative-sticky", PartitionAssignor::CooperativeSticky),
        ("RangeAssignor", PartitionAssignor::Range),
        ("RoundRobinAssignor", PartitionAssignor::RoundRobin),
        ("StickyAssignor", PartitionAssignor::Sticky),
        ("CooperativeStickyAssignor", PartitionAssignor::CooperativeSticky),
    ];
    let known = |name: &str| {
        let name = name.strip_prefix(PACKAGE).unwrap_or(name);
        words.iter().find(|(word, _)| *word == name).map(|(_, assignor)| *assignor)
    };
    let assignors: Option<Vec<_>> = property.list().map(known).collect();
    assignors.ok_or_else(|| property.invalid("it must be of range, roundrobin, sticky, cooperative-sticky"))
}

fn reset(property: Property<'_>) -> Result<AutoOffsetReset> {
    if let Some(text) = property.value.strip_prefix("by_duration:") {
        let age =
            iso_duration(text).ok_or_else(|| property.invalid("it must be by_duration:PnDTnHnMn.nS, not negative"));
        return age.map(AutoOffsetReset::ByDuration);
    }
    let words =
        [("earliest", AutoOffsetReset::Earliest), ("latest", AutoOffsetReset::Latest), ("none", AutoOffsetReset::None)];
    property
        .one_of(&words)
        .map_err(|_| property.invalid("it must be earliest, latest, none or by_duration:PnDTnHnMn.nS"))
}

fn is_legal_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(change: impl FnOnce(&mut ConsumerConfig)) -> Option<String> {
        let mut config = ConsumerConfig::default();
        change(&mut config);
        match config.validate(&ClientConfig::new("localhost:9092")) {
            Err(Error::Config { key, .. }) => Some(key),
            Err(other) => panic!("{other}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn defaults_are_valid() {
        assert_eq!(key_of(|_| ()), None);
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        assert_eq!(key_of(|c| c.group_id = Some(String::new())).as_deref(), Some("group.id"));
        assert_eq!(key_of(|c| c.max_poll_records = 0).as_deref(), Some("max.poll.records"));
        assert_eq!(key_of(|c| c.fetch_max_bytes = 1 << 31).as_deref(), Some("fetch.max.bytes"));
        assert_eq!(key_of(|c| c.fetch_max_wait = Duration::from_secs(30)).as_deref(), Some("fetch.max.wait.ms"));
        assert_eq!(key_of(|c| c.prefetch_memory_bytes = 1 << 19).as_deref(), Some("prefetch.memory.bytes"));
    }
}
