//! Members of both protocols in one group (KIP-848): a classic group becomes a consumer group when the first member of
//! the new protocol joins, serves its classic members through JoinGroup, SyncGroup and Heartbeat, and becomes classic
//! again when the last member of the new protocol is gone (`GroupMetadataManager.java`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::ErrorCode;
use super::super::topics::{Refusal, Topic};
use super::assignor::Assignment;
use super::classic::{ClassicGroup, GroupState};
use super::consumer::{Beat, ConsumerGroup, Limits};
use super::embedded::{by_id, read_assignment, read_subscription, write_assignment};
use super::exchange::{Join, Joined, Member, Speaker, Synced};
use super::reconcile::{ConsumerMember, MemberState};

/// Topics of the cluster by name.
type Topics = BTreeMap<String, Topic>;

/// The protocol type of consumers.
pub(crate) const CONSUMER: &str = "consumer";

/// `group.consumer.migration.policy`: whether a group that has members may change its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GroupMigration {
    /// Both ways.
    #[default]
    Bidirectional,
    /// From classic to consumer only.
    Upgrade,
    /// From consumer to classic only.
    Downgrade,
    /// Neither.
    Disabled,
}

impl GroupMigration {
    pub(crate) fn upgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    pub(crate) fn downgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

/// What a consumer group keeps of a member that speaks the classic protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassicMember {
    pub(crate) protocols: Vec<(String, Bytes)>,
    session_timeout: Duration,
    /// When it is fenced unless it has joined again, or fetched its assignment.
    pub(super) join_ends: Option<Instant>,
    pub(super) sync_ends: Option<Instant>,
}

impl ClassicMember {
    fn new(protocols: Vec<(String, Bytes)>, session_timeout: Duration) -> Self {
        Self { protocols, session_timeout, join_ends: None, sync_ends: None }
    }

    /// The protocol it prefers, which is the one its answers name.
    fn first(&self) -> (&str, &[u8]) {
        self.protocols.first().map_or(("", &[]), |(name, metadata)| (name, metadata))
    }
}

fn not_found(group: &str, reason: &str) -> Refusal {
    (ErrorCode::GroupIdNotFound, format!("Cannot upgrade classic group {group} to consumer group because {reason}."))
}

impl ConsumerGroup {
    /// The group a classic group with members becomes; its members are as they are assigned.
    pub(crate) fn from_classic(
        now: Instant,
        name: &str,
        classic: &ClassicGroup,
        topics: &Topics,
    ) -> Result<Self, Refusal> {
        if classic.protocol_type != CONSUMER {
            return Err(not_found(name, "the group does not use the consumer embedded protocol"));
        }
        let malformed = || not_found(name, "the embedded consumer protocol is malformed");
        let mut group = Self { epoch: classic.generation, assignment_epoch: classic.generation, ..Self::default() };
        for (id, member) in &classic.members {
            let assigned = read_assignment(&member.assignment).ok_or_else(malformed)?;
            if assigned.has_user_data {
                return Err(not_found(name, "an unsupported custom assignor is in use"));
            }
            let agreed = member.protocols.iter().find(|(known, _)| *known == classic.protocol);
            let (_, metadata) = agreed.or_else(|| member.protocols.first()).ok_or_else(malformed)?;
            let subscription = read_subscription(metadata).ok_or_else(malformed)?;
            let assigned = by_id(&assigned.partitions, topics);
            let classic_member = ClassicMember::new(member.protocols.clone(), member.session_timeout);
            let joined = ConsumerMember {
                instance_id: member.instance_id.clone(),
                rack_id: subscription.rack,
                client_id: member.client_id.clone(),
                topics: subscription.topics,
                rebalance_timeout: member.rebalance_timeout,
                epoch: classic.generation,
                previous_epoch: classic.generation,
                assigned: assigned.clone(),
                session_ends: now + member.session_timeout,
                classic: Some(classic_member),
                ..ConsumerMember::new(now)
            };
            group.targets.insert(id.clone(), assigned);
            group.members.insert(id.clone(), joined);
        }
        group.shape = group.current_shape(topics);
        Ok(group)
    }

    /// Whether all members speak the classic protocol.
    pub(crate) fn is_classic(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|member| member.classic.is_some())
    }

    /// JoinGroup. The flag says whether the subscription changed.
    pub(crate) fn join_classic(
        &mut self,
        now: Instant,
        join: &Join,
        topics: &Topics,
        limits: Limits,
        fresh_id: String,
    ) -> Result<(Joined, bool), (ErrorCode, String)> {
        let unknown = join.member_id.is_empty();
        let member_id = if unknown { fresh_id } else { join.member_id.clone() };
        let refuse = |error| (error, join.member_id.clone());
        let mut beat = Beat { member_id: member_id.clone(), instance_id: join.instance_id.clone(), ..Beat::default() };
        self.check_size(&beat, limits).map_err(|(error, _)| refuse(error))?;
        if !self.supports_classic(&member_id, join) {
            return Err(refuse(ErrorCode::InconsistentGroupProtocol));
        }
        if unknown && join.instance_id.is_none() && join.id_required {
            return Err((ErrorCode::MemberIdRequired, member_id));
        }
        self.check_static(join).map_err(refuse)?;
        let metadata = join.protocols.first().map_or(&[][..], |(_, metadata)| metadata);
        let subscription = read_subscription(metadata).ok_or_else(|| refuse(ErrorCode::UnknownServerError))?;
        beat.rack_id = subscription.rack;
        beat.client_id.clone_from(&join.client_id);
        beat.rebalance_timeout = Some(join.rebalance_timeout);
        beat.topics = Some(subscription.topics);
        beat.regex = Some(String::new());
        beat.owned = Some(by_id(&subscription.owned, topics));
        let session_limits = Limits { session_timeout: join.session_timeout, ..limits };
        let changed = self.settle_in(now, &beat, None, topics, session_limits);
        let generation = self.members.get_mut(&member_id).map_or(0, |member| {
            let mut classic = ClassicMember::new(join.protocols.clone(), join.session_timeout);
            classic.sync_ends = Some(now + join.rebalance_timeout);
            member.classic = Some(classic);
            member.epoch
        });
        let joined = Joined {
            error: None,
            member_id,
            generation,
            protocol_type: CONSUMER.to_owned(),
            protocol: join.protocols.first().map_or_else(String::new, |(name, _)| name.clone()),
            leader: String::new(),
            skip_assignment: false,
            members: Vec::new(),
        };
        Ok((joined, changed))
    }

    /// A static member joins anew without an id, or by the id it has.
    fn check_static(&self, join: &Join) -> Result<(), ErrorCode> {
        let Some(instance) = join.instance_id.as_deref().filter(|_| !join.member_id.is_empty()) else { return Ok(()) };
        match self.member_of(instance) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(owner) if *owner != join.member_id => Err(ErrorCode::FencedInstanceId),
            Some(_) => Ok(()),
        }
    }

    /// One protocol must be common to all classic members.
    fn supports_classic(&self, id: &str, join: &Join) -> bool {
        let others = self.members.iter().filter(|(other, _)| *other != id);
        let classic: Vec<&ClassicMember> = others.filter_map(|(_, member)| member.classic.as_ref()).collect();
        let common = |name: &String| classic.iter().all(|one| one.protocols.iter().any(|(known, _)| known == name));
        join.protocol_type == CONSUMER && join.protocols.iter().any(|(name, _)| common(name))
    }

    /// The classic member that speaks (`validateConsumerGroupMember`).
    fn speaking(&mut self, speaker: Speaker<'_>) -> Result<&mut ConsumerMember, ErrorCode> {
        if let Some(instance) = speaker.instance_id {
            match self.member_of(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(owner) if owner != speaker.member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        let member = self.members.get_mut(speaker.member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if member.classic.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        if member.epoch == speaker.generation { Ok(member) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// SyncGroup: what the member has now.
    pub(crate) fn sync_classic(
        &mut self,
        now: Instant,
        speaker: Speaker<'_>,
        protocol: (Option<&str>, Option<&str>),
        topics: &Topics,
    ) -> Result<Synced, ErrorCode> {
        let epoch = self.epoch;
        let member = self.speaking(speaker)?;
        let (behind, unrevoked) = (epoch > member.epoch, member.state == MemberState::UnrevokedPartitions);
        let rebalance_timeout = member.rebalance_timeout;
        let Some(classic) = member.classic.as_mut() else { return Err(ErrorCode::UnknownMemberId) };
        let name = classic.first().0.to_owned();
        let (kind_asked, name_asked) = protocol;
        if kind_asked.is_some_and(|kind| kind != CONSUMER) || name_asked.is_some_and(|asked| asked != name) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if behind && !unrevoked {
            classic.join_ends.get_or_insert(now + rebalance_timeout);
            return Err(ErrorCode::RebalanceInProgress);
        }
        classic.sync_ends = None;
        member.session_ends = now + classic.session_timeout;
        let assignment = write_assignment(&member.assigned, classic.first().1, topics);
        Ok(Synced { protocol_type: CONSUMER.to_owned(), protocol: name, assignment })
    }

    /// Heartbeat: 27 tells the member to join again for what has changed.
    pub(crate) fn heartbeat_classic(&mut self, now: Instant, speaker: Speaker<'_>) -> Result<(), ErrorCode> {
        let epoch = self.epoch;
        self.speaking(speaker)?;
        let waits = self.waits_for_others(speaker.member_id);
        let member = self.speaking(speaker)?;
        let due = member.epoch < epoch
            || member.state == MemberState::UnrevokedPartitions
            || (member.state == MemberState::UnreleasedPartitions && !waits);
        let rebalance_timeout = member.rebalance_timeout;
        let Some(classic) = member.classic.as_mut() else { return Err(ErrorCode::UnknownMemberId) };
        member.session_ends = now + classic.session_timeout;
        if due {
            classic.join_ends.get_or_insert(now + rebalance_timeout);
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether somebody still has what this member shall get.
    fn waits_for_others(&self, id: &str) -> bool {
        let none = Assignment::new();
        let held = self.held_by_others(id);
        let has = self.members.get(id).map_or(&none, |member| &member.assigned);
        self.targets.get(id).unwrap_or(&none).iter().any(|(topic, partitions)| {
            let misses = |partition: &&i32| has.get(topic).is_none_or(|mine| !mine.contains(partition));
            partitions.iter().filter(misses).any(|&partition| held.contains(&(*topic, partition)))
        })
    }

    /// LeaveGroup, of a member of either protocol.
    pub(crate) fn leave_classic(&mut self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        let id = match instance_id.map(|instance| self.member_of(instance).cloned()) {
            Some(None) => return Err(ErrorCode::UnknownMemberId),
            Some(Some(owner)) if !member_id.is_empty() && owner != member_id => {
                return Err(ErrorCode::FencedInstanceId);
            }
            Some(Some(owner)) => owner,
            None => member_id.to_owned(),
        };
        self.leave(&id, None, false).map_err(|(error, _)| error)
    }
}

impl ClassicGroup {
    /// The group a consumer group becomes that has classic members only. `rebalances`: a member is gone, or a
    /// subscription changed.
    pub(crate) fn from_consumer(now: Instant, group: &ConsumerGroup, topics: &Topics, rebalances: bool) -> Self {
        let mut classic = Self::new(Duration::ZERO);
        classic.state = GroupState::Stable;
        classic.generation = group.epoch;
        classic.protocol_type = CONSUMER.to_owned();
        let none = Assignment::new();
        for (id, member) in &group.members {
            let Some(spoken) = &member.classic else { continue };
            let target = group.targets.get(id).unwrap_or(&none);
            let known = Member {
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                protocols: spoken.protocols.clone(),
                assignment: write_assignment(target, spoken.first().1, topics),
                session_timeout: spoken.session_timeout,
                rebalance_timeout: member.rebalance_timeout,
                joining: None,
                syncing: None,
                expires: now + spoken.session_timeout,
            };
            classic.members.insert(id.clone(), known);
        }
        classic.settle_protocol();
        if rebalances {
            classic.prepare(now);
        }
        classic
    }
}

#[cfg(test)]
#[path = "migration_tests.rs"]
mod tests;
