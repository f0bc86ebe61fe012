//! What waits in the accumulator.
use std::sync::Arc;
use std::time::Instant;

use super::RecordAccumulator;
use crate::error::Error;

/// The batches of one topic that no connection has.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) topic: Arc<str>,
    pub(crate) batches: usize,
    pub(crate) records: usize,
    /// What they take of `buffer.memory`.
    pub(crate) bytes: usize,
    /// When the oldest was begun.
    pub(crate) since: Instant,
    /// What the oldest of them that failed met.
    pub(crate) last_error: Option<Error>,
}

impl RecordAccumulator {
    /// What waits, by topic.
    pub(crate) fn waiting(&self) -> Vec<Waiting> {
        let mut waiting: Vec<Waiting> = Vec::new();
        for key in &self.active {
            let Some(topic) = self.topics.get(key.topic) else { continue };
            for batch in topic.partitions.get(key.partition).into_iter().flat_map(|queue| &queue.batches) {
                if waiting.last().is_none_or(|last| !Arc::ptr_eq(&last.topic, &topic.name)) {
                    let (topic, since) = (Arc::clone(&topic.name), batch.created);
                    waiting.push(Waiting { topic, batches: 0, records: 0, bytes: 0, since, last_error: None });
                }
                let Some(last) = waiting.last_mut() else { continue };
                last.batches += 1;
                last.records += usize::try_from(batch.count()).unwrap_or_default();
                last.bytes += batch.memory;
                last.since = last.since.min(batch.created);
                last.last_error = last.last_error.take().or_else(|| batch.last_error.clone());
            }
        }
        waiting
    }
}
