//! What a running job can be asked.
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::contract::{CheckpointId, Timestamp};

/// How far a job is. Counters begin with the process, not with the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineStatus {
    /// Records read.
    pub records_in: u64,
    /// Records written.
    pub records_out: u64,
    /// Records known to be in the input and not read yet.
    pub pending_records: Option<u64>,
    /// The smallest watermark over the subtasks that are not idle; `None`: there is none yet.
    pub watermark: Option<Timestamp>,
    /// The last completed checkpoint.
    pub last_checkpoint: Option<CheckpointId>,
    /// How long it took.
    pub last_checkpoint_duration: Option<Duration>,
    /// How many were completed.
    pub checkpoints_completed: u64,
    /// How many failed.
    pub checkpoints_failed: u64,
    /// Runs between (re)starts, from 0.
    pub attempt: u32,
}

const IDLE: i64 = i64::MAX;
const NONE: i64 = i64::MIN;
const UNKNOWN: u64 = u64::MAX;

/// The counters of one subtask.
#[derive(Debug)]
pub(crate) struct SubtaskStatus {
    pub(crate) records_in: AtomicU64,
    pub(crate) records_out: AtomicU64,
    pending: AtomicU64,
    watermark: AtomicI64,
    is_idle: std::sync::atomic::AtomicBool,
}

impl Default for SubtaskStatus {
    fn default() -> Self {
        Self {
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            pending: AtomicU64::new(UNKNOWN),
            watermark: AtomicI64::new(NONE),
            is_idle: std::sync::atomic::AtomicBool::new(false),
        }
    }
}

impl SubtaskStatus {
    pub(crate) fn set_watermark(&self, watermark: Timestamp) {
        self.watermark.store(watermark, Ordering::Relaxed);
    }

    pub(crate) fn set_idle(&self, is_idle: bool) {
        self.is_idle.store(is_idle, Ordering::Relaxed);
    }

    pub(crate) fn set_pending(&self, pending: Option<u64>) {
        self.pending.store(pending.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    fn pending(&self) -> Option<u64> {
        Some(self.pending.load(Ordering::Relaxed)).filter(|pending| *pending != UNKNOWN)
    }

    fn watermark(&self) -> i64 {
        if self.is_idle.load(Ordering::Relaxed) { IDLE } else { self.watermark.load(Ordering::Relaxed) }
    }
}

/// The smallest watermark over the subtasks that are not idle.
pub(crate) fn global_watermark(subtasks: &[std::sync::Arc<SubtaskStatus>]) -> Option<Timestamp> {
    let smallest = subtasks.iter().map(|s| s.watermark()).min()?;
    (smallest != NONE && smallest != IDLE).then_some(smallest)
}

/// Adds the subtasks up.
pub(crate) fn sum_up(status: &mut PipelineStatus, subtasks: &[std::sync::Arc<SubtaskStatus>]) {
    let sum = |counter: fn(&SubtaskStatus) -> u64| subtasks.iter().map(|s| counter(s)).sum::<u64>();
    status.records_in += sum(|s| s.records_in.load(Ordering::Relaxed));
    status.records_out += sum(|s| s.records_out.load(Ordering::Relaxed));
    status.pending_records = subtasks.iter().map(|s| s.pending()).sum();
    status.watermark = global_watermark(subtasks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn idle_subtasks_do_not_hold_the_watermark() {
        let subtasks: Vec<_> = (0..3).map(|_| Arc::new(SubtaskStatus::default())).collect();
        assert_eq!(global_watermark(&subtasks), None);
        subtasks[0].set_watermark(10);
        subtasks[1].set_watermark(20);
        assert_eq!(global_watermark(&subtasks), None, "the third has said nothing yet");
        subtasks[2].set_idle(true);
        assert_eq!(global_watermark(&subtasks), Some(10));
        subtasks[0].set_idle(true);
        assert_eq!(global_watermark(&subtasks), Some(20));
    }

    #[test]
    fn pending_records_are_unknown_as_long_as_one_subtask_does_not_know() {
        let subtasks: Vec<_> = (0..2).map(|_| Arc::new(SubtaskStatus::default())).collect();
        subtasks[0].set_pending(Some(5));
        let mut status = PipelineStatus::default();
        sum_up(&mut status, &subtasks);
        assert_eq!(status.pending_records, None);
        subtasks[1].set_pending(Some(2));
        sum_up(&mut status, &subtasks);
        assert_eq!(status.pending_records, Some(7));
    }
}
