//! The settings of a producer. Defaults are Kafka's; differences are said.
use std::time::Duration;

use ottla_protocol::compression::Compression;

use crate::error::{Error, Result};

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

/// How records are gathered, sent and retried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// `acks`: when a write counts as done. Default: all.
    pub acks: Acks,
    /// `enable.idempotence`: retries neither double nor swap records. Needs `acks=all`, retries, and at most 5 requests in
    /// flight. Default: on where the other settings allow it.
    pub enable_idempotence: Option<bool>,
    /// `max.in.flight.requests.per.connection`. Above 1 without idempotence, retries may swap batches. Default: 5.
    pub max_in_flight_requests_per_connection: usize,
    /// `retries`: how often a batch is sent again. `delivery_timeout` is the better limit. Default: no limit.
    pub retries: u32,
    /// `linger.ms`: how long a batch waits for more records. Default: 5 ms.
    pub linger: Duration,
    /// `batch.size`: how many bytes a batch has, before compression; a single larger record gets its own. Default: 16 KiB.
    pub batch_size: usize,
    /// `buffer.memory`: how many bytes may wait or be in flight; `send` waits for room. Default: 32 MiB.
    pub buffer_memory: usize,
    /// `max.block.ms`: how long one call may wait for metadata, memory or a coordinator. Default: 60 s.
    pub max_block: Duration,
    /// `max.request.size`: the largest record, before compression, and the largest request of more than one batch.
    /// Default: 1 MiB.
    pub max_request_size: usize,
    /// `delivery.timeout.ms`: how long a record may take from `send` to its outcome. At least `linger` +
    /// `request.timeout.ms`. Default: 120 s.
    pub delivery_timeout: Duration,
    /// `compression.type`. Default: none.
    pub compression: Compression,
    /// `compression.{gzip,lz4,zstd}.level`. Default: Kafka's default of the codec.
    pub compression_level: Option<i32>,
    /// `partitioner.ignore.keys`: records with keys go anywhere too. Default: false.
    pub partitioner_ignore_keys: bool,
    /// `transactional.id`: who this producer is across restarts. Default: none.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`: the broker aborts a transaction that is open for longer. Default: 60 s.
    pub transaction_timeout: Duration,
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
            delivery_timeout: Duration::from_secs(120),
            compression: Compression::None,
            compression_level: None,
            partitioner_ignore_keys: false,
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
        }
    }
}

impl ProducerConfig {
    /// Checks every setting, alone and together.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first that is not valid.
    pub fn validate(&self, request_timeout: Duration) -> Result<()> {
        if self.max_in_flight_requests_per_connection == 0 {
            return Err(invalid("max.in.flight.requests.per.connection", 0, "it must be at least 1"));
        }
        if self.delivery_timeout < self.linger + request_timeout {
            let reason = format!(
                "it must be at least linger.ms + request.timeout.ms, {} ms",
                (self.linger + request_timeout).as_millis()
            );
            return Err(invalid("delivery.timeout.ms", self.delivery_timeout.as_millis(), &reason));
        }
        self.validate_idempotence()?;
        let Some(id) = &self.transactional_id else { return Ok(()) };
        if id.is_empty() {
            return Err(invalid("transactional.id", "", "it may be left out, but not be empty"));
        }
        if !self.is_idempotent() {
            return Err(invalid("transactional.id", id, "transactions need enable.idempotence"));
        }
        if !(1..=i32::MAX as u128).contains(&self.transaction_timeout.as_millis()) {
            let value = self.transaction_timeout.as_millis();
            return Err(invalid("transaction.timeout.ms", value, "it must be from 1 to 2147483647"));
        }
        Ok(())
    }

    fn validate_idempotence(&self) -> Result<()> {
        let in_flight = self.max_in_flight_requests_per_connection;
        // Kafka refuses more than 5 even when idempotence was not asked for: the broker remembers 5 batches.
        if in_flight > 5 && self.enable_idempotence != Some(false) {
            let reason = "it must be at most 5 with enable.idempotence; turn that off, or lower this";
            return Err(invalid("max.in.flight.requests.per.connection", in_flight, reason));
        }
        if self.enable_idempotence != Some(true) {
            return Ok(());
        }
        if self.acks != Acks::All {
            return Err(invalid("acks", self.acks.code(), "it must be all with enable.idempotence"));
        }
        if self.retries == 0 {
            return Err(invalid("retries", 0, "it must be above 0 with enable.idempotence"));
        }
        Ok(())
    }

    /// Whether retries neither double nor swap records: asked for, or not refused and possible.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.enable_idempotence.unwrap_or(self.acks == Acks::All && self.retries > 0)
    }
}

fn invalid(key: &str, value: impl ToString, reason: &str) -> Error {
    Error::config(key, value, reason)
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
