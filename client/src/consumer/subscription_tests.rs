#![allow(clippy::disallowed_methods, reason = "a test")]
use std::time::Duration;

use super::super::completed_fetch::ReadOptions;
use super::super::testing::batch;
use super::*;

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
    let plan = state.fetchable(now, |_| Some(LEADER));
    plan.fetches.into_values().flat_map(|f| f.partitions).collect()
}

/// Data from `offset` on, as an answer to `asked`.
fn answer(state: &mut SubscriptionState, asked: &Fetchable, offset: i64, values: &[&str]) {
    let key = (asked.topic_partition.clone(), asked.stamp);
    let mut fetch = CompletedFetch::new(key, asked.from, batch(offset, values), None);
    fetch.high_watermark = 100;
    state.fetched(fetch, asked.from);
}

fn taken(state: &mut SubscriptionState, max: usize) -> Option<i64> {
    let options =
        ReadOptions { check_crcs: true, isolation_level: IsolationLevel::ReadUncommitted, max_bytes: 1 << 20 };
    let (mut fetch, position) = state.pop()?;
    let taken = fetch.take(position, max, 1 << 20, &options).unwrap();
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
    assert!(state.fetchable(now, |_| Some(LEADER)).fetches[&LEADER].left_out);
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
        state.out_of_range(&tp(), asked.stamp, 4, 1000);
        assert!(state.position(&tp()).is_some(), "another position's answer");
        state.out_of_range(&tp(), asked.stamp, 5, 1000);
        assert_eq!(state.position(&tp()), None);
        let lookups = state.fetchable(now, |_| Some(LEADER)).lookups;
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
    let (_, stamp, spec) = state.fetchable(now, |_| Some(LEADER)).lookups.remove(0);
    assert_eq!(spec, OffsetSpec::Timestamp(5));
    state.looked_up(&tp(), stamp, None);
    assert_eq!(state.fetchable(now, |_| Some(LEADER)).lookups[0].2, OffsetSpec::Latest);
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
    let at = state.fetchable(now, |_| Some(LEADER)).look_again.unwrap();
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
        (13, M),
        (29, Report),
        (43, Report),
        (56, M),
        (70, Wait),
        (74, M),
        (75, Wait),
        (76, Report),
        (78, Wait),
        (100, M),
        (103, M),
        (109, Report),
        (-1, M),
        (2, Wait),
    ];
    for (code, remedy) in rows {
        assert_eq!(fetch_remedy(ErrorCode::from(code)), remedy, "{code}");
    }
}
