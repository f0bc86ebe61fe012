//! Finding the cluster for the first time: in the background, while calls wait for it (KIP-909).
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use super::{Inner, closed, lock};
use crate::clock;
use crate::error::{Error, Remedy, Result};
use crate::network::pool::pause;

/// How far it has come.
#[derive(Clone, Debug, Default)]
pub(super) enum Bootstrap {
    /// Calls wait.
    #[default]
    Pending,
    /// The last round found nobody: calls fail with its error. It goes on all the same.
    Failed(Error),
    Found,
}

impl Inner {
    /// Asks the bootstrap servers until one of them answers. What goes wrong within `bootstrap.resolve.timeout.ms` is kept from
    /// calls, where it may pass: a name may be known only once its broker runs.
    pub(super) async fn bootstrap(&self) {
        let deadline = clock::now() + self.config.bootstrap_resolve_timeout;
        let mut rng = fastrand::Rng::new();
        for failures in 0.. {
            let begun = clock::now();
            let Err(error) = self.refresh_once().await else { break };
            lock(&self.pace).failed(begun, clock::now());
            *lock(&self.last_error) = Some(error.clone());
            let may_pass = error.remedy() != Remedy::GiveUp;
            if !may_pass || clock::now() >= deadline {
                self.bootstrap.send_replace(Bootstrap::Failed(error));
            }
            pause(self.config.retry().delay(failures, &mut rng)).await;
        }
        lock(&self.pace).answered(clock::now(), true);
        *lock(&self.last_error) = None;
        self.bootstrap.send_replace(Bootstrap::Found);
    }

    /// Waits for the cluster to be found. Cancel safe.
    ///
    /// # Errors
    /// Why the last round did not find it; [`Error::Closed`].
    pub(super) async fn found(&self) -> Result<()> {
        let mut bootstrap = self.bootstrap.subscribe();
        let known = tokio::select! {
            biased;
            known = bootstrap.wait_for(|known| !matches!(known, Bootstrap::Pending)) => known.map_err(|_| closed())?,
            () = self.closed.cancelled() => return Err(closed()),
        };
        match &*known {
            Bootstrap::Failed(error) => Err(error.clone()),
            Bootstrap::Found | Bootstrap::Pending => Ok(()),
        }
    }

    /// Whether no cluster was found yet, and calls are not to wait for it.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(*self.bootstrap.borrow(), Bootstrap::Failed(_))
    }
}
