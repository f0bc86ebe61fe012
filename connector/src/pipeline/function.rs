//! The user's part of a job, between source and sink.
use bytes::Bytes;

use crate::contract::{Stamped, Timestamp};
use crate::error::Result;

/// What a job does with each record. One instance per subtask; its state is kept in checkpoints.
///
/// Closures `FnMut(Stamped<In>, &mut Output<Out>) -> Result<()>` are functions without state.
pub trait Function: Send + 'static {
    /// What it takes.
    type In: Send;
    /// What it gives.
    type Out: Send;

    /// Takes one record. All outputs belong to it: a checkpoint has all of them or none.
    ///
    /// # Errors
    /// The job fails, and starts again from the last checkpoint: the record comes again.
    fn process(&mut self, record: Stamped<Self::In>, out: &mut Output<Self::Out>) -> Result<()>;

    /// No record with event time at or below `watermark` follows.
    ///
    /// # Errors
    /// As `process`.
    fn watermark(&mut self, watermark: Timestamp, out: &mut Output<Self::Out>) -> Result<()> {
        let _ = (watermark, out);
        Ok(())
    }

    /// Its state.
    fn snapshot(&mut self) -> Bytes {
        Bytes::new()
    }

    /// The states of all subtasks of the checkpoint, whatever their number was: each takes what is its own.
    ///
    /// # Errors
    /// When the bytes cannot be read.
    fn restore(&mut self, states: Vec<Bytes>) -> Result<()> {
        let _ = states;
        Ok(())
    }
}

/// Collects what a [`Function`] gives.
#[derive(Debug)]
pub struct Output<T> {
    items: Vec<Stamped<T>>,
}

impl<T> Default for Output<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T> Output<T> {
    /// Gives a value with its event time.
    pub fn emit(&mut self, value: T, timestamp: Option<Timestamp>) {
        self.items.push(Stamped::new(value, timestamp));
    }

    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, Stamped<T>> {
        self.items.drain(..)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// A function without state, from a closure.
#[derive(Debug)]
pub struct Stateless<F, In, Out>(F, std::marker::PhantomData<fn(In) -> Out>);

/// Makes a [`Function`] of a closure.
pub fn stateless<F, In, Out>(f: F) -> Stateless<F, In, Out>
where
    F: FnMut(Stamped<In>, &mut Output<Out>) -> Result<()> + Send + 'static,
{
    Stateless(f, std::marker::PhantomData)
}

impl<F, In, Out> Function for Stateless<F, In, Out>
where
    F: FnMut(Stamped<In>, &mut Output<Out>) -> Result<()> + Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
{
    type In = In;
    type Out = Out;

    fn process(&mut self, record: Stamped<In>, out: &mut Output<Out>) -> Result<()> {
        (self.0)(record, out)
    }
}
