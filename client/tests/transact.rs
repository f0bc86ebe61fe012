//! Transactions on the embedded broker, in both versions of the protocol.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::collections::HashMap;
use std::time::{Duration, Instant};

use ottla_client::{
    Admin, Client, ClientConfig, EndMarkerKind, EndOutcome, Error, ErrorCode, IsolationLevel, OffsetSpec,
    PreparedTransaction, ProducerConfig, ProducerRecord, TopicPartition, TransactionFilter, TransactionalProducer,
};
use ottla_testkit::{ApiKey, Broker};

/// The last version with the old protocol, the first with the new one, and one before InitProducerId had epochs.
const VERSIONS: [&str; 3] = ["2.1", "3.9", "4.1"];

fn config(id: &str) -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.transactional_id = Some(id.to_owned());
    config.linger = Duration::ZERO;
    config
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn start(version: &str) -> (Broker, Client) {
    let builder = Broker::builder().nodes(3).topic("t", 2).as_version(version);
    let broker = builder.transaction_sweep(Duration::from_millis(50)).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    (broker, client)
}

/// The end of partition 0 for those who see only what is decided, and for all.
async fn ends(client: &Client) -> (i64, i64) {
    let partition = TopicPartition::new("t", 0);
    let spec = HashMap::from([(partition.clone(), OffsetSpec::Latest)]);
    let admin = Admin::new(client);
    let mut ends = Vec::new();
    for level in [IsolationLevel::ReadCommitted, IsolationLevel::ReadUncommitted] {
        let listed = admin.list_offsets(&spec, level).await;
        ends.push(listed[&partition].as_ref().unwrap().offset.unwrap());
    }
    (ends[0], ends[1])
}

async fn write(producer: &TransactionalProducer, value: &str) {
    producer.send(ProducerRecord::new("t").partition(0).value(value)).await.unwrap();
}

/// How the transaction after `offset` ended in the log.
async fn marker(client: &Client, prepared: &PreparedTransaction) -> Option<EndMarkerKind> {
    let (partition, offset) = prepared.witness.clone().unwrap();
    let marker = Admin::new(client).end_marker(&partition, offset, prepared.producer_id).await.unwrap();
    marker.map(|m| m.kind)
}

#[tokio::test]
async fn commits_and_aborts_follow_each_other() {
    for version in VERSIONS {
        let (_broker, client) = start(version).await;
        let producer = TransactionalProducer::new(&client, config("app")).unwrap();
        producer.init().await.unwrap();
        for i in 0..20 {
            producer.begin_transaction().unwrap();
            write(&producer, "x").await;
            if i % 2 == 0 {
                producer.commit_transaction().await.unwrap();
            } else {
                producer.abort_transaction().await.unwrap();
            }
        }
        let (stable, end) = ends(&client).await;
        assert_eq!(stable, end, "{version}: nothing is open");
        producer.close(Duration::from_secs(5)).await.unwrap();
    }
}

#[tokio::test]
async fn an_empty_transaction_ends_without_a_request() {
    for version in VERSIONS {
        let (broker, client) = start(version).await;
        let ends = broker.on(ApiKey::EndTxn).delay(Duration::ZERO).always();
        let producer = TransactionalProducer::new(&client, config("app")).unwrap();
        producer.init().await.unwrap();
        producer.begin_transaction().unwrap();
        assert_eq!(producer.prepare_transaction().await.unwrap(), None);
        producer.commit_transaction().await.unwrap();
        producer.transaction().unwrap().abort().await.unwrap();
        assert_eq!(ends.hits(), 0, "{version}");
    }
}

#[tokio::test]
async fn a_prepared_transaction_is_committed_by_another_client() {
    for version in VERSIONS {
        let (_broker, client) = start(version).await;
        let producer = TransactionalProducer::new(&client, config("app")).unwrap();
        producer.init().await.unwrap();
        producer.begin_transaction().unwrap();
        write(&producer, "a").await;
        let prepared = producer.prepare_transaction().await.unwrap().unwrap();
        drop(producer);
        let (stable, end) = ends(&client).await;
        assert_eq!((stable, end), (0, 1), "{version}: it is open");
        assert_eq!(marker(&client, &prepared).await, None);
        let other = client.clone();
        let resumed = other.resume(prepared.clone());
        assert_eq!(resumed.commit(soon()).await.unwrap(), EndOutcome::Committed, "{version}");
        assert_eq!(resumed.commit(soon()).await.unwrap(), EndOutcome::Committed, "{version}: again");
        assert_eq!(marker(&client, &prepared).await, Some(EndMarkerKind::Commit));
        let (stable, end) = ends(&client).await;
        assert_eq!(stable, end, "{version}");
    }
}

#[tokio::test]
async fn a_detached_producer_begins_anew_after_the_commit() {
    for version in VERSIONS {
        let (_broker, client) = start(version).await;
        let producer = TransactionalProducer::new(&client, config("app")).unwrap();
        for round in 0..3 {
            producer.init().await.unwrap();
            producer.begin_transaction().unwrap();
            write(&producer, "a").await;
            let prepared = producer.prepare_transaction().await.unwrap().unwrap();
            assert!(producer.send(ProducerRecord::new("t")).await.is_err(), "it is prepared");
            producer.detach_prepared().unwrap();
            let outcome = client.resume(prepared).commit(soon()).await.unwrap();
            assert_eq!(outcome, EndOutcome::Committed, "{version} round {round}");
        }
    }
}

#[tokio::test]
async fn init_aborts_what_was_left_and_fences_who_left_it() {
    for version in VERSIONS {
        let (_broker, client) = start(version).await;
        let first = TransactionalProducer::new(&client, config("app")).unwrap();
        first.init().await.unwrap();
        first.begin_transaction().unwrap();
        write(&first, "lost").await;
        let prepared = first.prepare_transaction().await.unwrap().unwrap();
        let second = TransactionalProducer::new(&client, config("app")).unwrap();
        second.init().await.unwrap();
        let error = first.commit_transaction().await.unwrap_err();
        assert!(matches!(error, Error::Fenced { .. } | Error::Abortable { .. }), "{version}: {error}");
        let outcome = client.resume(prepared.clone()).commit(soon()).await.unwrap();
        assert!(!matches!(outcome, EndOutcome::Committed), "{version}: {outcome:?}");
        assert_eq!(marker(&client, &prepared).await, Some(EndMarkerKind::Abort));
        second.begin_transaction().unwrap();
        write(&second, "kept").await;
        second.commit_transaction().await.unwrap();
    }
}

#[tokio::test]
async fn a_transaction_that_timed_out_is_not_committed() {
    for version in VERSIONS {
        let (broker, client) = start(version).await;
        let short = {
            let mut config = config("app");
            config.transaction_timeout = Duration::from_millis(200);
            config
        };
        let producer = TransactionalProducer::new(&client, short).unwrap();
        producer.init().await.unwrap();
        producer.begin_transaction().unwrap();
        write(&producer, "late").await;
        let prepared = producer.prepare_transaction().await.unwrap().unwrap();
        let deadline = soon();
        while broker.transaction_state("app") != Some("CompleteAbort") {
            assert!(Instant::now() < deadline, "{version}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let outcome = client.resume(prepared).commit(soon()).await.unwrap();
        // Without DescribeTransactions (before 3.0) nobody can tell who bumped the epoch.
        let expected = matches!(outcome, EndOutcome::Aborted)
            || version == "2.1" && matches!(outcome, EndOutcome::Unknown { described: None, .. });
        assert!(expected, "{version}: {outcome:?}");
    }
}

/// Answers to the end of a transaction get lost, before and after it was carried out.
#[tokio::test]
async fn lost_answers_to_control_requests_change_nothing() {
    for version in VERSIONS {
        let (broker, client) = start(version).await;
        let producer = TransactionalProducer::new(&client, config("app")).unwrap();
        let mut committed = 0;
        for (i, api) in [ApiKey::InitProducerId, ApiKey::AddPartitionsToTxn, ApiKey::EndTxn, ApiKey::Produce]
            .into_iter()
            .cycle()
            .take(16)
            .enumerate()
        {
            let rule = broker.on(api);
            let rule = if i % 2 == 0 { rule.hang_up_after().times(1) } else { rule.hang_up().times(1) };
            if api == ApiKey::InitProducerId {
                producer.init().await.unwrap();
            }
            producer.begin_transaction().unwrap();
            write(&producer, "x").await;
            producer.commit_transaction().await.unwrap_or_else(|e| panic!("{version} {api:?} {i}: {e}"));
            committed += 1;
            rule.remove();
        }
        let (stable, end) = ends(&client).await;
        assert_eq!(stable, end, "{version}");
        assert_eq!(end, 2 * committed, "{version}: one record and one marker each");
    }
}

#[tokio::test]
async fn a_failed_record_leaves_only_the_abort_and_the_next_transaction_works() {
    for version in VERSIONS {
        let (broker, client) = start(version).await;
        let producer = TransactionalProducer::new(&client, config("app")).unwrap();
        producer.init().await.unwrap();
        producer.begin_transaction().unwrap();
        let _refused = broker.on(ApiKey::Produce).fail(ottla_testkit::ErrorCode::TopicAuthorizationFailed).times(1);
        write(&producer, "x").await;
        let error = producer.commit_transaction().await.unwrap_err();
        assert!(error.is_abortable(), "{version}: {error}");
        assert_eq!(error.code(), Some(ErrorCode::TopicAuthorizationFailed));
        assert!(producer.commit_transaction().await.is_err());
        producer.abort_transaction().await.unwrap();
        producer.begin_transaction().unwrap();
        write(&producer, "y").await;
        producer.commit_transaction().await.unwrap();
    }
}

#[tokio::test]
async fn a_refusal_to_add_a_partition_says_who_refused_it() {
    // With the first protocol of transactions; with the second the leader adds it.
    let (broker, client) = start("2.1").await;
    let producer = TransactionalProducer::new(&client, config("app")).unwrap();
    producer.init().await.unwrap();
    producer.begin_transaction().unwrap();
    let _refused =
        broker.on(ApiKey::AddPartitionsToTxn).fail(ottla_testkit::ErrorCode::TopicAuthorizationFailed).times(1);
    write(&producer, "x").await;
    let error = producer.commit_transaction().await.unwrap_err().to_string();
    assert!(error.contains("AddPartitionsToTxn v1 of t-0 at broker "), "{error}");
}

#[tokio::test]
async fn a_timeout_above_the_brokers_limit_is_refused_by_init() {
    let (_broker, client) = start("4.1").await;
    let mut long = config("app");
    long.transaction_timeout = Duration::from_secs(3600);
    let producer = TransactionalProducer::new(&client, long).unwrap();
    let error = producer.init().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidTransactionTimeout), "{error}");
}

#[tokio::test]
async fn coordinators_move_while_transactions_run() {
    for version in VERSIONS {
        let (broker, client) = start(version).await;
        let producer = TransactionalProducer::new(&client, config("app")).unwrap();
        producer.init().await.unwrap();
        for i in 0..6 {
            producer.begin_transaction().unwrap();
            write(&producer, "x").await;
            broker.move_transaction_coordinator("app", i % 3);
            producer.commit_transaction().await.unwrap();
        }
    }
}

#[tokio::test]
async fn open_transactions_are_listed_and_ended_from_outside() {
    let (_broker, client) = start("4.1").await;
    let producer = TransactionalProducer::new(&client, config("app-0-1")).unwrap();
    producer.init().await.unwrap();
    producer.begin_transaction().unwrap();
    write(&producer, "x").await;
    producer.flush().await.unwrap();
    let admin = Admin::new(&client);
    let listed = admin.list_transactions(&TransactionFilter::in_states(&["Ongoing"])).await.unwrap().all().unwrap();
    assert_eq!(listed.iter().map(|t| t.transactional_id.as_str()).collect::<Vec<_>>(), ["app-0-1"]);
    let found = [
        (TransactionFilter { pattern: Some("app-.*".to_owned()), ..Default::default() }, 1),
        (TransactionFilter { pattern: Some("other-.*".to_owned()), ..Default::default() }, 0),
        (TransactionFilter { open_for: Some(Duration::ZERO), ..Default::default() }, 1),
        (TransactionFilter { open_for: Some(Duration::from_secs(3600)), ..Default::default() }, 0),
        (TransactionFilter { producer_ids: vec![listed[0].producer_id], ..Default::default() }, 1),
        (TransactionFilter { producer_ids: vec![listed[0].producer_id + 1], ..Default::default() }, 0),
    ];
    for (filter, count) in found {
        let listed = admin.list_transactions(&filter).await.unwrap().all().unwrap();
        assert_eq!(listed.len(), count, "{filter:?}");
    }
    let described = admin.describe_transactions(&["app-0-1"]).await.remove("app-0-1").unwrap().unwrap();
    assert_eq!((described.state.as_str(), described.partitions.len()), ("Ongoing", 1));
    admin.fence_producers(&["app-0-1"], Duration::from_secs(60)).await.remove("app-0-1").unwrap().unwrap();
    assert!(
        admin.list_transactions(&TransactionFilter::in_states(&["Ongoing"])).await.unwrap().all().unwrap().is_empty()
    );
    assert!(producer.commit_transaction().await.is_err());
}

#[tokio::test]
async fn a_dropped_transaction_is_aborted() {
    let (_broker, client) = start("4.1").await;
    let producer = TransactionalProducer::new(&client, config("app")).unwrap();
    producer.init().await.unwrap();
    let transaction = producer.transaction().unwrap();
    transaction.send(ProducerRecord::new("t").partition(0).value("x")).await.unwrap().await.unwrap();
    drop(transaction);
    producer.abort_transaction().await.unwrap();
    let (stable, end) = ends(&client).await;
    assert_eq!((stable, end), (2, 2));
}
