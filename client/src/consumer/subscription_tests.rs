#![allow(clippy::disallowed_methods, reason = "a test")]
use std::time::Duration;

use std::sync::Arc;

use ottla_protocol::messages::MetadataResponse;
use ottla_protocol::messages::fetch::{EpochEndOffset, PartitionData};
use ottla_protocol::messages::metadata::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};

use super::super::answer::{Answer, Moment};
use super::super::completed_fetch::ReadOptions;
use super::super::fetch_session::Wanted;
use super::super::testing::batch;
use super::*;
use crate::metadata::{Asked, ClusterSnapshot, Metadata};

const LEADER: BrokerId = BrokerId(1);

fn start() -> Instant {
    Instant::now()
}

fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn at(offset: i64) -> FetchPosition {
    FetchPosition { offset, epoch: None }
}

fn state(reset: AutoOffsetReset) -> SubscriptionState {
    let backoff = ExponentialBackoff { initial: Duration::from_millis(100), max: Duration::from_secs(1) };
    let settings = (reset, IsolationLevel::ReadUncommitted, 1 << 20);
    SubscriptionState::new(settings, backoff, fastrand::Rng::with_seed(1))
}

fn fetchable(state: &SubscriptionState, now: Instant) -> Vec<Fetchable> {
    let plan = state.fetchable(now, |_, _| Some(LEADER));
    plan.fetches.into_values().flat_map(|f| f.partitions).collect()
}

const OPTIONS: ReadOptions =
    ReadOptions { check_crcs: true, isolation_level: IsolationLevel::ReadUncommitted, max_bytes: 1 << 20 };

/// Data from `offset` on, as an answer to `asked`.
fn answer(state: &mut SubscriptionState, asked: &Fetchable, offset: i64, values: &[&str]) {
    let key = (asked.topic_partition.clone(), asked.stamp);
    let mut fetch = CompletedFetch::new(key, asked.from, batch(offset, values), None, &OPTIONS);
    fetch.high_watermark = 100;
    state.fetched(fetch, asked.from);
}

fn taken(state: &mut SubscriptionState, max: usize) -> Option<i64> {
    let (mut fetch, position) = state.pop()?;
    let taken = fetch.take(position, max, 1 << 20, &OPTIONS).unwrap();
    state.delivered(fetch, taken.next).then_some(taken.next.offset)
}

#[test]
fn fetches_run_ahead_of_what_is_delivered() {
    let (mut state, now) = (state(AutoOffsetReset::Latest), start());
    state.add(tp(), StartOffset::At(0, None));
    for offset in [0, 2] {
        let asked = fetchable(&state, now);
        assert_eq!(asked[0].from.offset, offset);
        answer(&mut state, &asked[0], offset, &["a", "b"]);
    }
    assert_eq!(state.position(&tp()).unwrap().offset, 0);
    assert!(fetchable(&state, now).is_empty(), "two fetches wait for poll");
    assert!(state.fetchable(now, |_, _| Some(LEADER)).fetches[&LEADER].left_out);
    assert_eq!((taken(&mut state, 1), taken(&mut state, 9)), (Some(1), Some(2)));
    assert_eq!(fetchable(&state, now)[0].from.offset, 4);
    assert_eq!(taken(&mut state, 9), Some(4));
    assert_eq!(state.lag(&tp()), Some(96));
}

#[test]
fn fetch_reply_for_old_position_or_assignment_is_dropped() {
    let (mut state, now) = (state(AutoOffsetReset::Latest), start());
    let changes: [fn(&mut SubscriptionState); 3] = [
        |state| state.add(tp(), StartOffset::At(50, None)),
        |state| state.add(tp(), StartOffset::At(0, None)),
        |state| {
            state.remove(&tp());
            state.add(tp(), StartOffset::At(0, None));
        },
    ];
    for change in changes {
        state.add(tp(), StartOffset::At(0, None));
        let asked = fetchable(&state, now).remove(0);
        change(&mut state);
        answer(&mut state, &asked, 0, &["a"]);
        assert!(state.pop().is_none());
        // And what was taken out when the change came.
        let asked = fetchable(&state, now).remove(0);
        answer(&mut state, &asked, asked.from.offset, &["a"]);
        let (fetch, position) = state.pop().unwrap();
        change(&mut state);
        assert!(!state.delivered(fetch, position));
    }
}

#[test]
fn pause_resume_delivers_nothing_twice() {
    let (mut state, now) = (state(AutoOffsetReset::Latest), start());
    state.add(tp(), StartOffset::At(0, None));
    let asked = fetchable(&state, now).remove(0);
    answer(&mut state, &asked, 0, &["a", "b"]);
    state.pause(&tp(), true);
    assert!(state.pop().is_none());
    assert!(fetchable(&state, now).is_empty());
    state.pause(&tp(), false);
    assert_eq!(taken(&mut state, 9), Some(2));
    assert_eq!(fetchable(&state, now)[0].from.offset, 2);
}

#[test]
fn byte_budget_stops_fetching_until_poll_takes() {
    let (mut state, now) = (state(AutoOffsetReset::Latest), start());
    state.budget = 10;
    state.add(tp(), StartOffset::At(0, None));
    let asked = fetchable(&state, now).remove(0);
    answer(&mut state, &asked, 0, &["a"]);
    assert_eq!(state.room(), 0);
    assert!(fetchable(&state, now).is_empty());
    taken(&mut state, 9);
    assert_eq!((state.room(), fetchable(&state, now).len()), (10, 1));
}

#[test]
fn a_position_that_is_out_of_range_goes_where_the_policy_says() {
    let rows = [
        (AutoOffsetReset::Earliest, Some(OffsetSpec::Earliest)),
        (AutoOffsetReset::Latest, Some(OffsetSpec::Latest)),
        (AutoOffsetReset::ByDuration(Duration::from_millis(300)), Some(OffsetSpec::Timestamp(700))),
        (AutoOffsetReset::None, None),
    ];
    for (policy, spec) in rows {
        let (mut state, now) = (state(policy), start());
        state.add(tp(), StartOffset::At(5, None));
        let asked = fetchable(&state, now).remove(0);
        state.out_of_range(&tp(), asked.stamp, 4, 1000, None);
        assert!(state.position(&tp()).is_some(), "another position's answer");
        state.out_of_range(&tp(), asked.stamp, 5, 1000, None);
        assert_eq!(state.position(&tp()), None);
        let lookups = state.fetchable(now, |_, _| Some(LEADER)).lookups;
        assert_eq!(lookups.first().map(|(_, _, spec)| *spec), spec, "{policy:?}");
        match spec {
            Some(_) => state.looked_up(&tp(), lookups[0].1, Some((9, None))),
            None => {
                let error = state.take_error().unwrap().to_string();
                assert!(error.contains("offset 5 of t-0"), "{error}");
                state.add(tp(), StartOffset::At(9, None));
            }
        }
        assert_eq!(state.position(&tp()), Some(at(9)));
    }
}

#[test]
fn a_time_that_no_record_has_reached_means_the_end() {
    let (mut state, now) = (state(AutoOffsetReset::Earliest), start());
    state.add(tp(), StartOffset::Timestamp(5));
    let (_, stamp, spec) = state.fetchable(now, |_, _| Some(LEADER)).lookups.remove(0);
    assert_eq!(spec, OffsetSpec::Timestamp(5));
    state.looked_up(&tp(), stamp, None);
    assert_eq!(state.fetchable(now, |_, _| Some(LEADER)).lookups[0].2, OffsetSpec::Latest);
}

#[test]
fn a_failed_partition_backs_off_and_the_others_go_on() {
    let (mut state, now) = (state(AutoOffsetReset::Latest), start());
    let other = TopicPartition::new("t", 1);
    state.add(tp(), StartOffset::At(0, None));
    state.add(other.clone(), StartOffset::At(0, None));
    let stamp = fetchable(&state, now)[0].stamp;
    state.back_off(now, &tp(), stamp);
    assert_eq!(fetchable(&state, now).iter().map(|f| f.topic_partition.clone()).collect::<Vec<_>>(), [other]);
    let at = state.fetchable(now, |_, _| Some(LEADER)).look_again.unwrap();
    assert_eq!(fetchable(&state, at).len(), 2);
}

#[test]
fn every_code_has_its_place_in_column_f() {
    use FetchRemedy::{RefreshMetadata as M, Report, Reset, Wait};
    let rows = [
        (1, Reset),
        (3, M),
        (6, M),
        (9, M),
        (13, Wait),
        (29, Report),
        (43, Report),
        (56, M),
        (70, Wait),
        (74, M),
        (75, Wait),
        (76, Report),
        (78, M),
        (100, M),
        (103, M),
        (109, Report),
        (-1, Wait),
        (2, Report),
    ];
    for (code, remedy) in rows {
        assert_eq!(fetch_remedy(ErrorCode::from(code)), remedy, "{code}");
    }
}

#[test]
fn a_failed_look_up_is_tried_again_but_for_what_cannot_change() {
    let rows = [
        (-1, LookupRemedy::Again),
        (6, LookupRemedy::Again),
        (13, LookupRemedy::Again),
        (999, LookupRemedy::Again),
        (17, LookupRemedy::Report),
        (29, LookupRemedy::Report),
        (35, LookupRemedy::Report),
        (43, LookupRemedy::NoResult),
    ];
    for (code, remedy) in rows {
        let error = Error::broker(ErrorCode::from(code), ottla_protocol::ApiKey::ListOffsets, "t-0");
        assert_eq!(list_offsets_remedy(&error), remedy, "{code}");
    }
}

const FOLLOWER: BrokerId = BrokerId(2);

fn moment(now: Instant) -> Moment {
    Moment { now, wall_ms: 1000, preference_age: Duration::from_secs(300) }
}

/// The broker each partition would be asked for at, with a leader and a follower that are up.
fn routes(state: &SubscriptionState, now: Instant) -> Vec<BrokerId> {
    state.fetchable(now, |_, preferred| preferred.or(Some(LEADER))).fetches.into_keys().collect()
}

fn apply(state: &mut SubscriptionState, now: Instant, broker: BrokerId, data: PartitionData) -> bool {
    apply_of(state, now, Uuid::nil(), broker, data)
}

fn apply_of(
    state: &mut SubscriptionState,
    now: Instant,
    topic_id: Uuid,
    broker: BrokerId,
    data: PartitionData,
) -> bool {
    let fetch = fetchable(state, now).remove(0);
    let wanted = Wanted { fetch, topic_id, leader_epoch: -1, max_bytes: 1 };
    Answer::new(wanted, broker, data, &OPTIONS).apply(state, moment(now))
}

fn refusal(code: ErrorCode) -> PartitionData {
    PartitionData { error_code: code.code(), ..Default::default() }
}

#[test]
fn a_preferred_replica_is_read_until_it_is_too_old_or_refuses() {
    let (mut state, now) = (state(AutoOffsetReset::Earliest), start());
    state.add(tp(), StartOffset::At(5, None));
    let preference = PartitionData { preferred_read_replica: FOLLOWER.0, ..Default::default() };
    apply(&mut state, now, LEADER, preference);
    assert_eq!(routes(&state, now), [FOLLOWER]);
    assert_eq!(routes(&state, now + Duration::from_secs(301)), [LEADER]);
    apply(&mut state, now, FOLLOWER, refusal(ErrorCode::NotLeaderOrFollower));
    assert_eq!(routes(&state, now + Duration::from_secs(2)), [LEADER]);
}

#[test]
fn follower_out_of_range_does_not_reset() {
    let (mut state, now) = (state(AutoOffsetReset::Earliest), start());
    state.add(tp(), StartOffset::At(5, None));
    apply(&mut state, now, LEADER, PartitionData { preferred_read_replica: FOLLOWER.0, ..Default::default() });
    apply(&mut state, now, FOLLOWER, refusal(ErrorCode::OffsetOutOfRange));
    assert_eq!((state.position(&tp()), routes(&state, now)), (Some(at(5)), vec![LEADER]));
    apply(&mut state, now, LEADER, refusal(ErrorCode::OffsetOutOfRange));
    assert_eq!(state.position(&tp()), None, "the leader knows");
}

#[test]
fn a_partition_in_flight_is_asked_for_again_only_at_another_broker() {
    let (mut state, now) = (state(AutoOffsetReset::Latest), start());
    state.add(tp(), StartOffset::At(0, None));
    let asked = fetchable(&state, now).remove(0);
    state.asked(&tp(), LEADER);
    assert!(fetchable(&state, now).is_empty());
    let plan = state.fetchable(now, |_, _| Some(FOLLOWER));
    assert_eq!(plan.fetches[&FOLLOWER].partitions, [asked]);
    state.asked(&tp(), FOLLOWER);
    assert!(!state.answered(&tp(), LEADER), "it comes too late");
    assert!(state.answered(&tp(), FOLLOWER));
    assert_eq!(fetchable(&state, now).len(), 1);
}

#[test]
fn an_error_is_told_once_until_the_partition_could_be_read() {
    let (mut state, now) = (state(AutoOffsetReset::Latest), start());
    state.add(tp(), StartOffset::At(0, None));
    let later = |n: u64| now + Duration::from_secs(2 * n);
    let denied = || refusal(ErrorCode::TopicAuthorizationFailed);
    let code = |state: &mut SubscriptionState| state.take_error().and_then(|e| e.code());
    apply(&mut state, later(0), LEADER, denied());
    assert_eq!(code(&mut state), Some(ErrorCode::TopicAuthorizationFailed));
    apply(&mut state, later(1), LEADER, denied());
    assert_eq!(code(&mut state), None);
    apply(&mut state, later(2), LEADER, PartitionData::default());
    apply(&mut state, later(3), LEADER, denied());
    assert_eq!(code(&mut state), Some(ErrorCode::TopicAuthorizationFailed));
}

#[test]
fn a_corrupt_batch_is_fetched_again_from_the_position() {
    let (mut state, now) = (state(AutoOffsetReset::Latest), start());
    state.add(tp(), StartOffset::At(0, None));
    for offset in [0, 2] {
        let asked = fetchable(&state, now).remove(0);
        answer(&mut state, &asked, offset, &["a", "b"]);
    }
    assert_eq!(taken(&mut state, 1), Some(1));
    let (fetch, _) = state.pop().unwrap();
    let error =
        || Error::CorruptRecords { topic_partition: tp(), offset: 1, broker: None, reason: "a test".to_owned() };
    state.corrupt(now, &tp(), fetch.stamp, error());
    assert!(state.take_error().is_some());
    assert!(state.pop().is_none() && fetchable(&state, now).is_empty(), "nothing behind it is read");
    let again = fetchable(&state, now + Duration::from_secs(1));
    assert_eq!(again[0].from.offset, 1);
    state.corrupt(now, &tp(), fetch.stamp, error());
    assert!(state.take_error().is_none(), "that was before");
}

#[test]
fn what_waits_of_paused_partitions_does_not_count() {
    let (mut state, now) = (state(AutoOffsetReset::Latest), start());
    state.budget = 10;
    state.add(tp(), StartOffset::At(0, None));
    let asked = fetchable(&state, now).remove(0);
    answer(&mut state, &asked, 0, &["a"]);
    let other = TopicPartition::new("t", 1);
    state.add(other.clone(), StartOffset::At(0, None));
    assert!(fetchable(&state, now).is_empty());
    state.pause(&tp(), true);
    assert_eq!(state.room(), 10);
    assert_eq!(fetchable(&state, now).remove(0).topic_partition, other);
}

#[test]
fn a_truncated_log_moves_back_what_was_delivered_and_nothing_else() {
    let cut = |offset, epoch| PartitionData {
        diverging_epoch: EpochEndOffset { epoch, end_offset: offset },
        ..Default::default()
    };
    let now = start();
    for (policy, end, expected) in [
        (AutoOffsetReset::Earliest, 3, Some(FetchPosition { offset: 3, epoch: Some(4) })),
        (AutoOffsetReset::None, 3, None),
        // Nothing that was delivered is lost. The epoch is one that the log knows.
        (AutoOffsetReset::Earliest, 8, Some(FetchPosition { offset: 5, epoch: Some(4) })),
        (AutoOffsetReset::None, 8, Some(FetchPosition { offset: 5, epoch: Some(4) })),
    ] {
        let mut state = state(policy);
        state.add(tp(), StartOffset::At(5, Some(9)));
        apply(&mut state, now, LEADER, cut(end, 4));
        assert_eq!(state.position(&tp()), expected, "{policy:?} {end}");
        assert_eq!(state.take_error().is_some(), expected.is_none(), "{policy:?} {end}");
    }
}

/// Invariant 24: what is not asked for is asked already, waits for `poll`, waits for a time, or has no leader.
#[test]
fn stalled_consumer_names_a_reason() {
    let (mut state, now) = (state(AutoOffsetReset::Latest), start());
    state.add(tp(), StartOffset::At(0, None));
    let plan = state.fetchable(now, |_, _| None);
    assert!(plan.leader_is_missing);
    let asked = fetchable(&state, now).remove(0);
    state.back_off(now, &tp(), asked.stamp);
    assert!(state.fetchable(now, |_, _| Some(LEADER)).look_again.is_some_and(|at| at > now));
    for offset in 0..2 {
        let asked = fetchable(&state, now + Duration::from_secs(1)).remove(0);
        answer(&mut state, &asked, offset, &["a"]);
    }
    let plan = state.fetchable(now, |_, _| Some(LEADER));
    assert!(plan.fetches[&LEADER].partitions.is_empty() && plan.fetches[&LEADER].left_out);
}

/// A topic that was created again, as a snapshot says.
fn snapshot(generation: i32, topic_id: Uuid) -> Arc<ClusterSnapshot> {
    let broker = MetadataResponseBroker { node_id: generation, host: "h".into(), port: 9092, ..Default::default() };
    let topic = MetadataResponseTopic { name: Some("t".into()), topic_id, ..Default::default() };
    let answer = MetadataResponse { brokers: vec![broker], topics: vec![topic], ..Default::default() };
    let mut metadata = Metadata::default();
    (0..generation).for_each(|_| {
        metadata.update(12, Asked::Some, answer.clone());
    });
    metadata.current()
}

#[test]
fn recreated_topic_gets_no_old_offsets() {
    let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let now = start();
    // A position that was read from belongs to the topic of that id; one that was not belongs to the topic that comes.
    for (was_read, expected) in [(true, None), (false, Some(at(5)))] {
        let mut state = state(AutoOffsetReset::Earliest);
        state.add(tp(), StartOffset::At(5, None));
        state.follow(now, 0, &snapshot(1, old));
        if was_read {
            apply_of(&mut state, now, old, LEADER, PartitionData::default());
        }
        state.follow(now, 0, &snapshot(2, new));
        assert_eq!(state.position(&tp()), expected);
        assert_eq!(state.fetchable(now, |_, _| Some(LEADER)).lookups.len(), usize::from(was_read));
    }
}

/// `t` with two partitions, or the answer that there is none.
fn told(metadata: &mut Metadata, exists: bool) -> Arc<ClusterSnapshot> {
    let broker = MetadataResponseBroker { node_id: 1, host: "h".into(), port: 9092, ..Default::default() };
    let partition = |n| MetadataResponsePartition { partition_index: n, leader_id: 1, ..Default::default() };
    let topic = MetadataResponseTopic {
        name: Some("t".into()),
        error_code: if exists { 0 } else { ErrorCode::UnknownTopicOrPartition.code() },
        partitions: if exists { vec![partition(0), partition(1)] } else { Vec::new() },
        ..Default::default()
    };
    let answer = MetadataResponse { brokers: vec![broker], topics: vec![topic], ..Default::default() };
    metadata.update(12, Asked::Some, answer).unwrap()
}

#[test]
fn deleted_topic_is_one_event_and_no_fetch_loop() {
    let (mut metadata, now) = (Metadata::default(), start());
    let mut state = state(AutoOffsetReset::Earliest);
    for partition in 0..2 {
        state.add(TopicPartition::new("t", partition), StartOffset::At(5, None));
    }
    assert!(!state.follow(now, 0, &told(&mut metadata, false)), "it may not be there yet");
    assert!(!state.follow(now + Duration::from_secs(10), 0, &told(&mut metadata, true)));
    let deleted = now + Duration::from_secs(20);
    assert!(!state.follow(deleted, 0, &told(&mut metadata, false)), "a broker may not have heard of it");
    assert_eq!(fetchable(&state, deleted).len(), 2);
    assert!(!state.follow(deleted + Duration::from_secs(1), 0, &told(&mut metadata, false)));
    assert!(state.follow(deleted + Duration::from_secs(2), 0, &told(&mut metadata, false)));
    let error = state.take_error().unwrap().to_string();
    assert!(error.contains("topic t") && error.contains("2.0s"), "{error}");
    assert!(!state.follow(deleted + Duration::from_secs(3), 0, &told(&mut metadata, false)), "one event for both");
    assert_eq!(fetchable(&state, deleted + Duration::from_secs(3)).len(), 0);
    assert!(!state.follow(deleted + Duration::from_secs(4), 0, &told(&mut metadata, true)));
    assert_eq!(fetchable(&state, deleted + Duration::from_secs(4)).len(), 2);
}
