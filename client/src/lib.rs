//! An async Apache Kafka client without librdkafka: producer, transactions, consumer, admin.
//!
//! A [`Client`] is the way to one cluster: its connections, what is known of its brokers and topics. A [`Producer`],
//! [`TransactionalProducer`], [`Consumer`] or [`Admin`] is made from it, and many share its connections.
//!
//! ```no_run
//! # async fn run() -> ottla_client::Result<()> {
//! use ottla_client::*;
//!
//! let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
//!
//! let producer = Producer::new(&client, ProducerConfig::default())?;
//! producer.send(ProducerRecord::new("orders").key("42").value("a book")).await?.await?;
//!
//! let consumer = Consumer::new(&client, ConsumerConfig::default())?;
//! consumer.assign([(TopicPartition::new("orders", 0), StartOffset::Earliest)]);
//! let records = consumer.poll(std::time::Duration::from_secs(1)).await?;
//! println!("{} records", records.count());
//! # Ok(())
//! # }
//! ```
//!
//! # Configuration
//!
//! [`ClientConfig`], [`ProducerConfig`], [`ConsumerConfig`] and [`AdminConfig`] have Kafka's settings as fields: `linger.ms` is
//! [`linger`](ProducerConfig::linger), a [`Duration`](std::time::Duration). Defaults are those of the Java client; where one
//! differs its documentation says so. Settings are checked once, when a client, producer or consumer is made: a value out
//! of range is an error that names the setting and its range, and is never made to fit.
//!
//! The same settings can be read by Kafka's names, such as from a `client.properties`. One list serves a client and its
//! producer or consumer; a name that does not exist is an error with the nearest that does:
//!
//! ```
//! use ottla_client::{ClientConfig, ProducerConfig};
//!
//! # fn main() -> ottla_client::Result<()> {
//! let lines = [("bootstrap.servers", "a:9092,b:9092"), ("security.protocol", "PLAINTEXT"), ("acks", "all")];
//! let (client, producer) = (ClientConfig::from_properties(lines)?, ProducerConfig::from_properties(lines)?);
//!
//! let error = ProducerConfig::from_properties([("linger", "5")]).unwrap_err();
//! assert!(error.to_string().contains("did you mean linger.ms?"));
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! An [`Error`] says what happened where (broker, API and version, partition, group or id), since when, and what to do:
//!
//! > CreateTopics v7 of orders at broker 1 (10.0.0.1:9092): INVALID_REPLICATION_FACTOR (38): the replication factor is
//! > below 1 or above the number of brokers (the broker says: …); ask for at most as many replicas as there are brokers
//!
//! [`Error::class`] says what a program can do: the same call may succeed later ([`Class::Retriable`]), the transaction has
//! to be aborted ([`Class::Abortable`]), or this producer, consumer or configuration is finished ([`Class::Fatal`]). What a
//! retry can cure has been retried by then, until `delivery.timeout.ms`, `max.block.ms` or `default.api.timeout.ms` had
//! passed. A record that failed says whether it is in the log ([`Certainty`]): possibly written is not the same as not
//! written.
mod admin;
mod backoff;
mod client;
mod clock;
mod config;
mod consumer;
mod error;
mod metadata;
mod metrics;
mod network;
mod producer;
mod properties;
mod refresh;
mod secret;
mod sync;
mod types;

pub use admin::{
    AbortTransaction, AclBinding, AclFilter, AclOperation, AclPermission, AclResourceType, Admin, AdminConfig,
    BrokerDescription, ClassicGroupDescription, ClusterDescription, ConfigEntry, ConfigOp, ConfigResource,
    ConfigSource, ConsumerGroupDescription, DelegationToken, ElectionType, EndMarker, EndMarkerKind, FeatureUpgrade,
    Features, FinalizedFeature, GroupDescription, GroupFilter, GroupListing, GroupMember, ListedOffset, Listing,
    LogDir, MemberToRemove, NewPartitions, NewTopic, OffsetSpec, OngoingReassignment, PatternType, PerItem,
    ProducerState, QuorumDescription, QuorumReplica, QuotaEntity, QuotaFilter, QuotaMatch, Replica, ReplicaOnDisk,
    ScramAlteration, ScramCredential, ScramMechanism, ShareGroupDescription, ShareGroupMember, ShareGroupOffset,
    StreamsGroupDescription, StreamsGroupMember, StreamsTasks, TopicDetails, TopicPartitionDetails,
    TransactionDescription, TransactionFilter, TransactionListing, VoterEndpoint,
};
pub use client::{AllTopics, Client};
pub use config::{
    ClientConfig, DnsLookup, MetadataRecoveryStrategy, SaslConfig, SaslMechanism, SecurityProtocol, TlsConfig,
    TlsVersion,
};
pub use consumer::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerMetrics, ConsumerPartitionMetrics, ConsumerRecords,
    ConsumerTopicMetrics, GroupProtocol, PartitionAssignor, PartitionRecords, RecordsOf, StartOffset,
};
pub use error::{Certainty, Class, Error, Result};
pub use metadata::{Broker, ClusterSnapshot, Partition, Topic};
pub use metrics::{BrokerMetrics, Metrics};
pub use network::dial::{Dial, Stream};
pub use network::sasl::{Answer, Credentials, Mechanism, SaslError, Token, TokenProvider};
pub use ottla_protocol::compression::Compression;
pub use ottla_protocol::record::{Header, Headers, Record, RecordError};
pub use ottla_protocol::{ApiKey, ErrorCode};
pub use producer::{
    Acks, ChoosePartition, Delivery, EndOutcome, Partitioner, PreparedTransaction, Producer, ProducerConfig,
    ProducerMetrics, ProducerRecord, ProducerTopicMetrics, RecordMetadata, ResumedTransaction, Transaction,
    TransactionalProducer, murmur2, partition_of_key,
};
pub use secret::Secret;
pub use types::{BrokerId, IsolationLevel, OffsetAndMetadata, ProducerIdAndEpoch, TopicPartition};
