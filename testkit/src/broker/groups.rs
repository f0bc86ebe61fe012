//! Groups inside the cluster: who waits, and what is due.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};

use super::ErrorCode;
use super::cluster::{Call, Cluster, ConnectionId, Outcome};
use super::group::classic::ClassicGroup;
use super::group::consumer::{ConsumerGroup, Limits};
use super::group::exchange::{Answer, Join, Joined, Speaker, refused};
use super::group::migration::GroupMigration;
use super::handlers::{join_group, sync_group};
use super::request::{Head, Reply};
use super::topics::Refusal;

/// A parked join or sync is looked at again this late, if nothing wakes it before.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// All groups with members, and the connections that wait in them.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) classic: BTreeMap<String, ClassicGroup>,
    pub(crate) consumer: BTreeMap<String, ConsumerGroup>,
    waiting: BTreeMap<ConnectionId, Head>,
    answered: BTreeMap<ConnectionId, Reply>,
    /// No group has anything to do before this.
    next: Option<Instant>,
}

impl Groups {
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Notes when a consumer group has something to do; call after every use of one.
    pub(crate) fn note_due(&mut self, name: &str) {
        let due = self.consumer.get(name).and_then(ConsumerGroup::poll_timeout);
        self.next = [self.next, due].into_iter().flatten().min();
    }

    pub(crate) fn disconnect(&mut self, connection: ConnectionId) {
        self.waiting.remove(&connection);
        self.answered.remove(&connection);
    }

    /// How many members a group has; `None` if there is none with that name.
    pub(crate) fn size(&self, name: &str) -> Option<usize> {
        let consumer = self.consumer.get(name).map(|group| group.members.len());
        consumer.or_else(|| self.classic.get(name).map(|group| group.members.len()))
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.consumer.remove(name);
        self.classic.remove(name);
    }

    /// Whether a member of the group reads this topic. Of classic members what they do not say is taken for a yes.
    pub(crate) fn is_subscribed(&self, name: &str, topic: &str) -> bool {
        if let Some(group) = self.consumer.get(name) {
            return group.is_subscribed(topic);
        }
        self.classic.get(name).is_some_and(|group| group.is_subscribed(topic))
    }

    /// Parks a join or sync.
    pub(crate) fn wait(&mut self, now: Instant, connection: ConnectionId, head: Head) -> Outcome {
        self.waiting.insert(connection, head);
        Outcome::Park { until: now + LOOK_AGAIN }
    }

    /// The answer for a connection that waits in a group; `None` if it does not.
    pub(crate) fn resume(&mut self, now: Instant, connection: ConnectionId) -> Option<Outcome> {
        if let Some(reply) = self.answered.remove(&connection) {
            self.waiting.remove(&connection);
            return Some(Outcome::Reply(reply));
        }
        self.waiting.contains_key(&connection).then_some(Outcome::Park { until: now + LOOK_AGAIN })
    }

    /// Takes the answers a group has for those that wait; returns their connections.
    fn settle(&mut self, name: &str) -> Vec<ConnectionId> {
        let Some(group) = self.classic.get_mut(name) else { return Vec::new() };
        let due = group.poll_timeout();
        self.next = [self.next, due].into_iter().flatten().min();
        let mut woken = Vec::new();
        for (connection, answer) in group.take_answers() {
            let Some(head) = self.waiting.get(&connection).copied() else { continue };
            self.answered.insert(connection, reply(head, answer));
            woken.push(connection);
        }
        woken
    }
}

fn reply(head: Head, answer: Answer) -> Reply {
    match answer {
        Answer::Joined(joined) => head.reply::<JoinGroupResponse>(join_group::response(head.version, joined)),
        Answer::Synced(synced) => head.reply::<SyncGroupResponse>(sync_group::response(head.version, synced)),
    }
}

impl Cluster {
    /// The outcome of a join or sync that waits, unless its own arrival was what the group waited for.
    pub(crate) fn waited(&mut self, now: Instant, connection: ConnectionId, group: &str, outcome: Outcome) -> Outcome {
        self.settle_group(group);
        match outcome {
            Outcome::Park { .. } => self.groups.resume(now, connection).unwrap_or(outcome),
            outcome => outcome,
        }
    }

    /// Wakes those a group has answered; call after every use of a group.
    pub(crate) fn settle_group(&mut self, name: &str) {
        let woken = self.groups.settle(name);
        self.wake_connections(woken);
    }

    /// Does what is due in groups.
    pub(crate) fn tick_groups(&mut self, now: Instant) {
        if self.groups.next.is_none_or(|next| next > now) {
            return;
        }
        self.groups.next = None;
        let names: Vec<String> = self.groups.classic.keys().cloned().collect();
        for name in &names {
            if let Some(group) = self.groups.classic.get_mut(name) {
                group.tick(now);
            }
            self.settle_group(name);
        }
        let names: Vec<String> = self.groups.consumer.keys().cloned().collect();
        for name in &names {
            if let Some(group) = self.groups.consumer.get_mut(name) {
                group.tick(now);
            }
            self.consumers_changed(now, name);
        }
    }

    pub(crate) fn consumer_limits(&self) -> Limits {
        Limits { session_timeout: self.config.consumer_session_timeout, max_size: self.config.group_max_size }
    }

    /// The consumer group a name stands for from now on: a new one, or what its classic group becomes (KIP-848).
    pub(crate) fn upgraded(&self, now: Instant, name: &str) -> Result<ConsumerGroup, Refusal> {
        let Some(classic) = self.groups.classic.get(name).filter(|classic| !classic.members.is_empty()) else {
            return Ok(ConsumerGroup::default());
        };
        let because = |reason: &str| {
            let reason = format!("Cannot upgrade classic group {name} to consumer group because {reason}.");
            Err((ErrorCode::GroupIdNotFound, reason))
        };
        if !self.config.group_migration.upgrades() {
            return because("online upgrade is disabled");
        }
        if classic.members.len() > self.config.group_max_size {
            return because("the group size exceeds the consumer group maximum size");
        }
        ConsumerGroup::from_classic(now, name, classic, &self.topics)
    }

    /// JoinGroup of a group that has members of the consumer protocol.
    pub(crate) fn join_consumers(&mut self, call: &Call, name: &str, join: &Join, fresh_id: String) -> Joined {
        if self.config.group_migration == GroupMigration::Disabled {
            return refused(ErrorCode::InconsistentGroupProtocol, join.member_id.clone());
        }
        let limits = self.consumer_limits();
        let Some(group) = self.groups.consumer.get_mut(name) else {
            return refused(ErrorCode::UnknownMemberId, join.member_id.clone());
        };
        match group.join_classic(call.now, join, &self.topics, limits, fresh_id) {
            Ok((joined, changed)) => {
                // A static member that took a consumer's place may have been the last the group was for.
                self.downgrade(call.now, name, changed);
                self.groups.note_due(name);
                joined
            }
            Err((error, member_id)) => refused(error, member_id),
        }
    }

    /// Call after members of a consumer group may have gone.
    pub(crate) fn consumers_changed(&mut self, now: Instant, name: &str) {
        self.downgrade(now, name, true);
        self.groups.note_due(name);
    }

    /// A consumer group with classic members only becomes a classic group.
    fn downgrade(&mut self, now: Instant, name: &str, rebalances: bool) {
        let may = self.config.group_migration.downgrades();
        let Some(group) = self.groups.consumer.get_mut(name) else { return };
        if !may || !group.is_classic() || group.members.len() > self.config.group_max_size {
            group.stays();
            return;
        }
        let classic = ClassicGroup::from_consumer(now, group, &self.topics, rebalances);
        self.groups.consumer.remove(name);
        self.groups.classic.insert(name.to_owned(), classic);
        self.settle_group(name);
    }

    /// Whether a committer may commit offsets of `group`: `unknown` is the error for a member of a group that is not.
    pub(crate) fn check_commit(
        &mut self,
        call: &Call,
        group: &str,
        speaker: Speaker<'_>,
        transactional: bool,
        unknown: ErrorCode,
    ) -> Result<(), ErrorCode> {
        if let Some(classic) = self.groups.classic.get_mut(group) {
            return classic.commit(call.now, speaker, transactional);
        }
        if let Some(consumer) = self.groups.consumer.get(group) {
            let Speaker { member_id, instance_id, generation } = speaker;
            return consumer.commit(member_id, instance_id, generation, transactional, call.version);
        }
        self.offsets.check(group, speaker.generation, unknown)
    }
}
