//! The job itself: how events become counts, and counts records.
use bytes::Bytes;
use ottla_connector::{Error, Function, Job, Output, RecordBuffer, Result, Stamped, Timestamp};

use crate::count::{Count, Event, WindowedCount};
use crate::verify::result_text;

/// Counts the events of one subtask.
pub(crate) struct CountEvents {
    counts: WindowedCount,
    subtask: u32,
    parallelism: u32,
}

impl CountEvents {
    pub(crate) fn new(job: &Job, window_ms: i64) -> Self {
        Self { counts: WindowedCount::new(window_ms), subtask: job.subtask, parallelism: job.parallelism }
    }
}

impl Function for CountEvents {
    type In = Event;
    type Out = Count;

    fn process(&mut self, record: Stamped<Event>, _out: &mut Output<Count>) -> Result<()> {
        self.counts.add(record.value);
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp, out: &mut Output<Count>) -> Result<()> {
        for count in self.counts.close_windows(watermark) {
            let time = count.window;
            out.emit(count, Some(time));
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Bytes {
        self.counts.snapshot()
    }

    fn restore(&mut self, states: Vec<Bytes>) -> Result<()> {
        let (subtask, parallelism) = (self.subtask, self.parallelism);
        for state in states {
            let is_mine = |partition: i32| partition.unsigned_abs() % parallelism == subtask;
            self.counts.restore(state, is_mine).ok_or_else(|| Error::function("the state of the counts is damaged"))?;
        }
        Ok(())
    }
}

/// A count as a record: the key of its events, and a value that any tool can read.
pub(crate) fn write_count(count: &Count, _time: Option<Timestamp>, record: &mut RecordBuffer) -> Result<bool> {
    record.key(&count.key).value(result_text(count.partition, count.window, count.count).as_bytes());
    Ok(true)
}
