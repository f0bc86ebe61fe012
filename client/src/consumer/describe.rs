//! A consumer in words.
use std::fmt::Write;
use std::time::Instant;

use super::Shared;
use super::subscription::{Assigned, Place, SubscriptionState};
use crate::client::Describe;
use crate::types::TopicPartition;

/// Partitions with a line of their own.
const MANY: usize = 50;

impl Describe for Shared {
    fn describe(&self, out: &mut String, now: Instant) {
        let group = self.config.group_id.as_ref().map(|group| format!(" of group {group}")).unwrap_or_default();
        let name = format!("{}{group}", self.client.client_id(self.lane));
        self.lock().describe(&name, out, now);
    }
}

impl SubscriptionState {
    /// What is read, how far it is, and what waits for `poll`; where something is amiss comes first.
    fn describe(&self, name: &str, out: &mut String, now: Instant) {
        let (count, bytes, budget) = (self.partitions.len(), self.buffered_bytes, self.budget);
        let _ = write!(out, "\n  consumer {name}: {count} partitions, {bytes} of {budget} bytes buffered for poll");
        if !self.errors.is_empty() {
            let _ = write!(out, ", {} errors not taken yet", self.errors.len());
        }
        let mut partitions: Vec<_> = self.partitions.iter().collect();
        partitions.sort_by_key(|(_, assigned)| !assigned.is_amiss());
        for (partition, assigned) in partitions.iter().take(MANY) {
            let _ = write!(out, "\n    {partition}: {}", self.text_of(partition, assigned, now));
        }
        if count > MANY {
            let _ = write!(out, "\n    and {} more", count - MANY);
        }
    }

    fn text_of(&self, partition: &TopicPartition, assigned: &Assigned, now: Instant) -> String {
        let mut text = match assigned.place {
            Place::Known { position, .. } => format!("at {}", position.offset),
            Place::Wanted(spec) => format!("its position is being looked up ({spec:?})"),
            Place::Lost => "its position is not in the log, waiting for a seek".to_owned(),
        };
        if let Place::Known { fetch_at, .. } = assigned.place
            && assigned.buffered > 0
        {
            let _ = write!(text, ", {} fetches buffered up to {}", assigned.buffered, fetch_at.offset);
        }
        if let Some(lag) = self.lag(partition) {
            let _ = write!(text, ", {lag} behind");
        }
        if assigned.is_paused {
            text.push_str(", paused");
        }
        if let Some(broker) = assigned.in_flight {
            let _ = write!(text, ", asked of broker {broker}");
        }
        if let Some(since) = assigned.gone {
            let _ = write!(text, ", its topic is gone for {:.1?}", now.saturating_duration_since(since));
        }
        if let Some(at) = assigned.retry_at.filter(|_| assigned.failures > 0) {
            let wait = at.saturating_duration_since(now);
            let _ = write!(text, ", {} failures in a row, the next attempt in {wait:.1?}", assigned.failures);
        }
        if let Some(told) = &assigned.told {
            let _ = write!(text, "; {told}");
        }
        text
    }
}

impl Assigned {
    fn is_amiss(&self) -> bool {
        let is_known = matches!(self.place, Place::Known { .. });
        !is_known || self.failures > 0 || self.told.is_some() || self.gone.is_some()
    }
}
