//! The small engine in the box: a source, a function and a sink, in parallel, with checkpoints.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

mod attempt;
mod checkpoint;
mod commits;
mod coordinator;
mod function;
mod messages;
mod restore;
mod status;
mod store;
mod subtask;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::attempt::Attempt;
use self::status::{SubtaskStatus, sum_up};
use crate::contract::{CheckpointId, Job, Sink, Source, Stamped};
use crate::error::{Error, Result};

pub use checkpoint::{Checkpoint, JobMeta, Section, SectionKind};
pub use coordinator::{CheckpointConfig, OnCorrupt};
pub use function::{Function, Output, Stateless, stateless};
pub use status::PipelineStatus;
pub use store::{CheckpointStore, DirectoryStore};

/// Runs source → function → sink in `parallelism` subtasks of this process. With a checkpoint store it survives crashes:
/// started again, with any parallelism, it goes on from the last checkpoint.
#[must_use = "call run"]
pub struct Pipeline<S: Source, F, K: Sink> {
    parts: Parts<S, F, K>,
    shared: Arc<Shared>,
    restart: RestartPolicy,
    restore_from: Option<CheckpointId>,
    stop_on_signals: bool,
}

/// Makes the function of a subtask.
type FunctionFactory<F> = Box<dyn Fn(&Job) -> F + Send + Sync>;

pub(crate) struct Parts<S: Source, F, K: Sink> {
    pub(crate) name: Arc<str>,
    pub(crate) source: Arc<S>,
    pub(crate) function: FunctionFactory<F>,
    pub(crate) sink: Arc<K>,
    pub(crate) parallelism: u32,
    pub(crate) store: Option<Arc<dyn CheckpointStore>>,
    pub(crate) checkpoints: CheckpointConfig,
}

/// What happens when an attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// The job fails.
    Never,
    /// It starts again from the last checkpoint, at most `max_attempts` times without a completed checkpoint in between.
    /// What needs a person (settings, rights, lost transactions) is never tried again.
    FixedDelay {
        /// Before each restart.
        delay: Duration,
        /// Restarts in a row.
        max_attempts: u32,
    },
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self::FixedDelay { delay: Duration::from_secs(1), max_attempts: 3 }
    }
}

/// Watches and stops a running job; may be cloned.
#[derive(Clone, Debug)]
pub struct PipelineHandle(Arc<Shared>);

impl PipelineHandle {
    /// Ends the job in order: no further records, a last checkpoint, its commits. Returns at once.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// How far it is.
    #[must_use]
    pub fn status(&self) -> PipelineStatus {
        let state = self.0.lock();
        let mut status = state.status.clone();
        sum_up(&mut status, &state.subtasks);
        status
    }
}

/// What the runner and its handles share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) stop: CancellationToken,
    state: Mutex<SharedState>,
}

#[derive(Debug, Default)]
struct SharedState {
    /// Of earlier attempts, and of the job as a whole.
    status: PipelineStatus,
    subtasks: Vec<Arc<SubtaskStatus>>,
    failures_in_a_row: u32,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin_attempt(&self, attempt: u32, subtasks: Vec<Arc<SubtaskStatus>>) {
        let mut state = self.lock();
        let SharedState { status, subtasks: earlier, .. } = &mut *state;
        sum_up(status, earlier);
        status.attempt = attempt;
        state.subtasks = subtasks;
    }

    pub(crate) fn subtasks<R>(&self, look: impl FnOnce(&[Arc<SubtaskStatus>]) -> R) -> R {
        look(&self.lock().subtasks)
    }

    pub(crate) fn checkpoint_completed(&self, id: CheckpointId, took: Duration) {
        tracing::info!(%id, ?took, "checkpoint completed");
        let mut state = self.lock();
        state.failures_in_a_row = 0;
        state.status.last_checkpoint = Some(id);
        state.status.last_checkpoint_duration = Some(took);
        state.status.checkpoints_completed += 1;
    }

    pub(crate) fn checkpoint_failed(&self) {
        self.lock().status.checkpoints_failed += 1;
    }

    /// Another failure without a completed checkpoint; how many these are.
    fn attempt_failed(&self) -> u32 {
        let mut state = self.lock();
        state.failures_in_a_row += 1;
        state.failures_in_a_row
    }
}

impl<S, F, K> Pipeline<S, F, K>
where
    S: Source<Item = Stamped<F::In>>,
    F: Function,
    K: Sink<Item = Stamped<F::Out>>,
{
    /// A job without checkpoints and with one subtask. Its name is part of checkpoints and transactional ids.
    pub fn new(name: &str, source: S, function: impl Fn(&Job) -> F + Send + Sync + 'static, sink: K) -> Self {
        let parts = Parts {
            name: name.into(),
            source: Arc::new(source),
            function: Box::new(function),
            sink: Arc::new(sink),
            parallelism: 1,
            store: None,
            checkpoints: CheckpointConfig::default(),
        };
        let shared = Arc::default();
        Self { parts, shared, restart: RestartPolicy::default(), restore_from: None, stop_on_signals: false }
    }

    /// How many subtasks there are. Default: 1.
    pub fn parallelism(mut self, parallelism: u32) -> Self {
        self.parts.parallelism = parallelism;
        self
    }

    /// Keeps checkpoints in this store.
    pub fn store(mut self, store: impl CheckpointStore) -> Self {
        self.parts.store = Some(Arc::new(store));
        self
    }

    /// Keeps checkpoints in this directory, which is opened now.
    ///
    /// # Errors
    /// [`Error::CheckpointStore`] when another process has it, or it cannot be written.
    pub fn checkpoint_directory(self, directory: impl Into<PathBuf>) -> Result<Self> {
        let store = DirectoryStore::open(directory, &self.parts.name)?;
        Ok(self.store(store))
    }

    /// How checkpoints are taken.
    pub fn checkpoints(mut self, config: CheckpointConfig) -> Self {
        self.parts.checkpoints = config;
        self
    }

    /// What happens when an attempt fails. Default: three restarts, a second apart.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// Starts from this checkpoint instead of the latest.
    pub fn restore_from(mut self, id: CheckpointId) -> Self {
        self.restore_from = Some(id);
        self
    }

    /// Ctrl-C and SIGTERM stop the job in order; the second one ends the process at once. Default: off.
    pub fn stop_on_signals(mut self) -> Self {
        self.stop_on_signals = true;
        self
    }

    /// Watches and stops the job.
    #[must_use]
    pub fn handle(&self) -> PipelineHandle {
        PipelineHandle(Arc::clone(&self.shared))
    }

    /// Runs until the input ends, the job is stopped, or it fails for good.
    ///
    /// # Errors
    /// What made the last attempt fail. Everything up to the last completed checkpoint is committed.
    pub async fn run(self) -> Result<()> {
        self.validate()?;
        let signals = self.stop_on_signals.then(|| tokio::spawn(stop_on_signals(self.handle())));
        let result = self.run_attempts().await;
        if let Some(signals) = signals {
            signals.abort();
        }
        result
    }

    fn validate(&self) -> Result<()> {
        if self.parts.parallelism == 0 {
            return Err(Error::config("parallelism must be at least 1"));
        }
        if self.parts.name.is_empty() {
            return Err(Error::config("a job needs a name: its checkpoints and transactional ids carry it"));
        }
        self.parts.checkpoints.validate()
    }

    async fn run_attempts(&self) -> Result<()> {
        for attempt in 0.. {
            // The first start may be told where to begin; what follows goes on from the latest.
            let restored = self.load(self.restore_from.filter(|_| attempt == 0)).await?;
            let result = match Attempt::open(&self.parts, &self.shared, attempt, restored).await {
                Ok(attempt) => attempt.run().await,
                Err(error) => Err(error),
            };
            let Err(error) = result else { return Ok(()) };
            let failures = self.shared.attempt_failed();
            match self.restart {
                RestartPolicy::FixedDelay { delay, max_attempts }
                    if error.may_be_retried() && failures <= max_attempts && !self.shared.stop.is_cancelled() =>
                {
                    tracing::warn!(%error, attempt, "the job failed and starts again in {delay:?}");
                    tokio::time::sleep(delay).await;
                }
                _ => return Err(error),
            }
        }
        Ok(())
    }

    async fn load(&self, chosen: Option<CheckpointId>) -> Result<Option<Checkpoint>> {
        let Some(store) = self.parts.store.clone() else { return Ok(None) };
        let on_corrupt = self.parts.checkpoints.on_corrupt;
        let loaded = tokio::task::spawn_blocking(move || match chosen {
            Some(id) => store.load(id).map(Some),
            None => latest(&*store, on_corrupt),
        });
        loaded.await.map_err(|e| Error::Panicked { reason: e.to_string() })?
    }
}

/// The newest checkpoint that can be read.
fn latest(store: &dyn CheckpointStore, on_corrupt: OnCorrupt) -> Result<Option<Checkpoint>> {
    for id in store.list()?.into_iter().rev() {
        match store.load(id) {
            Err(error @ Error::CheckpointCorrupt { .. }) if on_corrupt == OnCorrupt::Previous => {
                tracing::warn!(%error, "going back to the checkpoint before: output may repeat");
            }
            loaded => return loaded.map(Some),
        }
    }
    Ok(None)
}

async fn stop_on_signals(handle: PipelineHandle) {
    signal().await;
    tracing::info!("stopping: a last checkpoint is taken; a second signal ends the process at once");
    handle.stop();
    signal().await;
    std::process::exit(130);
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
