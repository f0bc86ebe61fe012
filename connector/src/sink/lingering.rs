//! Ending transactions that earlier attempts left open (K21, K23).
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashSet;
use std::time::Duration;

use ottla_client::{Admin, Client, Listing, TransactionFilter};

use super::transactional_id::{Ownership, UsedIds, guessed, lingering};
use crate::contract::Job;
use crate::error::{Error, Result};

/// All states in which a transaction is open; the others are over.
const OPEN: [&str; 4] = ["Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"];

/// Finds and aborts the transactions of one subtask that nobody will commit.
#[derive(Clone, Debug)]
pub(crate) struct Sweeper {
    pub(crate) client: Client,
    pub(crate) job: Job,
    pub(crate) prefix: String,
    pub(crate) pool_size: u16,
    /// What the job ever used, as far as that was recorded.
    pub(crate) used: UsedIds,
    pub(crate) timeout: Duration,
}

impl Sweeper {
    /// Aborts what is open under our prefixes and owned by this subtask, but for `held`.
    pub(crate) async fn sweep(&self, held: &[String]) -> Result<()> {
        let held: HashSet<String> = held.iter().cloned().collect();
        let admin = Admin::new(&self.client);
        let ids = match admin.list_transactions(&TransactionFilter::in_states(&OPEN)).await.and_then(Listing::all) {
            Ok(open) => {
                let ownership = Ownership::of_subtask(self.job.subtask, self.job.parallelism);
                let mut prefixes: Vec<&str> = self.used.prefixes.iter().map(|(prefix, _)| prefix.as_str()).collect();
                prefixes.push(&self.prefix);
                lingering(open.iter().map(|t| t.transactional_id.as_str()), &prefixes, &ownership, &held)
            }
            Err(ottla_client::Error::UnsupportedVersion { .. }) => self.unlisted(&held),
            Err(error) => return Err(Error::client("listing open transactions")(error)),
        };
        self.abort(&admin, &ids).await
    }

    /// What may be open on a broker that cannot say (before 3.0).
    fn unlisted(&self, held: &HashSet<String>) -> Vec<String> {
        let (subtask, parallelism) = (self.job.subtask, self.job.parallelism);
        let mut ids = if self.used.prefixes.is_empty() {
            guessed(&self.prefix, self.pool_size, subtask, parallelism)
        } else {
            self.used.candidates(subtask, parallelism)
        };
        ids.retain(|id| !held.contains(id));
        ids
    }

    async fn abort(&self, admin: &Admin, ids: &[String]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        tracing::info!(subtask = self.job.subtask, ?ids, "aborting transactions that an earlier attempt left open");
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        for (id, fenced) in admin.fence_producers(&ids, self.timeout).await {
            fenced.map_err(Error::client(format!(
                "aborting the transaction that an earlier attempt left open as {id}"
            )))?;
        }
        Ok(())
    }
}
