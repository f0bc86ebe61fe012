//! An async Apache Kafka client without librdkafka: producer, transactions, consumer, admin.
mod admin;
mod backoff;
mod client;
mod config;
mod consumer;
mod error;
mod metadata;
mod network;
mod producer;
mod properties;
mod secret;
mod types;

pub use admin::{
    AbortTransaction, AclBinding, AclFilter, AclOperation, AclPermission, AclResourceType, Admin, BrokerDescription,
    ClassicGroupDescription, ClusterDescription, ConfigEntry, ConfigOp, ConfigResource, ConfigSource,
    ConsumerGroupDescription, DelegationToken, ElectionType, EndMarker, EndMarkerKind, FeatureUpgrade, Features,
    FinalizedFeature, GroupDescription, GroupFilter, GroupListing, GroupMember, ListedOffset, LogDir, MemberToRemove,
    NewPartitions, NewTopic, OffsetSpec, OngoingReassignment, PatternType, PerItem, ProducerState, QuorumDescription,
    QuorumReplica, QuotaEntity, QuotaFilter, QuotaMatch, Replica, ReplicaOnDisk, ScramCredential, ScramMechanism,
    ShareGroupDescription, ShareGroupMember, ShareGroupOffset, TopicDetails, TopicPartitionDetails,
    TransactionDescription, TransactionListing,
};
pub use client::Client;
pub use config::{ClientConfig, DnsLookup, SaslConfig, SaslMechanism, SecurityProtocol, TlsConfig, TlsVersion};
pub use consumer::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerRecords, GroupProtocol, PartitionAssignor, PartitionRecords,
    RecordsOf, StartOffset,
};
pub use error::{Certainty, Class, Error, Result};
pub use metadata::{Broker, ClusterSnapshot, Partition, Topic};
pub use network::dial::{Dial, Stream};
pub use network::sasl::{Answer, Credentials, Mechanism, SaslError, Token, TokenProvider};
pub use ottla_protocol::compression::Compression;
pub use ottla_protocol::record::{Header, Headers, Record};
pub use ottla_protocol::{ApiKey, ErrorCode};
pub use producer::{
    Acks, Delivery, EndOutcome, PreparedTransaction, Producer, ProducerConfig, ProducerRecord, RecordMetadata,
    ResumedTransaction, Transaction, TransactionalProducer, murmur2, partition_of_key,
};
pub use secret::Secret;
pub use types::{BrokerId, IsolationLevel, OffsetAndMetadata, ProducerIdAndEpoch, TopicPartition};
