//! Commits offsets beside the reading.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_client::{Admin, TopicPartition};
use tokio::sync::Notify;

use super::commits::Offsets;

/// Commits the offsets of a group: one request at a time, the newest offsets last. Best effort (R44).
#[derive(Clone)]
pub(crate) struct OffsetCommitter(Arc<Shared>);

struct Shared {
    admin: Admin,
    group: String,
    state: Mutex<State>,
    rest: Notify,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: Option<Offsets>,
    is_running: bool,
    /// What the group's coordinator has acknowledged.
    committed: HashMap<TopicPartition, i64>,
}

impl OffsetCommitter {
    pub(crate) fn new(admin: Admin, group: String) -> Self {
        let (succeeded, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Shared { admin, group, state: Mutex::default(), rest: Notify::new(), succeeded, failed }))
    }

    /// Has offsets committed; returns at once.
    pub(crate) fn hand_over(&self, offsets: Offsets) {
        let mut state = self.0.lock();
        if let Some(waiting) = &mut state.waiting {
            tracing::warn!(
                group = self.0.group,
                "committing offsets takes longer than the checkpoint interval; skipping older offsets"
            );
            waiting.extend(offsets);
        } else {
            state.waiting = Some(offsets);
        }
        if !std::mem::replace(&mut state.is_running, true) {
            tokio::spawn(Arc::clone(&self.0).run());
        }
    }

    /// Waits until nothing is being committed, at most `timeout`.
    pub(crate) async fn finish(&self, timeout: Duration) {
        let resting = async {
            loop {
                let rest = self.0.rest.notified();
                tokio::pin!(rest);
                rest.as_mut().enable();
                if !self.0.lock().is_running {
                    return;
                }
                rest.await;
            }
        };
        if tokio::time::timeout(timeout, resting).await.is_err() {
            tracing::warn!(group = self.0.group, "the last offsets were not committed within {timeout:?}");
        }
    }

    /// The offset of a partition that was acknowledged last.
    pub(crate) fn committed(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.lock().committed.get(partition).copied()
    }

    /// How many commits succeeded, and how many failed.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.0.succeeded.load(Ordering::Relaxed), self.0.failed.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        while let Some(offsets) = self.next() {
            match self.commit(&offsets).await {
                Ok(()) => {
                    self.succeeded.fetch_add(1, Ordering::Relaxed);
                    self.lock().committed.extend(offsets.into_iter().map(|(partition, o)| (partition, o.offset)));
                }
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(group = self.group, %error, "offsets were not committed; the next checkpoint commits newer ones");
                }
            }
        }
    }

    fn next(&self) -> Option<Offsets> {
        let mut state = self.lock();
        let next = state.waiting.take();
        if next.is_none() {
            state.is_running = false;
            self.rest.notify_waiters();
        }
        next
    }

    async fn commit(&self, offsets: &Offsets) -> ottla_client::Result<()> {
        let results = self.admin.commit_offsets(&self.group, offsets).await?;
        results.into_values().collect()
    }
}
