//! Looking after a cluster. One file per subject, one method per API.
mod acls;
mod brokers;
mod call;
mod cluster;
mod config;
mod configs;
mod connect;
mod delegation_tokens;
mod elections;
mod end_marker;
mod features;
mod group_offsets;
mod groups;
mod listing;
mod log_dirs;
mod offsets;
mod partitions;
mod producers;
mod quotas;
mod raft_voters;
mod reassignments;
mod records;
mod scram;
mod share_groups;
mod streams_groups;
mod topics;
mod transactions;

use std::collections::{BTreeMap, HashMap};

use crate::client::Client;
use crate::error::Result;
use crate::types::TopicPartition;

pub use acls::{AclBinding, AclFilter, AclOperation, AclPermission, AclResourceType, PatternType};
pub use cluster::{BrokerDescription, ClusterDescription, QuorumDescription, QuorumReplica};
pub(crate) use config::ADMIN_SETTINGS;
pub use config::AdminConfig;
pub use configs::{ConfigEntry, ConfigOp, ConfigResource, ConfigSource};
pub use delegation_tokens::DelegationToken;
pub use elections::ElectionType;
pub use end_marker::{EndMarker, EndMarkerKind};
pub use features::{FeatureUpgrade, Features, FinalizedFeature};
pub use groups::{
    ClassicGroupDescription, ConsumerGroupDescription, GroupDescription, GroupFilter, GroupListing, GroupMember,
    MemberToRemove,
};
pub use listing::Listing;
pub use log_dirs::{LogDir, Replica, ReplicaOnDisk};
pub use offsets::{ListedOffset, OffsetSpec};
pub use partitions::NewPartitions;
pub use producers::ProducerState;
pub use quotas::{QuotaEntity, QuotaFilter, QuotaMatch};
pub use raft_voters::VoterEndpoint;
pub use reassignments::OngoingReassignment;
pub use scram::{ScramAlteration, ScramCredential, ScramMechanism};
pub use share_groups::{ShareGroupDescription, ShareGroupMember, ShareGroupOffset};
pub use streams_groups::{StreamsGroupDescription, StreamsGroupMember, StreamsTasks};
pub use topics::{NewTopic, TopicDetails, TopicPartitionDetails};
pub(crate) use transactions::describe_transaction;
pub use transactions::{AbortTransaction, TransactionDescription, TransactionFilter, TransactionListing};

/// The result of each item of a call: one that fails does not hide the others.
pub type PerItem<K, V> = HashMap<K, Result<V>>;

/// Administration of a cluster. A clone is another handle.
///
/// [`Admin::new`] shares the connections of a [`Client`]; [`Admin::connect`] has its own, and can talk to the controllers of
/// a cluster without its brokers.
///
/// Every call retries what a retry may cure until `default.api.timeout.ms` has passed, and may be cancelled at any time;
/// what was sent may be done all the same. A call about many items splits them by the brokers that have to be asked and has
/// a [`PerItem`] result; when nobody could be asked at all each item says so.
///
/// ```no_run
/// # async fn run() -> ottla_client::Result<()> {
/// use ottla_client::{Admin, Client, ClientConfig, NewTopic};
///
/// let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
/// let admin = Admin::new(&client);
/// for (topic, result) in admin.create_topics([NewTopic::new("orders", 6, 3)]).await? {
///     match result {
///         Ok(()) => println!("{topic} is there"),
///         Err(error) => println!("{topic}: {error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
    validate_only: bool,
    retry_on_quota_violation: bool,
    retries: u32,
}

impl Admin {
    /// An admin client on the connections of a [`Client`] that is there. Nothing is sent.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        let retries = AdminConfig::default().retries;
        Self { client: client.clone(), validate_only: false, retry_on_quota_violation: true, retries }
    }

    /// How often a call is tried again, at most, while `default.api.timeout.ms` has not passed (`retries`); after that its
    /// error is the last attempt's. Default: 2147483647.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// With true, creating and changing topics, partitions, configurations, quotas and features is only checked by the
    /// broker, and nothing is changed.
    #[must_use]
    pub fn validate_only(mut self, validate_only: bool) -> Self {
        self.validate_only = validate_only;
        self
    }

    /// Whether what a quota of the cluster holds up (`THROTTLING_QUOTA_EXCEEDED`) is waited for. Default: true.
    #[must_use]
    pub fn retry_on_quota_violation(mut self, retry: bool) -> Self {
        self.retry_on_quota_violation = retry;
        self
    }
}

/// Partitions with something each, by their topics: the form in which requests have them.
fn by_topic<'a, T>(items: impl IntoIterator<Item = (&'a TopicPartition, T)>) -> BTreeMap<String, Vec<T>> {
    let mut topics: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (topic_partition, item) in items {
        topics.entry(topic_partition.topic.to_string()).or_default().push(item);
    }
    topics
}

/// The partition numbers of each topic.
fn indexes(partitions: &[TopicPartition]) -> BTreeMap<String, Vec<i32>> {
    by_topic(partitions.iter().map(|tp| (tp, tp.partition)))
}

/// Futures that borrow from slices of borrowed names are `Send` for no spawned task.
fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
