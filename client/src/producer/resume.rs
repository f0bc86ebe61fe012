//! Ending a transaction that another producer has prepared, perhaps in a process that is gone.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;

use super::control;
use crate::admin::TransactionDescription;
use crate::client::{Client, CoordinatorKind};
use crate::clock;
use crate::error::{Error, Remedy, Result};
use crate::network::pool::pause;
use crate::types::{ProducerIdAndEpoch, TopicPartition};

/// The name of a transaction that is flushed and not ended: all that is needed to commit it, from anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedTransaction {
    /// Whose it is.
    pub transactional_id: String,
    /// What its batches carry.
    pub producer_id: i64,
    /// What its batches carry.
    pub producer_epoch: i16,
    /// The version of EndTxn for every attempt to end it: 5, or the newest common one up to 4.
    pub end_txn_version: i16,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub started_at: i64,
    /// The broker aborts it when it has been open for so long.
    pub timeout: Duration,
    /// One record of it that is in the log: its end marker comes after.
    pub witness: Option<(TopicPartition, i64)>,
}

/// How an attempt to end a prepared transaction went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndOutcome {
    /// It is committed, now or before.
    Committed,
    /// It is aborted.
    Aborted,
    /// The broker knows the id, and has nothing open or ended for it.
    NothingToCommit,
    /// Someone went past us, or the broker has forgotten the id.
    Unknown {
        /// The broker's answer.
        code: ErrorCode,
        /// What it knows of the id.
        described: Option<TransactionDescription>,
    },
}

/// A prepared transaction, and a client to end it with.
#[derive(Clone, Debug)]
pub struct ResumedTransaction {
    client: Client,
    prepared: PreparedTransaction,
}

impl Client {
    /// Takes up a prepared transaction. Nothing is sent: no producer is initialised, since that would abort it.
    #[must_use]
    pub fn resume(&self, prepared: PreparedTransaction) -> ResumedTransaction {
        ResumedTransaction { client: self.clone(), prepared }
    }
}

impl ResumedTransaction {
    /// What is ended.
    #[must_use]
    pub fn prepared(&self) -> &PreparedTransaction {
        &self.prepared
    }

    /// Commits it. May be repeated, and may follow attempts of other processes. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the coordinator could not be asked by `deadline`; missing rights at once.
    pub async fn commit(&self, deadline: Instant) -> Result<EndOutcome> {
        self.end(true, deadline).await
    }

    /// Aborts it. May be repeated. Cancel safe.
    ///
    /// # Errors
    /// As for a commit.
    pub async fn abort(&self, deadline: Instant) -> Result<EndOutcome> {
        self.end(false, deadline).await
    }

    /// Makes one attempt to commit it and gives the broker's refusal as it is, for callers that have a matrix of their
    /// own. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Broker`] with the coordinator's code; what kept it from being asked.
    pub async fn try_commit(&self) -> Result<()> {
        let PreparedTransaction { transactional_id, producer_id, producer_epoch, end_txn_version, .. } = &self.prepared;
        let id = ProducerIdAndEpoch { producer_id: *producer_id, epoch: *producer_epoch };
        let ended = control::end_txn(&self.client, transactional_id, id, true, *end_txn_version).await;
        if let Err(error) = &ended
            && matches!(error.remedy(), Remedy::FindCoordinator | Remedy::RefreshMetadata)
        {
            self.client.forget_coordinator(CoordinatorKind::Transaction, transactional_id);
        }
        ended.map(|_| ())
    }

    async fn end(&self, commit: bool, deadline: Instant) -> Result<EndOutcome> {
        let PreparedTransaction { transactional_id, producer_id, producer_epoch, end_txn_version, .. } = &self.prepared;
        let id = ProducerIdAndEpoch { producer_id: *producer_id, epoch: *producer_epoch };
        let started = clock::now();
        let mut rng = fastrand::Rng::new();
        let mut failures = 0;
        loop {
            let attempt = control::end_txn(&self.client, transactional_id, id, commit, *end_txn_version);
            let error = match tokio::time::timeout_at(deadline.into(), attempt).await {
                Ok(Ok(_)) => return Ok(if commit { EndOutcome::Committed } else { EndOutcome::Aborted }),
                Ok(Err(error)) => error,
                Err(_) => return Err(self.out_of_time(started, None)),
            };
            if let Some(code) = error.code().filter(|code| is_an_answer(*code)) {
                let described = self.describe(deadline).await;
                return Ok(interpret(commit, *end_txn_version, id, code, described));
            }
            match error.remedy() {
                Remedy::GiveUp if error.code() != Some(ErrorCode::UnknownServerError) || failures > 3 => {
                    return Err(error);
                }
                Remedy::FindCoordinator | Remedy::RefreshMetadata => {
                    self.client.forget_coordinator(CoordinatorKind::Transaction, transactional_id);
                }
                _ => {}
            }
            let delay = self.client.config().retry().delay(failures, &mut rng);
            failures += 1;
            if clock::now() + delay >= deadline {
                return Err(self.out_of_time(started, Some(error)));
            }
            pause(delay).await;
        }
    }

    fn out_of_time(&self, started: Instant, last: Option<Error>) -> Error {
        let what = format!("ending the transaction of {}", self.prepared.transactional_id);
        Error::Timeout { what, after: clock::since(started), last: last.map(Box::new) }
    }

    async fn describe(&self, deadline: Instant) -> Option<TransactionDescription> {
        let id = &self.prepared.transactional_id;
        match crate::admin::describe_transaction(&self.client, id, deadline).await {
            Ok(described) => Some(described),
            Err(error) => {
                // Brokers before 3.0 cannot say; the code alone has to do.
                tracing::debug!(%error, "the transaction cannot be described");
                None
            }
        }
    }
}

/// These say something about the transaction; the others about the way to it.
fn is_an_answer(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidTxnState
            | ErrorCode::ProducerFenced
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::TransactionalIdNotFound
    )
}

/// `client.md` §6.7, as read from `TransactionCoordinator.scala` of 4.4.
fn interpret(
    commit: bool,
    version: i16,
    id: ProducerIdAndEpoch,
    code: ErrorCode,
    described: Option<TransactionDescription>,
) -> EndOutcome {
    let state = described.as_ref().map(|d| d.state.as_str());
    let is_ours = described.as_ref().is_some_and(|d| d.producer_id == id.producer_id);
    let epoch = described.as_ref().map(|d| i32::from(d.producer_epoch));
    let next = Some(i32::from(id.epoch) + 1);
    let aborted = matches!(state, Some("CompleteAbort" | "PrepareAbort"));
    let committed = matches!(state, Some("CompleteCommit" | "PrepareCommit"));
    match code {
        ErrorCode::InvalidTxnState if state == Some("Empty") && is_ours => EndOutcome::NothingToCommit,
        ErrorCode::InvalidTxnState if commit && aborted => EndOutcome::Aborted,
        // Version 5 refuses with this code only what was aborted, or what an older version has ended.
        ErrorCode::InvalidTxnState if commit && version >= 5 && !committed => EndOutcome::Aborted,
        ErrorCode::InvalidTxnState if !commit && committed => EndOutcome::Committed,
        // The broker's own abort, at the timeout or for a new owner, takes the next epoch at every level.
        ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch
            if version < 5 && aborted && is_ours && epoch == next =>
        {
            EndOutcome::Aborted
        }
        _ => EndOutcome::Unknown { code, described },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ProducerIdAndEpoch = ProducerIdAndEpoch { producer_id: 9, epoch: 4 };

    fn described(state: &str, epoch: i16) -> Option<TransactionDescription> {
        Some(TransactionDescription {
            state: state.into(),
            producer_id: 9,
            producer_epoch: epoch,
            ..Default::default()
        })
    }

    /// The rows of the table in `client.md` §6.7 that are not `NONE` or a retry, for a commit.
    #[test]
    fn refused_commits_are_told_apart_by_what_the_coordinator_shows() {
        use EndOutcome::{Aborted, NothingToCommit};
        let rows = [
            (4, 48, "CompleteAbort", 4, Some(Aborted)),
            (4, 48, "PrepareAbort", 4, Some(Aborted)),
            (4, 48, "Empty", 4, Some(NothingToCommit)),
            (4, 90, "PrepareAbort", 5, Some(Aborted)),
            (4, 90, "CompleteAbort", 5, Some(Aborted)),
            (4, 90, "CompleteAbort", 6, None),
            (4, 90, "Ongoing", 5, None),
            (4, 90, "CompleteCommit", 5, None),
            (4, 49, "Ongoing", 0, None),
            (5, 48, "PrepareAbort", 5, Some(Aborted)),
            (5, 48, "CompleteAbort", 5, Some(Aborted)),
            (5, 48, "CompleteAbort", 4, Some(Aborted)),
            (5, 48, "Empty", 4, Some(NothingToCommit)),
            (5, 48, "CompleteCommit", 4, None),
            (5, 90, "Ongoing", 5, None),
            (5, 90, "PrepareCommit", 4, None),
            (5, 49, "Empty", 0, None),
        ];
        for (version, code, state, epoch, expected) in rows {
            let code = ErrorCode::from(code);
            let outcome = interpret(true, version, ID, code, described(state, epoch));
            let expected = expected.unwrap_or_else(|| EndOutcome::Unknown { code, described: described(state, epoch) });
            assert_eq!(outcome, expected, "v{version} {code} {state} {epoch}");
        }
    }

    #[test]
    fn without_a_description_only_version_5_is_sure_of_an_abort() {
        let code = ErrorCode::InvalidTxnState;
        assert_eq!(interpret(true, 5, ID, code, None), EndOutcome::Aborted);
        assert_eq!(interpret(true, 4, ID, code, None), EndOutcome::Unknown { code, described: None });
    }

    #[test]
    fn an_abort_of_what_was_committed_says_so() {
        let code = ErrorCode::InvalidTxnState;
        assert_eq!(interpret(false, 5, ID, code, described("CompleteCommit", 5)), EndOutcome::Committed);
    }
}
