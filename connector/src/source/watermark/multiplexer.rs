//! One watermark out of those of many splits.
use std::collections::BTreeMap;

use crate::contract::Timestamp;

/// One input of a [`Multiplexer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct OutputId(u64);

/// Combines the watermarks of outputs: the smallest of those that are not idle, never going back (W7 to W9).
#[derive(Debug)]
pub(crate) struct Multiplexer {
    outputs: BTreeMap<OutputId, Output>,
    next: u64,
    combined: Timestamp,
    idle: bool,
}

#[derive(Clone, Copy, Debug)]
struct Output {
    watermark: Timestamp,
    idle: bool,
}

impl Multiplexer {
    pub(crate) fn new() -> Self {
        Self { outputs: BTreeMap::new(), next: 0, combined: Timestamp::MIN, idle: false }
    }

    /// A further output. It holds the watermark where it is until it reports one of its own.
    pub(crate) fn register(&mut self) -> OutputId {
        let id = OutputId(self.next);
        self.next += 1;
        self.outputs.insert(id, Output { watermark: Timestamp::MIN, idle: false });
        self.idle = false;
        id
    }

    /// It no longer counts, which shows with the next update or tick. False when it is not known.
    pub(crate) fn remove(&mut self, id: OutputId) -> bool {
        let known = self.outputs.remove(&id).is_some();
        if known && self.outputs.is_empty() {
            self.idle = true;
        }
        known
    }

    /// A watermark that acts at once. The combined watermark, if it advances.
    pub(crate) fn immediate(&mut self, id: OutputId, watermark: Timestamp) -> Option<Timestamp> {
        let raised = self.deferred(id, watermark);
        if raised { self.tick() } else { None }
    }

    /// A watermark that acts at the next tick. Whether it is larger than those before, or ends idleness.
    pub(crate) fn deferred(&mut self, id: OutputId, watermark: Timestamp) -> bool {
        let Some(output) = self.outputs.get_mut(&id) else { return false };
        let changed = std::mem::replace(&mut output.idle, false) | (watermark > output.watermark);
        output.watermark = output.watermark.max(watermark);
        self.idle = false;
        changed
    }

    /// An output has nothing to say for now: it holds nothing back from the next tick on.
    pub(crate) fn set_idle(&mut self, id: OutputId) {
        if let Some(output) = self.outputs.get_mut(&id) {
            output.idle = true;
        }
    }

    /// An output holds the watermark back again.
    pub(crate) fn set_active(&mut self, id: OutputId) {
        if let Some(output) = self.outputs.get_mut(&id) {
            output.idle = false;
            self.idle = false;
        }
    }

    /// Combines what is known. The combined watermark, if it advances.
    pub(crate) fn tick(&mut self) -> Option<Timestamp> {
        let active = self.outputs.values().filter(|output| !output.idle).map(|output| output.watermark).min();
        if !self.outputs.is_empty() {
            self.idle = active.is_none();
        }
        // When all are idle nothing can be late relative to the furthest of them (W9).
        let combined = active.or_else(|| self.outputs.values().map(|output| output.watermark).max())?;
        (combined > self.combined).then(|| {
            self.combined = combined;
            combined
        })
    }

    /// Whether all outputs are idle, or gone after there were some.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle
    }

    /// What an output reported last.
    pub(crate) fn watermark_of(&self, id: OutputId) -> Option<Timestamp> {
        self.outputs.get(&id).map(|output| output.watermark)
    }

    /// The output that holds the watermark back (W10).
    pub(crate) fn holding(&self) -> Option<OutputId> {
        let active = self.outputs.iter().filter(|(_, output)| !output.idle);
        active.min_by_key(|(id, output)| (output.watermark, **id)).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Multiplexer, OutputId, OutputId) {
        let mut multiplexer = Multiplexer::new();
        let (first, second) = (multiplexer.register(), multiplexer.register());
        (multiplexer, first, second)
    }

    fn idle(multiplexer: &mut Multiplexer, id: OutputId) -> Option<Timestamp> {
        multiplexer.set_idle(id);
        multiplexer.tick()
    }

    #[test]
    fn a53_the_smallest_counts_and_idle_ones_do_not() {
        let (mut multiplexer, first, second) = two();
        let third = multiplexer.register();
        assert_eq!(multiplexer.immediate(first, 2), None);
        assert_eq!(multiplexer.immediate(second, 5), None, "the third never reported anything");
        assert_eq!(idle(&mut multiplexer, third), Some(2));
        assert_eq!(idle(&mut multiplexer, first), Some(5));
        assert!(!multiplexer.is_idle());
        assert_eq!(multiplexer.immediate(first, 3), None);
        assert!(!multiplexer.is_idle());
    }

    #[test]
    fn a53_all_idle_advances_to_the_largest_and_a_return_below_stays() {
        let (mut multiplexer, first, second) = two();
        multiplexer.immediate(first, 5);
        assert_eq!(multiplexer.immediate(second, 2), Some(2));
        multiplexer.set_idle(first);
        assert_eq!(idle(&mut multiplexer, second), Some(5));
        assert!(multiplexer.is_idle());
        assert_eq!(multiplexer.immediate(second, 3), None);
        assert!(!multiplexer.is_idle());
        assert_eq!(multiplexer.tick(), None, "5 stays");
    }

    #[test]
    fn a53_immediate_below_deferred_of_the_same_output_emits_nothing() {
        let mut multiplexer = Multiplexer::new();
        let only = multiplexer.register();
        assert!(multiplexer.deferred(only, 5));
        assert_eq!(multiplexer.immediate(only, 2), None);
        assert_eq!(multiplexer.tick(), Some(5));
    }

    #[test]
    fn w8_immediate_outputs_use_deferred_values_of_others() {
        let (mut multiplexer, first, second) = two();
        multiplexer.deferred(first, 5);
        assert_eq!(multiplexer.immediate(second, 2), Some(2));
        assert_eq!(multiplexer.immediate(second, 9), Some(5));
    }

    #[test]
    fn a53_removing_the_lower_shows_with_the_next_update() {
        let (mut multiplexer, lower, higher) = two();
        assert_eq!(multiplexer.immediate(lower, 156_765), None);
        assert!(multiplexer.remove(lower));
        assert_eq!(multiplexer.immediate(higher, 156_775), Some(156_775));

        let (mut multiplexer, lower, higher) = two();
        multiplexer.immediate(higher, -4333);
        assert_eq!(multiplexer.immediate(lower, -4343), Some(-4343));
        assert!(multiplexer.remove(lower));
        assert!(!multiplexer.remove(lower), "twice");
        assert_eq!(multiplexer.tick(), Some(-4333));
    }

    #[test]
    fn a53_removing_the_higher_takes_nothing_back() {
        let mut multiplexer = Multiplexer::new();
        let higher = multiplexer.register();
        assert_eq!(multiplexer.immediate(higher, 2), Some(2));
        multiplexer.remove(higher);
        assert!(multiplexer.is_idle(), "all are gone");
        assert_eq!(multiplexer.tick(), None);
        let lower = multiplexer.register();
        assert!(!multiplexer.is_idle(), "active again");
        assert_eq!(multiplexer.immediate(lower, 1), None);
        assert_eq!(multiplexer.immediate(lower, 3), Some(3));
    }

    #[test]
    fn w7_without_outputs_nothing_is_emitted() {
        let mut multiplexer = Multiplexer::new();
        assert_eq!((multiplexer.tick(), multiplexer.is_idle()), (None, false));
        let (mut multiplexer, first, second) = two();
        assert_eq!(multiplexer.tick(), None, "nobody has reported anything");
        multiplexer.immediate(first, 9);
        assert_eq!(multiplexer.holding(), Some(second));
        assert_eq!(multiplexer.immediate(second, 4), Some(4));
        multiplexer.register();
        assert_eq!(multiplexer.immediate(second, 8), None, "a new output stalls");
    }
}
