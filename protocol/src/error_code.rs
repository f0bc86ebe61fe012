//! Kafka's error codes (`clients/.../common/protocol/Errors.java`), each with a sentence of our own.
use std::fmt;

macro_rules! error_codes {
    ($($variant:ident = $code:literal, $name:literal, $sentence:literal;)*) => {
        /// What a broker says of a request, or of a part of one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            /// No error.
            None,
            $(#[doc = $sentence] $variant,)*
            /// A code that is newer than this crate.
            Unknown(i16),
        }

        impl ErrorCode {
            /// Every code but `None` and the unknown ones.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> i16 {
                match self { Self::None => 0, $(Self::$variant => $code,)* Self::Unknown(code) => code }
            }

            /// Kafka's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { Self::None => "NONE", $(Self::$variant => $name,)* Self::Unknown(_) => "UNKNOWN" }
            }

            /// What it means, in words.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    Self::None => "no error",
                    $(Self::$variant => $sentence,)*
                    Self::Unknown(_) => "the broker sent an error code that is newer than this client",
                }
            }
        }

        impl From<i16> for ErrorCode {
            fn from(code: i16) -> Self {
                match code { 0 => Self::None, $($code => Self::$variant,)* code => Self::Unknown(code) }
            }
        }
    };
}

error_codes! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", "the broker met an error that it has no code for; its log says more";
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", "the offset is not in the log of the partition";
    CorruptMessage = 2, "CORRUPT_MESSAGE", "the batch did not arrive as it was sent";
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", "the broker does not have this topic or partition";
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", "the requested size is not valid";
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", "the partition has no leader now";
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", "the broker is not the leader of the partition";
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", "the broker could not finish in the time given";
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", "the broker is not available";
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", "the replica is not available";
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", "the batch is larger than the topic allows (max.message.bytes)";
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", "the controller has changed";
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", "the metadata of the commit is longer than the broker allows";
    NetworkException = 13, "NETWORK_EXCEPTION", "the broker lost a connection on the way";
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", "the coordinator is loading its state";
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", "there is no coordinator now";
    NotCoordinator = 16, "NOT_COORDINATOR", "the broker is not the coordinator";
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", "the topic's name is not legal, or the topic is internal";
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", "the batches are larger than a log segment";
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", "fewer replicas are in sync than min.insync.replicas asks for";
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "the batch was written, but too few replicas have it";
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", "acks must be 0, 1 or all";
    IllegalGeneration = 22, "ILLEGAL_GENERATION", "the group has moved on to another generation";
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", "the members of the group share no protocol";
    InvalidGroupId = 24, "INVALID_GROUP_ID", "the group id is not valid";
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", "the group does not know this member";
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", "the session timeout is outside the broker's limits";
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", "the group is rebalancing";
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", "the commit is too large";
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", "no right to use the topic";
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", "no right to use the group";
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", "no right to do this on the cluster";
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", "the record's timestamp is too far from the broker's clock";
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", "the broker does not offer this SASL mechanism";
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", "the request does not fit the state of the authentication";
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", "the broker does not speak this version";
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", "there is a topic of this name";
    InvalidPartitions = 37, "INVALID_PARTITIONS", "the number of partitions is not valid";
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", "the replication factor is below 1 or above the number of brokers";
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", "the assignment of replicas is not valid";
    InvalidConfig = 40, "INVALID_CONFIG", "the configuration is not valid";
    NotController = 41, "NOT_CONTROLLER", "the broker is not the controller";
    InvalidRequest = 42, "INVALID_REQUEST", "the request is not valid";
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", "the message format of the topic cannot do this";
    PolicyViolation = 44, "POLICY_VIOLATION", "a policy of the cluster forbids it";
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", "a batch before this one is missing";
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", "the batch was written before";
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", "a newer epoch of this producer exists";
    InvalidTxnState = 48, "INVALID_TXN_STATE", "the transaction is not in a state that allows this";
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", "the transactional id belongs to another producer id, or has expired";
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", "the transaction timeout is above the broker's transaction.max.timeout.ms";
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", "the previous change of the transaction is still under way";
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", "the transaction coordinator has been replaced";
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "no right to use the transactional id";
    SecurityDisabled = 54, "SECURITY_DISABLED", "the cluster has no authorizer";
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", "nothing was done, because another part of the request failed";
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", "the broker's disk failed";
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", "the broker has no such log directory";
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", "the credentials were refused";
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", "the broker has forgotten this producer";
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", "the partition is already moving";
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", "delegation tokens are off";
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", "there is no such delegation token";
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", "the delegation token belongs to another";
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "delegation tokens cannot be asked for over this connection";
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", "no right to use the delegation token";
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", "the delegation token has expired";
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", "the type of the principal is not known";
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", "the group has members";
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", "there is no such group";
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", "the broker does not know the fetch session";
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", "the epoch of the fetch session is not the expected one";
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", "the leader has no listener of this name";
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", "topics cannot be deleted on this cluster";
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", "the leader epoch is older than the broker's";
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", "the leader epoch is newer than the broker's";
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", "the broker cannot use this compression";
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", "the broker has been restarted since";
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", "the new leader does not know its high watermark yet";
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", "the group asks to join with the member id that it has given";
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", "the preferred leader is not available";
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", "the group is full";
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", "another member uses the same static id";
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", "no replica can become leader";
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", "the leader need not change";
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", "the partition is not moving";
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", "the group still reads the topic";
    InvalidRecord = 87, "INVALID_RECORD", "a record breaks a rule of the topic";
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", "offsets of an open transaction are pending";
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", "the quota is used up for now";
    ProducerFenced = 90, "PRODUCER_FENCED", "a newer producer uses the same transactional id";
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", "there is no such resource";
    DuplicateResource = 92, "DUPLICATE_RESOURCE", "the request names a resource twice";
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", "the credential is not acceptable";
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", "the quorum's voters do not match";
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", "the feature level is not valid";
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", "the feature could not be changed";
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", "a forwarded principal could not be read";
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", "there is no such snapshot";
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", "the position is not in the snapshot";
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", "the broker does not know the topic id";
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", "a broker of this id is already registered";
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", "no broker of this id is registered";
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", "the topic has been created anew under another id";
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", "the broker belongs to another cluster";
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", "the coordinator does not know the transactional id";
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", "the fetch session and the request disagree on topic ids";
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", "the replica cannot join the in-sync set";
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", "the change made another broker leader";
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", "the offset lies in tiered storage";
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", "the group has fenced this member";
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", "the static id is still in use";
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", "the coordinator does not have this assignor";
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", "the member epoch is not the newest";
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", "the request went to the wrong kind of endpoint";
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", "the kind of endpoint is not supported";
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", "there is no controller of this id";
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", "the metrics subscription has changed";
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", "the metrics are larger than the broker takes";
    InvalidRegistration = 119, "INVALID_REGISTRATION", "the broker's registration is not valid";
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", "the transaction has to be aborted";
    InvalidRecordState = 121, "INVALID_RECORD_STATE", "the record is no longer acquired by this member";
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", "the broker does not know the share session";
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", "the epoch of the share session is not the expected one";
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", "the share state has a newer epoch";
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", "the voter's key does not match";
    DuplicateVoter = 126, "DUPLICATE_VOTER", "the voter is already one";
    VoterNotFound = 127, "VOTER_NOT_FOUND", "there is no such voter";
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", "the coordinator cannot use the regular expression";
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", "the client has to start again from its bootstrap servers";
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", "the streams topology is not valid";
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", "the epoch of the streams topology is not valid";
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", "the epoch of the streams topology is outdated";
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", "the broker has no room for another share session";
    GroupDeletionFailed = 134, "GROUP_DELETION_FAILED", "the group could not be deleted";
    StreamsTopologyDescriptionUpdateFailed = 135, "STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED", "the description of the streams topology could not be stored";
    ControllerIdNotRegistered = 136, "CONTROLLER_ID_NOT_REGISTERED", "no controller of this id is registered";
}

impl ErrorCode {
    /// `Err` for everything but [`ErrorCode::None`].
    ///
    /// # Errors
    /// The code itself.
    pub const fn ok(self) -> Result<(), Self> {
        match self {
            Self::None => Ok(()),
            code => Err(code),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_from_minus_one_to_136_is_known_once() {
        assert_eq!(ErrorCode::ALL.len(), 137);
        for code in (-1..=136).filter(|c| *c != 0) {
            assert!(!matches!(ErrorCode::from(code), ErrorCode::Unknown(_)), "{code}");
            assert_eq!(ErrorCode::from(code).code(), code);
        }
        assert_eq!(ErrorCode::from(999), ErrorCode::Unknown(999));
        assert_eq!(ErrorCode::NotLeaderOrFollower.to_string(), "NOT_LEADER_OR_FOLLOWER (6)");
    }
}
