//! Which topics a client asks for, and which of them are created by that.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::time::{Duration, Instant};

use ottla_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, StartOffset,
    TopicPartition,
};
use ottla_testkit::Broker;

async fn attentive(broker: &Broker) -> Client {
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.metadata_max_age = Duration::from_millis(100);
    Client::connect(config).await.unwrap()
}

fn consumer(client: &Client, may_create: bool) -> Consumer {
    let mut config = ConsumerConfig::default();
    config.allow_auto_create_topics = may_create;
    Consumer::new(client, config).unwrap()
}

fn first(topic: &str) -> [(TopicPartition, StartOffset); 1] {
    [(TopicPartition::new(topic, 0), StartOffset::Earliest)]
}

async fn until(what: &str, client: &Client, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: {}", client.describe());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn only_producers_and_consumers_that_may_create_topics() {
    let broker = Broker::builder().auto_create_topics(true).start().await.unwrap();
    let client = attentive(&broker).await;
    let (reads, creates) = (consumer(&client, false), consumer(&client, true));
    reads.assign(first("read"));
    creates.assign(first("read-and-created"));
    let looked_for = client.topic("looked-for", Instant::now() + Duration::from_secs(1));
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let sent = async { producer.send(ProducerRecord::new("written").value("v")).await.unwrap().await };
    let (looked_for, sent) = tokio::join!(looked_for, sent);
    assert!(looked_for.is_err());
    sent.unwrap();
    until("the consumer creates its topic", &client, || broker.leader("read-and-created", 0).is_some()).await;
    for topic in ["read", "looked-for"] {
        assert_eq!(broker.leader(topic, 0), None, "{topic} is not created");
    }
}

#[tokio::test]
async fn topics_that_nobody_reads_any_more_are_not_asked_for() {
    let broker = Broker::builder().topic("a", 2).topic("b", 1).topic("c", 1).start().await.unwrap();
    let client = attentive(&broker).await;
    let known = |topic: &str| client.cluster().topic(topic).is_some();
    let (one, other) = (consumer(&client, true), consumer(&client, false));
    one.assign(["a", "b", "c"].into_iter().flat_map(first));
    one.add([(TopicPartition::new("a", 1), StartOffset::Earliest)]);
    other.assign(first("b"));
    until("all are known", &client, || ["a", "b", "c"].into_iter().all(known)).await;
    one.remove(&[TopicPartition::new("a", 0), TopicPartition::new("c", 0)]);
    until("nobody reads c", &client, || !known("c")).await;
    assert!(known("a") && known("b"), "a partition is still read");
    one.assign(first("c"));
    until("c is read again", &client, || known("c") && !known("a")).await;
    assert!(known("b"), "another consumer reads it");
    drop(one);
    other.close().await;
    until("all consumers are gone", &client, || client.cluster().topics().next().is_none()).await;
}
