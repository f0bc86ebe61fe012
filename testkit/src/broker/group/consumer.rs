//! One group of the consumer protocol (KIP-848): heartbeats in, assignments out (`GroupMetadataManager.java`,
//! `ConsumerGroup.java`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use regex_lite::Regex;
use uuid::Uuid;

use super::super::ErrorCode;
use super::super::topics::{Refusal, Topic};
use super::assignor::{Assignment, Assignor, Subscriber};
use super::reconcile::{AWAY, ConsumerMember, Goal, MemberState, reconcile};

/// Topics of the cluster by name.
type Topics = BTreeMap<String, Topic>;

/// A ConsumerGroupHeartbeat of a member that joins or stays. `None` means unchanged.
#[derive(Debug, Default, Clone)]
pub(crate) struct Beat {
    pub(crate) member_id: String,
    /// 0 to join.
    pub(crate) epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) rebalance_timeout: Option<Duration>,
    pub(crate) topics: Option<BTreeSet<String>>,
    /// Empty removes it.
    pub(crate) regex: Option<String>,
    pub(crate) assignor: Option<Assignor>,
    pub(crate) owned: Option<Assignment>,
}

/// The answer to a [`Beat`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beaten {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    /// `None` if it did not change.
    pub(crate) assignment: Option<Assignment>,
}

/// Limits the cluster sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) session_timeout: Duration,
    pub(crate) max_size: usize,
}

/// One consumer group.
#[derive(Debug, Default)]
pub(crate) struct ConsumerGroup {
    /// Newer than `assignment_epoch` while the target assignment is to be computed anew.
    pub(crate) epoch: i32,
    pub(crate) assignment_epoch: i32,
    pub(crate) members: BTreeMap<String, ConsumerMember>,
    pub(crate) targets: BTreeMap<String, Assignment>,
    /// Subscribed topics with their number of partitions, as they were when the epoch last changed.
    pub(super) shape: BTreeMap<Uuid, i32>,
    /// A member went and left classic ones only: unless the group becomes classic, a new epoch is due.
    pub(super) owes_epoch: bool,
}

fn refuse<T>(error: ErrorCode, reason: impl Into<String>) -> Result<T, Refusal> {
    Err((error, reason.into()))
}

impl ConsumerGroup {
    /// The name ListGroups and ConsumerGroupDescribe use.
    pub(crate) fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().any(|member| !member.is_reconciled_to(self.assignment_epoch)) {
            "Reconciling"
        } else {
            "Stable"
        }
    }

    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.members.values().any(|member| wants(member, topic))
    }

    /// When to call [`tick`](Self::tick) next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.members.values().flat_map(ConsumerMember::deadlines).min()
    }

    /// A member joins (epoch 0) or says it is alive.
    pub(crate) fn heartbeat(
        &mut self,
        now: Instant,
        beat: &Beat,
        topics: &Topics,
        limits: Limits,
    ) -> Result<Beaten, Refusal> {
        self.check_size(beat, limits)?;
        self.check_member(beat)?;
        let regex = read_regex(beat.regex.as_deref())?;
        let before = self.members.get(&self.former(beat)).map(|member| member.assigned.clone()).unwrap_or_default();
        self.settle_in(now, beat, regex, topics, limits);
        let Some(member) = self.members.get_mut(&beat.member_id) else {
            return refuse(ErrorCode::UnknownMemberId, String::new());
        };
        member.classic = None;
        let (epoch, assigned) = (member.epoch, member.assigned.clone());
        let full =
            beat.rebalance_timeout.is_some() && (beat.topics.is_some() || beat.regex.is_some()) && beat.owned.is_some();
        let assignment = (beat.epoch == 0 || full || assigned != before).then_some(assigned);
        Ok(Beaten { member_id: beat.member_id.clone(), epoch, assignment })
    }

    /// Whose place the speaker has: a static member's former self's, or its own.
    fn former(&self, beat: &Beat) -> String {
        let joins = beat.instance_id.as_deref().filter(|_| beat.epoch == 0);
        joins.and_then(|instance| self.member_of(instance)).unwrap_or(&beat.member_id).clone()
    }

    /// Takes over what a member of either protocol says, deals anew if that is due, and moves the member on. True if its
    /// subscription changed.
    pub(super) fn settle_in(
        &mut self,
        now: Instant,
        beat: &Beat,
        regex: Option<Regex>,
        topics: &Topics,
        limits: Limits,
    ) -> bool {
        self.replace_static(beat);
        let resolved = self.resolve_regexes(topics);
        let is_known_regex = self
            .members
            .values()
            .any(|member| member.regex.as_ref().map(|(pattern, _)| pattern) == beat.regex.as_ref());
        let old_assignor = self.preferred_assignor();
        let is_new = !self.members.contains_key(&beat.member_id);
        let member = self.members.entry(beat.member_id.clone()).or_insert_with(|| ConsumerMember::new(now));
        member.session_ends = now + limits.session_timeout;
        let changed = update(member, beat, regex, is_known_regex) || (is_new && self.epoch == 0);
        if changed || resolved || old_assignor != self.preferred_assignor() || self.shape != self.current_shape(topics)
        {
            self.epoch += 1;
            self.shape = self.current_shape(topics);
        }
        self.retarget(topics);
        self.advance(now, beat, topics, changed);
        changed
    }

    /// Looks up what regular expressions match that came since the last heartbeat: Kafka does so beside the requests,
    /// so that the member that brings one is not told yet (`GroupMetadataManager.maybeUpdateRegularExpressions`). True
    /// if there is something new to assign.
    fn resolve_regexes(&mut self, topics: &Topics) -> bool {
        let mut matches = false;
        for member in self.members.values_mut().filter(|member| !member.regex_is_resolved) {
            member.regex_is_resolved = true;
            matches |= member.regex.is_some() && topics.keys().any(|topic| wants(member, topic));
        }
        matches
    }

    pub(super) fn check_size(&self, beat: &Beat, limits: Limits) -> Result<(), Refusal> {
        let known = self.members.contains_key(&beat.member_id)
            || beat.instance_id.as_deref().is_some_and(|instance| self.member_of(instance).is_some());
        if !known && self.members.len() >= limits.max_size {
            let reason = format!("The group already has its maximum of {} members.", limits.max_size);
            return refuse(ErrorCode::GroupMaxSizeReached, reason);
        }
        Ok(())
    }

    pub(super) fn member_of(&self, instance: &str) -> Option<&String> {
        let mut members = self.members.iter();
        members.find(|(_, member)| member.instance_id.as_deref() == Some(instance)).map(|(id, _)| id)
    }

    /// Who may send this heartbeat.
    fn check_member(&self, beat: &Beat) -> Result<(), Refusal> {
        if let Some(instance) = beat.instance_id.as_deref() {
            let owner = self.member_of(instance);
            if beat.epoch != 0 {
                self.check_instance(owner, &beat.member_id, instance)?;
            } else if let Some(member) = owner.and_then(|id| self.members.get(id))
                && member.epoch != AWAY
                && member.classic.is_none()
            {
                let reason = format!("Instance id {instance} is still in use by another member.");
                return refuse(ErrorCode::UnreleasedInstanceId, reason);
            }
        }
        if beat.epoch == 0 {
            return Ok(());
        }
        let Some(member) = self.members.get(&beat.member_id) else {
            return refuse(ErrorCode::UnknownMemberId, format!("There is no member {}.", beat.member_id));
        };
        // The answer that carried the newer epoch may have been lost: then the previous one is good too.
        let lost = beat.epoch < member.epoch
            && beat.epoch == member.previous_epoch
            && beat.owned.as_ref().is_some_and(|owned| is_subset(owned, &member.assigned));
        if beat.epoch == member.epoch || lost {
            return Ok(());
        }
        let reason = format!(
            "Member epoch {} is not {}: the member must give up all partitions and join again.",
            beat.epoch, member.epoch
        );
        refuse(ErrorCode::FencedMemberEpoch, reason)
    }

    fn check_instance(&self, owner: Option<&String>, member_id: &str, instance: &str) -> Result<(), Refusal> {
        match owner {
            None => refuse(ErrorCode::UnknownMemberId, format!("Instance id {instance} is unknown.")),
            Some(owner) if owner != member_id => {
                refuse(ErrorCode::FencedInstanceId, format!("Instance id {instance} belongs to another member."))
            }
            Some(_) => Ok(()),
        }
    }

    /// A static member that comes back takes over what its former self had.
    fn replace_static(&mut self, beat: &Beat) {
        let Some(instance) = beat.instance_id.as_deref().filter(|_| beat.epoch == 0) else { return };
        let Some(old) = self.member_of(instance).cloned() else { return };
        if let Some(mut member) = self.members.remove(&old) {
            (member.epoch, member.previous_epoch) = (0, 0);
            self.members.insert(beat.member_id.clone(), member);
        }
        if let Some(target) = self.targets.remove(&old) {
            self.targets.insert(beat.member_id.clone(), target);
        }
    }

    /// The assignor most members want; the default if none wants any.
    pub(crate) fn preferred_assignor(&self) -> Assignor {
        let votes =
            |assignor: &Assignor| self.members.values().filter(|member| member.assignor == Some(*assignor)).count();
        // Of equals `max_by_key` takes the last: here the default.
        Assignor::ALL.into_iter().rev().max_by_key(votes).unwrap_or(Assignor::Uniform)
    }

    pub(super) fn current_shape(&self, topics: &Topics) -> BTreeMap<Uuid, i32> {
        let wanted = |name: &String| self.members.values().any(|member| wants(member, name));
        let subscribed = topics.iter().filter(|(name, _)| wanted(name));
        subscribed.map(|(_, topic)| (topic.id, topic.partitions.len() as i32)).collect()
    }

    /// Computes the target assignment if the group's epoch went past it.
    fn retarget(&mut self, topics: &Topics) {
        if self.assignment_epoch >= self.epoch {
            return;
        }
        let members: Vec<Subscriber<'_>> = self
            .members
            .iter()
            .map(|(id, member)| Subscriber {
                id,
                instance_id: member.instance_id.as_deref(),
                topics: subscribed(member, topics),
                previous: self.targets.get(id),
            })
            .collect();
        let targets = self.preferred_assignor().assign(&members, &self.shape);
        self.targets = targets;
        self.assignment_epoch = self.epoch;
    }

    /// Reconciles the member that speaks.
    fn advance(&mut self, now: Instant, beat: &Beat, topics: &Topics, changed: bool) {
        let held = self.held_by_others(&beat.member_id);
        let none = Assignment::new();
        let Some(member) = self.members.get_mut(&beat.member_id) else { return };
        if !changed && member.is_reconciled_to(self.assignment_epoch) {
            return;
        }
        let goal = Goal {
            epoch: self.assignment_epoch,
            target: self.targets.get(&beat.member_id).unwrap_or(&none),
            subscribed: &subscribed(member, topics),
            subscription_changed: changed,
            owned: beat.owned.as_ref(),
            held: &held,
        };
        reconcile(member, &goal);
        let waits = member.state == MemberState::UnrevokedPartitions;
        member.rebalance_ends = waits.then(|| member.rebalance_ends.unwrap_or_else(|| now + member.rebalance_timeout));
    }

    /// Partitions other members have, or are to give up.
    pub(super) fn held_by_others(&self, id: &str) -> BTreeSet<(Uuid, i32)> {
        let others = self.members.iter().filter(|(other, _)| *other != id);
        others
            .flat_map(|(_, member)| member.assigned.iter().chain(&member.revoking))
            .flat_map(|(&topic, partitions)| partitions.iter().map(move |&partition| (topic, partition)))
            .collect()
    }

    /// A member leaves: for good, or (`away`, static members only) to come back.
    pub(crate) fn leave(&mut self, member_id: &str, instance_id: Option<&str>, away: bool) -> Result<(), Refusal> {
        if let Some(instance) = instance_id {
            self.check_instance(self.member_of(instance), member_id, instance)?;
        }
        let Some(member) = self.members.get_mut(member_id) else {
            return refuse(ErrorCode::UnknownMemberId, format!("There is no member {member_id}."));
        };
        if away {
            member.epoch = AWAY;
            member.revoking.clear();
            member.rebalance_ends = None;
        } else {
            self.fence(member_id);
        }
        Ok(())
    }

    fn fence(&mut self, member_id: &str) {
        self.members.remove(member_id);
        self.targets.remove(member_id);
        // A group that becomes classic for it keeps its epoch as its generation.
        self.owes_epoch = self.is_classic();
        if !self.owes_epoch {
            self.epoch += 1;
        }
    }

    /// The group does not become classic.
    pub(crate) fn stays(&mut self) {
        if std::mem::take(&mut self.owes_epoch) {
            self.epoch += 1;
        }
    }

    /// Does what is due: members that fell silent, or did not give up in time, are out.
    pub(crate) fn tick(&mut self, now: Instant) {
        let late = |member: &ConsumerMember| member.deadlines().any(|ends| ends <= now);
        let ids: Vec<String> =
            self.members.iter().filter(|(_, member)| late(member)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.fence(&id);
        }
    }

    /// Whether an OffsetCommit (or TxnOffsetCommit) of this member and epoch is accepted.
    pub(crate) fn commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        epoch: i32,
        transactional: bool,
        version: i16,
    ) -> Result<(), ErrorCode> {
        let anonymous = epoch == -1 && member_id.is_empty() && instance_id.is_none();
        if (epoch < 0 && self.members.is_empty()) || (transactional && anonymous) {
            return Ok(());
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        let is_classic = member.classic.is_some();
        if !transactional && !is_classic && version < 9 {
            return Err(ErrorCode::UnsupportedVersion);
        }
        match (epoch == member.epoch, transactional || is_classic) {
            (true, _) => Ok(()),
            (false, false) => Err(ErrorCode::StaleMemberEpoch),
            // Classic members, and TxnOffsetCommit up to v5, know no newer name for it.
            (false, true) => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// Whether an OffsetFetch of this member and epoch is accepted.
    pub(crate) fn fetch_offsets(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        let member_id = match member_id {
            None if epoch < 0 => return Ok(()),
            member_id => member_id.unwrap_or_default(),
        };
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if member.epoch == epoch { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }
}

fn is_subset(part: &Assignment, whole: &Assignment) -> bool {
    part.iter().all(|(topic, partitions)| whole.get(topic).is_some_and(|known| partitions.is_subset(known)))
}

fn read_regex(regex: Option<&str>) -> Result<Option<Regex>, Refusal> {
    let Some(pattern) = regex.filter(|pattern| !pattern.is_empty()) else { return Ok(None) };
    // A topic must match as a whole.
    match Regex::new(&format!("^(?:{pattern})$")) {
        Ok(compiled) => Ok(Some(compiled)),
        Err(error) => {
            refuse(ErrorCode::InvalidRegularExpression, format!("{pattern} is not a regular expression: {error}"))
        }
    }
}

/// Takes over what the heartbeat says; true if the subscription changed. A regular expression the group does not know
/// yet changes nothing before it is resolved.
fn update(member: &mut ConsumerMember, beat: &Beat, regex: Option<Regex>, is_known_regex: bool) -> bool {
    let old_topics = member.topics.clone();
    let old_pattern = member.regex.as_ref().map(|(pattern, _)| pattern.clone());
    member.client_id.clone_from(&beat.client_id);
    if beat.instance_id.is_some() {
        member.instance_id.clone_from(&beat.instance_id);
    }
    if beat.rack_id.is_some() {
        member.rack_id.clone_from(&beat.rack_id);
    }
    if beat.assignor.is_some() {
        member.assignor = beat.assignor;
    }
    member.rebalance_timeout = beat.rebalance_timeout.unwrap_or(member.rebalance_timeout);
    if let Some(topics) = &beat.topics {
        member.topics.clone_from(topics);
    }
    if let Some(pattern) = &beat.regex {
        member.regex = regex.map(|compiled| (pattern.clone(), compiled));
    }
    let new_pattern = member.regex.as_ref().map(|(pattern, _)| pattern);
    let regex_changed = old_pattern.as_ref() != new_pattern;
    if regex_changed {
        member.regex_is_resolved = is_known_regex || new_pattern.is_none();
    }
    old_topics != member.topics || (regex_changed && member.regex_is_resolved)
}

fn wants(member: &ConsumerMember, topic: &str) -> bool {
    let resolved = member.regex.as_ref().filter(|_| member.regex_is_resolved);
    member.topics.contains(topic) || resolved.is_some_and(|(_, regex)| regex.is_match(topic))
}

fn subscribed(member: &ConsumerMember, topics: &Topics) -> BTreeSet<Uuid> {
    topics.iter().filter(|(name, _)| wants(member, name)).map(|(_, topic)| topic.id).collect()
}

#[cfg(test)]
#[path = "consumer_tests.rs"]
mod tests;
