#![allow(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]

use std::collections::BTreeSet;

use bytes::{BufMut, BytesMut};

use super::super::super::cluster::Cluster;
use super::*;
use crate::Broker;

const SESSION: Duration = Duration::from_secs(45);
const REBALANCE: Duration = Duration::from_secs(60);

struct Story {
    cluster: Cluster,
    now: Instant,
}

fn story() -> Story {
    let now = Instant::now();
    Story { cluster: Broker::builder().topic("t", 4).build(now, 0).unwrap(), now }
}

/// A subscription of version 1: topic `t`, and what is owned of it.
fn metadata(owned: &[i32]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01t");
    out.put_i32(owned.len() as i32);
    owned.iter().for_each(|&partition| out.put_i32(partition));
    out.freeze()
}

fn join(id: &str, owned: &[i32]) -> Join {
    Join {
        member_id: id.to_owned(),
        instance_id: None,
        client_id: "c".to_owned(),
        protocol_type: CONSUMER.to_owned(),
        protocols: vec![("range".to_owned(), metadata(owned))],
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        id_required: true,
        may_skip_assignment: true,
    }
}

fn speaker(id: &str, generation: i32) -> Speaker<'_> {
    Speaker { member_id: id, instance_id: None, generation }
}

const LIMITS: Limits = Limits { session_timeout: SESSION, max_size: 10 };

impl Story {
    fn topic(&self) -> uuid::Uuid {
        self.cluster.topics["t"].id
    }

    /// A classic group of one that has all of `t`.
    fn classic(&self) -> ClassicGroup {
        let mut group = ClassicGroup::new(Duration::ZERO);
        let pending = group.join(self.now, 1, &join("", &[]), "a".to_owned()).unwrap();
        assert_eq!(pending.error, Some(ErrorCode::MemberIdRequired));
        assert_eq!(group.join(self.now, 1, &join("a", &[]), String::new()), None);
        group.take_answers();
        let all = Assignment::from([(self.topic(), (0..4).collect())]);
        let assignment = write_assignment(&all, &metadata(&[]), &self.cluster.topics);
        group.sync(self.now, 1, speaker("a", 1), vec![("a".to_owned(), assignment)]).unwrap();
        group
    }

    fn beat(&self, group: &mut ConsumerGroup, epoch: i32, owned: &[i32]) -> (i32, Vec<i32>) {
        let owned = Assignment::from([(self.topic(), owned.iter().copied().collect())]);
        let beat = Beat {
            member_id: "b".to_owned(),
            epoch,
            rebalance_timeout: Some(REBALANCE),
            topics: Some(BTreeSet::from(["t".to_owned()])),
            owned: Some(owned),
            ..Beat::default()
        };
        let beaten = group.heartbeat(self.now, &beat, &self.cluster.topics, LIMITS).unwrap();
        (beaten.epoch, group.members["b"].assigned.get(&self.topic()).into_iter().flatten().copied().collect())
    }

    fn rejoin(&self, group: &mut ConsumerGroup, owned: &[i32]) -> i32 {
        let joined = group.join_classic(self.now, &join("a", owned), &self.cluster.topics, LIMITS, String::new());
        joined.unwrap().0.generation
    }

    fn sync(&self, group: &mut ConsumerGroup, generation: i32) -> Result<Vec<i32>, ErrorCode> {
        let protocol = (Some(CONSUMER), Some("range"));
        let synced = group.sync_classic(self.now, speaker("a", generation), protocol, &self.cluster.topics)?;
        let partitions = read_assignment(&synced.assignment).unwrap().partitions;
        Ok(partitions.get("t").into_iter().flatten().copied().collect())
    }
}

#[test]
fn classic_members_are_moved_on_by_27_until_both_have_their_share() {
    let story = story();
    let mut group = ConsumerGroup::from_classic(story.now, "g", &story.classic(), &story.cluster.topics).unwrap();
    assert_eq!((group.epoch, group.state()), (1, "Stable"));
    assert_eq!(group.heartbeat_classic(story.now, speaker("a", 1)), Ok(()));
    assert_eq!(story.beat(&mut group, 0, &[]), (2, vec![]), "nothing is free yet");
    let rejoin = Err(ErrorCode::RebalanceInProgress);
    assert_eq!(group.heartbeat_classic(story.now, speaker("a", 1)), rejoin);
    assert_eq!(story.sync(&mut group, 1), Err(ErrorCode::RebalanceInProgress));
    // It gives up what it must, and says so by joining again.
    assert_eq!(story.rejoin(&mut group, &[0, 1, 2, 3]), 1, "still at its old epoch");
    assert_eq!(story.sync(&mut group, 1), Ok(vec![0, 1]));
    assert_eq!(group.heartbeat_classic(story.now, speaker("a", 1)), rejoin);
    assert_eq!(story.rejoin(&mut group, &[0, 1]), 2);
    assert_eq!(story.sync(&mut group, 2), Ok(vec![0, 1]));
    assert_eq!(group.heartbeat_classic(story.now, speaker("a", 2)), Ok(()));
    assert_eq!(story.beat(&mut group, 2, &[]), (2, vec![2, 3]));
    assert_eq!(group.heartbeat_classic(story.now, speaker("a", 1)), Err(ErrorCode::IllegalGeneration));
    assert_eq!(
        group.heartbeat_classic(story.now, speaker("b", 2)),
        Err(ErrorCode::UnknownMemberId),
        "no classic member"
    );
}

#[test]
fn group_of_the_last_consumer_becomes_classic_and_rebalances() {
    let story = story();
    let mut group = ConsumerGroup::from_classic(story.now, "g", &story.classic(), &story.cluster.topics).unwrap();
    story.beat(&mut group, 0, &[]);
    assert!(!group.is_classic());
    group.leave("b", None, false).unwrap();
    assert_eq!((group.is_classic(), group.epoch), (true, 2), "its members' epoch goes on as the generation");
    let mut classic = ClassicGroup::from_consumer(story.now, &group, &story.cluster.topics, true);
    assert_eq!((classic.state, classic.generation), (GroupState::PreparingRebalance, group.epoch));
    assert_eq!(classic.join(story.now, 1, &join("a", &[]), String::new()), None);
    let answers = classic.take_answers();
    let super::super::exchange::Answer::Joined(joined) = &answers[0].1 else { panic!("{answers:?}") };
    assert_eq!((joined.error, joined.generation, joined.leader.as_str()), (None, group.epoch + 1, "a"));
    let calm = ClassicGroup::from_consumer(story.now, &group, &story.cluster.topics, false);
    assert_eq!((calm.state, calm.protocol.as_str()), (GroupState::Stable, "range"));
    group.stays();
    assert_eq!(group.epoch, 3, "where the group may not become classic, those who stay share anew");
}

#[test]
fn groups_that_consumers_cannot_take_over_stay_classic() {
    let story = story();
    let refused = |classic: &ClassicGroup| {
        ConsumerGroup::from_classic(story.now, "g", classic, &story.cluster.topics)
            .map(drop)
            .map_err(|(error, _)| error)
    };
    let mut other = story.classic();
    other.protocol_type = "connect".to_owned();
    assert_eq!(refused(&other), Err(ErrorCode::GroupIdNotFound));
    let mut custom = story.classic();
    custom.members.get_mut("a").unwrap().assignment = Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\x01x");
    assert_eq!(refused(&custom), Err(ErrorCode::GroupIdNotFound), "the assignor's own data would be lost");
    let mut odd = story.classic();
    odd.members.get_mut("a").unwrap().assignment = Bytes::from_static(b"odd");
    assert_eq!(refused(&odd), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(refused(&story.classic()), Ok(()));
}

#[test]
fn classic_members_that_do_not_come_back_are_fenced() {
    let story = story();
    let with_consumer = || {
        let mut group = ConsumerGroup::from_classic(story.now, "g", &story.classic(), &story.cluster.topics).unwrap();
        story.beat(&mut group, 0, &[]);
        group
    };
    let mut silent = with_consumer();
    silent.members.get_mut("b").unwrap().session_ends = story.now + REBALANCE * 9;
    silent.tick(story.now + SESSION);
    assert!(!silent.members.contains_key("a"), "its session is over");
    let mut told = with_consumer();
    for member in told.members.values_mut() {
        member.session_ends = story.now + REBALANCE * 9;
    }
    assert_eq!(told.heartbeat_classic(story.now, speaker("a", 1)), Err(ErrorCode::RebalanceInProgress));
    told.members.get_mut("a").unwrap().session_ends = story.now + REBALANCE * 9;
    told.tick(story.now + REBALANCE);
    assert!(!told.members.contains_key("a"), "it was told to join and did not");
    let mut joined = with_consumer();
    story.rejoin(&mut joined, &[]);
    for member in joined.members.values_mut() {
        member.session_ends = story.now + REBALANCE * 9;
    }
    joined.tick(story.now + REBALANCE);
    assert!(!joined.members.contains_key("a"), "it joined and did not fetch its assignment");
}

#[test]
fn joins_need_a_common_protocol_an_id_and_the_right_instance() {
    let story = story();
    let mut group = ConsumerGroup::from_classic(story.now, "g", &story.classic(), &story.cluster.topics).unwrap();
    story.beat(&mut group, 0, &[]);
    let mut ask = |join: &Join| {
        let joined = group.join_classic(story.now, join, &story.cluster.topics, LIMITS, "fresh".to_owned());
        joined.map(|(joined, _)| joined.member_id)
    };
    assert_eq!(ask(&join("", &[])), Err((ErrorCode::MemberIdRequired, "fresh".to_owned())));
    let named = |name: &str| vec![(name.to_owned(), metadata(&[]))];
    let other = Join { protocols: named("sticky"), ..join("c", &[]) };
    assert_eq!(ask(&other), Err((ErrorCode::InconsistentGroupProtocol, "c".to_owned())));
    let foreign = Join { protocol_type: "connect".to_owned(), ..join("c", &[]) };
    assert_eq!(ask(&foreign), Err((ErrorCode::InconsistentGroupProtocol, "c".to_owned())));
    let instance = |id: &str| Join { instance_id: Some("i".to_owned()), ..join(id, &[]) };
    assert_eq!(ask(&instance("c")), Err((ErrorCode::UnknownMemberId, "c".to_owned())));
    assert_eq!(ask(&instance("")), Ok("fresh".to_owned()));
    assert_eq!(ask(&instance("c")), Err((ErrorCode::FencedInstanceId, "c".to_owned())));
}
