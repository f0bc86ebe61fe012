//! What each error code means in each place, as one table (`Errors.java`; `TransactionManager.java`, `Sender.java`,
//! `FetchCollector.java`, `OffsetFetcherUtils.java`, `ConsumerCoordinator.java`, the handlers of the admin client).
//!
//! A machine asks [`action`] with the place it is in and does what it says; nobody else has a list of codes.
use ottla_protocol::ErrorCode;
use ottla_protocol::ErrorCode as E;

use self::Action as Do;

/// Where a code came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// A batch outside of transactions.
    Produce,
    /// A batch of a transaction.
    TransactionalProduce,
    InitProducerId,
    AddPartitions,
    AddOffsets,
    TxnOffsetCommit,
    /// EndTxn that commits.
    Commit,
    /// EndTxn that aborts.
    Abort,
    /// FindCoordinator of a transactional id.
    FindTransactionCoordinator,
    Fetch,
    /// ListOffsets and OffsetForLeaderEpoch.
    ListOffsets,
    /// OffsetCommit of a classic member.
    OffsetCommit,
    /// OffsetCommit of a KIP-848 member.
    ConsumerOffsetCommit,
    /// OffsetFetch of a classic member.
    OffsetFetch,
    /// OffsetFetch of a KIP-848 member.
    ConsumerOffsetFetch,
    JoinGroup,
    SyncGroup,
    Heartbeat,
    ConsumerGroupHeartbeat,
    /// Any request of the admin client.
    Admin,
}

/// What to do about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Back off, same target.
    Retry,
    /// Refresh metadata, back off, route anew.
    Refresh,
    /// Find the coordinator, back off, repeat.
    FindCoordinator,
    /// Fail this batch, partition, commit or item.
    Fail,
    /// The transaction can only be aborted.
    Abort,
    /// This producer or member is finished.
    Fatal,
    /// Begin a new epoch, number anew, retry; the rules of the sequence may say just retry.
    NewEpoch,
    /// The rules of the sequence decide between a retry and a new epoch.
    RetryOrNewEpoch,
    /// The rules of the sequence decide between a retry and an abort.
    RetryOrAbort,
    /// Fail the batch, then begin a new epoch.
    FailAndNewEpoch,
    /// Split the batch and send the parts.
    Split,
    /// It is written; its offset is not known.
    Written,
    /// The position is out of range: the policy decides.
    Reset,
    /// Begin a new fetch session.
    NewSession,
    /// The partition has no answer, which is no error.
    NoResult,
    /// Join again with the same member id; forget the generation.
    Rejoin,
    /// Join again without a member id.
    RejoinWithoutId,
    /// Take the member id of the answer and join again at once.
    RejoinWithGivenId,
    /// The commit fails; join again with the same member id.
    FailAndRejoin,
    /// The commit fails; join again without a member id.
    FailAndRejoinWithoutId,
    /// The commit fails, and the caller may try again; join again.
    FailRetriablyAndRejoin,
    /// The partitions are lost; then join again.
    Lost,
    /// Retry with the newest member epoch while still a member, else fail.
    RetryWithNewestEpoch,
    /// Retry, and tell the application.
    RetryAndReport,
}

/// What `Errors.java` and the exception classes say of a code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// A repetition may succeed.
    pub(crate) retriable: bool,
    /// Metadata may be out of date.
    pub(crate) metadata: bool,
    /// The coordinator has moved.
    pub(crate) coordinator: bool,
}

const NONE: Flags = Flags { retriable: false, metadata: false, coordinator: false };
const R: Flags = Flags { retriable: true, ..NONE };
const RM: Flags = Flags { metadata: true, ..R };
const RC: Flags = Flags { coordinator: true, ..R };

/// A set of contexts.
type Places = u32;

const fn place(context: Context) -> Places {
    1 << context as u32
}

const P: Places = place(Context::Produce);
const T: Places = place(Context::TransactionalProduce);
const PT: Places = P | T;
const INIT: Places = place(Context::InitProducerId);
const ADD: Places = place(Context::AddPartitions);
const ADD_OFFSETS: Places = place(Context::AddOffsets);
const TXN_COMMIT: Places = place(Context::TxnOffsetCommit);
const ABORT: Places = place(Context::Abort);
const FIND: Places = place(Context::FindTransactionCoordinator);
const X: Places = INIT | ADD | ADD_OFFSETS | TXN_COMMIT | place(Context::Commit) | ABORT | FIND;
const F: Places = place(Context::Fetch);
const L: Places = place(Context::ListOffsets);
const COMMIT: Places = place(Context::OffsetCommit);
const COMMIT_848: Places = place(Context::ConsumerOffsetCommit);
const COMMITS: Places = COMMIT | COMMIT_848;
const FETCH: Places = place(Context::OffsetFetch);
const FETCH_848: Places = place(Context::ConsumerOffsetFetch);
const FETCHES: Places = FETCH | FETCH_848;
const O: Places = COMMITS | FETCHES;
const JOIN: Places = place(Context::JoinGroup);
const SYNC: Places = place(Context::SyncGroup);
const HEARTBEAT: Places = place(Context::Heartbeat);
const G: Places = JOIN | SYNC | HEARTBEAT;
const H: Places = place(Context::ConsumerGroupHeartbeat);

/// A code, its flags, and what to do where brokers send it; the first place that fits counts.
type Row = (ErrorCode, Flags, &'static [(Places, Action)]);

/// In a transaction "fail this batch" is an abort: [`action`] sees to it.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    (E::UnknownServerError, NONE, &[(PT, Do::Fail), (X, Do::Fatal), (F, Do::Retry), (L, Do::Refresh), (O, Do::Fail), (G | H, Do::Fatal)]),
    (E::OffsetOutOfRange, NONE, &[(F, Do::Reset)]),
    (E::CorruptMessage, R, &[(PT, Do::Retry), (F, Do::Fail)]),
    (E::UnknownTopicOrPartition, RM, &[(PT | F | L, Do::Refresh), (ADD | TXN_COMMIT | COMMITS | FETCH_848, Do::Retry), (FETCH, Do::Fail)]),
    (E::LeaderNotAvailable, RM, &[(PT | L, Do::Refresh)]),
    (E::NotLeaderOrFollower, RM, &[(PT | F | L, Do::Refresh)]),
    (E::RequestTimedOut, R, &[(PT, Do::Retry), (TXN_COMMIT | COMMITS, Do::FindCoordinator), (X, Do::Retry)]),
    (E::ReplicaNotAvailable, RM, &[(PT | F | L, Do::Refresh)]),
    (E::MessageTooLarge, NONE, &[(PT, Do::Split)]),
    (E::OffsetMetadataTooLarge, NONE, &[(TXN_COMMIT, Do::Abort), (O, Do::Fail)]),
    (E::NetworkException, RM, &[(PT | L, Do::Refresh), (X | O | G | H, Do::FindCoordinator), (F, Do::Retry)]),
    (E::CoordinatorLoadInProgress, R, &[(X | O | G | H, Do::Retry)]),
    (E::CoordinatorNotAvailable, RC, &[(X | O | G | H, Do::FindCoordinator)]),
    (E::NotCoordinator, RC, &[(X | O | G | H, Do::FindCoordinator)]),
    (E::InvalidTopicException, NONE, &[(PT | F | L, Do::Fail)]),
    (E::RecordListTooLarge, NONE, &[(PT, Do::Fail)]),
    (E::NotEnoughReplicas, R, &[(PT, Do::Retry)]),
    (E::NotEnoughReplicasAfterAppend, R, &[(PT, Do::Retry)]),
    (E::InvalidRequiredAcks, NONE, &[(P, Do::Fail)]),
    (E::IllegalGeneration, NONE, &[(TXN_COMMIT, Do::Abort), (COMMITS, Do::FailAndRejoin), (G, Do::Rejoin)]),
    (E::InconsistentGroupProtocol, NONE, &[(G, Do::Fatal)]),
    (E::InvalidGroupId, NONE, &[(X | G | H, Do::Fatal), (O, Do::Fail)]),
    (E::UnknownMemberId, NONE, &[(TXN_COMMIT, Do::Abort), (COMMIT, Do::FailAndRejoinWithoutId), (COMMIT_848 | FETCHES, Do::Fail), (G, Do::RejoinWithoutId), (H, Do::Lost)]),
    (E::InvalidSessionTimeout, NONE, &[(G, Do::Fatal)]),
    (E::RebalanceInProgress, NONE, &[(COMMITS, Do::FailRetriablyAndRejoin), (JOIN, Do::Retry), (SYNC | HEARTBEAT, Do::Rejoin)]),
    (E::InvalidCommitOffsetSize, NONE, &[(O, Do::Fail)]),
    (E::TopicAuthorizationFailed, NONE, &[(PT | F | L | O, Do::Fail), (ADD | TXN_COMMIT, Do::Abort), (H, Do::RetryAndReport)]),
    (E::GroupAuthorizationFailed, NONE, &[(ADD_OFFSETS | TXN_COMMIT | FIND, Do::Abort), (O, Do::Fail), (G | H, Do::Fatal)]),
    (E::ClusterAuthorizationFailed, NONE, &[(PT, Do::Fatal), (INIT, Do::Abort)]),
    (E::InvalidTimestamp, NONE, &[(PT, Do::Fail)]),
    (E::UnsupportedVersion, NONE, &[(PT | X | G | H, Do::Fatal), (F | L | O, Do::Fail)]),
    (E::InvalidRequest, NONE, &[(PT | F | L | O, Do::Fail), (X | G | H, Do::Fatal)]),
    (E::UnsupportedForMessageFormat, NONE, &[(PT, Do::Fail), (TXN_COMMIT, Do::Fatal), (L, Do::NoResult)]),
    (E::OutOfOrderSequenceNumber, NONE, &[(P, Do::NewEpoch), (T, Do::RetryOrAbort)]),
    (E::DuplicateSequenceNumber, NONE, &[(PT, Do::Written)]),
    // A leader says so of an epoch that it saw superseded; a coordinator, of one that is finished.
    (E::InvalidProducerEpoch, NONE, &[(P, Do::FailAndNewEpoch), (T, Do::Abort), (X, Do::Fatal)]),
    (E::InvalidTxnState, NONE, &[(T, Do::Abort), (X, Do::Fatal)]),
    (E::InvalidProducerIdMapping, NONE, &[(PT | X, Do::Fatal)]),
    (E::InvalidTransactionTimeout, NONE, &[(INIT, Do::Fatal)]),
    (E::ConcurrentTransactions, R, &[(T | X, Do::Retry)]),
    (E::TransactionCoordinatorFenced, NONE, &[(X, Do::Fatal)]),
    (E::TransactionalIdAuthorizationFailed, NONE, &[(T, Do::Fatal), (INIT, Do::Abort), (X, Do::Fatal)]),
    (E::OperationNotAttempted, NONE, &[(ADD, Do::Abort)]),
    (E::KafkaStorageError, RM, &[(PT | F | L, Do::Refresh)]),
    (E::UnknownProducerId, NONE, &[(P, Do::RetryOrNewEpoch), (T, Do::RetryOrAbort), (X, Do::Abort)]),
    (E::GroupIdNotFound, NONE, &[(TXN_COMMIT, Do::Abort), (O, Do::Fail), (H, Do::Fatal)]),
    (E::FetchSessionIdNotFound, R, &[(F, Do::NewSession)]),
    (E::InvalidFetchSessionEpoch, R, &[(F, Do::NewSession)]),
    (E::FencedLeaderEpoch, RM, &[(PT | F | L, Do::Refresh)]),
    (E::UnknownLeaderEpoch, R, &[(PT | F, Do::Retry), (L, Do::Refresh)]),
    (E::UnsupportedCompressionType, NONE, &[(PT | F, Do::Fail)]),
    (E::OffsetNotAvailable, R, &[(F | L, Do::Refresh)]),
    (E::MemberIdRequired, NONE, &[(G, Do::RejoinWithGivenId)]),
    (E::GroupMaxSizeReached, NONE, &[(G | H, Do::Fatal)]),
    (E::FencedInstanceId, NONE, &[(TXN_COMMIT, Do::Abort), (COMMITS, Do::Fail), (G | H, Do::Fatal)]),
    (E::InvalidRecord, NONE, &[(PT, Do::Fail)]),
    (E::UnstableOffsetCommit, R, &[(FETCHES, Do::Retry)]),
    (E::ProducerFenced, NONE, &[(PT | X, Do::Fatal)]),
    (E::UnknownTopicId, RM, &[(PT | F, Do::Refresh), (TXN_COMMIT | O, Do::Retry)]),
    (E::InconsistentTopicId, RM, &[(F, Do::Refresh)]),
    (E::FetchSessionTopicIdError, R, &[(F, Do::NewSession)]),
    (E::OffsetMovedToTieredStorage, NONE, &[(F, Do::Fail)]),
    (E::FencedMemberEpoch, NONE, &[(H, Do::Lost)]),
    (E::UnreleasedInstanceId, NONE, &[(H, Do::Fatal)]),
    (E::UnsupportedAssignor, NONE, &[(H, Do::Fatal)]),
    (E::StaleMemberEpoch, NONE, &[(TXN_COMMIT, Do::Abort), (O, Do::RetryWithNewestEpoch)]),
    // There is no abort of an abort.
    (E::TransactionAbortable, NONE, &[(T, Do::Abort), (ABORT, Do::Fatal), (X, Do::Abort)]),
    (E::InvalidRegularExpression, NONE, &[(H, Do::Fatal)]),
    // Metadata.
    (E::ListenerNotFound, RM, &[]),
    // Share groups.
    (E::ShareSessionNotFound, R, &[]),
    (E::InvalidShareSessionEpoch, R, &[]),
    (E::ShareSessionLimitReached, R, &[]),
    // Controllers.
    (E::NotController, R, &[]),
    (E::PreferredLeaderNotAvailable, RM, &[]),
    (E::EligibleLeadersNotAvailable, RM, &[]),
    (E::ElectionNotNeeded, RM, &[]),
    (E::ThrottlingQuotaExceeded, R, &[]),
];

/// The flags of a code; a code that the table does not have is not retriable.
pub(crate) fn flags(code: ErrorCode) -> Flags {
    row(code).map_or(NONE, |(_, flags, _)| *flags)
}

/// What to do about `code` in `context`.
pub(crate) fn action(code: ErrorCode, context: Context) -> Action {
    let here = place(context);
    let cell = row(code).and_then(|(_, _, cells)| cells.iter().find(|(places, _)| places & here != 0));
    let action = match cell {
        Some((_, action)) => *action,
        None if context == Context::Admin => admin(code),
        None => unexpected(here),
    };
    match action {
        Action::Fail if context == Context::TransactionalProduce => Action::Abort,
        action => action,
    }
}

fn row(code: ErrorCode) -> Option<&'static Row> {
    TABLE.iter().find(|(of, _, _)| *of == code)
}

/// Brokers do not send the code there; if one does, nothing is retried that might do harm, and a look-up goes on.
fn unexpected(here: Places) -> Action {
    match here {
        _ if here & (X | G | H) != 0 => Action::Fatal,
        _ if here & L != 0 => Action::Refresh,
        _ => Action::Fail,
    }
}

/// An admin call fails an item for good but where a repetition can cure it.
fn admin(code: ErrorCode) -> Action {
    let Flags { retriable, metadata, coordinator } = flags(code);
    match code {
        // Another broker is the controller now. The first of them is not retriable by its class.
        E::NotController | E::StaleControllerEpoch => Action::Refresh,
        // The result of an election, though retriable by their class.
        E::PreferredLeaderNotAvailable | E::EligibleLeadersNotAvailable | E::ElectionNotNeeded => Action::Fail,
        _ if coordinator => Action::FindCoordinator,
        _ if metadata => Action::Refresh,
        _ if retriable => Action::Retry,
        _ => Action::Fail,
    }
}

/// Whether a refused batch may be in the log all the same (`client.md` §5.6, the `?` of the table).
pub(crate) fn is_possibly_written(code: ErrorCode, acks_all: bool) -> bool {
    match code {
        // A leader that has appended answers these when it loses the partition while it waits for the others.
        E::UnknownTopicOrPartition | E::NotLeaderOrFollower => acks_all,
        code => !DEFINITE.contains(&code),
    }
}

/// After these the batch is not in the log.
const DEFINITE: [ErrorCode; 24] = [
    // The id is looked up before anything is appended, and the log of a topic that has gone is gone with it.
    E::UnknownTopicId,
    E::CorruptMessage,
    E::MessageTooLarge,
    E::InvalidTopicException,
    E::RecordListTooLarge,
    E::NotEnoughReplicas,
    E::InvalidRequiredAcks,
    E::TopicAuthorizationFailed,
    E::ClusterAuthorizationFailed,
    E::InvalidTimestamp,
    E::UnsupportedVersion,
    E::UnsupportedForMessageFormat,
    E::OutOfOrderSequenceNumber,
    E::InvalidProducerEpoch,
    E::InvalidTxnState,
    E::InvalidProducerIdMapping,
    E::ConcurrentTransactions,
    E::TransactionalIdAuthorizationFailed,
    E::UnknownProducerId,
    E::FencedLeaderEpoch,
    E::UnsupportedCompressionType,
    E::InvalidRecord,
    E::ProducerFenced,
    E::TransactionAbortable,
];

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
