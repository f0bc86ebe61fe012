//! What runner and subtasks tell each other: plain values, so that an engine can carry them between machines.
use super::checkpoint::Section;
use crate::contract::{CheckpointId, SplitId, Timestamp};
use crate::error::Error;

/// To a subtask.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Further splits to read, encoded.
    AddSplits(Vec<Section>),
    RemoveSplits(Vec<SplitId>),
    NoMoreSplits,
    /// The smallest watermark over all subtasks that are not idle.
    Align(Timestamp),
    /// Take a checkpoint.
    Barrier(CheckpointId),
    /// The checkpoint is durable.
    Complete(CheckpointId),
    /// The checkpoint will never be.
    Abort(CheckpointId),
    /// Read no further.
    Stop,
    /// End.
    Close,
}

/// From a subtask.
#[derive(Debug)]
pub(crate) enum Report {
    /// Its part of a checkpoint.
    Acknowledged { subtask: u32, id: CheckpointId, sections: Vec<Section> },
    /// It could not take its part.
    Declined { subtask: u32, id: CheckpointId, error: Error },
    /// Everything prepared up to the checkpoint is committed.
    Committed { subtask: u32, id: CheckpointId },
    /// Its input has ended.
    Finished { subtask: u32 },
    /// It cannot go on.
    Failed { error: Error },
}
