//! An async Apache Kafka client without librdkafka: producer, transactions, consumer, admin.
mod backoff;
mod client;
mod config;
mod error;
mod metadata;
mod network;
mod types;

pub use client::Client;
pub use config::ClientConfig;
pub use error::{Certainty, Class, Error, Result};
pub use metadata::{Broker, ClusterSnapshot, Partition, Topic};
pub use ottla_protocol::compression::Compression;
pub use ottla_protocol::record::{Header, Headers, Record};
pub use ottla_protocol::{ApiKey, ErrorCode};
pub use types::{BrokerId, IsolationLevel, OffsetAndMetadata, ProducerIdAndEpoch, TopicPartition};
