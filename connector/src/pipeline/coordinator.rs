//! When checkpoints are taken, and how far the running one is. One runs at a time, from its trigger until its commits are
//! final (J3).
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::checkpoint::{Checkpoint, Section};
use crate::contract::{CheckpointId, Timestamp};
use crate::error::{Error, Result};

/// How checkpoints are taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckpointConfig {
    /// From one trigger to the next. Default: 10 s.
    pub interval: Duration,
    /// A checkpoint that takes longer is aborted. Default: 600 s.
    pub timeout: Duration,
    /// From the end of one to the trigger of the next, at least. Default: 0.
    pub min_pause: Duration,
    /// How many may fail in a row before the job does. Default: 0.
    pub tolerated_failures: u32,
    /// How many checkpoints are kept. Default: 3.
    pub keep: usize,
    /// What happens when the newest checkpoint cannot be read. Default: the job fails.
    pub on_corrupt: OnCorrupt,
}

/// What happens when the newest checkpoint cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCorrupt {
    /// The job fails.
    #[default]
    Fail,
    /// It starts from the one before, with a warning: output may repeat.
    Previous,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(600),
            min_pause: Duration::ZERO,
            tolerated_failures: 0,
            keep: 3,
            on_corrupt: OnCorrupt::Fail,
        }
    }
}

impl CheckpointConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        let positive = [("interval", self.interval), ("timeout", self.timeout)];
        match positive.into_iter().find(|(_, value)| value.is_zero()) {
            Some((name, _)) => Err(Error::config(format!("the checkpoint {name} must be above 0"))),
            None if self.keep == 0 => {
                Err(Error::config("keep must be at least 1: without a checkpoint nothing is restored"))
            }
            None => Ok(()),
        }
    }
}

/// The checkpoints of one attempt.
#[derive(Debug)]
pub(crate) struct CheckpointCoordinator {
    config: CheckpointConfig,
    job: String,
    parallelism: u32,
    next_id: CheckpointId,
    next_trigger: Instant,
    running: Option<Running>,
    failures: u32,
}

#[derive(Debug)]
struct Running {
    id: CheckpointId,
    started: Instant,
    enumerator: Section,
    parts: BTreeMap<u32, Vec<Section>>,
    phase: Phase,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Collecting,
    Writing,
    /// These subtasks have not committed yet.
    Committing(BTreeSet<u32>),
}

impl CheckpointCoordinator {
    /// `largest`: the largest id ever used.
    pub(crate) fn new(
        config: CheckpointConfig,
        (job, parallelism): (&str, u32),
        largest: Option<CheckpointId>,
        now: Instant,
    ) -> Self {
        let next_id = CheckpointId(largest.map_or(1, |id| id.0 + 1));
        let next_trigger = now + config.interval;
        let job = job.to_owned();
        Self { config, job, parallelism, next_id, next_trigger, running: None, failures: 0 }
    }

    /// Whether one runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The time of the next trigger has come, and none runs.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.running.is_none() && now >= self.next_trigger
    }

    /// Begins a checkpoint.
    pub(crate) fn trigger(&mut self, now: Instant, enumerator: impl FnOnce(CheckpointId) -> Section) -> CheckpointId {
        let id = self.next_id;
        self.next_id = CheckpointId(id.0 + 1);
        self.next_trigger = now + self.config.interval;
        let enumerator = enumerator(id);
        self.running = Some(Running { id, started: now, enumerator, parts: BTreeMap::new(), phase: Phase::Collecting });
        id
    }

    /// Takes the part of a subtask; the whole checkpoint with the last one.
    pub(crate) fn acknowledge(
        &mut self,
        subtask: u32,
        id: CheckpointId,
        sections: Vec<Section>,
        created: Timestamp,
    ) -> Option<Checkpoint> {
        let running = self.running.as_mut().filter(|r| r.id == id && r.phase == Phase::Collecting)?;
        running.parts.insert(subtask, sections);
        if running.parts.len() < self.parallelism as usize {
            return None;
        }
        running.phase = Phase::Writing;
        let parts = std::mem::take(&mut running.parts);
        let sections = std::iter::once(running.enumerator.clone()).chain(parts.into_values().flatten()).collect();
        Some(Checkpoint { id, created, job: self.job.clone(), parallelism: self.parallelism, sections })
    }

    /// It is durable: commits begin.
    pub(crate) fn written(&mut self) -> Option<CheckpointId> {
        let running = self.running.as_mut()?;
        running.phase = Phase::Committing((0..self.parallelism).collect());
        Some(running.id)
    }

    /// A subtask has committed; how long the checkpoint took, with the last one.
    pub(crate) fn committed(&mut self, now: Instant, subtask: u32, id: CheckpointId) -> Option<Duration> {
        let running = self.running.as_mut().filter(|r| r.id == id)?;
        let Phase::Committing(left) = &mut running.phase else { return None };
        left.remove(&subtask);
        if !left.is_empty() {
            return None;
        }
        let took = now.saturating_duration_since(running.started);
        self.running = None;
        self.failures = 0;
        self.next_trigger = self.next_trigger.max(now + self.config.min_pause);
        Some(took)
    }

    /// The running checkpoint failed: it is aborted everywhere. `Err`: too many did.
    pub(crate) fn fail(&mut self, now: Instant, id: CheckpointId, error: Error) -> Result<Option<CheckpointId>> {
        if self.running.as_ref().is_none_or(|r| r.id != id) {
            return Ok(None);
        }
        self.running = None;
        self.failures += 1;
        self.next_trigger = now + self.config.interval;
        if self.failures > self.config.tolerated_failures {
            return Err(error);
        }
        tracing::warn!(%id, %error, "a checkpoint failed");
        Ok(Some(id))
    }

    /// The running checkpoint, when it takes too long. Once it is durable it is only a matter of commits.
    pub(crate) fn timed_out(&self, now: Instant) -> Option<(CheckpointId, Error)> {
        let running = self.running.as_ref().filter(|r| !matches!(r.phase, Phase::Committing(_)))?;
        (now.saturating_duration_since(running.started) >= self.config.timeout).then(|| {
            let missing = (0..self.parallelism).filter(|s| !running.parts.contains_key(s)).collect::<Vec<_>>();
            let reason = format!(
                "it took longer than {:?}; subtasks {missing:?} have not answered: they are slow, or wait for Kafka",
                self.config.timeout
            );
            (running.id, Error::CheckpointFailed { id: running.id, reason })
        })
    }

    /// When to look again.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.running.as_ref().map_or(self.next_trigger, |r| r.started + self.config.timeout)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use super::super::checkpoint::SectionKind;
    use super::*;
    use bytes::Bytes;

    fn start() -> Instant {
        Instant::now()
    }

    fn section(subtask: u32) -> Section {
        Section { kind: SectionKind::Split, subtask, version: 1, bytes: Bytes::new() }
    }

    fn coordinator(now: Instant, tolerated_failures: u32) -> CheckpointCoordinator {
        let config = CheckpointConfig { tolerated_failures, ..CheckpointConfig::default() };
        CheckpointCoordinator::new(config, ("j", 2), Some(CheckpointId(41)), now)
    }

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn j3_a_checkpoint_runs_from_its_trigger_until_its_commits_are_final() {
        let now = start();
        let mut coordinator = coordinator(now, 0);
        assert!(!coordinator.is_due(now) && coordinator.is_due(now + INTERVAL));
        let id = coordinator.trigger(now + INTERVAL, |_| section(0));
        assert_eq!(id, CheckpointId(42), "ids go on from the largest ever seen");
        assert_eq!(coordinator.acknowledge(1, id, vec![section(1)], 0), None);
        assert_eq!(coordinator.acknowledge(1, CheckpointId(7), vec![], 0), None, "another checkpoint's");
        let checkpoint = coordinator.acknowledge(0, id, vec![section(0)], 5).unwrap();
        assert_eq!(checkpoint.sections.len(), 3);
        assert!(!coordinator.is_due(now + 5 * INTERVAL));
        assert_eq!(coordinator.written(), Some(id));
        assert_eq!(coordinator.committed(now + 2 * INTERVAL, 0, id), None);
        assert_eq!(coordinator.committed(now + 2 * INTERVAL, 0, id), None, "twice is once");
        assert_eq!(coordinator.committed(now + 3 * INTERVAL, 1, id), Some(2 * INTERVAL));
        assert!(coordinator.is_due(now + 3 * INTERVAL));
    }

    fn failure(coordinator: &mut CheckpointCoordinator, now: Instant) -> Result<Option<CheckpointId>> {
        let id = coordinator.trigger(now, |_| section(0));
        coordinator.fail(now, id, Error::config("test"))
    }

    #[test]
    fn j4_failures_in_a_row_are_tolerated_up_to_a_number() {
        let now = start();
        assert!(failure(&mut coordinator(now, 0), now).is_err());
        let mut patient = coordinator(now, 2);
        assert!(failure(&mut patient, now).is_ok() && failure(&mut patient, now).is_ok());
        let id = patient.trigger(now, |_| section(0));
        for subtask in 0..2 {
            patient.acknowledge(subtask, id, vec![], 0);
        }
        patient.written();
        patient.committed(now, 0, id);
        assert!(patient.committed(now, 1, id).is_some(), "a success begins the count anew");
        assert!(failure(&mut patient, now).is_ok() && failure(&mut patient, now).is_ok());
        assert!(failure(&mut patient, now).is_err());
    }

    #[test]
    fn n33_a_checkpoint_that_takes_too_long_names_who_is_missing() {
        let now = start();
        let mut coordinator = coordinator(now, 0);
        let id = coordinator.trigger(now, |_| section(0));
        coordinator.acknowledge(0, id, vec![], 0);
        assert!(coordinator.timed_out(now + Duration::from_secs(599)).is_none());
        let (late, error) = coordinator.timed_out(now + Duration::from_secs(600)).unwrap();
        assert_eq!(late, id);
        assert!(error.to_string().contains("subtasks [1]"), "{error}");
    }
}
