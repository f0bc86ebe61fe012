//! A member of a consumer group, and its way from the partitions it has to those it shall have
//! (`CurrentAssignmentBuilder.java`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use regex_lite::Regex;
use uuid::Uuid;

use super::assignor::{Assignment, Assignor};
use super::migration::ClassicMember;

/// Epoch of a static member that left and may come back.
pub(crate) const AWAY: i32 = -2;

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// It has what its epoch gives it.
    Stable,
    /// It has to give partitions up before it may go on.
    UnrevokedPartitions,
    /// It waits for partitions others still have.
    UnreleasedPartitions,
}

/// One member.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerMember {
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) topics: BTreeSet<String>,
    pub(crate) regex: Option<(String, Regex)>,
    /// The topics of `regex` count from the first heartbeat of the group after the one that brought it.
    pub(super) regex_is_resolved: bool,
    pub(super) assignor: Option<Assignor>,
    pub(super) rebalance_timeout: Duration,
    pub(crate) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) state: MemberState,
    pub(crate) assigned: Assignment,
    /// Partitions it was told to give up and still has.
    pub(super) revoking: Assignment,
    pub(super) session_ends: Instant,
    /// When it is fenced unless it has given up what it must.
    pub(super) rebalance_ends: Option<Instant>,
    /// It speaks the classic protocol.
    pub(crate) classic: Option<ClassicMember>,
}

impl ConsumerMember {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            topics: BTreeSet::new(),
            regex: None,
            regex_is_resolved: false,
            assignor: None,
            rebalance_timeout: Duration::ZERO,
            epoch: 0,
            previous_epoch: 0,
            state: MemberState::Stable,
            assigned: Assignment::new(),
            revoking: Assignment::new(),
            session_ends: now,
            rebalance_ends: None,
            classic: None,
        }
    }

    /// When it is fenced, for each reason there is.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let classic = self.classic.as_ref();
        let waited = [classic.and_then(|one| one.join_ends), classic.and_then(|one| one.sync_ends)];
        [Some(self.session_ends), self.rebalance_ends].into_iter().chain(waited).flatten()
    }

    pub(super) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    fn advance(&mut self, state: MemberState, epoch: i32, assigned: Assignment, revoking: Assignment) {
        self.state = state;
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
        self.assigned = assigned;
        self.revoking = revoking;
    }
}

fn intersects(one: &Assignment, other: &Assignment) -> bool {
    one.iter().any(|(topic, partitions)| other.get(topic).is_some_and(|known| !known.is_disjoint(partitions)))
}

/// What a member is measured against.
pub(super) struct Goal<'a> {
    pub(super) epoch: i32,
    pub(super) target: &'a Assignment,
    pub(super) subscribed: &'a BTreeSet<Uuid>,
    pub(super) subscription_changed: bool,
    /// What the member says it has; `None` if it said nothing.
    pub(super) owned: Option<&'a Assignment>,
    /// Partitions other members hold.
    pub(super) held: &'a BTreeSet<(Uuid, i32)>,
}

impl Goal<'_> {
    fn still_owned(&self, revoking: &Assignment) -> bool {
        self.owned.is_none_or(|owned| intersects(owned, revoking))
    }

    fn wanted(&self, topic: &Uuid) -> BTreeSet<i32> {
        if !self.subscribed.contains(topic) {
            return BTreeSet::new();
        }
        self.target.get(topic).cloned().unwrap_or_default()
    }
}

/// Moves a member as far towards its goal as it can go now.
pub(super) fn reconcile(member: &mut ConsumerMember, goal: &Goal<'_>) {
    match member.state {
        MemberState::Stable if member.epoch == goal.epoch => {
            if goal.subscription_changed {
                drop_unsubscribed(member, goal);
            }
        }
        MemberState::UnrevokedPartitions if goal.still_owned(&member.revoking) => {
            if goal.subscription_changed {
                drop_unsubscribed(member, goal);
            }
        }
        MemberState::Stable | MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
            next_assignment(member, goal);
        }
    }
}

/// Takes away partitions of topics the member no longer subscribes to.
fn drop_unsubscribed(member: &mut ConsumerMember, goal: &Goal<'_>) {
    let (kept, dropped): (Assignment, Assignment) =
        member.assigned.clone().into_iter().partition(|(topic, _)| goal.subscribed.contains(topic));
    if dropped.is_empty() {
        return;
    }
    let mut revoking = member.revoking.clone();
    for (topic, partitions) in dropped {
        revoking.entry(topic).or_default().extend(partitions);
    }
    if goal.still_owned(&revoking) {
        member.advance(MemberState::UnrevokedPartitions, member.epoch, kept, revoking);
    } else {
        member.advance(member.state, member.epoch, kept, member.revoking.clone());
    }
}

fn next_assignment(member: &mut ConsumerMember, goal: &Goal<'_>) {
    let (mut kept, mut revoking, mut added) = (Assignment::new(), Assignment::new(), Assignment::new());
    let mut unreleased = false;
    let topics: BTreeSet<Uuid> = goal.target.keys().chain(member.assigned.keys()).copied().collect();
    for topic in topics {
        let wanted = goal.wanted(&topic);
        let current = member.assigned.get(&topic).cloned().unwrap_or_default();
        let (free, held): (BTreeSet<i32>, BTreeSet<i32>) =
            wanted.difference(&current).partition(|&&partition| !goal.held.contains(&(topic, partition)));
        unreleased |= !held.is_empty();
        let parts = [
            (&mut kept, current.intersection(&wanted).copied().collect::<BTreeSet<i32>>()),
            (&mut revoking, current.difference(&wanted).copied().collect()),
            (&mut added, free),
        ];
        for (part, partitions) in parts {
            if !partitions.is_empty() {
                part.insert(topic, partitions);
            }
        }
    }
    if !revoking.is_empty() && goal.still_owned(&revoking) {
        member.advance(MemberState::UnrevokedPartitions, member.epoch, kept, revoking);
        return;
    }
    for (topic, partitions) in added {
        kept.entry(topic).or_default().extend(partitions);
    }
    let state = if unreleased { MemberState::UnreleasedPartitions } else { MemberState::Stable };
    member.advance(state, goal.epoch, kept, BTreeMap::new());
}
