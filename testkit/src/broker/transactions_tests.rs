//! The coordinator's table of client.md §6.7, row by row, and the rules around it.

#![allow(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]

use super::*;

const ID: &str = "payments";

struct Coordinator {
    transactions: Transactions,
    now: Instant,
    producer: ProducerIdAndEpoch,
}

fn coordinator(second_protocol: bool) -> Coordinator {
    let mut transactions = Transactions::new(900_000, second_protocol);
    let now = Instant::now();
    let producer = ready(transactions.initialize(now, ID, 60_000, None));
    Coordinator { transactions, now, producer }
}

fn ready(outcome: Result<Initialized, ErrorCode>) -> ProducerIdAndEpoch {
    match outcome {
        Ok(Initialized::Ready(producer)) => producer,
        other => panic!("not ready: {other:?}"),
    }
}

impl Coordinator {
    fn begin(&mut self) -> &mut Self {
        self.add(self.producer).unwrap();
        self
    }

    fn add(&mut self, producer: ProducerIdAndEpoch) -> Result<(), ErrorCode> {
        self.transactions.add_partitions(self.now, ID, producer, [("t".to_owned(), 0)])
    }

    /// EndTxn with the epoch the client had when the story began.
    fn end(&mut self, commit: bool, version: i16) -> Result<(i64, i16), i16> {
        let result = self.transactions.end(self.now, ID, self.producer, commit, version >= 5);
        result.map(|next| (next.producer_id, next.epoch)).map_err(|error| error.code())
    }

    fn complete(&mut self) -> &mut Self {
        self.transactions.complete(self.now, ID);
        self
    }

    fn ended(mut self, commit: bool, version: i16) -> Self {
        self.end(commit, version).unwrap();
        self.complete();
        self
    }

    fn state(&self) -> (TransactionState, i16) {
        let entry = self.transactions.describe(ID).unwrap();
        (entry.state, entry.epoch)
    }

    fn bumped(&self) -> (i64, i16) {
        (self.producer.producer_id, self.producer.epoch + 1)
    }

    fn same(&self) -> (i64, i16) {
        (self.producer.producer_id, self.producer.epoch)
    }

    fn copy(&self) -> Self {
        let transactions = Transactions { entries: self.transactions.entries.clone(), ..self.transactions };
        Self { transactions, now: self.now, producer: self.producer }
    }

    /// The four columns: commit v≤4, commit v5, abort v≤4, abort v5.
    fn row(&self) -> [Result<(i64, i16), i16>; 4] {
        [(true, 4), (true, 5), (false, 4), (false, 5)].map(|(commit, version)| self.copy().end(commit, version))
    }
}

fn ongoing(second_protocol: bool) -> Coordinator {
    let mut coordinator = coordinator(second_protocol);
    coordinator.begin();
    coordinator
}

fn prepared(commit: bool, version: i16) -> Coordinator {
    let mut coordinator = ongoing(version >= 5);
    coordinator.end(commit, version).unwrap();
    coordinator
}

fn timed_out(second_protocol: bool) -> Coordinator {
    let mut coordinator = ongoing(second_protocol);
    coordinator.now += Duration::from_millis(60_001);
    assert!(coordinator.transactions.abort_timed_out(coordinator.now));
    coordinator
}

fn exhausted() -> Coordinator {
    let mut coordinator = coordinator(true);
    coordinator.transactions.entries.get_mut(ID).unwrap().epoch = LAST_EPOCH;
    coordinator.producer.epoch = LAST_EPOCH;
    coordinator.begin();
    coordinator
}

#[test]
fn row_ongoing_same_epoch() {
    let coordinator = ongoing(true);
    let (same, bumped) = (coordinator.same(), coordinator.bumped());
    assert_eq!(coordinator.row(), [Ok(same), Ok(bumped), Ok(same), Ok(bumped)]);
}

#[test]
fn row_ongoing_exhausted_epoch_continues_with_a_new_id() {
    let mut coordinator = exhausted();
    let (id, epoch) = coordinator.end(true, 5).unwrap();
    assert!(id != coordinator.producer.producer_id && epoch == 0);
    let markers = coordinator.transactions.markers(ID).unwrap();
    assert_eq!((markers.producer.producer_id, markers.producer.epoch), (coordinator.producer.producer_id, i16::MAX));
}

#[test]
fn row_ongoing_next_transaction_open() {
    let mut coordinator = ongoing(true).ended(true, 5);
    let next = ProducerIdAndEpoch { epoch: coordinator.producer.epoch + 1, ..coordinator.producer };
    coordinator.add(next).unwrap();
    assert_eq!(coordinator.row(), [Err(90), Err(90), Err(90), Err(90)]);
}

#[test]
fn row_prepare_commit_same_epoch_was_ended_by_v4() {
    assert_eq!(prepared(true, 4).row(), [Err(51), Err(90), Err(48), Err(90)]);
}

#[test]
fn row_prepare_commit_next_epoch_was_ended_by_v5() {
    assert_eq!(prepared(true, 5).row(), [Err(90), Err(51), Err(90), Err(48)]);
}

#[test]
fn row_complete_commit_same_epoch() {
    let coordinator = ongoing(true).ended(true, 4);
    assert_eq!(coordinator.state(), (TransactionState::CompleteCommit, coordinator.producer.epoch));
    let (same, bumped) = (coordinator.same(), coordinator.bumped());
    assert_eq!(coordinator.row(), [Ok(same), Err(48), Err(48), Ok(bumped)]);
}

#[test]
fn row_complete_commit_next_epoch() {
    let coordinator = ongoing(true).ended(true, 5);
    let bumped = coordinator.bumped();
    assert_eq!(coordinator.row(), [Err(90), Ok(bumped), Err(90), Err(48)]);
}

#[test]
fn row_complete_commit_after_overflow() {
    let coordinator = exhausted().ended(true, 5);
    let stored = coordinator.transactions.describe(ID).map(|entry| (entry.producer_id, entry.epoch)).unwrap();
    assert_eq!(coordinator.row(), [Err(49), Ok(stored), Err(49), Err(48)]);
}

#[test]
fn row_prepare_abort_same_epoch_was_ended_by_v4() {
    assert_eq!(prepared(false, 4).row(), [Err(48), Err(90), Err(51), Err(90)]);
}

#[test]
fn row_prepare_abort_next_epoch_v5_or_timeout_at_any_level() {
    for coordinator in [prepared(false, 5), timed_out(true), timed_out(false)] {
        assert_eq!(coordinator.row(), [Err(90), Err(48), Err(90), Err(51)]);
    }
}

#[test]
fn row_complete_abort_same_epoch() {
    let coordinator = ongoing(true).ended(false, 4);
    let (same, bumped) = (coordinator.same(), coordinator.bumped());
    assert_eq!(coordinator.row(), [Err(48), Err(48), Ok(same), Ok(bumped)]);
}

#[test]
fn row_complete_abort_next_epoch_v5_or_timeout() {
    let mut first = timed_out(false);
    first.complete();
    let mut second = timed_out(true);
    second.complete();
    for coordinator in [ongoing(true).ended(false, 5), first, second] {
        let bumped = coordinator.bumped();
        assert_eq!(coordinator.state(), (TransactionState::CompleteAbort, bumped.1));
        assert_eq!(coordinator.row(), [Err(90), Err(48), Err(90), Ok(bumped)]);
    }
}

#[test]
fn row_complete_abort_after_overflow() {
    let coordinator = exhausted().ended(false, 5);
    let stored = coordinator.transactions.describe(ID).map(|entry| (entry.producer_id, entry.epoch)).unwrap();
    assert_eq!(coordinator.row(), [Err(49), Err(48), Err(49), Ok(stored)]);
}

#[test]
fn row_empty_same_epoch() {
    let coordinator = coordinator(true);
    let bumped = coordinator.bumped();
    assert_eq!(coordinator.row(), [Err(48), Err(48), Err(48), Ok(bumped)]);
}

#[test]
fn row_empty_with_newer_epoch_was_initialized_again() {
    let mut coordinator = coordinator(true);
    for _ in 0..2 {
        ready(coordinator.transactions.initialize(coordinator.now, ID, 60_000, None));
        assert_eq!(coordinator.row(), [Err(90), Err(90), Err(90), Err(90)]);
    }
}

#[test]
fn row_no_entry_or_other_id() {
    let mut gone = ongoing(true);
    gone.transactions.entries.clear();
    assert_eq!(gone.row(), [Err(49), Err(49), Err(49), Err(49)]);
    let mut other = ongoing(true);
    other.producer.producer_id += 500;
    assert_eq!(other.row(), [Err(49), Err(49), Err(49), Err(49)]);
}

#[test]
fn empty_id_is_42() {
    let mut coordinator = coordinator(true);
    let producer = coordinator.producer;
    for bumps in [false, true] {
        let result = coordinator.transactions.end(coordinator.now, "", producer, true, bumps);
        assert_eq!(result, Err(ErrorCode::InvalidRequest));
    }
    let init = coordinator.transactions.initialize(coordinator.now, "", 60_000, None);
    assert_eq!(init, Err(ErrorCode::InvalidRequest));
}

#[test]
fn end_markers_carry_e_with_v4_and_the_next_epoch_with_v5_or_timeout() {
    let epoch = |coordinator: &Coordinator| {
        i32::from(coordinator.transactions.markers(ID).unwrap().producer.epoch) - i32::from(coordinator.producer.epoch)
    };
    assert_eq!(epoch(&prepared(true, 4)), 0);
    assert_eq!(epoch(&prepared(false, 4)), 0);
    assert_eq!(epoch(&prepared(true, 5)), 1);
    assert_eq!(epoch(&prepared(false, 5)), 1);
    assert_eq!(epoch(&timed_out(false)), 1);
    assert_eq!(epoch(&timed_out(true)), 1);
}

#[test]
fn init_without_epoch_fences_then_is_one_epoch_above_the_abort() {
    for second_protocol in [false, true] {
        let mut coordinator = ongoing(second_protocol);
        let now = coordinator.now;
        assert_eq!(coordinator.transactions.initialize(now, ID, 60_000, None), Ok(Initialized::Fencing));
        let again = coordinator.transactions.initialize(now, ID, 60_000, None);
        assert_eq!(again, Err(ErrorCode::ConcurrentTransactions));
        coordinator.complete();
        let next = ready(coordinator.transactions.initialize(now, ID, 60_000, None));
        assert_eq!(next.epoch, coordinator.producer.epoch + 2);
        assert_eq!(next.producer_id, coordinator.producer.producer_id);
    }
}

#[test]
fn init_with_epoch_bumps_once_and_its_retry_gives_the_same_answer() {
    let mut coordinator = coordinator(false);
    let (now, producer) = (coordinator.now, coordinator.producer);
    let first = ready(coordinator.transactions.initialize(now, ID, 60_000, Some(producer)));
    assert_eq!(first.epoch, producer.epoch + 1);
    assert_eq!(ready(coordinator.transactions.initialize(now, ID, 60_000, Some(producer))), first);
    let stale = ProducerIdAndEpoch { epoch: producer.epoch - 1, ..producer };
    assert_eq!(coordinator.transactions.initialize(now, ID, 60_000, Some(stale)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn init_with_foreign_id_is_90() {
    let mut coordinator = coordinator(false);
    let foreign = ProducerIdAndEpoch { producer_id: 7, epoch: 0 };
    let result = coordinator.transactions.initialize(coordinator.now, ID, 60_000, Some(foreign));
    assert_eq!(result, Err(ErrorCode::ProducerFenced));
}

#[test]
fn init_at_the_last_epoch_takes_a_new_id_and_its_retry_too() {
    let mut coordinator = coordinator(false);
    coordinator.transactions.entries.get_mut(ID).unwrap().epoch = LAST_EPOCH;
    coordinator.producer.epoch = LAST_EPOCH;
    let (now, producer) = (coordinator.now, coordinator.producer);
    let next = ready(coordinator.transactions.initialize(now, ID, 60_000, Some(producer)));
    assert!(next.producer_id != producer.producer_id && next.epoch == 0);
    assert_eq!(ready(coordinator.transactions.initialize(now, ID, 60_000, Some(producer))), next);
}

#[test]
fn timeout_above_the_brokers_maximum_is_50() {
    let mut transactions = Transactions::new(900_000, true);
    let now = Instant::now();
    assert_eq!(transactions.initialize(now, ID, 900_001, None), Err(ErrorCode::InvalidTransactionTimeout));
    assert_eq!(transactions.initialize(now, ID, 0, None), Err(ErrorCode::InvalidTransactionTimeout));
    assert!(transactions.initialize(now, ID, 900_000, None).is_ok());
}

#[test]
fn timeout_runs_from_the_first_partition() {
    let mut coordinator = coordinator(true);
    coordinator.now += Duration::from_secs(600);
    coordinator.begin();
    assert!(!coordinator.transactions.abort_timed_out(coordinator.now + Duration::from_secs(60)));
    coordinator.now += Duration::from_secs(30);
    coordinator.begin();
    assert!(coordinator.transactions.abort_timed_out(coordinator.now + Duration::from_millis(30_001)));
}

#[test]
fn late_client_of_the_second_protocol_may_abort_and_go_on() {
    let mut coordinator = timed_out(true);
    coordinator.complete();
    let bumped = coordinator.bumped();
    assert_eq!(coordinator.end(false, 5), Ok(bumped));
    let next = ProducerIdAndEpoch { producer_id: bumped.0, epoch: bumped.1 };
    assert_eq!(coordinator.add(next), Ok(()));
}

#[test]
fn late_client_of_the_first_protocol_is_fenced() {
    let mut coordinator = timed_out(false);
    coordinator.complete();
    assert_eq!(coordinator.end(false, 4), Err(90));
    let producer = coordinator.producer;
    assert_eq!(coordinator.add(producer), Err(ErrorCode::ProducerFenced));
}

#[test]
fn adding_checks_id_then_epoch_then_state() {
    let mut coordinator = prepared(true, 4);
    let producer = coordinator.producer;
    assert_eq!(coordinator.add(producer), Err(ErrorCode::ConcurrentTransactions));
    let older = ProducerIdAndEpoch { epoch: producer.epoch - 1, ..producer };
    assert_eq!(coordinator.add(older), Err(ErrorCode::ProducerFenced));
    let other = ProducerIdAndEpoch { producer_id: 1, ..producer };
    assert_eq!(coordinator.add(other), Err(ErrorCode::InvalidProducerIdMapping));
}

#[test]
fn partition_that_was_not_added_is_120_for_the_verifying_leader() {
    let mut coordinator = ongoing(false);
    let producer = coordinator.producer;
    let mut verify = |partition| coordinator.transactions.verify(ID, producer, &("t".to_owned(), partition));
    assert_eq!(verify(0), Ok(()));
    assert_eq!(verify(1), Err(ErrorCode::TransactionAbortable));
}

#[test]
fn unused_ids_expire_and_open_transactions_never() {
    let week = Duration::from_secs(7 * 24 * 3600);
    let mut idle = coordinator(true);
    idle.transactions.expire(idle.now + week, week);
    assert!(idle.transactions.describe(ID).is_none());
    let mut open = ongoing(true);
    open.transactions.expire(open.now + week * 2, week);
    assert!(open.transactions.describe(ID).is_some());
}
