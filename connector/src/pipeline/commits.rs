//! The task that ends the prepared transactions of one subtask, beside its reading and writing.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::messages::Report;
use crate::contract::{CheckpointId, Committer, Outcome, Progress};
use crate::error::{Error, Result};
use crate::ledger::Ticket;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is due with a durable checkpoint, in order.
pub(crate) type Due<C> = (CheckpointId, Vec<(Ticket, C)>);

/// Commits what is due until nobody asks any more.
pub(crate) async fn run<M, P>(
    subtask: u32,
    mut committer: M,
    progress: P,
    mut due: UnboundedReceiver<Due<M::Committable>>,
    finished: UnboundedSender<Ticket>,
    reports: UnboundedSender<Report>,
) where
    M: Committer,
    M::Committable: Clone,
    P: Progress<Committable = M::Committable>,
{
    while let Some((id, committables)) = due.recv().await {
        let mut first_error: Option<Error> = None;
        for (ticket, committable) in committables {
            match commit(&mut committer, committable.clone()).await {
                Ok(outcome) => {
                    tracing::debug!(subtask, checkpoint = %ticket.checkpoint, ?outcome, "a commit is final");
                    progress.finished(&committable);
                    // The subtask may have ended: then nobody keeps a ledger any more.
                    let _ = finished.send(ticket);
                }
                // The others are committed all the same (K19).
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        let report = match first_error {
            Some(error) => Report::Failed { error },
            None => Report::Committed { subtask, id },
        };
        if reports.send(report).is_err() {
            return;
        }
    }
}

/// Commits one, for as long as it takes to know the outcome.
pub(crate) async fn commit<M>(committer: &mut M, committable: M::Committable) -> Result<Outcome>
where
    M: Committer,
    M::Committable: Clone,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let outcome = committer.commit(committable.clone()).await?;
        if outcome.is_final() {
            return Ok(outcome);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
