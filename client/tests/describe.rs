//! What a client says of itself, to who has to find out at night why nothing moves.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod common;

use std::time::{Duration, Instant};

use common::{client, config};
use ottla_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, StartOffset,
    TopicPartition,
};
use ottla_testkit::{ApiKey, Broker, ErrorCode as Code};

/// The text, as soon as it has all these parts.
async fn describes(client: &Client, parts: &[&str]) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = client.describe();
        let missing: Vec<_> = parts.iter().filter(|part| !text.contains(**part)).collect();
        if missing.is_empty() {
            return text;
        }
        assert!(Instant::now() < deadline, "{missing:?} in: {text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn brokers_that_left_are_not_listed_and_neither_are_bootstrap_servers_once_there_are_brokers() {
    let mut broker = Broker::builder().nodes(3).topic("t", 1).start().await.unwrap();
    let config = ClientConfig::new(&format!("127.0.0.1:1,{}", broker.bootstrap()));
    let client = Client::connect(config).await.unwrap();
    let ids: Vec<_> = client.cluster().brokers().map(|b| b.id).collect();
    for id in &ids {
        describes(&client, &[&format!("\n  broker {id} at ")]).await;
    }
    let leader = broker.leader("t", 0).unwrap();
    let left = ids.into_iter().find(|id| id.0 != leader).unwrap();
    broker.kill_node(left.0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.cluster().brokers().count() > 2 {
        assert!(Instant::now() < deadline);
        let _ = client.topic("another", Instant::now() + Duration::from_millis(100)).await;
    }
    let text = client.describe();
    assert!(!text.contains(&format!("broker {left} at")), "{text}");
    assert!(text.contains("2 brokers"), "{text}");
    let unused = text.lines().filter(|line| line.contains("bootstrap server") && line.contains("not connected"));
    assert!(unused.into_iter().all(|line| line.contains("attempts")), "only those that fail: {text}");
}

#[tokio::test]
async fn a_throttled_connection_says_for_how_long() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    broker.throttle(ApiKey::Produce, Duration::from_secs(60));
    producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap();
    let text = describes(&client, &["produce (idle; throttled for another 5"]).await;
    assert!(!text.contains("general (idle; throttled"), "{text}");
}

#[tokio::test]
async fn what_waits_in_a_producer_is_told_by_topic_with_its_age_and_why() {
    let broker = Broker::builder().topic("orders", 2).topic("fine", 1).start().await.unwrap();
    let client = client(&broker).await;
    let slow = config(|c| c.linger = Duration::from_secs(60));
    let producer = Producer::new(&client, slow).unwrap();
    for partition in [0, 0, 1] {
        producer.send(ProducerRecord::new("orders").partition(partition).value("12345")).await.unwrap();
    }
    let text = describes(&client, &["2 batches wait, 0 are in flight", "for orders: 2 batches of 3 records, "]).await;
    for part in ["producer producer-", "of 33554432 bytes of buffer.memory used", "the oldest waiting for "] {
        assert!(text.contains(part), "{part} in: {text}");
    }
    drop(producer);
    let _refused = broker.on(ApiKey::Produce).fail(Code::NotEnoughReplicas).always();
    let producer = Producer::new(&client, config(|c| c.linger = Duration::ZERO)).unwrap();
    let _delivery = producer.send(ProducerRecord::new("fine").value("v")).await.unwrap();
    describes(&client, &["for fine: 1 batches of 1 records, ", "NOT_ENOUGH_REPLICAS (19)"]).await;
    drop(producer);
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.describe().contains("producer producer-") {
        assert!(Instant::now() < deadline, "it is gone: {}", client.describe());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_consumer_tells_its_partitions_their_positions_and_what_is_buffered() {
    let broker = Broker::builder().topic("t", 3).start().await.unwrap();
    let client = client(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    for number in 0..10 {
        let value = number.to_string();
        producer.send(ProducerRecord::new("t").partition(0).value(&value)).await.unwrap();
    }
    producer.flush().await.unwrap();
    let mut config = ConsumerConfig::default();
    config.max_poll_records = 4;
    config.group_id = Some("g".into());
    config.enable_auto_commit = Some(false);
    config.auto_offset_reset = ottla_client::AutoOffsetReset::None;
    let consumer = Consumer::new(&client, config).unwrap();
    let at = |partition, offset| (TopicPartition::new("t", partition), StartOffset::At(offset, None));
    consumer.assign([at(0, 0), at(1, 0), at(2, 7)]);
    consumer.pause(&[TopicPartition::new("t", 1)]);
    let mut count = 0;
    while count < 4 {
        count += consumer.poll(Duration::from_secs(20)).await.map_or(0, |records| records.count());
    }
    let parts = [
        "consumer consumer-g-",
        " of group g: 3 partitions, ",
        " of 67108864 bytes buffered for poll",
        "t-0: at 4, 1 fetches buffered up to 10, 6 behind",
        "t-1: at 0, paused",
        "t-2: its position is not in the log, waiting for a seek",
    ];
    let text = describes(&client, &parts).await;
    let line = |part: &str| text.lines().position(|line| line.contains(part)).unwrap();
    assert!(line("t-2: ") < line("t-0: "), "what is amiss comes first: {text}");
    assert!(!text.contains("3 partitions, 0 of"), "{text}");
}
