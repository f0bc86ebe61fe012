//! The classic group protocol, rule by rule.

#![allow(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]

use super::*;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

struct Story {
    group: ClassicGroup,
    now: Instant,
    ids: u32,
}

fn story() -> Story {
    Story { group: ClassicGroup::new(Duration::ZERO), now: Instant::now(), ids: 0 }
}

fn join(member_id: &str) -> Join {
    Join {
        member_id: member_id.to_owned(),
        instance_id: None,
        client_id: "c".to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"meta"))],
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        id_required: true,
        may_skip_assignment: true,
    }
}

fn static_join(member_id: &str, instance: &str) -> Join {
    Join { instance_id: Some(instance.to_owned()), ..join(member_id) }
}

fn speaker(member_id: &str, generation: i32) -> Speaker<'_> {
    Speaker { member_id, instance_id: None, generation }
}

impl Story {
    fn join(&mut self, connection: ConnectionId, join: &Join) -> Option<Joined> {
        self.ids += 1;
        let fresh = format!("m{}", self.ids);
        self.group.join(self.now, connection, join, fresh)
    }

    fn joined(&mut self) -> BTreeMap<ConnectionId, Joined> {
        let answers = self.group.take_answers().into_iter();
        answers
            .filter_map(|(connection, answer)| match answer {
                Answer::Joined(joined) => Some((connection, joined)),
                Answer::Synced(_) => None,
            })
            .collect()
    }

    /// A dynamic member's way in: id first, then the join.
    fn enter(&mut self, connection: ConnectionId) -> String {
        let first = self.join(connection, &join("")).unwrap();
        assert_eq!(first.error, Some(ErrorCode::MemberIdRequired));
        assert_eq!(self.join(connection, &join(&first.member_id)), None);
        first.member_id
    }

    fn sync(
        &mut self,
        connection: ConnectionId,
        id: &str,
        assignments: &[(&str, &'static [u8])],
    ) -> Result<Option<Bytes>, ErrorCode> {
        let generation = self.group.generation;
        let assignments = assignments.iter().map(|&(id, bytes)| (id.to_owned(), Bytes::from_static(bytes))).collect();
        let synced = self.group.sync(self.now, connection, speaker(id, generation), assignments)?;
        Ok(synced.map(|synced| synced.assignment))
    }

    /// Two members, stable at generation 2.
    fn stable_pair(&mut self) -> (String, String) {
        let a = self.enter(1);
        let b = self.enter(2);
        assert_eq!(self.joined().keys().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(self.join(1, &join(&a)), None);
        assert_eq!(self.joined().len(), 2);
        assert_eq!(self.sync(2, &b, &[]), Ok(None));
        let assigned: [(&str, &[u8]); 2] = [(&a, b"A"), (&b, b"B")];
        assert_eq!(self.sync(1, &a, &assigned), Ok(Some(Bytes::from_static(b"A"))));
        let answers = self.group.take_answers();
        let Some((2, Answer::Synced(Ok(synced)))) = answers.first() else { panic!("{answers:?}") };
        assert_eq!(synced.assignment, Bytes::from_static(b"B"));
        assert_eq!((self.group.state, self.group.generation), (GroupState::Stable, 2));
        (a, b)
    }
}

#[test]
fn dynamic_member_without_id_gets_one_first_and_79() {
    let mut story = story();
    let id = story.enter(1);
    let joined = story.joined().remove(&1).unwrap();
    assert_eq!((joined.error, joined.generation, joined.leader), (None, 1, id.clone()));
    assert_eq!(joined.members, [(id, None, Bytes::from_static(b"meta"))]);
}

#[test]
fn old_clients_and_static_members_join_without_an_id() {
    let mut story = story();
    assert_eq!(story.join(1, &Join { id_required: false, ..join("") }), None);
    assert_eq!(story.joined().len(), 1);
    assert_eq!(story.join(2, &static_join("", "i")), None);
    assert_eq!(story.group.members.len(), 2);
}

#[test]
fn second_member_makes_the_first_rejoin_by_27() {
    let mut story = story();
    let a = story.enter(1);
    story.joined();
    assert!(story.sync(1, &a, &[]).is_ok());
    let _ = story.enter(2);
    assert_eq!(story.group.heartbeat(story.now, speaker(&a, 1)), Err(ErrorCode::RebalanceInProgress));
    assert_eq!(story.join(1, &join(&a)), None);
    let joined = story.joined();
    assert_eq!(joined[&1].members.len(), 2);
    assert!(joined[&2].members.is_empty() && joined[&2].leader == a);
}

#[test]
fn sync_waits_for_the_leader() {
    story().stable_pair();
}

#[test]
fn unknown_member_is_25_and_other_generation_22() {
    let mut story = story();
    let (a, _) = story.stable_pair();
    assert_eq!(story.group.heartbeat(story.now, speaker("nobody", 2)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(story.group.heartbeat(story.now, speaker(&a, 1)), Err(ErrorCode::IllegalGeneration));
    assert_eq!(story.group.heartbeat(story.now, speaker(&a, 2)), Ok(()));
    let joined = story.join(9, &join("nobody")).unwrap();
    assert_eq!(joined.error, Some(ErrorCode::UnknownMemberId));
}

#[test]
fn no_common_protocol_is_23() {
    let mut story = story();
    story.stable_pair();
    let other = Join { protocols: vec![("sticky".to_owned(), Bytes::new())], ..join("") };
    assert_eq!(story.join(3, &other).unwrap().error, Some(ErrorCode::InconsistentGroupProtocol));
    let other = Join { protocol_type: "connect".to_owned(), ..join("") };
    assert_eq!(story.join(3, &other).unwrap().error, Some(ErrorCode::InconsistentGroupProtocol));
}

#[test]
fn silent_member_is_removed_after_its_session_timeout() {
    let mut story = story();
    let (a, b) = story.stable_pair();
    story.now += SESSION / 2;
    story.group.heartbeat(story.now, speaker(&a, 2)).unwrap();
    story.now += SESSION / 2;
    story.group.tick(story.now);
    assert_eq!(story.group.heartbeat(story.now, speaker(&b, 2)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(story.group.heartbeat(story.now, speaker(&a, 2)), Err(ErrorCode::RebalanceInProgress));
    assert_eq!(story.join(1, &join(&a)), None);
    assert_eq!(story.joined()[&1].generation, 3);
}

#[test]
fn member_that_does_not_rejoin_is_out_after_the_rebalance_timeout() {
    let mut story = story();
    let (a, b) = story.stable_pair();
    let changed = Join { protocols: vec![("range".to_owned(), Bytes::from_static(b"new"))], ..join(&b) };
    assert_eq!(story.join(2, &changed), None);
    for _ in 0..12 {
        story.now += REBALANCE / 12;
        let _ = story.group.heartbeat(story.now, speaker(&a, 2));
        story.group.tick(story.now);
    }
    let joined = story.joined();
    assert_eq!((joined[&2].generation, joined[&2].leader.clone()), (3, b));
    assert_eq!(story.group.members.len(), 1);
}

#[test]
fn leaving_member_rebalances_the_rest_and_the_last_one_empties_the_group() {
    let mut story = story();
    let (a, b) = story.stable_pair();
    story.group.leave(story.now, &b, None).unwrap();
    assert_eq!(story.group.state, GroupState::PreparingRebalance);
    story.group.leave(story.now, &a, None).unwrap();
    assert_eq!(story.group.state, GroupState::Empty);
    assert_eq!(story.group.leave(story.now, &a, None), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn restarted_static_member_keeps_its_assignment_without_a_rebalance() {
    let mut story = story();
    assert_eq!(story.join(1, &static_join("", "i")), None);
    let old = story.joined().remove(&1).unwrap().member_id;
    story.sync(1, &old, &[(&old.clone(), b"A")]).unwrap();
    let again = story.join(2, &static_join("", "i")).unwrap();
    assert_eq!((again.error, again.generation, again.skip_assignment), (None, 1, true));
    assert_ne!(again.member_id, old);
    assert_eq!(story.sync(2, &again.member_id, &[]), Ok(Some(Bytes::from_static(b"A"))));
    let late = Speaker { member_id: &old, instance_id: Some("i"), generation: 1 };
    assert_eq!(story.group.heartbeat(story.now, late), Err(ErrorCode::FencedInstanceId));
    assert_eq!(story.join(1, &static_join(&old, "i")).unwrap().error, Some(ErrorCode::FencedInstanceId));
}

#[test]
fn commits_follow_the_generation_and_wait_for_the_sync() {
    let mut story = story();
    let anonymous = speaker("", -1);
    assert_eq!(story.group.commit(story.now, anonymous, false), Ok(()));
    let a = story.enter(1);
    assert_eq!(story.group.commit(story.now, speaker(&a, 1), false), Err(ErrorCode::RebalanceInProgress));
    story.sync(1, &a, &[]).unwrap();
    assert_eq!(story.group.commit(story.now, speaker(&a, 1), false), Ok(()));
    assert_eq!(story.group.commit(story.now, anonymous, false), Err(ErrorCode::UnknownMemberId));
    assert_eq!(story.group.commit(story.now, anonymous, true), Ok(()));
    assert_eq!(story.group.commit(story.now, speaker(&a, 7), true), Err(ErrorCode::IllegalGeneration));
    let _ = story.enter(2);
    assert_eq!(story.group.commit(story.now, speaker(&a, 1), false), Ok(()), "accepted while others join");
}

#[test]
fn protocol_most_members_prefer_wins() {
    let mut story = story();
    let with = |names: &[&str]| {
        let protocols = names.iter().map(|name| ((*name).to_owned(), Bytes::new())).collect();
        Join { protocols, id_required: false, ..join("") }
    };
    story.group.initial_delay = Duration::from_secs(3);
    story.join(1, &with(&["range", "sticky"]));
    story.join(2, &with(&["sticky", "range"]));
    story.join(3, &with(&["sticky", "range"]));
    assert!(story.joined().is_empty(), "the first rebalance waits for its delay");
    story.now += Duration::from_secs(3);
    story.group.tick(story.now);
    let joined = story.joined();
    assert_eq!(joined.len(), 3);
    assert!(joined.values().all(|joined| joined.protocol == "sticky"));
}

#[test]
fn member_that_does_not_sync_is_out_after_the_rebalance_timeout() {
    let mut story = story();
    let (a, b) = story.stable_pair();
    assert_eq!(story.join(1, &join(&a)), None);
    assert_eq!(story.join(2, &join(&b)), None);
    story.joined();
    assert_eq!(story.sync(2, &b, &[]), Ok(None));
    for _ in 0..12 {
        story.now += REBALANCE / 12;
        for id in [&a, &b] {
            let _ = story.group.heartbeat(story.now, speaker(id, 3));
        }
        story.group.tick(story.now);
    }
    let answers = story.group.take_answers();
    assert!(answers.contains(&(2, Answer::Synced(Err(ErrorCode::RebalanceInProgress)))), "{answers:?}");
    assert!(!story.group.members.contains_key(&a));
}

/// KIP-429: what is owned travels in the members' bytes; the group only has to carry it, and to let members that gave
/// something up join again at once.
#[test]
fn cooperative_members_hand_over_in_two_rounds() {
    let cooperative = |id: &str, owned: &'static [u8]| Join {
        protocols: vec![("cooperative-sticky".to_owned(), Bytes::from_static(owned))],
        ..join(id)
    };
    let mut story = story();
    let a = story.join(1, &cooperative("", b"")).unwrap().member_id;
    assert_eq!(story.join(1, &cooperative(&a, b"")), None);
    story.joined();
    assert!(matches!(story.sync(1, &a, &[(&a, b"t0 t1")]), Ok(Some(_))));
    let b = story.join(2, &cooperative("", b"")).unwrap().member_id;
    assert_eq!(story.join(2, &cooperative(&b, b"")), None);
    assert_eq!(story.join(1, &cooperative(&a, b"owns t0 t1")), None);
    let first = story.joined();
    let members: BTreeMap<_, _> = first[&1].members.iter().map(|(id, _, bytes)| (id.clone(), bytes.clone())).collect();
    assert_eq!(members[&a], Bytes::from_static(b"owns t0 t1"));
    assert!(matches!(story.sync(1, &a, &[(&a, b"t0"), (&b, b"")]), Ok(Some(_))));
    // The first has given t1 up and joins again, which makes the second join too.
    assert_eq!(story.join(1, &cooperative(&a, b"owns t0")), None);
    assert_eq!(story.join(2, &cooperative(&b, b"owns nothing")), None);
    let second = story.joined();
    assert_eq!((second[&1].generation, second.len()), (first[&1].generation + 1, 2));
    assert_eq!(story.sync(2, &b, &[]), Ok(None));
    assert!(matches!(story.sync(1, &a, &[(&a, b"t0"), (&b, b"t1")]), Ok(Some(_))));
    let answers = story.group.take_answers();
    let Some((2, Answer::Synced(Ok(synced)))) = answers.last() else { panic!("{answers:?}") };
    assert_eq!(synced.assignment, Bytes::from_static(b"t1"));
}
