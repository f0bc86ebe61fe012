//! Which state goes to whom when a job starts from a checkpoint (C6).
use bytes::Bytes;

use super::checkpoint::{Checkpoint, Section, SectionKind};
use crate::contract::{Enumerator, RestoredSink, RestoredSource, Sink, Source, State, Writer};
use crate::error::{Error, Result};

/// A state as a section.
pub(crate) fn section<T: State>(kind: SectionKind, subtask: u32, state: &T) -> Section {
    Section { kind, subtask, version: T::VERSION, bytes: state.encode() }
}

/// A section as a state.
pub(crate) fn state<T: State>(section: &Section) -> Result<T> {
    T::decode(section.version, section.bytes.clone())
}

/// All splits and the enumerator's state go to the enumerator.
pub(crate) fn source<S: Source>(checkpoint: &Checkpoint) -> Result<RestoredSource<S>> {
    let enumerator = checkpoint
        .of(SectionKind::Enumerator)
        .next()
        .ok_or_else(|| Error::State { what: "a checkpoint", reason: "it has no enumerator".to_owned() })?;
    Ok(RestoredSource {
        enumerator: state::<<S::Enumerator as Enumerator>::State>(enumerator)?,
        splits: checkpoint.of(SectionKind::Split).map(state).collect::<Result<_>>()?,
    })
}

/// Writer states and committables of index `s` go to subtask `s mod P`.
pub(crate) fn sink<K: Sink>(checkpoint: &Checkpoint, subtask: u32, parallelism: u32) -> Result<RestoredSink<K>> {
    let mine = |section: &&Section| section.subtask % parallelism.max(1) == subtask;
    let writers = checkpoint.of(SectionKind::Writer).filter(mine);
    Ok(RestoredSink {
        states: writers.map(state::<<K::Writer as Writer>::State>).collect::<Result<_>>()?,
        committables: checkpoint.of(SectionKind::Committable).filter(mine).map(state).collect::<Result<_>>()?,
    })
}

/// The function states of all subtasks go to every subtask.
pub(crate) fn functions(checkpoint: &Checkpoint) -> Vec<Bytes> {
    checkpoint.of(SectionKind::Function).map(|section| section.bytes.clone()).collect()
}
