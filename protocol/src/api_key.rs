//! The APIs of Kafka's protocol.
use std::fmt;

macro_rules! api_keys {
    ($($name:ident = $code:literal $(, flexible $flexible:literal +)?;)*) => {
        /// An API of Kafka's protocol that Ottla knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "the names are Kafka's")]
        pub enum ApiKey { $($name = $code,)* }

        impl ApiKey {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> i16 { self as i16 }

            /// Kafka's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The first version in the flexible format (KIP-482); `i16::MAX` is never.
            #[must_use]
            pub const fn flexible_from(self) -> i16 {
                match self { $(Self::$name => api_keys!(@flexible $($flexible)?),)* }
            }
        }

        impl TryFrom<i16> for ApiKey {
            type Error = i16;
            fn try_from(code: i16) -> Result<Self, i16> {
                match code { $($code => Ok(Self::$name),)* _ => Err(code) }
            }
        }
    };
    (@flexible) => { i16::MAX };
    (@flexible $flexible:literal) => { $flexible };
}

api_keys! {
    Produce = 0, flexible 9+;
    Fetch = 1, flexible 12+;
    ListOffsets = 2, flexible 6+;
    Metadata = 3, flexible 9+;
    OffsetCommit = 8, flexible 8+;
    OffsetFetch = 9, flexible 6+;
    FindCoordinator = 10, flexible 3+;
    JoinGroup = 11, flexible 6+;
    Heartbeat = 12, flexible 4+;
    LeaveGroup = 13, flexible 4+;
    SyncGroup = 14, flexible 4+;
    DescribeGroups = 15, flexible 5+;
    ListGroups = 16, flexible 3+;
    SaslHandshake = 17;
    ApiVersions = 18, flexible 3+;
    CreateTopics = 19, flexible 5+;
    DeleteTopics = 20, flexible 4+;
    DeleteRecords = 21, flexible 2+;
    InitProducerId = 22, flexible 2+;
    OffsetForLeaderEpoch = 23, flexible 4+;
    AddPartitionsToTxn = 24, flexible 3+;
    AddOffsetsToTxn = 25, flexible 3+;
    EndTxn = 26, flexible 3+;
    WriteTxnMarkers = 27, flexible 1+;
    TxnOffsetCommit = 28, flexible 3+;
    DescribeAcls = 29, flexible 2+;
    CreateAcls = 30, flexible 2+;
    DeleteAcls = 31, flexible 2+;
    DescribeConfigs = 32, flexible 4+;
    AlterConfigs = 33, flexible 2+;
    AlterReplicaLogDirs = 34, flexible 2+;
    DescribeLogDirs = 35, flexible 2+;
    SaslAuthenticate = 36, flexible 2+;
    CreatePartitions = 37, flexible 2+;
    CreateDelegationToken = 38, flexible 2+;
    RenewDelegationToken = 39, flexible 2+;
    ExpireDelegationToken = 40, flexible 2+;
    DescribeDelegationToken = 41, flexible 2+;
    DeleteGroups = 42, flexible 2+;
    ElectLeaders = 43, flexible 2+;
    IncrementalAlterConfigs = 44, flexible 1+;
    AlterPartitionReassignments = 45, flexible 0+;
    ListPartitionReassignments = 46, flexible 0+;
    OffsetDelete = 47;
    DescribeClientQuotas = 48, flexible 1+;
    AlterClientQuotas = 49, flexible 1+;
    DescribeUserScramCredentials = 50, flexible 0+;
    AlterUserScramCredentials = 51, flexible 0+;
    DescribeQuorum = 55, flexible 0+;
    UpdateFeatures = 57, flexible 0+;
    DescribeCluster = 60, flexible 0+;
    DescribeProducers = 61, flexible 0+;
    UnregisterBroker = 64, flexible 0+;
    DescribeTransactions = 65, flexible 0+;
    ListTransactions = 66, flexible 0+;
    ConsumerGroupHeartbeat = 68, flexible 0+;
    ConsumerGroupDescribe = 69, flexible 0+;
    GetTelemetrySubscriptions = 71, flexible 0+;
    PushTelemetry = 72, flexible 0+;
    ListConfigResources = 74, flexible 0+;
    DescribeTopicPartitions = 75, flexible 0+;
    ShareGroupHeartbeat = 76, flexible 0+;
    ShareGroupDescribe = 77, flexible 0+;
    ShareFetch = 78, flexible 0+;
    ShareAcknowledge = 79, flexible 0+;
    AddRaftVoter = 80, flexible 0+;
    RemoveRaftVoter = 81, flexible 0+;
    StreamsGroupDescribe = 89, flexible 0+;
    DescribeShareGroupOffsets = 90, flexible 0+;
    AlterShareGroupOffsets = 91, flexible 0+;
    DeleteShareGroupOffsets = 92, flexible 0+;
    UnregisterController = 94, flexible 0+;
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
