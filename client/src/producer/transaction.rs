//! The state of a transactional producer (`TransactionManager.java`, KIP-98, KIP-890): which call is allowed now, which
//! request comes next, what an answer means.
use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;

use super::accumulator::PartitionKey;
use crate::backoff::ExponentialBackoff;
use crate::error::{Action, Context, Error, Remedy, Result, action};
use crate::types::{ProducerIdAndEpoch, TopicPartition};

/// Which protocol a transaction is written with. Decided by the cluster's finalized feature, never by version ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TransactionVersion {
    /// Partitions are added by requests of their own; an epoch lasts for many transactions.
    V1,
    /// Produce adds partitions; every end begins a new epoch (KIP-890 part 2).
    V2,
}

impl TransactionVersion {
    /// From the level of the feature `transaction.version`.
    pub(crate) fn of_feature(level: i16) -> Self {
        if level >= 2 { Self::V2 } else { Self::V1 }
    }

    /// The highest version of EndTxn to use. The broker obeys the request's version, so it must not change between
    /// the attempts to end one transaction.
    pub(crate) fn end_txn_version(self) -> i16 {
        match self {
            Self::V1 => 4,
            Self::V2 => 5,
        }
    }

    /// The highest version of Produce to use: the first transaction protocol ends with 11.
    pub(crate) fn produce_version(self) -> i16 {
        match self {
            Self::V1 => 11,
            Self::V2 => i16::MAX,
        }
    }
}

/// Where the producer is.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Uninitialized,
    Initializing,
    Ready,
    InTransaction,
    /// Everything is flushed, and the transaction is left for whoever ends it.
    Prepared,
    Committing,
    Aborting,
    AbortableError(Error),
    FatalError(Error),
}

/// The next request to the transaction coordinator. One at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControlRequest {
    /// Without an id: fences everyone with our transactional id. With one: the next epoch.
    InitProducerId {
        id: ProducerIdAndEpoch,
    },
    AddPartitions {
        id: ProducerIdAndEpoch,
        partitions: Vec<(PartitionKey, TopicPartition)>,
    },
    EndTxn {
        id: ProducerIdAndEpoch,
        commit: bool,
        version: i16,
    },
}

/// What the coordinator said.
#[derive(Clone, Debug)]
pub(crate) enum ControlResponse {
    InitProducerId(ProducerIdAndEpoch),
    /// One result for each partition.
    AddPartitions(Vec<(PartitionKey, Result<()>)>),
    /// With the id and epoch to go on with, from version 5 on.
    EndTxn(Option<ProducerIdAndEpoch>),
}

/// What follows from an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// These are part of the transaction now.
    pub(crate) added: Vec<PartitionKey>,
    /// The coordinator moved.
    pub(crate) coordinator_is_lost: bool,
    /// The transaction is over: no partition is part of one.
    pub(crate) ended: bool,
}

/// The longest pause before the first partition of a transaction is added again.
const FIRST_ADD_BACKOFF: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct TransactionManager {
    transactional_id: String,
    pub(crate) timeout: Duration,
    phase: Phase,
    id: ProducerIdAndEpoch,
    version: TransactionVersion,
    wanted: Vec<(PartitionKey, TopicPartition)>,
    /// Something of this transaction may be at the broker: V1 a partition was added, V2 a batch was sent.
    has_started: bool,
    /// A request of this transaction may still be on its way: the next one must have another epoch (V1 only).
    needs_new_epoch: bool,
    /// The producer id is lost with the transaction: begin from scratch.
    needs_init: bool,
    is_busy: bool,
    failures: u32,
    retry_at: Option<Instant>,
    backoff: ExponentialBackoff,
    rng: fastrand::Rng,
    last_error: Option<Error>,
    pub(crate) witness: Option<(TopicPartition, i64)>,
}

impl TransactionManager {
    pub(crate) fn new(
        transactional_id: String,
        timeout: Duration,
        backoff: ExponentialBackoff,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            transactional_id,
            timeout,
            phase: Phase::Uninitialized,
            id: ProducerIdAndEpoch::NONE,
            version: TransactionVersion::V1,
            wanted: Vec::new(),
            has_started: false,
            needs_new_epoch: false,
            needs_init: false,
            is_busy: false,
            failures: 0,
            retry_at: None,
            backoff,
            rng,
            last_error: None,
            witness: None,
        }
    }

    pub(crate) fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(crate) fn id(&self) -> ProducerIdAndEpoch {
        self.id
    }

    pub(crate) fn version(&self) -> TransactionVersion {
        self.version
    }

    /// Why the last control request is being repeated.
    pub(crate) fn last_error(&self) -> Option<&Error> {
        self.last_error.as_ref()
    }

    /// Batches of this transaction may be sent; in version 1 only to partitions that were added.
    pub(crate) fn may_send(&self) -> bool {
        matches!(self.phase, Phase::InTransaction | Phase::Committing | Phase::Aborting | Phase::Prepared)
    }

    /// Nothing was sent or added: there is nothing to end.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_started && self.wanted.is_empty()
    }

    // The application's calls.

    /// Begins to fence earlier owners of the id. Again while it is under way: goes on waiting for it.
    pub(crate) fn init(&mut self) -> Result<()> {
        match self.phase {
            Phase::Uninitialized | Phase::Ready | Phase::AbortableError(_) => {
                self.phase = Phase::Initializing;
                self.id = ProducerIdAndEpoch::NONE;
                self.forget_transaction();
                (self.needs_init, self.needs_new_epoch) = (false, false);
                Ok(())
            }
            Phase::Initializing => Ok(()),
            _ => Err(self.refuse("init")),
        }
    }

    pub(crate) fn begin(&mut self) -> Result<()> {
        match self.phase {
            Phase::Ready => {
                self.phase = Phase::InTransaction;
                self.forget_transaction();
                Ok(())
            }
            _ => Err(self.refuse("begin_transaction")),
        }
    }

    pub(crate) fn commit(&mut self) -> Result<()> {
        match self.phase {
            Phase::InTransaction | Phase::Prepared => {
                self.phase = Phase::Committing;
                Ok(())
            }
            Phase::Committing => Ok(()),
            _ => Err(self.refuse("commit_transaction")),
        }
    }

    pub(crate) fn abort(&mut self) -> Result<()> {
        match self.phase {
            Phase::InTransaction | Phase::Prepared | Phase::AbortableError(_) => {
                // What version 1 may still have on its way must not meet the next transaction.
                self.needs_new_epoch |= matches!(self.phase, Phase::AbortableError(_));
                self.phase = Phase::Aborting;
                self.wanted.clear();
                Ok(())
            }
            Phase::Aborting => Ok(()),
            _ => Err(self.refuse("abort_transaction")),
        }
    }

    /// Everything is acknowledged: leaves the transaction for whoever ends it.
    pub(crate) fn prepare(&mut self) -> Result<()> {
        match self.phase {
            Phase::InTransaction | Phase::Prepared => {
                self.phase = Phase::Prepared;
                Ok(())
            }
            _ => Err(self.refuse("prepare_transaction")),
        }
    }

    /// Someone else ends the prepared transaction.
    pub(crate) fn detach(&mut self) -> Result<()> {
        match self.phase {
            Phase::Prepared => {
                self.phase = Phase::Uninitialized;
                self.id = ProducerIdAndEpoch::NONE;
                self.forget_transaction();
                Ok(())
            }
            _ => Err(self.refuse("detach_prepared")),
        }
    }

    /// Why no record can be sent now; `None`: it can.
    pub(crate) fn refuse_to_send(&self) -> Option<Error> {
        (!matches!(self.phase, Phase::InTransaction)).then(|| self.refuse("send"))
    }

    fn forget_transaction(&mut self) {
        self.wanted.clear();
        (self.has_started, self.witness) = (false, None);
    }

    fn refuse(&self, call: &str) -> Error {
        let now = match &self.phase {
            Phase::AbortableError(error) | Phase::FatalError(error) => return error.clone(),
            Phase::Uninitialized => "call init first",
            Phase::Initializing => "init is not done: call it again to wait for it",
            Phase::Ready => "no transaction is open: call begin_transaction first",
            Phase::InTransaction => "a transaction is open: commit or abort it first",
            Phase::Prepared => "a transaction is prepared: commit, abort or detach it first",
            Phase::Committing => "a commit is under way: call commit_transaction again to wait for it",
            Phase::Aborting => "an abort is under way: call abort_transaction again to wait for it",
        };
        Error::Misuse { reason: format!("{call} of {} is not possible now: {now}", self.transactional_id) }
    }

    // What the sender tells.

    /// A record goes to this partition for the first time in this transaction.
    pub(crate) fn want_partition(&mut self, key: PartitionKey, topic_partition: TopicPartition) {
        match self.version {
            TransactionVersion::V1 => self.wanted.push((key, topic_partition)),
            TransactionVersion::V2 => {}
        }
    }

    /// A batch of the transaction goes out.
    pub(crate) fn batch_sent(&mut self) {
        self.has_started |= self.version == TransactionVersion::V2;
    }

    /// An attempt ended without a definite answer.
    pub(crate) fn outcome_unknown(&mut self) {
        self.needs_new_epoch |= self.version == TransactionVersion::V1;
    }

    /// A batch failed for good: the transaction can only be aborted.
    pub(crate) fn fail_transaction(&mut self, cause: &Error) {
        if matches!(self.phase, Phase::InTransaction | Phase::Committing | Phase::Prepared) {
            self.phase = Phase::AbortableError(self.abortable(cause));
        }
    }

    /// This producer is finished.
    pub(crate) fn fail_producer(&mut self, cause: &Error) {
        if !matches!(self.phase, Phase::FatalError(_)) {
            self.phase = Phase::FatalError(self.fatal(cause));
        }
    }

    /// The next request, if there is one to be sent now. `is_complete`: no batch is without outcome.
    #[must_use]
    pub(crate) fn poll_request(&mut self, now: Instant, is_complete: bool) -> Option<ControlRequest> {
        if self.is_busy || self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        let request = self.next_request(is_complete)?;
        self.is_busy = true;
        Some(request)
    }

    fn next_request(&mut self, is_complete: bool) -> Option<ControlRequest> {
        let id = self.id;
        match self.phase {
            Phase::Initializing => Some(ControlRequest::InitProducerId { id: ProducerIdAndEpoch::NONE }),
            Phase::InTransaction | Phase::Committing if !self.wanted.is_empty() => {
                Some(ControlRequest::AddPartitions { id, partitions: self.wanted.clone() })
            }
            Phase::Committing | Phase::Aborting if !is_complete => None,
            Phase::Committing | Phase::Aborting if self.needs_init => {
                Some(ControlRequest::InitProducerId { id: ProducerIdAndEpoch::NONE })
            }
            Phase::Committing | Phase::Aborting if self.has_started => {
                let commit = matches!(self.phase, Phase::Committing);
                Some(ControlRequest::EndTxn { id, commit, version: self.version.end_txn_version() })
            }
            Phase::Committing | Phase::Aborting if self.needs_new_epoch => Some(ControlRequest::InitProducerId { id }),
            Phase::Committing | Phase::Aborting => {
                self.phase = Phase::Ready;
                None
            }
            _ => None,
        }
    }

    /// When `poll_request` has something again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Takes an answer in. `feature`: what the cluster's `transaction.version` allows now.
    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        response: ControlResponse,
        feature: TransactionVersion,
    ) -> Effects {
        self.is_busy = false;
        match response {
            ControlResponse::InitProducerId(id) => {
                self.succeeded();
                self.id = id;
                (self.needs_init, self.needs_new_epoch, self.version) = (false, false, feature);
                let ended = !matches!(self.phase, Phase::Initializing);
                if !matches!(self.phase, Phase::FatalError(_)) {
                    self.phase = Phase::Ready;
                }
                Effects { ended, ..Effects::default() }
            }
            ControlResponse::AddPartitions(partitions) => self.partitions_added(now, partitions),
            ControlResponse::EndTxn(next) => {
                self.succeeded();
                if let Some(next) = next.filter(|next| next.producer_id >= 0) {
                    self.id = next;
                }
                // A cluster that learned version 2 in between wants a new epoch first.
                self.needs_new_epoch |= self.version < feature;
                self.forget_transaction();
                if !self.needs_new_epoch {
                    self.phase = Phase::Ready;
                }
                Effects { ended: true, ..Effects::default() }
            }
        }
    }

    fn succeeded(&mut self) {
        (self.failures, self.retry_at, self.last_error) = (0, None, None);
    }

    fn partitions_added(&mut self, now: Instant, partitions: Vec<(PartitionKey, Result<()>)>) -> Effects {
        let mut effects = Effects::default();
        let mut refused = None;
        for (key, added) in partitions {
            match added {
                Ok(()) => {
                    self.wanted.retain(|(wanted, _)| *wanted != key);
                    self.has_started = true;
                    effects.added.push(key);
                }
                // Of several refusals the final one counts: the others come with it.
                Err(error) if refused.as_ref().is_none_or(is_repeated) => refused = Some(error),
                Err(_) => {}
            }
        }
        match refused {
            None => self.succeeded(),
            Some(error) => {
                let failed = self.handle_failure(now, &ControlKind::AddPartitions, error);
                effects.coordinator_is_lost = failed.coordinator_is_lost;
            }
        }
        effects
    }

    /// Takes in that a request got no answer, or an error.
    pub(crate) fn handle_failure(&mut self, now: Instant, kind: &ControlKind, error: Error) -> Effects {
        self.is_busy = false;
        if matches!(&error, Error::Disconnected { written: true, .. } | Error::Malformed { .. }) {
            self.outcome_unknown();
        }
        match self.verdict(kind, &error) {
            Verdict::Repeat => {
                let delay = self.delay(*kind, &error);
                self.failures += 1;
                self.retry_at = Some(now + delay);
                let coordinator_is_lost = matches!(error.remedy(), Remedy::FindCoordinator | Remedy::RefreshMetadata);
                self.last_error = Some(error);
                return Effects { coordinator_is_lost, ..Effects::default() };
            }
            Verdict::Abort => {
                self.wanted.clear();
                self.phase = Phase::AbortableError(self.abortable(&error));
            }
            Verdict::AbortAndInit => {
                self.needs_init = true;
                self.phase = Phase::AbortableError(self.abortable(&error));
            }
            Verdict::Fatal => self.phase = Phase::FatalError(self.fatal(&error)),
        }
        self.succeeded();
        Effects::default()
    }

    fn delay(&mut self, kind: ControlKind, error: &Error) -> Duration {
        // The transaction before this one is still being ended, which takes milliseconds (`TransactionManager.java`,
        // `ADD_PARTITIONS_RETRY_BACKOFF_MS`).
        let waits_for_the_last = kind == ControlKind::AddPartitions && !self.has_started;
        match error.code() {
            Some(ErrorCode::ConcurrentTransactions) if waits_for_the_last => {
                self.backoff.initial.min(FIRST_ADD_BACKOFF)
            }
            _ => self.backoff.delay(self.failures, &mut self.rng),
        }
    }

    /// `client.md` §2, column X.
    fn verdict(&self, kind: &ControlKind, error: &Error) -> Verdict {
        let Some(code) = error.code() else {
            return match (error, kind) {
                (Error::Closed { .. }, _) => Verdict::Fatal,
                // Only this attempt is refused: the producer may be let in later. How a transaction that is being ended
                // ends is for the coordinator to say.
                (Error::Authentication { .. }, ControlKind::Init | ControlKind::AddPartitions) => Verdict::Abort,
                _ => Verdict::Repeat,
            };
        };
        match action(code, kind.context()) {
            Action::Retry | Action::Refresh | Action::FindCoordinator => Verdict::Repeat,
            // The broker has aborted it, most often because its timeout has passed. Under version 2 that is not the end
            // of the producer.
            _ if *kind == ControlKind::Commit
                && code == ErrorCode::InvalidTxnState
                && self.version == TransactionVersion::V2 =>
            {
                Verdict::AbortAndInit
            }
            // There is no abort of an abort.
            Action::Abort if *kind != ControlKind::Abort => Verdict::Abort,
            _ => Verdict::Fatal,
        }
    }

    fn abortable(&self, cause: &Error) -> Error {
        Error::Abortable { transactional_id: self.transactional_id.clone(), cause: Box::new(cause.clone()) }
    }

    fn fatal(&self, cause: &Error) -> Error {
        let id = &self.transactional_id;
        match cause.code() {
            Some(ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch | ErrorCode::InvalidProducerIdMapping) => {
                let us = self.id;
                Error::Fenced {
                    id: id.clone(),
                    reason: format!(
                        "we wrote as producer {} in epoch {}, and the broker knows a newer one: {cause}. Another producer \
                         with this transactional.id was started, or the transaction was open for longer than \
                         transaction.timeout.ms ({} ms); make sure that only one process uses the id",
                        us.producer_id,
                        us.epoch,
                        self.timeout.as_millis()
                    ),
                }
            }
            _ => cause.clone(),
        }
    }
}

fn is_repeated(refusal: &Error) -> bool {
    let action = refusal.code().map(|code| action(code, Context::AddPartitions));
    matches!(action, Some(Action::Retry | Action::Refresh | Action::FindCoordinator))
}

/// Which request an error belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlKind {
    Init,
    AddPartitions,
    Commit,
    Abort,
}

impl ControlKind {
    fn context(self) -> Context {
        match self {
            Self::Init => Context::InitProducerId,
            Self::AddPartitions => Context::AddPartitions,
            Self::Commit => Context::Commit,
            Self::Abort => Context::Abort,
        }
    }
}

impl ControlRequest {
    pub(crate) fn kind(&self) -> ControlKind {
        match self {
            Self::InitProducerId { .. } => ControlKind::Init,
            Self::AddPartitions { .. } => ControlKind::AddPartitions,
            Self::EndTxn { commit: true, .. } => ControlKind::Commit,
            Self::EndTxn { commit: false, .. } => ControlKind::Abort,
        }
    }
}

enum Verdict {
    Repeat,
    Abort,
    AbortAndInit,
    Fatal,
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
