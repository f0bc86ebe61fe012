#![allow(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]

use super::super::super::cluster::Cluster;
use super::super::super::running::Broker;
use super::*;

const SESSION: Duration = Duration::from_secs(45);
const REBALANCE: Duration = Duration::from_secs(10);
const LIMITS: Limits = Limits { session_timeout: SESSION, max_size: 100 };

struct Story {
    cluster: Cluster,
    group: ConsumerGroup,
    now: Instant,
    limits: Limits,
}

fn story() -> Story {
    let now = Instant::now();
    let cluster = Broker::builder().topic("t", 6).topic("tt", 2).topic("u", 1).build(now, 0).unwrap();
    Story { cluster, group: ConsumerGroup::default(), now, limits: LIMITS }
}

fn join(member: &str, topics: &[&str]) -> Beat {
    Beat {
        member_id: member.to_owned(),
        rebalance_timeout: Some(REBALANCE),
        topics: Some(topics.iter().map(|&topic| topic.to_owned()).collect()),
        owned: Some(Assignment::new()),
        ..Beat::default()
    }
}

fn alive(member: &str, epoch: i32) -> Beat {
    Beat { member_id: member.to_owned(), epoch, ..Beat::default() }
}

impl Story {
    fn beat(&mut self, beat: &Beat) -> Result<Beaten, ErrorCode> {
        let beaten = self.group.heartbeat(self.now, beat, &self.cluster.topics, self.limits);
        beaten.map_err(|(error, _)| error)
    }

    fn topic(&self, name: &str) -> Uuid {
        self.cluster.topics[name].id
    }

    /// Partitions of "t".
    fn on(&self, partitions: &[i32]) -> Assignment {
        Assignment::from([(self.topic("t"), partitions.iter().copied().collect())])
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.group.tick(self.now);
    }
}

#[test]
fn first_member_gets_everything_at_epoch_1() {
    let mut story = story();
    let beaten = story.beat(&join("a", &["t"])).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment), (1, Some(story.on(&[0, 1, 2, 3, 4, 5]))));
    assert_eq!(story.group.state(), "Stable");
    let beaten = story.beat(&alive("a", 1)).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment), (1, None), "nothing changed");
}

/// The life of a rebalance as KIP-848 tells it: revoke, acknowledge, hand over.
#[test]
fn partitions_change_hands_only_after_they_were_given_up() {
    let mut story = story();
    story.beat(&join("a", &["t"])).unwrap();
    let beaten = story.beat(&join("b", &["t"])).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment), (2, Some(Assignment::new())), "a still has all");
    assert_eq!(story.group.state(), "Reconciling");
    let beaten = story.beat(&alive("a", 1)).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment), (1, Some(story.on(&[0, 1, 2]))), "told to give up, same epoch");
    assert_eq!(story.beat(&alive("b", 2)).unwrap().assignment, None);
    let gave_up = Beat { owned: Some(story.on(&[0, 1, 2])), ..alive("a", 1) };
    let beaten = story.beat(&gave_up).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment), (2, None));
    let beaten = story.beat(&alive("b", 2)).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment), (2, Some(story.on(&[3, 4, 5]))));
    assert_eq!(story.group.state(), "Stable");
}

#[test]
fn member_that_gives_up_nothing_is_fenced_after_its_rebalance_timeout() {
    let mut story = story();
    story.beat(&join("a", &["t"])).unwrap();
    story.beat(&join("b", &["t"])).unwrap();
    story.beat(&alive("a", 1)).unwrap();
    story.pass(REBALANCE);
    assert_eq!(story.beat(&alive("a", 1)), Err(ErrorCode::UnknownMemberId));
    let beaten = story.beat(&alive("b", 2)).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment), (3, Some(story.on(&[0, 1, 2, 3, 4, 5]))));
}

#[test]
fn silent_member_is_fenced_after_its_session_timeout() {
    let mut story = story();
    story.beat(&join("a", &["t"])).unwrap();
    story.beat(&join("b", &["t"])).unwrap();
    story.pass(SESSION / 2);
    story.beat(&alive("b", 2)).unwrap();
    assert_eq!(story.group.poll_timeout(), Some(story.now + SESSION / 2));
    story.pass(SESSION / 2);
    assert_eq!(story.group.members.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn wrong_epochs_are_110_unless_the_answer_was_lost() {
    let mut story = story();
    story.beat(&join("a", &["t"])).unwrap();
    assert_eq!(story.beat(&alive("a", 2)), Err(ErrorCode::FencedMemberEpoch), "from the future");
    story.beat(&join("b", &["t"])).unwrap();
    story.beat(&alive("a", 1)).unwrap();
    let gave_up = Beat { owned: Some(story.on(&[0, 1, 2])), ..alive("a", 1) };
    story.beat(&gave_up).unwrap();
    assert_eq!(story.beat(&gave_up).map(|beaten| beaten.epoch), Ok(2), "previous epoch, what it has");
    let owns_more = Beat { owned: Some(story.on(&[0, 5])), ..alive("a", 1) };
    assert_eq!(story.beat(&owns_more), Err(ErrorCode::FencedMemberEpoch));
    assert_eq!(story.beat(&alive("nobody", 1)), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn fenced_member_joins_again_with_its_id() {
    let mut story = story();
    story.beat(&join("a", &["t"])).unwrap();
    let beaten = story.beat(&join("a", &["t"])).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment), (1, Some(story.on(&[0, 1, 2, 3, 4, 5]))));
}

#[test]
fn leaving_frees_partitions_at_once() {
    let mut story = story();
    story.beat(&join("a", &["t"])).unwrap();
    story.beat(&join("b", &["t"])).unwrap();
    story.group.leave("a", None, false).unwrap();
    assert_eq!(story.group.state(), "Assigning");
    let beaten = story.beat(&alive("b", 2)).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment), (3, Some(story.on(&[0, 1, 2, 3, 4, 5]))));
    assert_eq!(story.group.leave("a", None, false).map_err(|(error, _)| error), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn static_member_comes_back_to_its_partitions() {
    let mut story = story();
    let instance = |beat: Beat| Beat { instance_id: Some("i".to_owned()), ..beat };
    story.beat(&instance(join("a", &["t"]))).unwrap();
    assert_eq!(story.beat(&instance(join("b", &["t"]))), Err(ErrorCode::UnreleasedInstanceId));
    let epoch = story.group.epoch;
    story.group.leave("a", Some("i"), true).unwrap();
    let beaten = story.beat(&instance(join("b", &["t"]))).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment), (epoch, Some(story.on(&[0, 1, 2, 3, 4, 5]))), "no rebalance");
    assert_eq!(story.beat(&instance(alive("a", epoch))), Err(ErrorCode::FencedInstanceId));
    let stranger = Beat { instance_id: Some("j".to_owned()), ..alive("b", epoch) };
    assert_eq!(story.beat(&stranger), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn static_member_that_stays_away_is_fenced() {
    let mut story = story();
    let beat = Beat { instance_id: Some("i".to_owned()), ..join("a", &["t"]) };
    story.beat(&beat).unwrap();
    story.group.leave("a", Some("i"), true).unwrap();
    story.pass(SESSION);
    assert_eq!(story.group.state(), "Empty");
}

#[test]
fn regular_expression_matches_whole_names_and_new_topics() {
    let mut story = story();
    let beat = Beat { regex: Some("t+".to_owned()), ..join("a", &[]) };
    let joined = story.beat(&beat).unwrap();
    assert_eq!((joined.epoch, joined.assignment), (1, Some(Assignment::new())), "looked up after the answer");
    let beaten = story.beat(&alive("a", 1)).unwrap();
    let assigned = beaten.assignment.unwrap();
    assert_eq!(beaten.epoch, 2);
    let wanted = [story.topic("t"), story.topic("tt")];
    assert_eq!(assigned.keys().copied().collect::<BTreeSet<_>>(), wanted.into());
    let new = super::super::super::topics::NewTopic { name: "ttt".to_owned(), ..Default::default() };
    story.cluster.create_topic(&new, false).unwrap();
    let beaten = story.beat(&alive("a", 2)).unwrap();
    assert_eq!((beaten.epoch, beaten.assignment.unwrap().len()), (3, 3));
    let bad = Beat { regex: Some("(".to_owned()), ..alive("a", 3) };
    assert_eq!(story.beat(&bad), Err(ErrorCode::InvalidRegularExpression));
    let same = story.beat(&Beat { regex: Some("t+".to_owned()), ..join("b", &[]) }).unwrap();
    assert_eq!(same.epoch, 4, "the group knows this one already");
    story.group.leave("b", None, false).unwrap();
    let none = Beat { regex: Some(String::new()), ..alive("a", 3) };
    assert_eq!(story.beat(&none).unwrap().assignment, Some(Assignment::new()), "told to give all up");
}

#[test]
fn changed_assignor_is_used_at_once() {
    let mut story = story();
    story.beat(&join("a", &["t"])).unwrap();
    assert_eq!(story.group.preferred_assignor(), Assignor::Uniform);
    story.beat(&Beat { assignor: Some(Assignor::Range), ..alive("a", 1) }).unwrap();
    assert_eq!((story.group.preferred_assignor(), story.group.epoch), (Assignor::Range, 2));
}

#[test]
fn full_group_is_81_for_new_members_only() {
    let mut story = story();
    story.limits.max_size = 1;
    story.beat(&join("a", &["t"])).unwrap();
    assert_eq!(story.beat(&join("b", &["t"])), Err(ErrorCode::GroupMaxSizeReached));
    story.beat(&alive("a", 1)).unwrap();
}

#[test]
fn commits_need_the_current_member_epoch() {
    let mut story = story();
    let empty = ConsumerGroup::default();
    assert_eq!(empty.commit("", None, -1, false, 9), Ok(()));
    story.beat(&join("a", &["t"])).unwrap();
    let group = &story.group;
    assert_eq!(group.commit("a", None, 1, false, 9), Ok(()));
    assert_eq!(group.commit("a", None, 0, false, 9), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(group.commit("a", None, 2, false, 9), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(group.commit("a", None, 1, false, 8), Err(ErrorCode::UnsupportedVersion));
    assert_eq!(group.commit("b", None, 1, false, 9), Err(ErrorCode::UnknownMemberId));
    assert_eq!(group.commit("", None, -1, false, 9), Err(ErrorCode::UnknownMemberId));
    assert_eq!(group.commit("", None, -1, true, 5), Ok(()));
    assert_eq!(group.commit("a", None, 0, true, 5), Err(ErrorCode::IllegalGeneration));
    assert_eq!(group.fetch_offsets(None, -1), Ok(()));
    assert_eq!(group.fetch_offsets(Some("a"), 1), Ok(()));
    assert_eq!(group.fetch_offsets(Some("a"), 0), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(group.fetch_offsets(Some("b"), 1), Err(ErrorCode::UnknownMemberId));
}
