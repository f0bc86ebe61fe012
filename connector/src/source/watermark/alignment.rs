//! Splits that are too far ahead of the others wait (W15).
use std::collections::BTreeSet;
use std::time::Duration;

use super::multiplexer::OutputId;
use crate::contract::Timestamp;

/// Says which splits wait for the global watermark.
#[derive(Debug)]
pub(crate) struct Alignment {
    max_drift: Option<i64>,
    global: Option<Timestamp>,
    waiting: BTreeSet<OutputId>,
}

/// Splits whose reading changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlignmentChanges {
    pub(crate) pause: Vec<OutputId>,
    pub(crate) resume: Vec<OutputId>,
}

impl Alignment {
    /// Without `max_drift` nothing ever waits.
    pub(crate) fn new(max_drift: Option<Duration>) -> Self {
        let max_drift = max_drift.map(|drift| i64::try_from(drift.as_millis()).unwrap_or(i64::MAX));
        Self { max_drift, global: None, waiting: BTreeSet::new() }
    }

    /// The smallest watermark over all subtasks.
    pub(crate) fn set_global(&mut self, global: Timestamp) {
        self.global = Some(global);
    }

    /// Who begins and who ends waiting, now that the splits are this far.
    pub(crate) fn update(&mut self, splits: impl Iterator<Item = (OutputId, Timestamp)>) -> AlignmentChanges {
        let mut changes = AlignmentChanges::default();
        let (Some(max_drift), Some(global)) = (self.max_drift, self.global) else { return changes };
        let limit = global.saturating_add(max_drift);
        for (id, watermark) in splits {
            if watermark > limit {
                if self.waiting.insert(id) {
                    changes.pause.push(id);
                }
            } else if self.waiting.remove(&id) {
                changes.resume.push(id);
            }
        }
        changes
    }

    pub(crate) fn is_waiting(&self, id: OutputId) -> bool {
        self.waiting.contains(&id)
    }

    pub(crate) fn forget(&mut self, id: OutputId) {
        self.waiting.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::multiplexer::Multiplexer;
    use super::*;

    #[test]
    fn n29_a_split_too_far_ahead_waits_until_the_others_are_there() {
        let mut multiplexer = Multiplexer::new();
        let splits = [(multiplexer.register(), 5), (multiplexer.register(), 40)];
        let mut alignment = Alignment::new(Some(Duration::from_millis(10)));
        assert_eq!(alignment.update(splits.into_iter()), AlignmentChanges::default(), "no global watermark yet");
        alignment.set_global(5);
        assert_eq!(alignment.update(splits.into_iter()).pause, [splits[1].0]);
        assert_eq!(alignment.update(splits.into_iter()), AlignmentChanges::default(), "said once");
        alignment.set_global(29);
        assert!(alignment.update(splits.into_iter()).resume.is_empty());
        alignment.set_global(31);
        assert_eq!(alignment.update(splits.into_iter()).resume, [splits[1].0]);
    }

    #[test]
    fn w15_without_a_drift_nothing_waits() {
        let mut multiplexer = Multiplexer::new();
        let split = (multiplexer.register(), Timestamp::MAX);
        let mut alignment = Alignment::new(None);
        alignment.set_global(Timestamp::MIN);
        assert_eq!(alignment.update([split].into_iter()), AlignmentChanges::default());
    }
}
