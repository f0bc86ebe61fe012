//! The settings of a consumer. Defaults are Kafka's; differences are said.
use std::time::Duration;

use crate::config::ClientConfig;
use crate::error::{Error, Result};
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

/// What a consumer reads, and how much of it at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// `group.id`: the group whose offsets are committed. Default: none.
    pub group_id: Option<String>,
    /// `auto.offset.reset`: where to go when a position is missing or out of range. Default: latest.
    pub auto_offset_reset: AutoOffsetReset,
    /// `isolation.level`: whether records of open and aborted transactions are seen. Default: read_uncommitted.
    pub isolation_level: IsolationLevel,
    /// `max.poll.records`: the most records one poll returns. Default: 500.
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
    /// `allow.auto.create.topics`: assigning a topic that does not exist creates it, if the brokers allow it.
    /// Default: true.
    pub allow_auto_create_topics: bool,
    /// `prefetch.memory.bytes`: how many bytes may wait for `poll` in all, decompressed ones included. Ours; default: 64 MiB.
    pub prefetch_memory_bytes: usize,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group_id: None,
            auto_offset_reset: AutoOffsetReset::Latest,
            isolation_level: IsolationLevel::ReadUncommitted,
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
            check_crcs: true,
            allow_auto_create_topics: true,
            prefetch_memory_bytes: 64 << 20,
        }
    }
}

impl ConsumerConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first that is not valid.
    pub fn validate(&self, client: &ClientConfig) -> Result<()> {
        let most = i32::MAX as u32;
        if self.group_id.as_deref() == Some("") {
            return Err(invalid("group.id", "", "it may be left out, but not be empty"));
        }
        if self.max_poll_records == 0 {
            return Err(invalid("max.poll.records", 0, "it must be at least 1"));
        }
        for (key, bytes) in [
            ("fetch.min.bytes", self.fetch_min_bytes),
            ("fetch.max.bytes", self.fetch_max_bytes),
            ("max.partition.fetch.bytes", self.max_partition_fetch_bytes),
        ] {
            if bytes > most {
                return Err(invalid(key, bytes, "it must be at most 2147483647"));
            }
        }
        if self.fetch_max_wait >= client.request_timeout {
            let reason = format!("it must be below request.timeout.ms, which is {:?}", client.request_timeout);
            return Err(invalid("fetch.max.wait.ms", self.fetch_max_wait.as_millis(), &reason));
        }
        if self.prefetch_memory_bytes < self.max_partition_fetch_bytes as usize {
            let reason = format!("it must be at least max.partition.fetch.bytes, {}", self.max_partition_fetch_bytes);
            return Err(invalid("prefetch.memory.bytes", self.prefetch_memory_bytes, &reason));
        }
        Ok(())
    }
}

fn invalid(key: &str, value: impl ToString, reason: &str) -> Error {
    Error::config(key, value, reason)
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
