//! How a prepared transaction ended: the matrix of coordinator states, answers to EndTxn, and what the log says.
//!
//! The rows are those of Kafka's `TransactionCoordinator.scala` (4.4). A slot may be used again before the next
//! checkpoint is durable, and an older checkpoint may be restored; then the coordinator knows only a newer epoch, which
//! does not tell "committed, then used again" from "lost". The end marker in the log does.
use ottla_client::ErrorCode;

use super::committable::KafkaCommittable;
use crate::contract::{Loss, Outcome, Timestamp};
use crate::error::Witnessed;

/// EndTxn of this version and later bumps the epoch at every end (KIP-890).
const END_TXN_BUMPS: u8 = 5;

/// The last epoch that can be bumped: the end after it gives a new producer id with epoch 0.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// What DescribeTransactions knows about a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Described {
    /// Its entry.
    Found(Entry),
    /// The coordinator has no such id (105).
    NotFound,
    /// The broker cannot be asked (before 3.0).
    Unsupported,
    /// It did not answer in time; ask again.
    Unavailable,
}

/// The coordinator's entry of a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) state: CoordinatorState,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// `TransactionState.scala`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CoordinatorState {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    PrepareEpochFence,
    Dead,
    Unknown,
}

impl CoordinatorState {
    /// Kafka's name of a state.
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "Empty" => Self::Empty,
            "Ongoing" => Self::Ongoing,
            "PrepareCommit" => Self::PrepareCommit,
            "PrepareAbort" => Self::PrepareAbort,
            "CompleteCommit" => Self::CompleteCommit,
            "CompleteAbort" => Self::CompleteAbort,
            "PrepareEpochFence" => Self::PrepareEpochFence,
            "Dead" => Self::Dead,
            _ => Self::Unknown,
        }
    }

    fn is_abort(self) -> bool {
        matches!(self, Self::PrepareAbort | Self::CompleteAbort)
    }

    fn is_prepare(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// The end marker that follows the witness record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Commit {
        epoch: i16,
    },
    Abort {
        epoch: i16,
    },
    /// None up to the high watermark.
    NotYet,
    /// No witness, log start passed, compacted, not allowed.
    Unreadable,
}

/// What has to be done next to learn the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send EndTxn(commit).
    End,
    /// Read the log; the doubt says what holds if it says nothing.
    Witness(Doubt),
    /// Known.
    Done(Verdict),
}

/// Why the coordinator's word is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The loss, if the log does not say COMMIT.
    loss: Loss,
    /// The coordinator is still writing markers for this id.
    preparing: bool,
    /// The coordinator's entry alone says that it was aborted.
    aborted: bool,
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An outcome that is not a loss.
    Outcome(Outcome),
    /// The data will never be visible.
    Lost(Loss, Witnessed),
    /// A person has to act: nothing is dropped.
    Error(ErrorCode),
}

const RETRY: Step = Step::Done(Verdict::Outcome(Outcome::Retry));

/// Before EndTxn, on restore or after an attempt without an answer: what the coordinator's entry says.
pub(crate) fn on_described(committable: &KafkaCommittable, described: Described, now: Timestamp) -> Step {
    let entry = match described {
        Described::Found(entry) => entry,
        Described::NotFound => return doubt(Loss::Expired, described),
        Described::Unsupported => return Step::End,
        Described::Unavailable => return RETRY,
    };
    let same_id = entry.producer_id == committable.producer_id;
    match entry.state {
        CoordinatorState::CompleteCommit if is_after_commit(committable, entry) => {
            Step::Done(Verdict::Outcome(Outcome::AlreadyCommitted))
        }
        CoordinatorState::PrepareCommit if is_after_commit(committable, entry) => RETRY,
        CoordinatorState::Ongoing if same_id && entry.epoch == committable.producer_epoch => Step::End,
        CoordinatorState::Empty if same_id && entry.epoch == committable.producer_epoch => {
            doubt(Loss::Fenced, described)
        }
        state if state.is_abort() && is_after_abort(committable, entry) => aborted(committable, entry, now),
        _ if !same_id => doubt(Loss::Expired, described),
        _ => doubt(fenced(committable, described, now), described),
    }
}

/// After EndTxn was answered with `code`, `described` asked afterwards.
pub(crate) fn on_answer(committable: &KafkaCommittable, code: ErrorCode, described: Described, now: Timestamp) -> Step {
    use ErrorCode as E;
    match code {
        E::None => Step::Done(Verdict::Outcome(Outcome::Committed)),
        E::InvalidTxnState => on_invalid_state(committable, described, now),
        E::ProducerFenced | E::InvalidProducerEpoch => on_refused(committable, described, now),
        E::InvalidProducerIdMapping | E::TransactionalIdNotFound if described == Described::Unavailable => RETRY,
        E::InvalidProducerIdMapping | E::TransactionalIdNotFound => doubt(Loss::Expired, described),
        // -1 comes in the short window in which the coordinator drops an expiring id.
        E::ConcurrentTransactions | E::UnknownServerError | E::RequestTimedOut => RETRY,
        E::CoordinatorLoadInProgress | E::CoordinatorNotAvailable | E::NotCoordinator | E::NetworkException => RETRY,
        other => Step::Done(Verdict::Error(other)),
    }
}

/// 48: the coordinator is in no state to commit.
fn on_invalid_state(committable: &KafkaCommittable, described: Described, now: Timestamp) -> Step {
    match described {
        Described::Found(entry)
            if entry.state == CoordinatorState::Ongoing
                && entry.producer_id == committable.producer_id
                && entry.epoch == committable.producer_epoch =>
        {
            RETRY
        }
        _ => on_refused(committable, described, now),
    }
}

fn on_refused(committable: &KafkaCommittable, described: Described, now: Timestamp) -> Step {
    match described {
        Described::Unavailable => RETRY,
        Described::Found(entry) if entry.state.is_abort() && is_after_abort(committable, entry) => {
            aborted(committable, entry, now)
        }
        _ => doubt(fenced(committable, described, now), described),
    }
}

/// After the log was read.
pub(crate) fn on_marker(committable: &KafkaCommittable, doubt: Doubt, marker: Marker) -> Verdict {
    // With EndTxn v4 the next transaction of the id has the next epoch: its COMMIT is not ours.
    let committed = |epoch| epoch == committable.producer_epoch || epoch == epoch_after_commit(committable);
    match marker {
        Marker::Commit { epoch } if committed(epoch) => Verdict::Outcome(Outcome::AlreadyCommitted),
        Marker::Abort { epoch } if is_own_or_next(committable, epoch) => Verdict::Lost(doubt.loss, Witnessed::Aborted),
        Marker::NotYet if doubt.preparing => Verdict::Outcome(Outcome::Retry),
        _ if doubt.aborted => Verdict::Lost(doubt.loss, Witnessed::NotAsked),
        _ => Verdict::Lost(doubt.loss, Witnessed::Undecided),
    }
}

/// The epoch after a commit, in the coordinator's entry and in the end marker: EndTxn v5 bumps it.
fn epoch_after_commit(committable: &KafkaCommittable) -> i16 {
    let bump = i16::from(committable.end_txn_version >= END_TXN_BUMPS);
    committable.producer_epoch.saturating_add(bump)
}

fn is_own_or_next(committable: &KafkaCommittable, epoch: i16) -> bool {
    epoch == committable.producer_epoch || Some(epoch) == committable.producer_epoch.checked_add(1)
}

/// Whether the entry is what an end by EndTxn v5 leaves when the epoch cannot be bumped any more.
fn is_overflow(committable: &KafkaCommittable, entry: Entry) -> bool {
    committable.end_txn_version >= END_TXN_BUMPS
        && committable.producer_epoch >= LAST_EPOCH
        && entry.producer_id != committable.producer_id
        && entry.epoch == 0
}

/// Whether the entry is what our own commit leaves, with the EndTxn version of all our attempts.
fn is_after_commit(committable: &KafkaCommittable, entry: Entry) -> bool {
    let same_id = entry.producer_id == committable.producer_id;
    is_overflow(committable, entry) || (same_id && entry.epoch == epoch_after_commit(committable))
}

/// Whether the entry may be what an abort of ours leaves: by EndTxn v4 with our epoch; by v5, the broker's timeout or a
/// fence with the next one.
fn is_after_abort(committable: &KafkaCommittable, entry: Entry) -> bool {
    let same_id = entry.producer_id == committable.producer_id;
    is_overflow(committable, entry) || (same_id && is_own_or_next(committable, entry.epoch))
}

/// The entry says aborted. With EndTxn v4 and the next epoch that may also be the transaction after ours, begun when
/// ours was committed and aborted in turn, so the log has the last word there.
fn aborted(committable: &KafkaCommittable, entry: Entry, now: Timestamp) -> Step {
    let loss = if now >= committable.deadline() { Loss::TimedOut } else { Loss::Aborted };
    if committable.end_txn_version < END_TXN_BUMPS && entry.epoch != committable.producer_epoch {
        return Step::Witness(Doubt { loss, preparing: false, aborted: true });
    }
    Step::Done(Verdict::Lost(loss, Witnessed::NotAsked))
}

/// The loss when a newer epoch rules and the log does not say COMMIT.
fn fenced(committable: &KafkaCommittable, described: Described, now: Timestamp) -> Loss {
    let by_broker = matches!(described, Described::Found(entry)
        if entry.state.is_abort() || entry.state == CoordinatorState::PrepareEpochFence);
    if by_broker && now >= committable.deadline() { Loss::TimedOut } else { Loss::Fenced }
}

fn doubt(loss: Loss, described: Described) -> Step {
    let preparing = matches!(described, Described::Found(entry) if entry.state.is_prepare());
    Step::Witness(Doubt { loss, preparing, aborted: false })
}

/// What happens when a prepared transaction is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// The job fails with `TransactionLost`.
    #[default]
    Fail,
    /// It is logged and counted in `transactionsLost`, and the job goes on without its records.
    Skip,
    /// As `Skip` when it timed out, else as `Fail` (Flink's `ignoreFailuresAfterTransactionTimeout`).
    SkipTimedOut,
}

impl OnLost {
    /// Whether the job goes on.
    pub(crate) fn skips(self, committable: &KafkaCommittable, loss: Loss, now: Timestamp) -> bool {
        match self {
            Self::Fail => false,
            Self::Skip => true,
            Self::SkipTimedOut => loss == Loss::TimedOut && now > committable.deadline(),
        }
    }
}

/// The warning about a transaction that was open for more than `ratio` of its timeout (K11).
pub(crate) fn open_too_long(committable: &KafkaCommittable, ratio: f64, now: Timestamp) -> Option<String> {
    let open = now.saturating_sub(committable.started_at);
    let timeout = i64::from(committable.timeout);
    (open as f64 > timeout as f64 * ratio).then(|| {
        format!(
            "transaction {} has been open for {open} ms of its timeout of {timeout} ms: raise transaction.timeout.ms or take checkpoints more often, or the broker will abort it",
            committable.transactional_id
        )
    })
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
