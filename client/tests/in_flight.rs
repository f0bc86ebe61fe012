//! How many requests wait for their answers at once, by lane (`client.md` §3.8).
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::field_reassign_with_default, reason = "a test")]
use std::time::{Duration, Instant};

use ottla_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, StartOffset,
    TopicPartition,
};
use ottla_testkit::{ApiKey, Broker};

/// The most requests of a lane that were seen unanswered until `is_over`.
async fn most(client: &Client, lane: &str, is_over: impl Fn() -> bool) -> usize {
    let (mut most, deadline) = (0, Instant::now() + Duration::from_secs(30));
    while !is_over() {
        assert!(Instant::now() < deadline, "{}", client.describe());
        let text = client.describe();
        // `produce (2 unanswered, Produce since 0.1 s)`
        for part in text.split(&format!("{lane} ")).skip(1) {
            let number = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').trim_start_matches('(');
            if let Some((count, _)) = number.split_once(" unanswered") {
                most = most.max(count.parse().unwrap());
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    most
}

#[tokio::test]
async fn a_producer_has_at_most_max_in_flight_requests_on_a_connection() {
    for (limit, idempotent) in [(1, true), (3, true), (5, true), (8, false)] {
        let broker = Broker::builder().topic("t", 1).start().await.unwrap();
        let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
        let mut config = ProducerConfig::default();
        config.max_in_flight_requests_per_connection = limit;
        config.enable_idempotence = Some(idempotent);
        config.batch_size = 1;
        config.linger = Duration::ZERO;
        let producer = Producer::new(&client, config).unwrap();
        // Later the partition knows the producer, so that several batches may be in flight.
        producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap();
        let _slow = broker.on(ApiKey::Produce).delay(Duration::from_millis(20)).always();
        for _ in 0..40 {
            producer.send(ProducerRecord::new("t").value("v")).await.unwrap();
        }
        let is_over = || broker.received(ApiKey::Produce) >= 41;
        assert_eq!(most(&client, "produce", is_over).await, limit);
        producer.flush().await.unwrap();
        assert!(producer.take_failure().is_none());
    }
}

#[tokio::test]
async fn a_consumer_has_one_fetch_in_flight_on_a_connection() {
    let broker = Broker::builder().topic("t", 4).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let mut config = ConsumerConfig::default();
    config.fetch_max_wait = Duration::from_millis(20);
    let consumer = Consumer::new(&client, config).unwrap();
    consumer.assign((0..4).map(|p| (TopicPartition::new("t", p), StartOffset::Earliest)));
    let is_over = || broker.received(ApiKey::Fetch) >= 20;
    assert_eq!(most(&client, "fetch", is_over).await, 1);
}
