//! The contract between an engine and its sources and sinks.
//!
//! What the engine promises is marked C1 to C9 where it matters:
//!
//! - C1: checkpoint ids strictly increase over the life of a job, across attempts and restarts.
//! - C2: one caller at a time; `snapshot` and `prepare` fall between two events or writes.
//! - C3: per subtask and id the order is [`Reader::snapshot`], user state, [`Writer::prepare`], [`Writer::snapshot`].
//! - C4: the enumerator is snapshotted when the checkpoint is triggered, before any reader. On restore a reader's
//!   position of a split wins over the enumerator's record of it.
//! - C5: a durable checkpoint carries every committable prepared at or before it that is not known finished.
//! - C6: on restore all splits and the enumerator's state go to the enumerator; writer states and committables of index
//!   `s` go to subtask `s mod P`; user state of all old subtasks goes to every subtask.
//! - C7: per subtask, restored committables are committed before its writer is opened.
//! - C8: [`Progress::finished`] is called once a commit gave a final outcome; it may come late or be subsumed.
//! - C9: orderly end: last checkpoint, its commits, then `close`.
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;

/// Milliseconds since the Unix epoch.
pub type Timestamp = i64;

/// The number of a checkpoint; strictly increasing over the life of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckpointId(pub u64);

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a split, unique within its source; for Kafka `topic-partition`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SplitId(Arc<str>);

impl SplitId {
    /// Names a split.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value with its event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped<T> {
    /// The value.
    pub value: T,
    /// Its event time; `None` when it has none.
    pub timestamp: Option<Timestamp>,
}

impl<T> Stamped<T> {
    /// A value with its event time.
    pub fn new(value: T, timestamp: Option<Timestamp>) -> Self {
        Self { value, timestamp }
    }
}

/// Who asks: which parallel instance of which job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The job's name.
    pub name: Arc<str>,
    /// This instance, `0..parallelism`; 0 for the enumerator.
    pub subtask: u32,
    /// How many instances there are.
    pub parallelism: u32,
    /// Counts the runs between (re)starts of this process's job, from 0.
    pub attempt: u32,
    /// Whether checkpoints are taken; fixed for the life of the job.
    pub checkpointing: bool,
    /// The checkpoint this attempt starts from.
    pub restored: Option<CheckpointId>,
}

/// Something that is kept in checkpoints.
pub trait State: Sized + fmt::Debug + Send + 'static {
    /// The version that `encode` writes.
    const VERSION: u16;

    /// The bytes to keep.
    fn encode(&self) -> Bytes;

    /// Reads bytes that this or an earlier version of the crate wrote.
    ///
    /// # Errors
    /// Missing or trailing bytes, values that cannot be, and versions that are not known.
    fn decode(version: u16, bytes: Bytes) -> Result<Self>;
}

/// Something that can be read in parallel.
pub trait Source: Sized + Send + Sync + 'static {
    /// What readers emit.
    type Item: Send + 'static;
    /// One part of the input, with its position.
    type Split: State;
    /// Finds and assigns splits.
    type Enumerator: Enumerator<Split = Self::Split> + 'static;
    /// Reads splits.
    type Reader: Reader<Item = Self::Item, Split = Self::Split> + 'static;

    /// Opens the one enumerator of the job. With `restored` it assigns all restored splits anew.
    fn enumerator(
        &self,
        job: &Job,
        restored: Option<RestoredSource<Self>>,
    ) -> impl Future<Output = Result<Self::Enumerator>> + Send;

    /// Opens the reader of `job.subtask`; it gets its splits by [`Reader::add_splits`].
    fn reader(&self, job: &Job) -> impl Future<Output = Result<Self::Reader>> + Send;
}

/// What a source is restored from: the enumerator's state and all splits that all readers reported.
#[derive(Debug)]
pub struct RestoredSource<S: Source> {
    /// The enumerator's state.
    pub enumerator: <S::Enumerator as Enumerator>::State,
    /// The splits of all readers; their positions win over the enumerator's (C4).
    pub splits: Vec<S::Split>,
}

/// Finds splits and deals them to subtasks.
pub trait Enumerator: Send {
    /// One part of the input.
    type Split;
    /// What it keeps in checkpoints.
    type State: State;

    /// Waits for the next discovery. The first call deals what is there (also what was restored) and returns soon,
    /// even with nothing; later calls wait for the next interval. Not called again after `exhausted`. Cancel safe.
    fn discover(&mut self) -> impl Future<Output = Result<Discovery<Self::Split>>> + Send;

    /// Its state now, including every split handed out by an earlier `discover`.
    fn snapshot(&mut self, id: CheckpointId) -> Self::State;
}

/// What one discovery changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery<S> {
    /// Splits for subtasks.
    pub assigned: Vec<(u32, S)>,
    /// Splits that are gone, and whose they were.
    pub retired: Vec<(u32, SplitId)>,
    /// No split will come after these.
    pub exhausted: bool,
}

impl<S> Default for Discovery<S> {
    fn default() -> Self {
        Self { assigned: Vec::new(), retired: Vec::new(), exhausted: false }
    }
}

/// What a reader emits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<T> {
    /// Records, in order.
    Records(Vec<T>),
    /// No record with event time at or below this follows.
    Watermark(Timestamp),
    /// Nothing to wait for: this reader does not hold back the watermark.
    Idle,
    /// It does again.
    Active,
    /// All splits are finished and no more will come; the last event.
    Finished,
}

/// Reads the splits of one subtask.
pub trait Reader: Send {
    /// What it emits.
    type Item;
    /// One part of the input, with its position.
    type Split;

    /// Takes further splits; also while a `next` was dropped half way.
    fn add_splits(&mut self, splits: Vec<Self::Split>);
    /// Gives up splits; unknown ones are a no-op.
    fn remove_splits(&mut self, ids: &[SplitId]);
    /// No further `add_splits` will come.
    fn no_more_splits(&mut self);
    /// The smallest watermark over all subtasks that are not idle.
    fn align(&mut self, global: Timestamp);
    /// Waits for the next event. What a returned event holds is below the positions of the next `snapshot`. Cancel
    /// safe: dropping the future loses no record.
    fn next(&mut self) -> impl Future<Output = Result<Event<Self::Item>>> + Send;
    /// All splits owned, with their positions.
    fn snapshot(&mut self, id: CheckpointId) -> Vec<Self::Split>;
    /// The checkpoint is durable and its commits are done. Returns soon; best effort.
    fn checkpoint_completed(&mut self, id: CheckpointId) -> impl Future<Output = ()> + Send;
    /// The checkpoint will never complete.
    fn checkpoint_aborted(&mut self, id: CheckpointId);
    /// Ends reading.
    fn close(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// Records known to be in the input and not yet emitted, for progress displays; `None` when not known.
    fn pending_records(&self) -> Option<u64> {
        None
    }
}

/// Something that can be written in parallel.
pub trait Sink: Sized + Send + Sync + 'static {
    /// What writers take.
    type Item: Send + 'static;
    /// The name of a prepared transaction.
    type Committable: State + Clone + Sync;
    /// Writes.
    type Writer: Writer<Item = Self::Item, Committable = Self::Committable> + 'static;
    /// Ends prepared transactions.
    type Committer: Committer<Committable = Self::Committable> + 'static;

    /// Opens the committer of `job.subtask`.
    fn committer(&self, job: &Job) -> impl Future<Output = Result<Self::Committer>> + Send;

    /// Opens the writer of `job.subtask`, after its restored committables were committed (C7).
    fn writer(&self, job: &Job, restored: RestoredSink<Self>) -> impl Future<Output = Result<Self::Writer>> + Send;

    /// Transactional id prefix and pool size, recorded before the first begin so that nothing can linger unnamed;
    /// `None` for sinks without transactions.
    fn transactional_ids(&self, job: &Job) -> Option<(String, u16)> {
        let _ = job;
        None
    }

    /// Called by the engine with the prefixes, pool sizes and the largest parallelism that this job ever used, before
    /// any writer is opened. Empty when it was never run.
    fn recorded_ids(&self, prefixes: &[(String, u16)], largest_parallelism: u32) {
        let _ = (prefixes, largest_parallelism);
    }
}

/// What the sink of one subtask is restored from.
#[derive(Debug)]
pub struct RestoredSink<S: Sink> {
    /// The writer states routed to this subtask.
    pub states: Vec<<S::Writer as Writer>::State>,
    /// The committables routed to this subtask, already handled by its committer.
    pub committables: Vec<S::Committable>,
}

impl<S: Sink> Default for RestoredSink<S> {
    fn default() -> Self {
        Self { states: Vec::new(), committables: Vec::new() }
    }
}

/// Writes the output of one subtask.
pub trait Writer: Send {
    /// What it takes.
    type Item;
    /// The name of a prepared transaction.
    type Committable;
    /// What it keeps in checkpoints.
    type State: State;
    /// Where finished commits are told.
    type Progress: Progress<Committable = Self::Committable> + 'static;

    /// Takes one item; may wait for room.
    fn write(&mut self, item: Self::Item) -> impl Future<Output = Result<()>> + Send;
    /// Waits until everything written is acknowledged.
    fn flush(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// Makes everything written so far ready to be committed. `None`: nothing to commit.
    fn prepare(&mut self, id: CheckpointId) -> impl Future<Output = Result<Option<Self::Committable>>> + Send;
    /// Its state, after `prepare`.
    fn snapshot(&self) -> Self::State;
    /// Where finished commits are told.
    fn progress(&self) -> Self::Progress;
    /// Ends writing; what is not prepared is dropped.
    fn close(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Tells a writer which of its commits are over.
pub trait Progress: Clone + Send + Sync {
    /// The name of a prepared transaction.
    type Committable;

    /// This one is over, and so are all of strictly earlier checkpoints of the same writer.
    fn finished(&self, committable: &Self::Committable);
}

/// Ends prepared transactions.
pub trait Committer: Send {
    /// The name of a prepared transaction.
    type Committable;

    /// Makes one attempt to commit; idempotent, in this process and after a restart.
    ///
    /// # Errors
    /// Only what needs a person: missing rights, or a lost transaction under the policy to fail. Nothing is dropped.
    fn commit(&mut self, committable: Self::Committable) -> impl Future<Output = Result<Outcome>> + Send;
}

/// How a commit went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed now.
    Committed,
    /// It was committed before.
    AlreadyCommitted,
    /// Not known yet: call again after a back-off.
    Retry,
    /// Its data is not and never will be visible, and the policy is to go on.
    Lost(Loss),
}

impl Outcome {
    /// Whether the committable is done with.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Self::Retry
    }
}

/// Why a prepared transaction is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The broker aborted it when its timeout had passed.
    TimedOut,
    /// Someone else uses its transactional id.
    Fenced,
    /// The broker has forgotten its transactional id.
    Expired,
    /// Someone aborted it.
    Aborted,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "it timed out",
            Self::Fenced => "another producer took its id over",
            Self::Expired => "the broker has forgotten its id",
            Self::Aborted => "it was aborted",
        })
    }
}
