//! The job's function: how many events each key has in each window of event time.
use std::collections::{BTreeMap, HashMap};

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// One event of the input topic, as much of it as counting needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) partition: i32,
    pub(crate) key: Box<[u8]>,
    /// Milliseconds since the epoch.
    pub(crate) time: i64,
}

/// A result: `count` more events of `key` in the window that starts at `window`.
///
/// Results add up. A key whose events lie in several partitions has a result from each, and an event that comes after
/// its window was reported gives a further one: a reader sums them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Count {
    pub(crate) partition: i32,
    pub(crate) window: i64,
    pub(crate) key: Box<[u8]>,
    pub(crate) count: u64,
}

/// Start of the window → partition → key → count.
type Windows = BTreeMap<i64, HashMap<i32, HashMap<Box<[u8]>, u64>>>;

/// Counts per window, partition and key that were not reported yet.
#[derive(Debug)]
pub(crate) struct WindowedCount {
    width: i64,
    open: Windows,
}

impl WindowedCount {
    /// `width` is the length of a window in milliseconds, above 0.
    pub(crate) fn new(width: i64) -> Self {
        Self { width, open: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, event: Event) {
        let window = event.time - event.time.rem_euclid(self.width);
        self.add_count(Count { partition: event.partition, window, key: event.key, count: 1 });
    }

    /// Takes the counts of all windows that end at or before `watermark`.
    pub(crate) fn close_windows(&mut self, watermark: i64) -> Vec<Count> {
        // A watermark w promises that no event with time <= w follows, so window [s, s + width) is complete at s + width - 1.
        let first_open = watermark.saturating_add(2).saturating_sub(self.width);
        let still_open = self.open.split_off(&first_open);
        let closed = std::mem::replace(&mut self.open, still_open);
        rows(&closed).collect()
    }

    pub(crate) fn snapshot(&self) -> Bytes {
        let mut out = BytesMut::new();
        for row in rows(&self.open) {
            out.put_i32(row.partition);
            out.put_i64(row.window);
            out.put_u64(row.count);
            out.put_u32(row.key.len() as u32);
            out.put_slice(&row.key);
        }
        out.freeze()
    }

    /// Takes over the counts of the partitions that `is_mine` says are this subtask's now. `None`: the bytes are damaged.
    pub(crate) fn restore(&mut self, mut state: Bytes, is_mine: impl Fn(i32) -> bool) -> Option<()> {
        while state.has_remaining() {
            let partition = state.try_get_i32().ok()?;
            let window = state.try_get_i64().ok()?;
            let count = state.try_get_u64().ok()?;
            let length = state.try_get_u32().ok()? as usize;
            let key = state.get(..length)?.into();
            state.advance(length);
            if is_mine(partition) {
                self.add_count(Count { partition, window, key, count });
            }
        }
        Some(())
    }

    fn add_count(&mut self, row: Count) {
        let keys = self.open.entry(row.window).or_default().entry(row.partition).or_default();
        *keys.entry(row.key).or_default() += row.count;
    }
}

fn rows(open: &Windows) -> impl Iterator<Item = Count> + '_ {
    open.iter().flat_map(|(&window, partitions)| {
        partitions.iter().flat_map(move |(&partition, keys)| {
            keys.iter().map(move |(key, &count)| Count { partition, window, key: key.clone(), count })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(partition: i32, key: &str, time: i64) -> Event {
        Event { partition, key: key.as_bytes().into(), time }
    }

    #[test]
    fn a_window_is_reported_once_its_last_millisecond_is_below_the_watermark() {
        let mut counts = WindowedCount::new(10);
        for e in [event(0, "a", 0), event(0, "a", 9), event(0, "a", 10)] {
            counts.add(e);
        }
        assert_eq!(counts.close_windows(8), []);
        assert_eq!(counts.close_windows(9), [Count { partition: 0, window: 0, key: b"a"[..].into(), count: 2 }]);
        assert_eq!(
            counts.close_windows(i64::MAX),
            [Count { partition: 0, window: 10, key: b"a"[..].into(), count: 1 }]
        );
    }

    #[test]
    fn restored_counts_go_to_the_owner_of_their_partition_and_to_nobody_else() {
        let mut before = WindowedCount::new(10);
        (0..6).for_each(|p| before.add(event(p, "k", 5)));
        let mut total = 0;
        for subtask in 0..4 {
            let mut after = WindowedCount::new(10);
            after.restore(before.snapshot(), |p| p % 4 == subtask).expect("our own bytes");
            total += after.close_windows(i64::MAX).iter().map(|row| row.count).sum::<u64>();
        }
        assert_eq!(total, 6);
    }

    #[test]
    fn damaged_state_is_refused() {
        let mut counts = WindowedCount::new(10);
        counts.add(event(0, "key", 5));
        let state = counts.snapshot();
        for cut in 1..state.len() {
            assert_eq!(WindowedCount::new(10).restore(state.slice(..cut), |_| true), None, "cut at {cut}");
        }
    }
}
