//! One run of a job between two (re)starts: opens everything, deals splits, takes checkpoints.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};

use super::checkpoint::{Checkpoint, SectionKind};
use super::coordinator::CheckpointCoordinator;
use super::function::Function;
use super::messages::{Command, Report};
use super::restore;
use super::status::{SubtaskStatus, global_watermark};
use super::store::CheckpointStore;
use super::subtask::{Ports, Subtask};
use super::{Parts, Shared};
use crate::contract::{CheckpointId, Discovery, Enumerator, Job, RestoredSink, Sink, Source, Stamped};
use crate::error::{Error, Result};

/// How often the global watermark is told.
const TICK: Duration = Duration::from_millis(200);
/// How long the subtasks may take to end after a failure; then they are dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A running attempt.
pub(crate) struct Attempt<S: Source> {
    shared: Arc<Shared>,
    enumerator: S::Enumerator,
    commands: Vec<UnboundedSender<Command>>,
    reports: UnboundedReceiver<Report>,
    subtasks: JoinSet<Result<()>>,
    coordinator: Option<CheckpointCoordinator>,
    store: Option<Arc<dyn CheckpointStore>>,
    keep: usize,
    /// The checkpoint that is being made durable.
    writing: Option<(CheckpointId, JoinHandle<Result<()>>)>,
    finished: Vec<bool>,
    has_discovered: bool,
    is_exhausted: bool,
    ending: Ending,
}

/// How far the orderly end is (C9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    NotYet,
    /// No record is read any more; the last checkpoint is due.
    LastCheckpoint,
    /// It runs.
    Checkpointing,
    Done,
}

impl<S: Source> Attempt<S> {
    /// Opens everything; restored transactions are committed.
    pub(crate) async fn open<F, K>(
        parts: &Parts<S, F, K>,
        shared: &Arc<Shared>,
        attempt: u32,
        restored: Option<Checkpoint>,
    ) -> Result<Self>
    where
        S: Source<Item = Stamped<F::In>>,
        F: Function,
        K: Sink<Item = Stamped<F::Out>>,
    {
        let job = Job {
            name: Arc::clone(&parts.name),
            subtask: 0,
            parallelism: parts.parallelism,
            attempt,
            checkpointing: parts.store.is_some(),
            restored: restored.as_ref().map(|c| c.id),
        };
        let largest = record_use(parts, &job).await?;
        let source = restored.as_ref().map(restore::source::<S>).transpose()?;
        let enumerator = parts.source.enumerator(&job, source).await?;
        let (reports_out, reports) = unbounded_channel();
        let mut opening = JoinSet::new();
        let (mut commands, mut status) = (Vec::new(), Vec::new());
        for subtask in 0..parts.parallelism {
            let job = Job { subtask, ..job.clone() };
            let sink = match &restored {
                Some(checkpoint) => restore::sink::<K>(checkpoint, subtask, parts.parallelism)?,
                None => RestoredSink::default(),
            };
            let functions = restored.as_ref().map(restore::functions);
            let (command, commands_in) = unbounded_channel();
            commands.push(command);
            let counters = Arc::new(SubtaskStatus::default());
            status.push(Arc::clone(&counters));
            let ports = Ports { commands: commands_in, reports: reports_out.clone(), status: counters };
            let function = (parts.function)(&job);
            let (source, output) = (Arc::clone(&parts.source), Arc::clone(&parts.sink));
            opening.spawn(async move {
                Subtask::<S, F, K>::open((&*source, &*output), job, function, (sink, functions), ports).await
            });
        }
        shared.begin_attempt(attempt, status);
        let mut subtasks = JoinSet::new();
        while let Some(opened) = opening.join_next().await {
            subtasks.spawn(joined(opened)??.run());
        }
        let now = Instant::now();
        let coordinator = parts.store.as_ref().map(|_| {
            CheckpointCoordinator::new(parts.checkpoints.clone(), (&parts.name, parts.parallelism), largest, now)
        });
        Ok(Self {
            shared: Arc::clone(shared),
            enumerator,
            commands,
            reports,
            subtasks,
            coordinator,
            store: parts.store.clone(),
            keep: parts.checkpoints.keep,
            writing: None,
            finished: vec![false; parts.parallelism as usize],
            has_discovered: false,
            is_exhausted: false,
            ending: Ending::NotYet,
        })
    }

    /// Runs until the input ends, the job is stopped, or something fails.
    pub(crate) async fn run(mut self) -> Result<()> {
        let result = self.drive().await;
        self.tell(&Command::Close);
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, async {
            let mut first = Ok(());
            while let Some(ended) = self.subtasks.join_next().await {
                let ended = joined(ended).and_then(|ended| ended);
                first = first.and(ended);
            }
            first
        });
        match closed.await {
            Ok(closed) => result.and(closed),
            Err(_) => {
                tracing::warn!("subtasks did not end within {CLOSE_TIMEOUT:?}");
                result
            }
        }
    }

    async fn drive(&mut self) -> Result<()> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.ending != Ending::Done {
            self.take_checkpoint_if_due(Instant::now())?;
            let look_again = self.coordinator.as_ref().map(CheckpointCoordinator::poll_timeout);
            tokio::select! {
                Some(report) = self.reports.recv() => self.take_report(report)?,
                Some(ended) = self.subtasks.join_next() => {
                    // A subtask ends only when it is told to.
                    joined(ended)??;
                    return Err(Error::Source { reason: "a subtask ended by itself".to_owned() });
                }
                written = written(&mut self.writing) => self.take_written(written)?,
                discovered = self.enumerator.discover(), if !self.is_exhausted && self.ending == Ending::NotYet => {
                    self.deal(discovered?);
                }
                () = self.shared.stop.cancelled(), if self.ending == Ending::NotYet => self.end(),
                () = sleep_until(look_again) => self.abort_if_late(Instant::now())?,
                _ = tick.tick() => {
                    if let Some(watermark) = self.shared.subtasks(global_watermark) {
                        self.tell(&Command::Align(watermark));
                    }
                }
            }
        }
        Ok(())
    }

    fn deal(&mut self, discovery: Discovery<S::Split>) {
        let mut splits: Vec<Vec<_>> = vec![Vec::new(); self.commands.len()];
        for (subtask, split) in discovery.assigned {
            if let Some(splits) = splits.get_mut(subtask as usize) {
                splits.push(restore::section(SectionKind::Split, subtask, &split));
            }
        }
        for (command, splits) in self.commands.iter().zip(splits) {
            if !splits.is_empty() {
                send(command, Command::AddSplits(splits));
            }
        }
        for (subtask, id) in discovery.retired {
            if let Some(command) = self.commands.get(subtask as usize) {
                send(command, Command::RemoveSplits(vec![id]));
            }
        }
        if discovery.exhausted {
            self.is_exhausted = true;
            self.tell(&Command::NoMoreSplits);
        }
        self.has_discovered = true;
    }

    fn tell(&self, command: &Command) {
        for subtask in &self.commands {
            send(subtask, command.clone());
        }
    }

    /// No record is read any more; what was read is committed with a last checkpoint.
    fn end(&mut self) {
        self.tell(&Command::Stop);
        self.ending = if self.coordinator.is_some() { Ending::LastCheckpoint } else { Ending::Done };
    }

    // Checkpoints.

    fn take_checkpoint_if_due(&mut self, now: Instant) -> Result<()> {
        let Some(coordinator) = &mut self.coordinator else { return Ok(()) };
        let is_last = self.ending == Ending::LastCheckpoint;
        if coordinator.is_running() || !(is_last || coordinator.is_due(now) && self.has_discovered) {
            return Ok(());
        }
        let enumerator = &mut self.enumerator;
        let id = coordinator.trigger(now, |id| restore::section(SectionKind::Enumerator, 0, &enumerator.snapshot(id)));
        if is_last {
            self.ending = Ending::Checkpointing;
        }
        self.tell(&Command::Barrier(id));
        Ok(())
    }

    fn take_report(&mut self, report: Report) -> Result<()> {
        let now = Instant::now();
        match report {
            Report::Failed { error } => return Err(error),
            Report::Finished { subtask } => {
                if let Some(finished) = self.finished.get_mut(subtask as usize) {
                    *finished = true;
                }
                if self.finished.iter().all(|finished| *finished) && self.ending == Ending::NotYet {
                    self.end();
                }
            }
            Report::Declined { subtask, id, error } => {
                tracing::warn!(subtask, %id, %error, "a subtask cannot take its part of a checkpoint");
                self.fail_checkpoint(now, id, error)?;
            }
            Report::Acknowledged { subtask, id, sections } => {
                let Some(coordinator) = &mut self.coordinator else { return Ok(()) };
                if let Some(checkpoint) = coordinator.acknowledge(subtask, id, sections, now_millis()) {
                    self.write(checkpoint);
                }
            }
            Report::Committed { subtask, id } => {
                let Some(coordinator) = &mut self.coordinator else { return Ok(()) };
                if let Some(took) = coordinator.committed(now, subtask, id) {
                    self.shared.checkpoint_completed(id, took);
                    if self.ending == Ending::Checkpointing {
                        self.ending = Ending::Done;
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, checkpoint: Checkpoint) {
        let Some(store) = self.store.clone() else { return };
        let (id, keep) = (checkpoint.id, self.keep);
        self.writing = Some((
            id,
            tokio::task::spawn_blocking(move || {
                store.write(&checkpoint)?;
                // Older ones go only now that a newer one is durable.
                let ids = store.list()?;
                let outdated = ids.len().saturating_sub(keep);
                ids.into_iter().take(outdated).try_for_each(|id| store.remove(id))
            }),
        ));
    }

    fn take_written(&mut self, (id, written): (CheckpointId, Result<()>)) -> Result<()> {
        if let Err(error) = written {
            return self.fail_checkpoint(Instant::now(), id, error);
        }
        if let Some(id) = self.coordinator.as_mut().and_then(CheckpointCoordinator::written) {
            self.tell(&Command::Complete(id));
        }
        Ok(())
    }

    fn abort_if_late(&mut self, now: Instant) -> Result<()> {
        // Once the file is being written it may become durable: then its commits have to follow.
        if self.writing.is_some() {
            return Ok(());
        }
        match self.coordinator.as_ref().and_then(|c| c.timed_out(now)) {
            Some((id, error)) => self.fail_checkpoint(now, id, error),
            None => Ok(()),
        }
    }

    fn fail_checkpoint(&mut self, now: Instant, id: CheckpointId, error: Error) -> Result<()> {
        self.shared.checkpoint_failed();
        let Some(coordinator) = &mut self.coordinator else { return Ok(()) };
        // The last checkpoint has no successor that could commit what it leaves.
        if self.ending == Ending::Checkpointing {
            return Err(error);
        }
        if let Some(id) = coordinator.fail(now, id, error)? {
            self.tell(&Command::Abort(id));
        }
        Ok(())
    }
}

/// Writes down what this attempt uses before it uses it (J6); the largest checkpoint id there is.
async fn record_use<S, F, K>(parts: &Parts<S, F, K>, job: &Job) -> Result<Option<CheckpointId>>
where
    S: Source,
    F: Function,
    K: Sink,
{
    let Some(store) = parts.store.clone() else { return Ok(None) };
    let ids = parts.sink.transactional_ids(job);
    let (name, parallelism) = (job.name.to_string(), job.parallelism);
    let recorded = tokio::task::spawn_blocking(move || -> Result<_> {
        let before = store.load_meta()?.unwrap_or_default();
        let mut meta = super::checkpoint::JobMeta { job: name, ..before.clone() };
        meta.note(parallelism, ids);
        if meta != before {
            store.write_meta(&meta)?;
        }
        Ok((before, store.list()?.last().copied()))
    });
    let (before, largest) = joined(recorded.await)??;
    parts.sink.recorded_ids(&before.prefixes, before.largest_parallelism);
    Ok(largest)
}

/// The end of the write that is under way.
async fn written(writing: &mut Option<(CheckpointId, JoinHandle<Result<()>>)>) -> (CheckpointId, Result<()>) {
    let Some((id, handle)) = writing else { return std::future::pending().await };
    let (id, ended) = (*id, handle.await);
    *writing = None;
    (id, joined(ended).and_then(|written| written))
}

fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T> {
    ended.map_err(|error| {
        let reason = match error.try_into_panic() {
            Ok(panic) => match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
                (Some(text), _) => (*text).to_owned(),
                (_, Some(text)) => text.clone(),
                _ => "without a message".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        Error::Panicked { reason }
    })
}

fn send(subtask: &UnboundedSender<Command>, command: Command) {
    // A subtask that is gone has reported why, or will be joined.
    let _ = subtask.send(command);
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
