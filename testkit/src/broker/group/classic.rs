//! One group of the classic protocol: join, sync, heartbeat, leave (`ClassicGroup.java`, `GroupMetadataManager.java`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::ErrorCode;
use super::super::cluster::ConnectionId;
use super::embedded::read_subscription;
use super::exchange::{Answer, Join, Joined, Member, Speaker, Synced, new_member, refused};

/// State of a classic group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl GroupState {
    /// The name ListGroups and DescribeGroups use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// One classic group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    pub(crate) state: GroupState,
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    leader: String,
    pub(crate) members: BTreeMap<String, Member>,
    /// Ids that were given out and are still to join, with the time they expire.
    pending: BTreeMap<String, Instant>,
    /// End of the join phase, or of the sync phase.
    deadline: Option<Instant>,
    initial_delay: Duration,
    answers: Vec<(ConnectionId, Answer)>,
}

impl ClassicGroup {
    pub(crate) fn new(initial_delay: Duration) -> Self {
        Self {
            state: GroupState::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            deadline: None,
            initial_delay,
            answers: Vec::new(),
        }
    }

    /// Answers for connections that waited; call after every other call.
    pub(crate) fn take_answers(&mut self) -> Vec<(ConnectionId, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// Whether a member reads this topic, as far as its subscription can be read.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.members.values().any(|member| {
            let read = read_subscription(&member.metadata(&self.protocol));
            self.protocol_type != "consumer" || read.is_none_or(|read| read.topics.contains(topic))
        })
    }

    /// When to call [`tick`](Self::tick) next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self.members.values().filter(|member| member.joining.is_none()).map(|member| member.expires);
        sessions.chain(self.pending.values().copied()).chain(self.deadline).min()
    }

    /// Whether a member may join a group of at most `most` (`ClassicGroup.acceptJoiningMember`).
    pub(crate) fn has_room(&self, member_id: &str, instance_id: Option<&str>, most: usize) -> bool {
        let member = self.members.get(member_id);
        let returns = instance_id.is_some_and(|instance| self.member_of(instance).is_some());
        match self.state {
            GroupState::Empty => true,
            GroupState::PreparingRebalance => {
                let waiting = self.members.values().filter(|member| member.joining.is_some()).count();
                returns || member.is_some_and(|member| member.joining.is_some()) || waiting < most
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                returns || member.is_some() || self.members.len() < most
            }
        }
    }

    /// JoinGroup: an answer at once, or `None` if the join waits for the other members. `fresh_id` is a member id
    /// nobody has.
    pub(crate) fn join(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        join: &Join,
        fresh_id: String,
    ) -> Option<Joined> {
        match self.try_join(now, connection, join, fresh_id) {
            Ok(answer) => answer,
            Err((error, member_id)) => Some(refused(error, member_id)),
        }
    }

    fn try_join(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        join: &Join,
        fresh_id: String,
    ) -> Result<Option<Joined>, (ErrorCode, String)> {
        let refuse = |error| Err((error, join.member_id.clone()));
        if !self.supports(join) {
            return refuse(ErrorCode::InconsistentGroupProtocol);
        }
        if let Some(instance) = &join.instance_id {
            let known = self.member_of(instance);
            return match known {
                Some(old) if join.member_id.is_empty() => {
                    Ok(self.replace_static(now, connection, join, &old, fresh_id))
                }
                Some(old) if old != join.member_id => refuse(ErrorCode::FencedInstanceId),
                Some(_) => Ok(self.rejoin(now, connection, join)),
                None if join.member_id.is_empty() => Ok(self.enter(now, connection, join, fresh_id)),
                None => refuse(ErrorCode::UnknownMemberId),
            };
        }
        if join.member_id.is_empty() {
            if join.id_required {
                self.pending.insert(fresh_id.clone(), now + join.session_timeout);
                return Err((ErrorCode::MemberIdRequired, fresh_id));
            }
            return Ok(self.enter(now, connection, join, fresh_id));
        }
        if self.pending.remove(&join.member_id).is_some() {
            return Ok(self.enter(now, connection, join, join.member_id.clone()));
        }
        match self.members.get(&join.member_id) {
            None => refuse(ErrorCode::UnknownMemberId),
            Some(member) if member.instance_id.is_some() => refuse(ErrorCode::FencedInstanceId),
            Some(_) => Ok(self.rejoin(now, connection, join)),
        }
    }

    /// The protocol type must be the group's, and one protocol common to all members.
    fn supports(&self, join: &Join) -> bool {
        if join.protocol_type.is_empty() || join.protocols.is_empty() {
            return false;
        }
        let others: Vec<&Member> = self
            .members
            .iter()
            .filter(|(id, member)| {
                **id != join.member_id && (join.instance_id.is_none() || member.instance_id != join.instance_id)
            })
            .map(|(_, member)| member)
            .collect();
        if others.is_empty() {
            return true;
        }
        let common =
            |name: &String| others.iter().all(|member| member.protocols.iter().any(|(known, _)| known == name));
        self.protocol_type == join.protocol_type && join.protocols.iter().any(|(name, _)| common(name))
    }

    fn member_of(&self, instance: &str) -> Option<String> {
        let mut members = self.members.iter();
        members.find(|(_, member)| member.instance_id.as_deref() == Some(instance)).map(|(id, _)| id.clone())
    }

    /// A new member.
    fn enter(&mut self, now: Instant, connection: ConnectionId, join: &Join, id: String) -> Option<Joined> {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&join.protocol_type);
        }
        if self.leader.is_empty() {
            self.leader.clone_from(&id);
        }
        self.members.insert(id, new_member(now, connection, join));
        self.prepare(now);
        self.complete_join_if_ready(now);
        None
    }

    /// A member that joins again.
    fn rejoin(&mut self, now: Instant, connection: ConnectionId, join: &Join) -> Option<Joined> {
        let id = &join.member_id;
        let changed = self.members.get(id).is_none_or(|member| member.protocols != join.protocols);
        let repeats = match self.state {
            GroupState::CompletingRebalance => !changed,
            GroupState::Stable => !changed && *id != self.leader,
            GroupState::Empty | GroupState::PreparingRebalance => false,
        };
        if repeats {
            return Some(self.joined(id));
        }
        let member = self.members.get_mut(id)?;
        member.protocols.clone_from(&join.protocols);
        member.session_timeout = join.session_timeout;
        member.rebalance_timeout = join.rebalance_timeout;
        member.joining = Some(connection);
        self.prepare(now);
        self.complete_join_if_ready(now);
        None
    }

    /// A static member that restarted: it takes over what its former self had, without a rebalance if nothing changed
    /// (KIP-345).
    fn replace_static(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        join: &Join,
        old: &str,
        id: String,
    ) -> Option<Joined> {
        let former = self.members.remove(old)?;
        for waiting in [former.joining, former.syncing].into_iter().flatten() {
            let answer = match former.joining {
                Some(_) => Answer::Joined(refused(ErrorCode::FencedInstanceId, old.to_owned())),
                None => Answer::Synced(Err(ErrorCode::FencedInstanceId)),
            };
            self.answers.push((waiting, answer));
        }
        let led = self.leader == old;
        if led {
            self.leader.clone_from(&id);
        }
        let unchanged = former.protocols == join.protocols;
        let mut member = new_member(now, connection, join);
        member.assignment = former.assignment;
        if self.state == GroupState::Stable && unchanged {
            member.joining = None;
            self.members.insert(id.clone(), member);
            let mut joined = self.joined(&id);
            if led && join.may_skip_assignment {
                joined.skip_assignment = true;
            } else if led {
                // An old client that saw itself as leader would assign anew: it is told that nobody it knows leads.
                joined.leader = old.to_owned();
                joined.members.clear();
            }
            return Some(joined);
        }
        self.members.insert(id, member);
        self.prepare(now);
        self.complete_join_if_ready(now);
        None
    }

    fn joined(&self, id: &str) -> Joined {
        let members = if id == self.leader {
            let listed = |(id, member): (&String, &Member)| {
                (id.clone(), member.instance_id.clone(), member.metadata(&self.protocol))
            };
            self.members.iter().map(listed).collect()
        } else {
            Vec::new()
        };
        Joined {
            error: None,
            member_id: id.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            skip_assignment: false,
            members,
        }
    }

    /// The group as it was under the other protocol has a leader and a protocol again.
    pub(super) fn settle_protocol(&mut self) {
        self.leader = self.members.keys().next().cloned().unwrap_or_default();
        self.protocol = self.vote();
    }

    /// The group changes its protocol: who waits is to join again.
    pub(crate) fn interrupt(&mut self) {
        for (id, member) in &mut self.members {
            if let Some(connection) = member.joining.take() {
                let refused = refused(ErrorCode::RebalanceInProgress, id.clone());
                self.answers.push((connection, Answer::Joined(refused)));
            }
            if let Some(connection) = member.syncing.take() {
                self.answers.push((connection, Answer::Synced(Err(ErrorCode::RebalanceInProgress))));
            }
        }
    }

    /// Begins a rebalance, unless one has begun.
    pub(super) fn prepare(&mut self, now: Instant) {
        if self.state == GroupState::PreparingRebalance {
            return;
        }
        for member in self.members.values_mut() {
            if let Some(connection) = member.syncing.take() {
                self.answers.push((connection, Answer::Synced(Err(ErrorCode::RebalanceInProgress))));
            }
        }
        let first = self.state == GroupState::Empty && !self.initial_delay.is_zero();
        let wait = if first { self.initial_delay } else { self.rebalance_timeout() };
        self.deadline = Some(now + wait);
        self.state = GroupState::PreparingRebalance;
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn complete_join_if_ready(&mut self, now: Instant) {
        let all_joined = self.members.values().all(|member| member.joining.is_some()) && self.pending.is_empty();
        // The first rebalance waits its delay out, so that members that start together join together (KIP-134).
        let delayed = self.generation == 0
            && self.deadline.is_some_and(|deadline| now < deadline)
            && !self.initial_delay.is_zero();
        if self.state == GroupState::PreparingRebalance && all_joined && !delayed {
            self.complete_join(now);
        }
    }

    /// Ends the join phase: who has not joined is out (static members stay), a generation begins.
    fn complete_join(&mut self, now: Instant) {
        self.members.retain(|_, member| member.joining.is_some() || member.instance_id.is_some());
        self.generation += 1;
        if self.members.is_empty() {
            self.become_empty();
            return;
        }
        if self.members.get(&self.leader).is_none_or(|leader| leader.joining.is_none()) {
            let next = self.members.iter().find(|(_, member)| member.joining.is_some()).map(|(id, _)| id.clone());
            self.leader = next.unwrap_or_default();
        }
        self.protocol = self.vote();
        self.state = GroupState::CompletingRebalance;
        self.deadline = Some(now + self.rebalance_timeout());
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.assignment = Bytes::new();
            member.expires = now + member.session_timeout;
            if let Some(connection) = member.joining.take() {
                self.answers.push((connection, Answer::Joined(joined)));
            }
        }
    }

    fn become_empty(&mut self) {
        self.state = GroupState::Empty;
        self.deadline = None;
        self.leader.clear();
        self.protocol.clear();
    }

    /// Each member votes for its first protocol that all support.
    fn vote(&self) -> String {
        let common =
            |name: &str| self.members.values().all(|member| member.protocols.iter().any(|(known, _)| known == name));
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| common(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|&(_, count)| count).map_or_else(String::new, |(name, _)| name.to_owned())
    }

    /// Checks who speaks; every request after the join does this first.
    fn check(&self, speaker: Speaker<'_>) -> Result<(), ErrorCode> {
        if let Some(owner) = speaker.instance_id.map(|instance| self.member_of(instance)) {
            match owner {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(owner) if owner != speaker.member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if !self.members.contains_key(speaker.member_id) {
            return Err(ErrorCode::UnknownMemberId);
        }
        if speaker.generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// SyncGroup: an answer at once, or `Ok(None)` if it waits for the leader's assignment.
    pub(crate) fn sync(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        speaker: Speaker<'_>,
        assignments: Vec<(String, Bytes)>,
    ) -> Result<Option<Synced>, ErrorCode> {
        self.check(speaker)?;
        self.touch(now, speaker.member_id);
        match self.state {
            GroupState::Empty => return Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => return Err(ErrorCode::RebalanceInProgress),
            GroupState::Stable => return Ok(Some(self.synced(speaker.member_id))),
            GroupState::CompletingRebalance => {}
        }
        if speaker.member_id != self.leader {
            if let Some(member) = self.members.get_mut(speaker.member_id) {
                member.syncing = Some(connection);
            }
            return Ok(None);
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.state = GroupState::Stable;
        self.deadline = None;
        let waiting: Vec<_> =
            self.members.iter_mut().filter_map(|(id, member)| Some((id.clone(), member.syncing.take()?))).collect();
        for (id, connection) in waiting {
            let synced = self.synced(&id);
            self.answers.push((connection, Answer::Synced(Ok(synced))));
        }
        Ok(Some(self.synced(speaker.member_id)))
    }

    fn synced(&self, id: &str) -> Synced {
        let assignment = self.members.get(id).map_or_else(Bytes::new, |member| member.assignment.clone());
        Synced { protocol_type: self.protocol_type.clone(), protocol: self.protocol.clone(), assignment }
    }

    fn touch(&mut self, now: Instant, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.expires = now + member.session_timeout;
        }
    }

    pub(crate) fn heartbeat(&mut self, now: Instant, speaker: Speaker<'_>) -> Result<(), ErrorCode> {
        self.check(speaker)?;
        self.touch(now, speaker.member_id);
        if self.state == GroupState::PreparingRebalance { Err(ErrorCode::RebalanceInProgress) } else { Ok(()) }
    }

    /// Whether a commit of this speaker is accepted (`validateOffsetCommit`); `transactional` ones may be anonymous
    /// and are accepted during a rebalance.
    pub(crate) fn commit(&mut self, now: Instant, speaker: Speaker<'_>, transactional: bool) -> Result<(), ErrorCode> {
        let anonymous = speaker.member_id.is_empty() && speaker.instance_id.is_none();
        if speaker.generation < 0 && (self.members.is_empty() || (transactional && anonymous)) {
            return Ok(());
        }
        self.check(speaker)?;
        self.touch(now, speaker.member_id);
        if self.state == GroupState::CompletingRebalance && !transactional {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// One member of a LeaveGroup request; static members may be named by instance only.
    pub(crate) fn leave(&mut self, now: Instant, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        let id = match instance_id.map(|instance| self.member_of(instance)) {
            Some(None) => return Err(ErrorCode::UnknownMemberId),
            Some(Some(owner)) if !member_id.is_empty() && owner != member_id => {
                return Err(ErrorCode::FencedInstanceId);
            }
            Some(Some(owner)) => owner,
            None => member_id.to_owned(),
        };
        if self.pending.remove(&id).is_some() {
            self.complete_join_if_ready(now);
            return Ok(());
        }
        if !self.members.contains_key(&id) {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.remove(now, &id);
        Ok(())
    }

    fn remove(&mut self, now: Instant, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(connection) = member.joining {
            self.answers.push((connection, Answer::Joined(refused(ErrorCode::UnknownMemberId, id.to_owned()))));
        }
        if let Some(connection) = member.syncing {
            self.answers.push((connection, Answer::Synced(Err(ErrorCode::UnknownMemberId))));
        }
        if self.leader == id {
            self.leader = self.members.keys().next().cloned().unwrap_or_default();
        }
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare(now),
            GroupState::Empty | GroupState::PreparingRebalance => {}
        }
        self.complete_join_if_ready(now);
    }

    /// Does what is due: sessions end, rebalances complete.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.pending.retain(|_, expires| *expires > now);
        let expired: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_none() && member.expires <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            self.remove(now, &id);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            match self.state {
                GroupState::PreparingRebalance => self.complete_join(now),
                GroupState::CompletingRebalance => self.expire_sync(now),
                GroupState::Empty | GroupState::Stable => self.deadline = None,
            }
        }
        self.complete_join_if_ready(now);
    }

    /// The sync phase is over: members that did not sync are out, the rest rebalance.
    fn expire_sync(&mut self, now: Instant) {
        let late: Vec<String> =
            self.members.iter().filter(|(_, member)| member.syncing.is_none()).map(|(id, _)| id.clone()).collect();
        self.deadline = None;
        for id in late {
            self.remove(now, &id);
        }
    }
}

#[cfg(test)]
#[path = "classic_tests.rs"]
mod tests;
