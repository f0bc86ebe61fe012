#![allow(clippy::disallowed_methods, reason = "a test")]
use ottla_protocol::ApiKey;

use super::*;

const ID: ProducerIdAndEpoch = ProducerIdAndEpoch { producer_id: 7, epoch: 3 };
const KEY: PartitionKey = PartitionKey { topic: 0, partition: 0 };

fn start() -> Instant {
    Instant::now()
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn initialised(version: TransactionVersion) -> TransactionManager {
    let backoff = ExponentialBackoff { initial: Duration::from_millis(100), max: Duration::from_secs(1) };
    let mut manager =
        TransactionManager::new("app".into(), Duration::from_secs(60), backoff, fastrand::Rng::with_seed(1));
    manager.init().unwrap();
    let request = manager.poll_request(start(), true);
    assert_eq!(request, Some(ControlRequest::InitProducerId { id: ProducerIdAndEpoch::NONE }));
    manager.handle_response(start(), ControlResponse::InitProducerId(ID), version);
    manager
}

/// A transaction with one partition in it.
fn started(version: TransactionVersion) -> TransactionManager {
    let mut manager = initialised(version);
    manager.begin().unwrap();
    manager.want_partition(KEY, partition());
    if version == TransactionVersion::V1 {
        let request = manager.poll_request(start(), false).unwrap();
        assert_eq!(request, ControlRequest::AddPartitions { id: ID, partitions: vec![(KEY, partition())] });
        let added = vec![(KEY, Ok(()))];
        let effects = manager.handle_response(start(), ControlResponse::AddPartitions(added), version);
        assert_eq!(effects.added, [KEY]);
    }
    manager.batch_sent();
    manager
}

fn end(manager: &mut TransactionManager) -> ControlRequest {
    manager.poll_request(start(), true).unwrap()
}

fn lost() -> Error {
    Error::Disconnected { broker: "b".into(), api: ApiKey::EndTxn, version: 4, written: true, reason: "gone".into() }
}

fn refused(code: ErrorCode) -> Error {
    Error::broker(code, ApiKey::EndTxn, "app")
}

#[test]
fn version_1_adds_partitions_and_keeps_its_epoch() {
    let mut manager = started(TransactionVersion::V1);
    manager.commit().unwrap();
    assert_eq!(manager.poll_request(start(), false), None, "a batch is not answered yet");
    assert_eq!(end(&mut manager), ControlRequest::EndTxn { id: ID, commit: true, version: 4 });
    let effects = manager.handle_response(start(), ControlResponse::EndTxn(None), TransactionVersion::V1);
    assert!(effects.ended);
    assert!(matches!(manager.phase(), Phase::Ready));
    assert_eq!(manager.id(), ID);
}

#[test]
fn version_2_adopts_the_epoch_of_every_end() {
    let mut manager = started(TransactionVersion::V2);
    manager.commit().unwrap();
    assert_eq!(end(&mut manager), ControlRequest::EndTxn { id: ID, commit: true, version: 5 });
    let next = ProducerIdAndEpoch { epoch: 4, ..ID };
    manager.handle_response(start(), ControlResponse::EndTxn(Some(next)), TransactionVersion::V2);
    assert_eq!(manager.id(), next);
    manager.begin().unwrap();
}

#[test]
fn empty_transaction_sends_no_end_txn() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        for commit in [true, false] {
            let mut manager = initialised(version);
            manager.begin().unwrap();
            assert!(manager.is_empty());
            if commit {
                manager.commit().unwrap()
            } else {
                manager.abort().unwrap()
            }
            assert_eq!(manager.poll_request(start(), true), None);
            assert!(matches!(manager.phase(), Phase::Ready));
        }
    }
}

#[test]
fn end_txn_version_is_fixed_across_retries() {
    let mut manager = started(TransactionVersion::V1);
    manager.commit().unwrap();
    let first = end(&mut manager);
    let effects = manager.handle_failure(start(), &first.kind(), lost());
    assert!(effects.coordinator_is_lost, "dead_connection_is_not_a_refusal");
    assert_eq!(manager.poll_request(start(), true), None, "it backs off");
    let later = manager.poll_timeout().unwrap();
    assert_eq!(manager.poll_request(later, true), Some(first));
}

#[test]
fn tv1_indefinite_end_bumps_epoch_before_next_begin() {
    let mut manager = started(TransactionVersion::V1);
    manager.commit().unwrap();
    let request = end(&mut manager);
    manager.handle_failure(start(), &request.kind(), lost());
    let later = manager.poll_timeout().unwrap();
    assert!(manager.poll_request(later, true).is_some());
    manager.handle_response(later, ControlResponse::EndTxn(None), TransactionVersion::V1);
    assert!(manager.begin().is_err());
    assert_eq!(end(&mut manager), ControlRequest::InitProducerId { id: ID });
    let bumped = ProducerIdAndEpoch { epoch: 4, ..ID };
    manager.handle_response(later, ControlResponse::InitProducerId(bumped), TransactionVersion::V1);
    manager.begin().unwrap();
    assert_eq!(manager.id(), bumped);
}

#[test]
fn a_cluster_that_learns_version_2_wants_a_new_epoch_between_transactions() {
    let mut manager = started(TransactionVersion::V1);
    manager.commit().unwrap();
    assert!(matches!(end(&mut manager), ControlRequest::EndTxn { version: 4, .. }));
    manager.handle_response(start(), ControlResponse::EndTxn(None), TransactionVersion::V2);
    assert_eq!(end(&mut manager), ControlRequest::InitProducerId { id: ID });
    manager.handle_response(start(), ControlResponse::InitProducerId(ID), TransactionVersion::V2);
    assert_eq!(manager.version(), TransactionVersion::V2);
}

#[test]
fn a_failed_batch_leaves_only_the_abort() {
    let mut manager = started(TransactionVersion::V1);
    manager.fail_transaction(&refused(ErrorCode::MessageTooLarge));
    let error = manager.commit().unwrap_err();
    assert!(error.is_abortable(), "{error}");
    assert!(error.to_string().contains("app") && error.to_string().contains("abort_transaction"), "{error}");
    manager.abort().unwrap();
    assert_eq!(end(&mut manager), ControlRequest::EndTxn { id: ID, commit: false, version: 4 });
    manager.handle_response(start(), ControlResponse::EndTxn(None), TransactionVersion::V1);
    assert_eq!(end(&mut manager), ControlRequest::InitProducerId { id: ID }, "version 1 begins a new epoch");
}

#[test]
fn abort_of_an_abortable_abort_is_fatal() {
    let mut manager = started(TransactionVersion::V2);
    manager.abort().unwrap();
    let request = end(&mut manager);
    manager.handle_failure(start(), &request.kind(), refused(ErrorCode::TransactionAbortable));
    assert!(matches!(manager.phase(), Phase::FatalError(_)));
}

#[test]
fn a_commit_after_the_timeout_is_an_abort_under_version_2_and_a_fence_under_version_1() {
    let mut manager = started(TransactionVersion::V2);
    manager.commit().unwrap();
    let request = end(&mut manager);
    manager.handle_failure(start(), &request.kind(), refused(ErrorCode::InvalidTxnState));
    assert!(matches!(manager.phase(), Phase::AbortableError(_)));
    manager.abort().unwrap();
    assert_eq!(end(&mut manager), ControlRequest::InitProducerId { id: ProducerIdAndEpoch::NONE });

    let mut manager = started(TransactionVersion::V1);
    manager.commit().unwrap();
    let request = end(&mut manager);
    manager.handle_failure(start(), &request.kind(), refused(ErrorCode::ProducerFenced));
    let Phase::FatalError(error) = manager.phase() else { panic!("{:?}", manager.phase()) };
    let text = error.to_string();
    assert!(text.contains("app is fenced") && text.contains("transaction.timeout.ms (60000 ms)"), "{text}");
}

#[test]
fn calls_out_of_turn_say_what_to_do() {
    let mut manager = initialised(TransactionVersion::V2);
    assert!(manager.commit().unwrap_err().to_string().contains("begin_transaction first"));
    manager.begin().unwrap();
    assert!(manager.begin().unwrap_err().to_string().contains("commit or abort it first"));
    assert!(manager.detach().is_err());
    manager.prepare().unwrap();
    manager.detach().unwrap();
    assert!(manager.begin().unwrap_err().to_string().contains("init"));
    manager.init().unwrap();
}

#[test]
fn init_may_be_repeated_after_missing_rights_and_not_after_a_bad_timeout() {
    for (code, again) in
        [(ErrorCode::TransactionalIdAuthorizationFailed, true), (ErrorCode::InvalidTransactionTimeout, false)]
    {
        let mut manager = initialised(TransactionVersion::V2);
        manager.init().unwrap();
        let request = manager.poll_request(start(), true).unwrap();
        manager.handle_failure(start(), &request.kind(), Error::broker(code, ApiKey::InitProducerId, "app"));
        assert_eq!(manager.init().is_ok(), again, "{code}");
    }
}

#[test]
fn a_refused_authentication_ends_no_producer() {
    let refused = || Error::Authentication { broker: "b".into(), mechanism: "PLAIN".into(), reason: "no".into() };
    let mut manager = started(TransactionVersion::V2);
    manager.commit().unwrap();
    end(&mut manager);
    manager.handle_failure(start(), &ControlKind::Commit, refused());
    assert!(matches!(manager.phase(), Phase::Committing), "the coordinator may have the commit: it is asked again");
    assert!(matches!(manager.last_error(), Some(Error::Authentication { .. })), "a call that times out says so");
    let mut manager = initialised(TransactionVersion::V1);
    manager.begin().unwrap();
    manager.want_partition(KEY, partition());
    manager.poll_request(start(), false).unwrap();
    manager.handle_failure(start(), &ControlKind::AddPartitions, refused());
    assert!(matches!(manager.phase(), Phase::AbortableError(_)));
}

#[test]
fn the_first_partition_of_a_transaction_waits_for_the_last_one_only_briefly() {
    let busy = || vec![(KEY, Err(refused(ErrorCode::ConcurrentTransactions)))];
    let mut manager = initialised(TransactionVersion::V1);
    manager.begin().unwrap();
    manager.want_partition(KEY, partition());
    let now = start();
    for _ in 0..3 {
        manager.poll_request(now + Duration::from_secs(9), false).unwrap();
        manager.handle_response(now, ControlResponse::AddPartitions(busy()), TransactionVersion::V1);
        assert_eq!(manager.poll_timeout(), Some(now + Duration::from_millis(20)), "it does not grow");
    }
    manager.poll_request(now + Duration::from_secs(9), false).unwrap();
    let loading = vec![(KEY, Err(refused(ErrorCode::CoordinatorLoadInProgress)))];
    manager.handle_response(now, ControlResponse::AddPartitions(loading), TransactionVersion::V1);
    assert!(manager.poll_timeout() > Some(now + Duration::from_millis(200)), "another reason");

    let mut manager = started(TransactionVersion::V1);
    manager.want_partition(PartitionKey { topic: 0, partition: 1 }, TopicPartition::new("t", 1));
    manager.poll_request(now, false).unwrap();
    manager.handle_response(now, ControlResponse::AddPartitions(busy()), TransactionVersion::V1);
    assert!(
        manager.poll_timeout() >= Some(now + Duration::from_millis(80)),
        "not the first: {:?}",
        manager.poll_timeout()
    );
}
