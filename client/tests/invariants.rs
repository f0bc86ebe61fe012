//! What must always hold and has no other room: each test bears the name of its invariant.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use common::{Pipes, client, config};
use ottla_client::{
    Acks, Admin, Certainty, Client, ClientConfig, Consumer, ConsumerConfig, Error, OffsetAndMetadata, Producer,
    ProducerConfig, ProducerRecord, StartOffset, TopicPartition, TransactionalProducer,
};
use ottla_testkit::{ApiKey, Broker, ErrorCode, Simulation};

/// How often a thread with nothing but this falls asleep in a virtual hour: once for each timer that goes off.
fn sleeps_in_an_hour(with_client: bool) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let simulation = Simulation::start(Broker::builder().nodes(3).topic("t", 10), 7).unwrap();
        let idle = if with_client {
            let mut config = ClientConfig::new(&simulation.bootstrap());
            config.dial = Some(Arc::new(Pipes(simulation.clone())));
            let client = Client::connect(config).await.unwrap();
            let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
            producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap();
            // A consumer has a long poll at each broker, so it is there and reads nothing.
            let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
            Some((client, producer, consumer))
        } else {
            None
        };
        // Until the connections that opened the client are closed again.
        tokio::time::sleep(Duration::from_secs(15 * 60)).await;
        let metrics = tokio::runtime::Handle::current().metrics();
        let before = metrics.worker_park_count(0);
        tokio::time::sleep(Duration::from_secs(60 * 60)).await;
        drop(idle);
        metrics.worker_park_count(0) - before
    })
}

/// `metadata.max.age.ms` is five minutes: twelve refreshes, each over a connection that may have to be opened. A timer of
/// 30 s, or a connection that is kept awake, would be 120 more.
#[test]
fn idle_client_has_no_timer_but_metadata_age_and_heartbeat() {
    let (without, with) = (sleeps_in_an_hour(false), sleeps_in_an_hour(true));
    assert!(with - without >= 12, "{with} with a client, {without} without: metadata is refreshed");
    assert!(with - without < 120, "{with} with a client, {without} without");
}

#[tokio::test]
async fn cancelled_future_leaks_no_budget_lock_or_in_flight_slot() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let tight = config(|c| {
        c.buffer_memory = 2 * c.batch_size;
        c.linger = Duration::ZERO;
    });
    let producer = Producer::new(&client, tight).unwrap();
    let value = [7; 10_000];
    let send = || producer.send(ProducerRecord::new("t").value(&value));
    send().await.unwrap().await.unwrap();

    // All memory is on its way, and sends that wait for it are given up.
    let slow = broker.on(ApiKey::Produce).delay(Duration::from_secs(2)).times(2);
    let on_their_way = [send().await.unwrap(), send().await.unwrap()];
    for _ in 0..20 {
        assert!(tokio::time::timeout(Duration::from_millis(1), send()).await.is_err(), "there is no memory");
    }
    for delivery in on_their_way {
        delivery.await.unwrap();
    }
    slow.remove();
    for _ in 0..4 {
        tokio::time::timeout(Duration::from_secs(10), send()).await.unwrap().unwrap().await.unwrap();
    }

    // More calls than a connection has room for are given up before they are answered.
    let slow = broker.on(ApiKey::DescribeCluster).delay(Duration::from_millis(20)).always();
    let admin = Admin::new(&client);
    let mut given_up = 0;
    while given_up < 120 {
        let call = tokio::time::timeout(Duration::from_millis(1), admin.describe_cluster(false));
        given_up += usize::from(call.await.is_err());
    }
    slow.remove();
    tokio::time::timeout(Duration::from_secs(10), admin.describe_cluster(false)).await.unwrap().unwrap();

    let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new("t", 0), StartOffset::Earliest)]);
    let mut read = 0;
    while read < 7 {
        let poll = consumer.poll(Duration::from_secs(10));
        if let Ok(records) = tokio::time::timeout(Duration::from_micros(50), poll).await {
            read += records.unwrap().count();
        }
    }
}

/// The broker did what it was asked for, and its answer got lost: asked again, it must not be taken for a refusal.
#[tokio::test]
async fn dead_connection_is_not_a_refusal() {
    let broker = Broker::builder().nodes(3).topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let lost =
        [ApiKey::Produce, ApiKey::EndTxn, ApiKey::OffsetCommit].map(|api| broker.on(api).hang_up_after().times(1));

    let producer = TransactionalProducer::new(&client, config(|c| c.transactional_id = Some("x".into()))).unwrap();
    producer.init().await.unwrap();
    producer.begin_transaction().unwrap();
    let delivery = producer.send(ProducerRecord::new("t").value("once")).await.unwrap();
    producer.commit_transaction().await.unwrap();
    assert_eq!(delivery.await.unwrap().offset, 0);
    let end = broker.offsets("t", 0).unwrap().1;
    assert_eq!(end, 2, "one record and one marker");

    let partition = TopicPartition::new("t", 0);
    let offsets = HashMap::from([(partition.clone(), OffsetAndMetadata::new(1))]);
    let committed = Admin::new(&client).commit_offsets("g", &offsets).await.unwrap();
    assert!(committed[&partition].is_ok());
    assert!(lost.iter().all(|rule| rule.hits() == 1), "each answer got lost once");
}

/// A leader that lost its office while it waited for its followers may have written the batch, and it may be kept.
#[tokio::test]
async fn not_leader_reply_to_acks_all_is_possibly_written() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    for (acks, expected) in [(Acks::All, Certainty::PossiblyWritten), (Acks::Leader, Certainty::NotWritten)] {
        broker.on(ApiKey::Produce).fail(ErrorCode::NotLeaderOrFollower).times(1);
        let once = config(|c| (c.acks, c.retries, c.enable_idempotence) = (acks, 0, Some(false)));
        let producer = Producer::new(&client, once).unwrap();
        let error = producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap_err();
        assert!(matches!(&error, Error::Delivery { certainty, .. } if *certainty == expected), "{acks:?}: {error}");
    }
}
