//! What to do about an error: the last part of every message.
use ottla_protocol::ErrorCode;
use ottla_protocol::ErrorCode as E;

use super::{CONNECTING, RESOLVING};

const ACL: &str = "grant it to this principal with an ACL, or log in as another";
const REPORT: &str = "this is a fault of the client or of the broker: please report it with the broker's version";
const INTERNAL: &str = "brokers say this to each other only: the broker's log says more";
const PASSES: &str = "this passes by itself, and is retried while time is left";
const TOKENS: &str = "check delegation.token.secret.key at the brokers, and that the connection is authenticated, but not \
                      by a token";
const FENCED: &str = "make sure that one process alone uses the id, then start a new producer";
const GROUP_MOVED: &str = "the group has gone on without this member: poll more often, or raise session.timeout.ms or \
                           max.poll.interval.ms";
const REPLICAS: &str = "bring the missing brokers back, or lower min.insync.replicas";
const SEQUENCE: &str = "records of this partition may be missing: abort the transaction, or send them again under a new \
                        producer";
const SHARE: &str = "the record may be delivered to another member: acknowledge it within \
                     group.share.record.lock.duration.ms";

/// What to do where connecting ended in this phase; in later ones what was seen of the broker says it.
pub(super) fn of_phase(phase: &str) -> &'static str {
    match phase {
        RESOLVING => {
            "; check the name in its advertised.listeners (or in bootstrap.servers), and that this machine's name service \
             knows it"
        }
        CONNECTING => {
            "; check that it runs, that the address in its advertised.listeners (or in bootstrap.servers) can be reached \
             from here, and that no firewall is between"
        }
        _ => "",
    }
}

/// What the user can do; every code has something.
pub(crate) const fn advice(code: ErrorCode) -> &'static str {
    match code {
        E::UnknownServerError => "look into the log of the broker",
        E::OffsetOutOfRange => "seek to an offset that is there, or set auto.offset.reset",
        E::CorruptMessage => "check the network and the broker's disk if it comes again",
        E::UnknownTopicOrPartition => "check the spelling, create it, or wait until every broker has heard of it",
        E::LeaderNotAvailable => "start the brokers that have its replicas, if it lasts",
        E::NotLeaderOrFollower | E::ReplicaNotAvailable | E::FencedLeaderEpoch | E::UnknownLeaderEpoch => PASSES,
        E::NetworkException | E::CoordinatorLoadInProgress | E::NotCoordinator | E::NotController => PASSES,
        E::ConcurrentTransactions | E::OffsetNotAvailable | E::StaleControllerEpoch => PASSES,
        E::FetchSessionIdNotFound | E::InvalidFetchSessionEpoch | E::FetchSessionTopicIdError => PASSES,
        E::ShareSessionNotFound | E::InvalidShareSessionEpoch | E::RebalanceInProgress | E::MemberIdRequired => PASSES,
        E::RequestTimedOut => "look at the load of the brokers, or raise request.timeout.ms",
        E::BrokerNotAvailable => "check the number of the broker, and that it runs",
        E::MessageTooLarge => "raise max.message.bytes of the topic, or send less at once",
        E::OffsetMetadataTooLarge => "shorten the metadata, or raise offset.metadata.max.bytes at the brokers",
        E::CoordinatorNotAvailable => "check that enough brokers run for __consumer_offsets and __transaction_state",
        E::InvalidTopicException => {
            "a name has 1 to 249 letters, digits, '.', '_' and '-', and internal topics are Kafka's"
        }
        E::RecordListTooLarge => "raise segment.bytes of the topic, or lower batch.size",
        E::NotEnoughReplicas | E::NotEnoughReplicasAfterAppend => REPLICAS,
        E::InvalidRequiredAcks => "set acks to all, 1 or 0",
        E::IllegalGeneration | E::UnknownMemberId | E::FencedMemberEpoch | E::StaleMemberEpoch => GROUP_MOVED,
        E::InconsistentGroupProtocol => {
            "give all members of the group the same group.protocol and a partition.assignment.strategy in common"
        }
        E::InvalidGroupId => "set group.id to a name",
        E::InvalidSessionTimeout => {
            "set session.timeout.ms between group.min.session.timeout.ms and group.max.session.timeout.ms of the brokers"
        }
        E::InvalidCommitOffsetSize => "commit fewer partitions at once, or less metadata",
        E::TopicAuthorizationFailed
        | E::GroupAuthorizationFailed
        | E::ClusterAuthorizationFailed
        | E::TransactionalIdAuthorizationFailed
        | E::DelegationTokenAuthorizationFailed => ACL,
        E::InvalidTimestamp => {
            "set the clock right, leave the timestamp out, or raise message.timestamp.before.max.ms and \
             message.timestamp.after.max.ms of the topic"
        }
        E::UnsupportedSaslMechanism => "set sasl.mechanism to one that the listener offers",
        E::IllegalSaslState => "check that security.protocol and sasl.mechanism are those of the listener",
        E::SaslAuthenticationFailed => "check the user name and the password, or the token",
        E::UnsupportedVersion => "use a newer broker, or leave the feature out",
        E::TopicAlreadyExists => "use it, or choose another name",
        E::InvalidPartitions => "ask for at least 1 partition, and for more than there are when adding",
        E::InvalidReplicationFactor => "ask for at most as many replicas as there are brokers",
        E::InvalidReplicaAssignment => "name existing brokers, each once for a partition, as many for each partition",
        E::InvalidConfig => "check the names and values against the documentation of this Kafka version",
        E::InvalidRequest | E::InvalidRecord | E::UnsupportedForMessageFormat => "change what the broker names",
        E::PolicyViolation => "ask who runs the cluster what the policy allows",
        E::OutOfOrderSequenceNumber | E::UnknownProducerId => SEQUENCE,
        E::DuplicateSequenceNumber => "nothing: the record is in the log",
        E::InvalidProducerEpoch | E::ProducerFenced | E::InvalidProducerIdMapping => FENCED,
        E::InvalidTxnState => "abort the transaction: most often its transaction.timeout.ms has passed",
        E::InvalidTransactionTimeout => {
            "lower transaction.timeout.ms, or raise transaction.max.timeout.ms at the brokers"
        }
        E::TransactionCoordinatorFenced => "start a new producer",
        E::SecurityDisabled => "set authorizer.class.name at the brokers",
        E::OperationNotAttempted => "look at the other results of the call: one of them is the reason",
        E::KafkaStorageError | E::LogDirNotFound => "check the disk and log.dirs of the broker",
        E::ReassignmentInProgress => "wait for it, or cancel it with alter_partition_reassignments",
        E::DelegationTokenAuthDisabled | E::DelegationTokenRequestNotAllowed => TOKENS,
        E::DelegationTokenNotFound | E::DelegationTokenExpired => "create a new token",
        E::DelegationTokenOwnerMismatch => "let its owner or a renewer do it",
        E::InvalidPrincipalType => "write the principal as User:name",
        E::NonEmptyGroup => "stop its members first",
        E::GroupIdNotFound => "check the spelling; a group without members and offsets is forgotten",
        E::ListenerNotFound => "check that every broker has the listener that clients connect to",
        E::TopicDeletionDisabled => "set delete.topic.enable at the brokers",
        E::UnsupportedCompressionType => "choose another compression.type, or a newer client or broker",
        E::PreferredLeaderNotAvailable => "start the first replica of the partition and let it catch up",
        E::EligibleLeadersNotAvailable => "start a replica that is in sync, or elect uncleanly and lose records",
        E::ElectionNotNeeded => "nothing: the partition has the leader that was asked for",
        E::GroupMaxSizeReached => "start fewer members, or raise group.max.size at the brokers",
        E::FencedInstanceId => {
            "give every member a group.instance.id of its own: another one has started with this one"
        }
        E::NoReassignmentInProgress => "nothing: the partition is not moving",
        E::GroupSubscribedToTopic => "stop the members that read the topic first",
        E::UnstableOffsetCommit => "wait until the transactions that commit offsets of the group end",
        E::ThrottlingQuotaExceeded => "call less often, or raise the quota of controller mutations",
        E::ResourceNotFound => "check the name",
        E::DuplicateResource => "name it once",
        E::UnacceptableCredential => "use 4096 to 16384 iterations, and a name and password that are not empty",
        E::InvalidUpdateVersion | E::FeatureUpdateFailed => "choose a level that every broker supports",
        E::PrincipalDeserializationFailure => "look at principal.builder.class of the brokers",
        E::UnknownTopicId | E::InconsistentTopicId => {
            "the topic was deleted and created again: send what belongs into the new one once more"
        }
        E::TransactionalIdNotFound => "check the spelling; an id that was not used for a week is forgotten",
        E::OffsetMovedToTieredStorage => "seek to an offset that is still on the broker",
        E::UnreleasedInstanceId => "stop the member that has this group.instance.id, or wait for its session to end",
        E::UnsupportedAssignor => "set group.remote.assignor to one of group.consumer.assignors of the brokers",
        E::MismatchedEndpointType => {
            "let bootstrap.servers name listeners of brokers, and bootstrap.controllers of an Admin those of controllers"
        }
        E::UnsupportedEndpointType => {
            "let bootstrap.servers name listeners of brokers: controllers answer some calls of an Admin with \
             bootstrap.controllers, and nothing else"
        }
        E::UnknownControllerId | E::ControllerIdNotRegistered => "check the number of the controller",
        E::BrokerIdNotRegistered => "check the number of the broker",
        E::TransactionAbortable => "abort the transaction, and begin it again",
        E::InvalidRecordState | E::FencedStateEpoch => SHARE,
        E::ShareSessionLimitReached => "start fewer members, or raise group.share.max.share.sessions at the brokers",
        E::InvalidVoterKey | E::DuplicateVoter | E::VoterNotFound | E::InconsistentVoterSet => {
            "compare the ids and directory ids with describe_quorum"
        }
        E::InvalidRegularExpression => "write the pattern in RE2's syntax",
        E::RebootstrapRequired => "nothing: the bootstrap servers are asked again",
        E::GroupDeletionFailed => "try again, and look into the log of the coordinator if it fails again",
        E::StreamsInvalidTopology | E::StreamsInvalidTopologyEpoch | E::StreamsTopologyFenced => {
            "give all members of the group the same topology"
        }
        E::StreamsTopologyDescriptionUpdateFailed => "look into the log of the broker",
        E::InvalidFetchSize | E::UnknownSubscriptionId | E::TelemetryTooLarge => REPORT,
        E::StaleBrokerEpoch
        | E::SnapshotNotFound
        | E::PositionOutOfRange
        | E::DuplicateBrokerRegistration
        | E::InconsistentClusterId
        | E::IneligibleReplica
        | E::NewLeaderElected
        | E::InvalidRegistration => INTERNAL,
        _ => "look it up in Kafka's list of error codes, and use a newer client",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_advice_of_its_own() {
        let fallback = advice(ErrorCode::Unknown(999));
        for &code in ErrorCode::ALL {
            assert_ne!(advice(code), fallback, "{code}");
        }
        assert!(fallback.contains("newer client"));
    }
}
