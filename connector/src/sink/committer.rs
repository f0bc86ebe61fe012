//! Ends prepared transactions.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_client::{
    Admin, Client, EndMarkerKind, Error as ClientError, ErrorCode, PreparedTransaction, TopicPartition,
    TransactionDescription,
};

use super::committable::KafkaCommittable;
use super::outcome::{
    CoordinatorState, Described, Entry, Marker, OnLost, Step, Verdict, on_answer, on_described, on_marker,
    open_too_long,
};
use crate::contract::{Committer, Outcome, Timestamp};
use crate::error::{Error, Result};

/// Ends the prepared transactions of one subtask of a [`KafkaSink`](super::KafkaSink).
#[derive(Debug)]
pub struct KafkaCommitter {
    client: Client,
    on_lost: OnLost,
    warning_ratio: f64,
    /// What was begun before belongs to an earlier attempt: it may have been ended already.
    opened_at: Timestamp,
    /// Attempts that got no answer: the broker is asked before the next.
    doubtful: HashSet<String>,
}

impl KafkaCommitter {
    pub(crate) fn new(client: Client, on_lost: OnLost, warning_ratio: f64) -> Self {
        Self { client, on_lost, warning_ratio, opened_at: now(), doubtful: HashSet::new() }
    }

    async fn attempt(&mut self, committable: &KafkaCommittable) -> Result<Verdict> {
        let is_doubtful =
            committable.started_at < self.opened_at || self.doubtful.contains(&committable.transactional_id);
        let mut step =
            if is_doubtful { on_described(committable, self.describe(committable).await?, now()) } else { Step::End };
        loop {
            step = match step {
                Step::Done(verdict) => return Ok(verdict),
                Step::Witness(doubt) => {
                    let marker = self.marker(committable).await;
                    Step::Done(on_marker(committable, doubt, marker))
                }
                Step::End => match self.end(committable).await {
                    Ok(code) => {
                        let described = match code {
                            ErrorCode::None => Described::Unavailable,
                            _ => self.describe(committable).await?,
                        };
                        on_answer(committable, code, described, now())
                    }
                    Err(error) if error.is_retriable() => {
                        tracing::debug!(%error, id = committable.transactional_id, "a commit has to be repeated");
                        Step::Done(Verdict::Outcome(Outcome::Retry))
                    }
                    Err(error) => {
                        return Err(Error::client(format!("committing {}", committable.transactional_id))(error));
                    }
                },
            };
        }
    }

    /// The coordinator's answer to EndTxn; `Err`: there was none.
    async fn end(&self, committable: &KafkaCommittable) -> Result<ErrorCode, ClientError> {
        let resumed = self.client.resume(PreparedTransaction {
            transactional_id: committable.transactional_id.clone(),
            producer_id: committable.producer_id,
            producer_epoch: committable.producer_epoch,
            end_txn_version: i16::from(committable.end_txn_version),
            started_at: committable.started_at,
            timeout: Duration::from_millis(u64::try_from(committable.timeout).unwrap_or_default()),
            witness: None,
        });
        match resumed.try_commit().await {
            Ok(()) => Ok(ErrorCode::None),
            Err(ClientError::Broker { code, .. }) => Ok(code),
            Err(error) => Err(error),
        }
    }

    async fn describe(&self, committable: &KafkaCommittable) -> Result<Described> {
        let id = committable.transactional_id.as_str();
        let described = Admin::new(&self.client).describe_transactions(&[id]).await.remove(id);
        Ok(match described {
            Some(Ok(TransactionDescription { state, producer_id, producer_epoch, .. })) => Described::Found(Entry {
                state: CoordinatorState::from_name(&state),
                producer_id,
                epoch: producer_epoch,
            }),
            Some(Err(ClientError::UnsupportedVersion { .. })) => Described::Unsupported,
            Some(Err(error)) if error.code() == Some(ErrorCode::TransactionalIdNotFound) => Described::NotFound,
            Some(Err(error)) if !error.is_retriable() => {
                return Err(Error::client(format!("asking how the transaction of {id} ended"))(error));
            }
            _ => Described::Unavailable,
        })
    }

    async fn marker(&self, committable: &KafkaCommittable) -> Marker {
        let Some(witness) = &committable.witness else { return Marker::Unreadable };
        let partition = TopicPartition::new(witness.topic.as_str(), witness.partition);
        let found = Admin::new(&self.client).end_marker(&partition, witness.offset, committable.producer_id).await;
        match found {
            Ok(Some(marker)) => match marker.kind {
                EndMarkerKind::Commit => Marker::Commit { epoch: marker.producer_epoch },
                EndMarkerKind::Abort => Marker::Abort { epoch: marker.producer_epoch },
            },
            Ok(None) => Marker::NotYet,
            Err(error) => {
                tracing::warn!(%error, %partition, "the log cannot be asked how a transaction ended");
                Marker::Unreadable
            }
        }
    }

    fn lost(
        &self,
        committable: &KafkaCommittable,
        loss: crate::contract::Loss,
        witness: crate::error::Witnessed,
    ) -> Result<Outcome> {
        let error = Error::TransactionLost {
            id: committable.transactional_id.clone(),
            reason: loss,
            started_at: committable.started_at,
            timeout: i64::from(committable.timeout),
            witness,
        };
        if self.on_lost.skips(committable, loss, now()) {
            tracing::error!(%error, "going on without it");
            return Ok(Outcome::Lost(loss));
        }
        Err(error)
    }
}

impl Committer for KafkaCommitter {
    type Committable = KafkaCommittable;

    async fn commit(&mut self, committable: KafkaCommittable) -> Result<Outcome> {
        if let Some(warning) = open_too_long(&committable, self.warning_ratio, now()) {
            tracing::warn!("{warning}");
        }
        let outcome = match self.attempt(&committable).await? {
            Verdict::Outcome(outcome) => outcome,
            Verdict::Lost(loss, witness) => self.lost(&committable, loss, witness)?,
            Verdict::Error(code) => {
                return Err(Error::Sink {
                    reason: format!(
                        "the broker refuses to commit the transaction of {}: {code}: {}. Nothing is dropped: mend the cause \
                         and start again from the checkpoint",
                        committable.transactional_id,
                        code.sentence()
                    ),
                });
            }
        };
        if outcome == Outcome::Retry {
            self.doubtful.insert(committable.transactional_id);
        } else {
            self.doubtful.remove(&committable.transactional_id);
        }
        Ok(outcome)
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
