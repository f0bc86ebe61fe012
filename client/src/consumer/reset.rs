//! Positions that are looked up, lost, cut off or damaged.
use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;

use super::completed_fetch::FetchPosition;
use super::config::AutoOffsetReset;
use super::subscription::{Place, SubscriptionState, known};
use crate::admin::OffsetSpec;
use crate::error::{Error, Remedy, remedy_of};
use crate::metadata::{ClusterSnapshot, Topic};
use crate::types::TopicPartition;
use uuid::Uuid;

/// How long a topic has to be gone until it counts as deleted: one broker alone may not have heard of it yet.
const GONE_AFTER: Duration = Duration::from_secs(2);

impl SubscriptionState {
    /// An offset was looked up. `None`: no record is so young.
    pub(crate) fn looked_up(&mut self, partition: &TopicPartition, stamp: u64, found: Option<(i64, Option<i32>)>) {
        let Some(assigned) = self.partitions.get_mut(partition).filter(|a| a.stamp == stamp) else { return };
        (assigned.failures, assigned.retry_at) = (0, None);
        assigned.place = match found {
            Some((offset, epoch)) => known(FetchPosition { offset, epoch }),
            None => Place::Wanted(OffsetSpec::Latest),
        };
    }

    /// What was fetched cannot be read. It is fetched once more from the position on, after a pause: it may have been
    /// damaged on its way.
    pub(crate) fn corrupt(&mut self, now: Instant, partition: &TopicPartition, stamp: u64, error: Error) {
        let Some(assigned) = self.partitions.get(partition).filter(|a| a.stamp == stamp) else { return };
        let Place::Known { position, .. } = assigned.place else { return };
        let stamp = self.next_stamp;
        self.move_to(partition, known(position));
        self.back_off(now, partition, stamp);
        self.tell(error);
    }

    /// The leader does not have the position: goes where the policy says (`client.md` §7.6). Ignored for a position that
    /// is not the current one any more.
    pub(crate) fn out_of_range(
        &mut self,
        partition: &TopicPartition,
        stamp: u64,
        offset: i64,
        now_ms: i64,
        broker: Option<String>,
    ) {
        let Some(assigned) = self.partitions.get(partition).filter(|a| a.stamp == stamp) else { return };
        let is_current = matches!(assigned.place, Place::Known { fetch_at, .. } if fetch_at.offset == offset);
        // What is buffered in front of it is still good: it comes first.
        if is_current && assigned.buffered == 0 {
            tracing::warn!(%partition, offset, reset = ?self.reset, "the position is not in the log");
            self.lose(partition, offset, now_ms, broker);
        }
    }

    fn lose(&mut self, partition: &TopicPartition, offset: i64, now_ms: i64, broker: Option<String>) {
        let place = match self.reset {
            AutoOffsetReset::Earliest => Place::Wanted(OffsetSpec::Earliest),
            AutoOffsetReset::Latest => Place::Wanted(OffsetSpec::Latest),
            AutoOffsetReset::ByDuration(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                Place::Wanted(OffsetSpec::Timestamp(now_ms.saturating_sub(age)))
            }
            AutoOffsetReset::None => {
                self.tell(Error::OffsetOutOfRange { topic_partition: partition.clone(), offset, broker });
                Place::Lost
            }
        };
        self.move_to(partition, place);
    }

    /// Another position: what is buffered of the old one, or under way, is dropped.
    fn move_to(&mut self, partition: &TopicPartition, place: Place) {
        self.drop_buffered(partition);
        if let Some(assigned) = self.partitions.get_mut(partition) {
            (assigned.place, assigned.stamp, assigned.buffered) = (place, self.next_stamp, 0);
            assigned.is_looked_up = false;
            self.next_stamp += 1;
        }
    }

    /// The log was cut below the position (KIP-595): goes back to where it was cut, or says so.
    pub(crate) fn diverged(
        &mut self,
        partition: &TopicPartition,
        stamp: u64,
        end: FetchPosition,
        broker: Option<String>,
    ) {
        let Some(assigned) = self.partitions.get(partition).filter(|a| a.stamp == stamp) else { return };
        let Place::Known { position, .. } = assigned.place else { return };
        if end.offset >= position.offset {
            // The application has seen nothing of what was lost. The epoch is one that the log knows: it would be told
            // the same again.
            let epoch = position.epoch.min(end.epoch);
            return self.move_to(partition, known(FetchPosition { epoch, ..position }));
        }
        tracing::warn!(%partition, from = position.offset, to = end.offset, "the log was truncated");
        if self.reset != AutoOffsetReset::None {
            self.move_to(partition, known(end));
        } else {
            self.move_to(partition, Place::Lost);
            let (topic_partition, offset) = (partition.clone(), position.offset);
            self.tell(Error::OffsetOutOfRange { topic_partition, offset, broker });
        }
    }

    /// Looks at a new snapshot. In a topic that was deleted and created again the old positions mean nothing; one that was
    /// deleted is told of once, and let be; a topic that may not be read has no partitions to tell so. Whether there is
    /// something to tell.
    pub(crate) fn follow(&mut self, now: Instant, now_ms: i64, cluster: &ClusterSnapshot) -> bool {
        if self.followed.replace(cluster.generation()) == Some(cluster.generation()) {
            return false;
        }
        let (mut recreated, mut refused) = (Vec::new(), Vec::new());
        let mut deleted: Vec<Error> = Vec::new();
        let mut told = None;
        for (partition, assigned) in &mut self.partitions {
            assigned.gone =
                is_gone(cluster.topic(&partition.topic), assigned.topic_id).then(|| *assigned.gone.get_or_insert(now));
            let gone_for = assigned.gone.map(|since| now.saturating_duration_since(since));
            let was_given_up = std::mem::replace(&mut assigned.is_given_up, gone_for.is_some_and(|d| d >= GONE_AFTER));
            if let Some(gone_for) = gone_for.filter(|_| assigned.is_given_up && !was_given_up)
                && told.replace(&partition.topic) != Some(&partition.topic)
            {
                deleted.push(topic_deleted(cluster, &partition.topic, gone_for));
            }
            let Some(topic) = cluster.topic(&partition.topic) else { continue };
            if assigned.topic_id.is_some() && topic.id.is_some() && assigned.topic_id != topic.id {
                assigned.topic_id = None;
                recreated.push(partition.clone());
            }
            if let Some(code) = topic.error.filter(|code| remedy_of(*code) == Remedy::GiveUp) {
                let error = cluster.refusal(code, format!("topic {}", topic.name));
                refused.push((partition.clone(), assigned.stamp, error));
            }
        }
        deleted.into_iter().for_each(|error| self.tell(error));
        for partition in recreated {
            tracing::warn!(%partition, reset = ?self.reset, "the topic was deleted and created again");
            if let Some(position) = self.position(&partition) {
                self.lose(&partition, position.offset, now_ms, None);
            }
        }
        for (partition, stamp, error) in refused {
            self.report(now, &partition, stamp, error);
        }
        !self.errors.is_empty()
    }
}

/// The cluster had the topic, and has it no more.
fn is_gone(topic: Option<&Topic>, read: Option<Uuid>) -> bool {
    match topic {
        Some(topic) => topic.error == Some(ErrorCode::UnknownTopicOrPartition) && !topic.partitions.is_empty(),
        // All topics were asked for, and it is not among them.
        None => read.is_some(),
    }
}

fn topic_deleted(cluster: &ClusterSnapshot, topic: &str, gone_for: Duration) -> Error {
    let subject = format!(
        "topic {topic}, which was there and has been gone for {gone_for:.1?} (nothing is fetched of it until it is there \
         again, and what was not fetched is lost)"
    );
    cluster.refusal(ErrorCode::UnknownTopicOrPartition, subject)
}
