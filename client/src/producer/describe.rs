//! A producer in words.
use std::fmt::Write;
use std::time::Instant;

use super::Shared;
use super::completion::State;
use super::transaction::Phase;
use crate::client::Describe;
use crate::network::Lane;

impl Describe for Shared {
    fn describe(&self, out: &mut String, now: Instant) {
        let name = match &self.config.transactional_id {
            Some(id) => format!("of transactional.id {id}"),
            None => self.client.client_id(Lane::Produce),
        };
        self.lock().describe(&name, self.config.buffer_memory, out, now);
    }
}

impl State {
    /// What waits, for which topics, since when and why.
    fn describe(&self, name: &str, memory: usize, out: &mut String, now: Instant) {
        let waiting = self.accumulator.waiting();
        let (batches, in_flight) = (waiting.iter().map(|w| w.batches).sum::<usize>(), self.in_flight());
        let (free, queued) = self.accumulator.memory();
        let _ = write!(out, "\n  producer {name}: {batches} batches wait, {in_flight} are in flight");
        let _ = write!(out, "; {} of {memory} bytes of buffer.memory used", memory.saturating_sub(free));
        if queued > 0 {
            let _ = write!(out, ", {queued} sends wait for some");
        }
        match self.transactions.as_ref().map(|transactions| transactions.phase()) {
            Some(Phase::AbortableError(error)) => _ = write!(out, "; the transaction has to be aborted: {error}"),
            Some(Phase::FatalError(error)) => _ = write!(out, "; it cannot go on: {error}"),
            Some(phase) => _ = write!(out, "; transactions: {phase:?}"),
            None => {}
        }
        if let Some(error) = &self.failed {
            let _ = write!(out, "; it cannot go on: {error}");
        }
        for waiting in waiting {
            let (count, records, bytes) = (waiting.batches, waiting.records, waiting.bytes);
            let since = now.saturating_duration_since(waiting.since);
            let _ = write!(
                out,
                "\n    for {}: {count} batches of {records} records, {bytes} bytes, the oldest waiting for {since:.1?}",
                waiting.topic
            );
            if let Some(error) = waiting.last_error {
                let _ = write!(out, "; {error}");
            }
        }
    }
}
