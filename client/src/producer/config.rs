//! The settings of a producer. Defaults are Kafka's; differences are said.
use std::time::Duration;

use ottla_protocol::compression::Compression;

use super::partitioner::Partitioner;
use crate::config::CLIENT_SETTINGS;
use crate::consumer::CONSUMER_SETTINGS;
use crate::error::{Error, Result};
use crate::properties::{Given, INT, Known, LONG, Number, Property, check, unknown};

/// When a write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// When all replicas in sync have it.
    #[default]
    All,
    /// When the leader has it.
    Leader,
    /// When it is written to the socket.
    None,
}

impl Acks {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::None => 0,
        }
    }
}

/// How records are gathered, sent and retried. Every field is Kafka's setting of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// `acks`: when a write counts as done. Default: all. With less a record that was acknowledged can be lost, and
    /// idempotence is off.
    pub acks: Acks,
    /// `enable.idempotence`: retries neither double nor swap records. Needs `acks=all`, retries, and at most 5 requests in
    /// flight: asked for without them it is an error, not asked for it gives way with a warning. Default: on where the
    /// other settings allow it.
    pub enable_idempotence: Option<bool>,
    /// `max.in.flight.requests.per.connection`. At least 1; with idempotence at most 5, which is what brokers remember.
    /// Above 1 without idempotence, retries may swap batches. Default: 5.
    pub max_in_flight_requests_per_connection: usize,
    /// `retries`: how often a batch is sent again. `delivery_timeout` is the better limit; 0 turns idempotence off.
    /// Default: 2147483647.
    pub retries: u32,
    /// `linger.ms`: how long a batch waits for more records. Default: 5 ms.
    pub linger: Duration,
    /// `batch.size`: how many bytes a batch has, before compression; a single larger record gets its own, and with 0 every
    /// record does. Default: 16 KiB.
    pub batch_size: usize,
    /// `buffer.memory`: how many bytes may wait or be in flight; `send` waits for room. Default: 32 MiB.
    pub buffer_memory: usize,
    /// `max.block.ms`: how long one call may wait for metadata, memory or a coordinator. Default: 60 s.
    pub max_block: Duration,
    /// `max.request.size`: the largest record, before compression, and the largest request of more than one batch. The
    /// topic's `max.message.bytes` must allow it too. Default: 1 MiB.
    pub max_request_size: usize,
    /// `delivery.timeout.ms`: how long a record may take from `send` to its outcome. At least `linger` +
    /// `request.timeout.ms`: the default is raised to that with a warning, if no file gives it; any other value below it is
    /// an error. Default: 120 s.
    pub delivery_timeout: Duration,
    /// `compression.type`. Default: none.
    pub compression_type: Compression,
    /// `compression.{gzip,lz4,zstd}.level`, of the codec that is chosen: gzip 1 to 9 or -1, lz4 1 to 17, zstd -131072 to 22.
    /// Levels of lz4 are taken but have no effect: there is only the fast compressor that Kafka's client uses at level 9
    /// ([`Compression::Lz4`]). Default: Kafka's default of the codec (-1, 9, 3).
    pub compression_level: Option<i32>,
    /// `partitioner.class`: who chooses the partition of records that name none. In code only: properties name classes of
    /// Java's. Default: Kafka's own.
    pub partitioner_class: Partitioner,
    /// `partitioner.ignore.keys`: records with keys go anywhere too. Default: false.
    pub partitioner_ignore_keys: bool,
    /// `partitioner.adaptive.partitioning.enable`: records without a key go less often where batches queue up.
    /// Default: true.
    pub partitioner_adaptive_partitioning_enable: bool,
    /// `partitioner.availability.timeout.ms`: records without a key keep away from a broker that took nothing for so long
    /// while something was there for it. Needs adaptive partitioning. Default: 0, off.
    pub partitioner_availability_timeout: Duration,
    /// `partitioner.rack.aware`: records without a key go to leaders in `client.rack` where there are any (KIP-1123).
    /// Default: false.
    pub partitioner_rack_aware: bool,
    /// `transactional.id`: who this producer is across restarts; one process alone may use it. Default: none.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`: the broker aborts a transaction that is open for longer, and refuses more than its
    /// `transaction.max.timeout.ms`, 15 minutes by default. Default: 60 s.
    pub transaction_timeout: Duration,
    given: Given,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            enable_idempotence: None,
            max_in_flight_requests_per_connection: 5,
            retries: i32::MAX as u32,
            linger: Duration::from_millis(5),
            batch_size: 16 << 10,
            buffer_memory: 32 << 20,
            max_block: Duration::from_secs(60),
            max_request_size: 1 << 20,
            delivery_timeout: DELIVERY_TIMEOUT,
            compression_type: Compression::None,
            compression_level: None,
            partitioner_class: Partitioner::BuiltIn,
            partitioner_ignore_keys: false,
            partitioner_adaptive_partitioning_enable: true,
            partitioner_availability_timeout: Duration::ZERO,
            partitioner_rack_aware: false,
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
            given: Given::default(),
        }
    }
}

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

/// `client.md` §1.2 and §1.3.
const NUMBERS: &[Number] = &[
    ("max.in.flight.requests.per.connection", 1, INT),
    ("retries", 0, INT),
    ("linger.ms", 0, LONG),
    ("batch.size", 0, INT),
    ("buffer.memory", 0, LONG),
    ("max.block.ms", 0, LONG),
    ("max.request.size", 0, INT),
    ("delivery.timeout.ms", 0, INT),
    ("compression.gzip.level", -1, 9),
    ("compression.lz4.level", 1, 17),
    ("compression.zstd.level", -131_072, 22),
    ("partitioner.availability.timeout.ms", 0, LONG),
    ("transaction.timeout.ms", 1, INT),
];

pub(crate) const PRODUCER_SETTINGS: Known = Known {
    owner: "ProducerConfig",
    keys: &[
        "acks",
        "enable.idempotence",
        "max.in.flight.requests.per.connection",
        "retries",
        "linger.ms",
        "batch.size",
        "buffer.memory",
        "max.block.ms",
        "max.request.size",
        "delivery.timeout.ms",
        "compression.type",
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.zstd.level",
        "partitioner.class",
        "partitioner.ignore.keys",
        "partitioner.adaptive.partitioning.enable",
        "partitioner.availability.timeout.ms",
        "partitioner.rack.aware",
        "transactional.id",
        "transaction.timeout.ms",
        "transaction.two.phase.commit.enable",
    ],
};

/// The setting with the level of a codec.
fn level_key(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::Gzip => Some("compression.gzip.level"),
        Compression::Lz4 => Some("compression.lz4.level"),
        Compression::Zstd => Some("compression.zstd.level"),
        _ => None,
    }
}

impl ProducerConfig {
    /// Reads settings by Kafka's names, such as the lines of a `producer.properties`. Settings of
    /// [`ClientConfig`](crate::ClientConfig) are passed over: it reads them from the same lines.
    ///
    /// ```
    /// # fn main() -> ottla_client::Result<()> {
    /// use ottla_client::{ClientConfig, ProducerConfig};
    ///
    /// let lines = [("bootstrap.servers", "localhost:9092"), ("linger.ms", "20"), ("compression.type", "zstd")];
    /// let (client, producer) = (ClientConfig::from_properties(lines)?, ProducerConfig::from_properties(lines)?);
    /// assert_eq!(producer.linger.as_millis(), 20);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for the first value that is not valid, and for a name that is not a producer's, with the nearest
    /// one.
    pub fn from_properties<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut config = Self::default();
        let mut levels = Vec::new();
        for (key, value) in properties {
            let property = Property::new(key, value, NUMBERS);
            config.given.add(&PRODUCER_SETTINGS, key);
            if key.starts_with("compression.") && key.ends_with(".level") && PRODUCER_SETTINGS.keys.contains(&key) {
                levels.push((key, property.integer::<i32>()?));
            } else if !config.set(property)? && !CLIENT_SETTINGS.keys.contains(&key) {
                return Err(unknown(property, &PRODUCER_SETTINGS, &[&CONSUMER_SETTINGS, &CLIENT_SETTINGS]));
            }
        }
        let key = level_key(config.compression_type);
        config.compression_level = levels.into_iter().find(|(level, _)| Some(*level) == key).map(|(_, level)| level);
        if let Some(level) = config.compression_level {
            check_level(config.compression_type, level)?;
        }
        Ok(config)
    }

    /// Whether the key is one of ours.
    fn set(&mut self, property: Property<'_>) -> Result<bool> {
        match property.key {
            "acks" => {
                self.acks = property.one_of(&[
                    ("all", Acks::All),
                    ("-1", Acks::All),
                    ("1", Acks::Leader),
                    ("0", Acks::None),
                ])?;
            }
            "enable.idempotence" => self.enable_idempotence = Some(property.boolean()?),
            "max.in.flight.requests.per.connection" => {
                self.max_in_flight_requests_per_connection = property.integer()?;
            }
            "retries" => self.retries = property.integer()?,
            "linger.ms" => self.linger = property.millis()?,
            "batch.size" => self.batch_size = property.integer()?,
            "buffer.memory" => self.buffer_memory = property.integer()?,
            "max.block.ms" => self.max_block = property.millis()?,
            "max.request.size" => self.max_request_size = property.integer()?,
            "delivery.timeout.ms" => self.delivery_timeout = property.millis()?,
            "compression.type" => {
                self.compression_type = property.one_of(&[
                    ("none", Compression::None),
                    ("gzip", Compression::Gzip),
                    ("snappy", Compression::Snappy),
                    ("lz4", Compression::Lz4),
                    ("zstd", Compression::Zstd),
                ])?;
            }
            "partitioner.class" if property.value.is_empty() => {}
            "partitioner.class" => {
                return Err(property.invalid(
                    "it is for classes of the Java client: leave it out, or set ProducerConfig::partitioner_class",
                ));
            }
            "partitioner.ignore.keys" => self.partitioner_ignore_keys = property.boolean()?,
            "partitioner.adaptive.partitioning.enable" => {
                self.partitioner_adaptive_partitioning_enable = property.boolean()?;
            }
            "partitioner.availability.timeout.ms" => self.partitioner_availability_timeout = property.millis()?,
            "partitioner.rack.aware" => self.partitioner_rack_aware = property.boolean()?,
            "transactional.id" => self.transactional_id = Some(property.text()),
            "transaction.timeout.ms" => self.transaction_timeout = property.millis()?,
            "transaction.two.phase.commit.enable" if property.boolean()? => {
                return Err(property.invalid("Kafka has not released it (KIP-939): it must be false"));
            }
            "transaction.two.phase.commit.enable" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Checks every setting, alone and together.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first that is not valid.
    pub fn validate(&self, request_timeout: Duration) -> Result<()> {
        self.check_numbers()?;
        let least = self.linger.saturating_add(request_timeout);
        let is_given = self.delivery_timeout != DELIVERY_TIMEOUT || self.given.has("delivery.timeout.ms");
        if self.delivery_timeout < least && is_given {
            let range = format!("it must be at least linger.ms + request.timeout.ms, {} ms", least.as_millis());
            return Err(Error::config("delivery.timeout.ms", self.delivery_timeout.as_millis(), range));
        }
        self.validate_idempotence()?;
        let Some(id) = &self.transactional_id else { return Ok(()) };
        if id.is_empty() {
            return Err(Error::config("transactional.id", "", "it may be left out, but not be empty"));
        }
        if !self.is_idempotent() {
            return Err(Error::config("transactional.id", id, "transactions need enable.idempotence"));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        let in_flight = self.max_in_flight_requests_per_connection;
        check(NUMBERS, "max.in.flight.requests.per.connection", in_flight)?;
        check(NUMBERS, "retries", self.retries)?;
        for (key, bytes) in [
            ("batch.size", self.batch_size),
            ("buffer.memory", self.buffer_memory),
            ("max.request.size", self.max_request_size),
        ] {
            check(NUMBERS, key, bytes)?;
        }
        for (key, duration) in [
            ("linger.ms", self.linger),
            ("max.block.ms", self.max_block),
            ("delivery.timeout.ms", self.delivery_timeout),
            ("partitioner.availability.timeout.ms", self.partitioner_availability_timeout),
            ("transaction.timeout.ms", self.transaction_timeout),
        ] {
            check(NUMBERS, key, duration.as_millis())?;
        }
        self.compression_level.map_or(Ok(()), |level| check_level(self.compression_type, level))
    }

    fn validate_idempotence(&self) -> Result<()> {
        let in_flight = self.max_in_flight_requests_per_connection;
        // Kafka refuses more than 5 even when idempotence was not asked for: the broker remembers 5 batches.
        if in_flight > 5 && self.enable_idempotence.unwrap_or_else(|| self.is_idempotent()) {
            let range = "it must be at most 5 with enable.idempotence; turn that off, or lower this";
            return Err(Error::config("max.in.flight.requests.per.connection", in_flight, range));
        }
        if self.enable_idempotence != Some(true) {
            return Ok(());
        }
        if self.acks != Acks::All {
            return Err(Error::config("acks", self.acks.code(), "it must be all with enable.idempotence"));
        }
        if self.retries == 0 {
            return Err(Error::config("retries", 0, "it must be above 0 with enable.idempotence"));
        }
        Ok(())
    }

    /// Whether retries neither double nor swap records: asked for, or not refused and possible.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.enable_idempotence.unwrap_or(self.acks == Acks::All && self.retries > 0)
    }

    /// The default gives way to a longer `request.timeout.ms`.
    pub(crate) fn effective_delivery_timeout(&self, request_timeout: Duration) -> Duration {
        self.delivery_timeout.max(self.linger.saturating_add(request_timeout))
    }

    /// What is taken otherwise than it was given.
    pub(crate) fn warnings(&self, request_timeout: Duration) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.enable_idempotence.is_none() && !self.is_idempotent() {
            let why = if self.retries == 0 { "retries is 0" } else { "acks is not all" };
            warnings.push(format!("enable.idempotence is off, because {why}: records can be doubled, swapped or lost"));
        }
        let effective = self.effective_delivery_timeout(request_timeout);
        if effective != self.delivery_timeout {
            let ms = effective.as_millis();
            warnings.push(format!("delivery.timeout.ms is raised to linger.ms + request.timeout.ms, {ms} ms"));
        }
        warnings
    }
}

fn check_level(compression: Compression, level: i32) -> Result<()> {
    match level_key(compression) {
        Some(key) if key == "compression.gzip.level" && level == 0 => {
            Err(Error::config(key, level, "it must be a number from 1 to 9, or -1"))
        }
        Some(key) => check(NUMBERS, key, level),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(change: impl FnOnce(&mut ProducerConfig)) -> Option<String> {
        let mut config = ProducerConfig::default();
        change(&mut config);
        match config.validate(Duration::from_secs(30)) {
            Err(Error::Config { key, .. }) => Some(key),
            Err(other) => panic!("{other}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn defaults_are_valid_and_idempotent() {
        assert_eq!(key_of(|_| ()), None);
        assert!(ProducerConfig::default().is_idempotent());
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused_by_name() {
        assert_eq!(key_of(|c| c.delivery_timeout = Duration::from_secs(30)).as_deref(), Some("delivery.timeout.ms"));
        assert_eq!(
            key_of(|c| c.max_in_flight_requests_per_connection = 6).as_deref(),
            Some("max.in.flight.requests.per.connection")
        );
        let explicit = |change: fn(&mut ProducerConfig)| {
            key_of(|c| {
                c.enable_idempotence = Some(true);
                change(c);
            })
        };
        assert_eq!(explicit(|c| c.acks = Acks::Leader).as_deref(), Some("acks"));
        assert_eq!(explicit(|c| c.retries = 0).as_deref(), Some("retries"));
        assert_eq!(key_of(|c| c.transactional_id = Some(String::new())).as_deref(), Some("transactional.id"));
        let without = |c: &mut ProducerConfig| {
            c.transactional_id = Some("t".into());
            c.acks = Acks::Leader;
        };
        assert_eq!(key_of(without).as_deref(), Some("transactional.id"));
    }

    #[test]
    fn idempotence_that_was_not_asked_for_gives_way() {
        let config = ProducerConfig { acks: Acks::Leader, ..ProducerConfig::default() };
        assert!(config.validate(Duration::from_secs(30)).is_ok());
        assert!(!config.is_idempotent());
    }
}
