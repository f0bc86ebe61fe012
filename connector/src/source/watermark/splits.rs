//! The watermarks of all splits of one reader.
use std::collections::BTreeMap;
use std::time::Duration;

use super::alignment::{Alignment, AlignmentChanges};
use super::generator::{BoundedOutOfOrderness, WatermarkGenerator};
use super::idleness::IdlenessTimer;
use super::multiplexer::{Multiplexer, OutputId};
use super::{Generators, WatermarkStrategy};
use crate::contract::{Stamped, Timestamp};

/// One generator and one idleness timer per split, and what they make together (W3).
pub(crate) struct SplitWatermarks<T> {
    strategy: Option<WatermarkStrategy<T>>,
    multiplexer: Multiplexer,
    splits: BTreeMap<OutputId, SplitWatermark<T>>,
    alignment: Alignment,
    last_tick: Duration,
}

struct SplitWatermark<T> {
    generator: Generator<T>,
    idleness: Option<IdlenessTimer>,
}

enum Generator<T> {
    Bounded(BoundedOutOfOrderness),
    Custom(Box<dyn WatermarkGenerator<T>>),
}

impl<T> SplitWatermarks<T> {
    pub(crate) fn new(strategy: Option<WatermarkStrategy<T>>) -> Self {
        let alignment = Alignment::new(strategy.as_ref().and_then(|s| s.max_drift));
        let (multiplexer, splits) = (Multiplexer::new(), BTreeMap::new());
        Self { strategy, multiplexer, splits, alignment, last_tick: Duration::ZERO }
    }

    /// A split that is read from now on.
    pub(crate) fn add(&mut self) -> OutputId {
        let id = self.multiplexer.register();
        if let Some(strategy) = &self.strategy {
            let generator = match &strategy.generators {
                Generators::Bounded(delay) => Generator::Bounded(BoundedOutOfOrderness::new(*delay)),
                Generators::Custom(factory) => Generator::Custom(factory()),
            };
            let idleness = strategy.idleness.map(IdlenessTimer::new);
            self.splits.insert(id, SplitWatermark { generator, idleness });
        }
        id
    }

    /// A split that is not read any more.
    pub(crate) fn remove(&mut self, id: OutputId) {
        self.multiplexer.remove(id);
        self.alignment.forget(id);
        self.splits.remove(&id);
    }

    /// Outputs of a split that were emitted, in order. The combined watermark, if it advanced.
    pub(crate) fn on_events(&mut self, id: OutputId, events: &[Stamped<T>]) -> Option<Timestamp> {
        let split = self.splits.get_mut(&id)?;
        let multiplexer = &mut self.multiplexer;
        let mut advanced = None;
        let mut timed = false;
        let stamped = events.iter().filter_map(|event| Some((&event.value, event.timestamp?)));
        match &mut split.generator {
            Generator::Bounded(generator) => stamped.for_each(|(_, timestamp)| {
                generator.observe(timestamp);
                timed = true;
            }),
            Generator::Custom(generator) => stamped.for_each(|(value, timestamp)| {
                timed = true;
                if let Some(watermark) = generator.on_event(value, timestamp) {
                    advanced = multiplexer.immediate(id, watermark).or(advanced);
                }
            }),
        }
        if timed {
            if let Some(idleness) = &mut split.idleness {
                idleness.activity();
            }
            multiplexer.set_active(id);
        }
        advanced
    }

    /// The regular tick, at `now` of the reader's idle clock. `has_waiting` says of which splits records wait. The
    /// combined watermark, if it advanced.
    pub(crate) fn tick(&mut self, now: Duration, has_waiting: impl Fn(OutputId) -> bool) -> Option<Timestamp> {
        let since_last = now.saturating_sub(std::mem::replace(&mut self.last_tick, now));
        for (id, split) in &mut self.splits {
            let watermark = match &mut split.generator {
                Generator::Bounded(generator) => Some(generator.watermark()),
                Generator::Custom(generator) => generator.on_periodic(),
            };
            if let Some(idleness) = &mut split.idleness {
                if self.alignment.is_waiting(*id) || has_waiting(*id) {
                    idleness.stand_still(since_last);
                } else if idleness.check(now) {
                    self.multiplexer.set_idle(*id);
                    continue;
                }
            }
            // Only what is new ends idleness: a periodic generator repeats itself.
            if let Some(watermark) = watermark
                && self.multiplexer.watermark_of(*id).is_some_and(|known| watermark > known)
            {
                self.multiplexer.deferred(*id, watermark);
            }
        }
        self.multiplexer.tick()
    }

    /// The smallest watermark over all subtasks.
    pub(crate) fn align(&mut self, global: Timestamp) {
        self.alignment.set_global(global);
    }

    /// The splits that have to wait for others from now on, and those that need not any longer.
    pub(crate) fn alignment_changes(&mut self) -> AlignmentChanges {
        let Self { splits, multiplexer, alignment, .. } = self;
        alignment.update(splits.keys().filter_map(|id| Some((*id, multiplexer.watermark_of(*id)?))))
    }

    /// Whether nothing here holds the watermark back.
    pub(crate) fn is_idle(&self) -> bool {
        self.multiplexer.is_idle()
    }

    /// Who holds the watermark back.
    pub(crate) fn holding(&self) -> Option<OutputId> {
        self.multiplexer.holding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(times: &[i64]) -> Vec<Stamped<i64>> {
        times.iter().map(|time| Stamped::new(*time, Some(*time))).collect()
    }

    /// Emits the largest value at the tick.
    struct Largest(Option<Timestamp>);

    impl WatermarkGenerator<i64> for Largest {
        fn on_event(&mut self, value: &i64, _timestamp: Timestamp) -> Option<Timestamp> {
            self.0 = self.0.max(Some(*value));
            None
        }

        fn on_periodic(&mut self) -> Option<Timestamp> {
            self.0
        }
    }

    fn largest() -> SplitWatermarks<i64> {
        SplitWatermarks::new(Some(WatermarkStrategy::custom(|| Largest(None))))
    }

    fn tick(watermarks: &mut SplitWatermarks<i64>, now: u64) -> Option<Timestamp> {
        watermarks.tick(Duration::from_millis(now), |_| false)
    }

    #[test]
    fn a47_periodic_watermarks() {
        let mut watermarks = largest();
        let [p7, p13, p21] = [(); 3].map(|()| watermarks.add());
        let emit = |watermarks: &mut SplitWatermarks<i64>, id, times: &[i64]| {
            assert_eq!(watermarks.on_events(id, &events(times)), None, "nothing between ticks");
        };
        emit(&mut watermarks, p7, &[1, 1, 2, 3]);
        emit(&mut watermarks, p13, &[12]);
        emit(&mut watermarks, p21, &[101, 102]);
        assert_eq!(tick(&mut watermarks, 10), Some(3));
        emit(&mut watermarks, p21, &[1003, 1004, 1005]);
        emit(&mut watermarks, p7, &[30]);
        assert_eq!(tick(&mut watermarks, 20), Some(12));
        emit(&mut watermarks, p13, &[13, 14, 15]);
        assert_eq!(tick(&mut watermarks, 30), Some(15));
    }

    #[test]
    fn a48_punctuated_watermarks() {
        let strategy = WatermarkStrategy::punctuated(|value: &i64, _| (value % 3 == 0).then_some(*value));
        let mut watermarks = SplitWatermarks::new(Some(strategy));
        let [p7, p13, p21] = [(); 3].map(|()| watermarks.add());
        let mut on = |id, times: &[i64]| watermarks.on_events(id, &events(times));
        assert_eq!(on(p7, &[1, 2, 2, 2, 3]), None);
        assert_eq!(on(p13, &[12]), None);
        assert_eq!(on(p21, &[101]), None);
        assert_eq!(on(p21, &[102]), Some(3));
        assert_eq!(on(p21, &[1003, 1004, 1005]), None);
        assert_eq!(on(p7, &[30]), Some(12));
        assert_eq!(on(p13, &[13]), None);
        assert_eq!(on(p13, &[14]), None);
        assert_eq!(on(p13, &[15]), Some(15));
    }

    #[test]
    fn a49_no_output_no_watermark() {
        let punctuated = || WatermarkStrategy::punctuated(|value: &i64, _| Some(*value));
        for (strategy, at_once) in [(WatermarkStrategy::custom(|| Largest(None)), false), (punctuated(), true)] {
            let mut watermarks = SplitWatermarks::new(Some(strategy));
            let split = watermarks.add();
            let first = watermarks.on_events(split, &events(&[1, 2, 3]));
            let ticked = tick(&mut watermarks, 10);
            assert_eq!((first, ticked), if at_once { (Some(3), None) } else { (None, Some(3)) });
            assert_eq!(watermarks.on_events(split, &[]), None);
            assert_eq!(tick(&mut watermarks, 20), None);
        }
    }

    #[test]
    fn a50_a_split_that_comes_later() {
        let mut watermarks = largest();
        assert_eq!(tick(&mut watermarks, 10), None);
        let split = watermarks.add();
        watermarks.on_events(split, &events(&[100]));
        assert_eq!(tick(&mut watermarks, 20), Some(100));
    }

    #[test]
    fn w2_values_without_a_time_do_not_reach_the_generator() {
        let mut watermarks = SplitWatermarks::new(Some(WatermarkStrategy::punctuated(|value: &i64, _| Some(*value))));
        let split = watermarks.add();
        assert_eq!(watermarks.on_events(split, &[Stamped::new(5, None)]), None);
    }

    #[test]
    fn w11_a_silent_split_holds_nothing_back_after_its_timeout() {
        let bounded = WatermarkStrategy::monotonous().idleness(Duration::from_millis(10));
        let mut watermarks = SplitWatermarks::new(Some(bounded));
        let (busy, _silent) = (watermarks.add(), watermarks.add());
        let mut seen = Vec::new();
        for now in [5, 10, 16, 20] {
            watermarks.on_events(busy, &events(&[now]));
            seen.push(tick(&mut watermarks, now.cast_unsigned()));
        }
        assert_eq!(seen, [None, None, Some(15), Some(19)]);
        assert!(!watermarks.is_idle());
    }

    #[test]
    fn n13_records_that_wait_are_no_silence() {
        let bounded = WatermarkStrategy::<i64>::monotonous().idleness(Duration::from_millis(10));
        let mut watermarks = SplitWatermarks::new(Some(bounded));
        watermarks.add();
        for now in (0..=100).step_by(5) {
            watermarks.tick(Duration::from_millis(now), |_| true);
        }
        assert!(!watermarks.is_idle());
        for now in (105..=120).step_by(5) {
            watermarks.tick(Duration::from_millis(now), |_| false);
        }
        assert!(watermarks.is_idle());
    }

    #[test]
    fn w9_all_idle_goes_to_the_furthest_and_an_event_ends_it() {
        let bounded = WatermarkStrategy::monotonous().idleness(Duration::from_millis(10));
        let mut watermarks = SplitWatermarks::new(Some(bounded));
        let (near, far) = (watermarks.add(), watermarks.add());
        watermarks.on_events(near, &events(&[3]));
        watermarks.on_events(far, &events(&[6]));
        let seen: Vec<_> = [0, 5, 16, 30].into_iter().filter_map(|now| tick(&mut watermarks, now)).collect();
        assert_eq!((seen, watermarks.is_idle()), (vec![2, 5], true));
        watermarks.on_events(near, &events(&[4]));
        assert!(!watermarks.is_idle());
    }
}
