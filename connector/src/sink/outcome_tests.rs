//! The matrix, row by row: what the coordinator holds and answers, and what the log says.
use super::*;
use crate::sink::committable::Witness;

const ID: i64 = 1000;
const E: i16 = 7;
const STARTED: Timestamp = 1_000_000;
const TIMEOUT: i32 = 60_000;
const EARLY: Timestamp = STARTED + 1;
const LATE: Timestamp = STARTED + TIMEOUT as i64;

fn committable(end_txn_version: u8, producer_epoch: i16) -> KafkaCommittable {
    KafkaCommittable {
        prefix: "app".into(),
        subtask: 0,
        slot: 1,
        transactional_id: "app-0-1".into(),
        producer_id: ID,
        producer_epoch,
        end_txn_version,
        started_at: STARTED,
        timeout: TIMEOUT,
        witness: Some(Witness { topic: "out".into(), partition: 0, offset: 5 }),
    }
}

fn found(state: CoordinatorState, epoch: i16) -> Described {
    Described::Found(Entry { state, producer_id: ID, epoch })
}

fn other_id(state: CoordinatorState, epoch: i16) -> Described {
    Described::Found(Entry { state, producer_id: ID + 1, epoch })
}

fn finish(c: &KafkaCommittable, step: Step, marker: Marker) -> Verdict {
    match step {
        Step::Done(verdict) => verdict,
        Step::Witness(doubt) => on_marker(c, doubt, marker),
        Step::End => panic!("EndTxn twice"),
    }
}

/// The attempt that prepared it: EndTxn first.
fn fresh(c: &KafkaCommittable, described: Described, code: i16, marker: Marker, now: Timestamp) -> Verdict {
    finish(c, on_answer(c, ErrorCode::from(code), described, now), marker)
}

/// On restore: DescribeTransactions first.
fn restored(c: &KafkaCommittable, described: Described, code: i16, marker: Marker, now: Timestamp) -> Verdict {
    match on_described(c, described, now) {
        Step::End => fresh(c, described, code, marker, now),
        step => finish(c, step, marker),
    }
}

const COMMITTED: Verdict = Verdict::Outcome(Outcome::Committed);
const ALREADY: Verdict = Verdict::Outcome(Outcome::AlreadyCommitted);
const RETRIED: Verdict = Verdict::Outcome(Outcome::Retry);

fn all_markers(version: u8) -> [Marker; 5] {
    let commit = if version >= 5 { E + 1 } else { E };
    [
        Marker::Commit { epoch: commit },
        Marker::Abort { epoch: E + 1 },
        Marker::Commit { epoch: E + 9 },
        Marker::NotYet,
        Marker::Unreadable,
    ]
}

/// Rows in which the coordinator's word is enough, whatever the log says.
#[test]
fn n17_rows_that_need_no_witness() {
    use CoordinatorState as S;
    let aborted = Verdict::Lost(Loss::Aborted, Witnessed::NotAsked);
    let rows = [
        // version, coordinator, answer to EndTxn, fresh, restored
        (4, found(S::Ongoing, E), 0, COMMITTED, COMMITTED),
        (4, found(S::PrepareCommit, E), 51, RETRIED, RETRIED),
        (4, found(S::CompleteCommit, E), 0, COMMITTED, ALREADY),
        (4, found(S::PrepareAbort, E), 48, aborted, aborted),
        (4, found(S::CompleteAbort, E), 48, aborted, aborted),
        (5, found(S::Ongoing, E), 0, COMMITTED, COMMITTED),
        (5, found(S::PrepareCommit, E + 1), 51, RETRIED, RETRIED),
        (5, found(S::CompleteCommit, E + 1), 0, COMMITTED, ALREADY),
        (5, found(S::PrepareAbort, E + 1), 48, aborted, aborted),
        (5, found(S::CompleteAbort, E + 1), 48, aborted, aborted),
        (5, found(S::CompleteAbort, E), 48, aborted, aborted),
    ];
    for (version, described, code, expected_fresh, expected_restored) in rows {
        let c = committable(version, E);
        for marker in all_markers(version) {
            let row = format!("v{version} {described:?} {code} {marker:?}");
            assert_eq!(fresh(&c, described, code, marker, EARLY), expected_fresh, "fresh {row}");
            assert_eq!(restored(&c, described, code, marker, EARLY), expected_restored, "restored {row}");
        }
    }
}

/// Rows in which a newer epoch or nothing at all is known: the log decides, and without it the loss is undecided.
#[test]
fn n17_rows_that_the_witness_decides() {
    use CoordinatorState as S;
    let rows = [
        (4, found(S::Empty, E), 48, Loss::Fenced),
        (4, found(S::Ongoing, E + 1), 90, Loss::Fenced),
        (4, found(S::Empty, E + 2), 90, Loss::Fenced),
        (4, found(S::CompleteAbort, E + 3), 90, Loss::Fenced),
        (4, found(S::CompleteCommit, E + 1), 90, Loss::Fenced),
        (4, found(S::Ongoing, E + 1), 47, Loss::Fenced),
        (4, Described::NotFound, 49, Loss::Expired),
        (4, other_id(S::Ongoing, 0), 49, Loss::Expired),
        (5, found(S::Empty, E), 48, Loss::Fenced),
        (5, found(S::CompleteCommit, E), 48, Loss::Fenced),
        (5, found(S::Ongoing, E + 2), 90, Loss::Fenced),
        (5, found(S::Empty, E + 2), 90, Loss::Fenced),
        (5, found(S::CompleteAbort, E + 3), 90, Loss::Fenced),
        (5, Described::NotFound, 49, Loss::Expired),
        (5, Described::NotFound, 105, Loss::Expired),
        (5, other_id(S::Empty, 3), 49, Loss::Expired),
    ];
    for (version, described, code, loss) in rows {
        let c = committable(version, E);
        let expected = [
            ALREADY,
            Verdict::Lost(loss, Witnessed::Aborted),
            Verdict::Lost(loss, Witnessed::Undecided),
            Verdict::Lost(loss, Witnessed::Undecided),
            Verdict::Lost(loss, Witnessed::Undecided),
        ];
        for (marker, expected) in all_markers(version).into_iter().zip(expected) {
            let row = format!("v{version} {described:?} {code} {marker:?}");
            assert_eq!(fresh(&c, described, code, marker, EARLY), expected, "fresh {row}");
            assert_eq!(restored(&c, described, code, marker, EARLY), expected, "restored {row}");
        }
    }
}

/// EndTxn v4, next epoch, aborted: by timeout or fence, or the transaction after ours. Only the log can tell.
#[test]
fn n17_an_abort_of_the_next_epoch_is_ours_unless_the_log_says_commit() {
    for state in [CoordinatorState::PrepareAbort, CoordinatorState::CompleteAbort] {
        let (c, described) = (committable(4, E), found(state, E + 1));
        for (now, loss) in [(EARLY, Loss::Aborted), (LATE, Loss::TimedOut)] {
            for (marker, expected) in all_markers(4).into_iter().zip([
                ALREADY,
                Verdict::Lost(loss, Witnessed::Aborted),
                Verdict::Lost(loss, Witnessed::NotAsked),
                Verdict::Lost(loss, Witnessed::NotAsked),
                Verdict::Lost(loss, Witnessed::NotAsked),
            ]) {
                assert_eq!(fresh(&c, described, 90, marker, now), expected, "{state:?} {marker:?}");
                assert_eq!(restored(&c, described, 90, marker, now), expected, "{state:?} {marker:?}");
            }
        }
    }
}

#[test]
fn n17_past_its_timeout_an_abort_is_a_timeout() {
    use CoordinatorState as S;
    for (version, epoch) in [(4, E), (5, E + 1)] {
        let (c, described) = (committable(version, E), found(S::CompleteAbort, epoch));
        let timed_out = Verdict::Lost(Loss::TimedOut, Witnessed::NotAsked);
        assert_eq!(fresh(&c, described, 48, Marker::Unreadable, LATE), timed_out);
        assert_eq!(restored(&c, described, 48, Marker::Unreadable, LATE), timed_out);
    }
    for state in [S::PrepareAbort, S::CompleteAbort, S::PrepareEpochFence] {
        let fenced = fresh(&committable(5, E), found(state, E + 3), 90, Marker::Abort { epoch: E }, LATE);
        assert_eq!(fenced, Verdict::Lost(Loss::TimedOut, Witnessed::Aborted), "{state:?}");
    }
    let fenced = fresh(&committable(5, E), found(S::Ongoing, E + 3), 90, Marker::Unreadable, LATE);
    assert_eq!(fenced, Verdict::Lost(Loss::Fenced, Witnessed::Undecided));
}

#[test]
fn n17_no_marker_yet_while_markers_are_being_written_is_no_loss() {
    for (version, epoch) in [(4, E + 1), (5, E), (5, E + 3)] {
        let c = committable(version, E);
        let described = found(CoordinatorState::PrepareCommit, epoch);
        assert_eq!(fresh(&c, described, 90, Marker::NotYet, LATE), RETRIED, "v{version} {epoch}");
        assert_eq!(restored(&c, described, 90, Marker::NotYet, LATE), RETRIED, "v{version} {epoch}");
    }
}

#[test]
fn n10_epoch_overflow_is_our_own_end() {
    let c = committable(5, 32_766);
    let described = other_id(CoordinatorState::CompleteCommit, 0);
    assert_eq!(restored(&c, described, 0, Marker::Unreadable, EARLY), ALREADY);
    let aborted = other_id(CoordinatorState::CompleteAbort, 0);
    let lost = Verdict::Lost(Loss::Aborted, Witnessed::NotAsked);
    assert_eq!(restored(&c, aborted, 48, Marker::Unreadable, EARLY), lost);
    assert_eq!(fresh(&c, aborted, 48, Marker::Unreadable, EARLY), lost);
    // EndTxn v4 never overflows: another id is another owner.
    let foreign = restored(&committable(4, 32_766), described, 49, Marker::Unreadable, EARLY);
    assert_eq!(foreign, Verdict::Lost(Loss::Expired, Witnessed::Undecided));
}

#[test]
fn with_endtxn_v4_the_commit_of_the_next_epoch_is_not_ours() {
    let described = found(CoordinatorState::Ongoing, E + 3);
    let next = Marker::Commit { epoch: E + 1 };
    assert_eq!(
        fresh(&committable(4, E), described, 90, next, EARLY),
        Verdict::Lost(Loss::Fenced, Witnessed::Undecided)
    );
    assert_eq!(fresh(&committable(5, E), described, 90, next, EARLY), ALREADY);
}

#[test]
fn brokers_before_3_0_are_asked_to_end_first() {
    let c = committable(4, E);
    assert_eq!(on_described(&c, Described::Unsupported, EARLY), Step::End);
    for code in [48, 49, 90] {
        let by_log = restored(&c, Described::Unsupported, code, Marker::Commit { epoch: E }, EARLY);
        assert_eq!(by_log, ALREADY, "{code}");
        let undecided = restored(&c, Described::Unsupported, code, Marker::Unreadable, EARLY);
        assert!(matches!(undecided, Verdict::Lost(_, Witnessed::Undecided)), "{code}");
    }
}

#[test]
fn a31_retriable_answers_unknown_ones_and_missing_rights() {
    let c = committable(5, E);
    let ongoing = found(CoordinatorState::Ongoing, E);
    for code in [51, 14, 15, 16, 7, -1] {
        assert_eq!(fresh(&c, ongoing, code, Marker::Unreadable, LATE), RETRIED, "{code}");
    }
    for code in [53, 31, 42, 9999] {
        let verdict = fresh(&c, ongoing, code, Marker::Unreadable, EARLY);
        assert_eq!(verdict, Verdict::Error(ErrorCode::from(code)), "{code}");
    }
    for code in [48, 49, 90] {
        assert_eq!(fresh(&c, Described::Unavailable, code, Marker::Unreadable, EARLY), RETRIED, "{code}");
    }
    assert_eq!(restored(&c, Described::Unavailable, 0, Marker::Unreadable, EARLY), RETRIED);
}

#[test]
fn a16_the_alias_skips_only_what_has_timed_out() {
    let c = KafkaCommittable { started_at: 0, timeout: 1000, ..committable(5, E) };
    assert!(OnLost::SkipTimedOut.skips(&c, Loss::TimedOut, 1001));
    assert!(!OnLost::SkipTimedOut.skips(&c, Loss::TimedOut, 1000));
    assert!(!OnLost::SkipTimedOut.skips(&c, Loss::Fenced, 1001));
    assert!(OnLost::Skip.skips(&c, Loss::Fenced, 0));
    assert!(!OnLost::Fail.skips(&c, Loss::TimedOut, 1001));
}

#[test]
fn a17_a_transaction_open_for_too_long_is_named_with_both_times() {
    let c = KafkaCommittable { started_at: 0, timeout: 1000, ..committable(5, E) };
    let warning = open_too_long(&c, 0.5, 502).expect("more than half");
    assert!(warning.contains("502 ms") && warning.contains("1000 ms"), "{warning}");
    assert_eq!(open_too_long(&c, 0.5, 500), None);
    let hour = KafkaCommittable { timeout: 3_600_000, ..c };
    assert!(open_too_long(&hour, 0.8, 2_880_001).is_some());
    assert!(open_too_long(&hour, 0.8, 2_880_000).is_none());
}
