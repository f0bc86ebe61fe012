//! Real brokers that move.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Names;
use ottla_client::{
    Admin, Client, ClientConfig, Consumer, ConsumerConfig, Dial, NewTopic, Producer, ProducerConfig, ProducerRecord,
    StartOffset, TopicPartition,
};
use ottla_testkit::Proxy;
use ottla_testkit::kafka::Kafka;

async fn write(producer: &Producer, count: i64) {
    for number in 0..count {
        let value = number.to_string();
        producer.send(ProducerRecord::new("t").value(&value)).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert!(producer.take_failure().is_none());
}

/// The number of records of the topic, read from its start.
async fn count(client: &Client, expected: i64) -> i64 {
    let consumer = Consumer::new(client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new("t", 0), StartOffset::Earliest)]);
    let mut read = 0;
    for _ in 0..100 {
        read += i64::try_from(consumer.poll(Duration::from_millis(200)).await.unwrap().count()).unwrap();
        if read >= expected {
            break;
        }
    }
    read
}

/// A broker whose name moves to another address, then a cluster that is replaced behind its bootstrap name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_name_moves_and_a_cluster_that_is_replaced_are_followed() {
    let advertised = "PLAINTEXT://broker.test:19092";
    let old = Kafka::builder().property("advertised.listeners", advertised).start();
    let (old, new) = tokio::join!(old, Kafka::builder().start());
    let (old, new) = (old.unwrap(), new.unwrap());
    let names = Arc::new(Names::default());
    let (here, there) = (Proxy::start(&old.bootstrap()).await.unwrap(), Proxy::start(&old.bootstrap()).await.unwrap());
    names.set("bootstrap.test:9092", &here.bootstrap());
    names.set("broker.test:19092", &here.bootstrap());
    let mut config = ClientConfig::new("bootstrap.test:9092");
    config.dial = Some(Arc::clone(&names) as Arc<dyn Dial>);
    let client = Client::connect(config).await.unwrap();
    Admin::new(&client).create_topics([NewTopic::new("t", 1, 1)]).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    write(&producer, 100).await;

    names.set("broker.test:19092", &there.bootstrap());
    here.link(0).refuse();
    here.link(0).cut();
    write(&producer, 100).await;
    assert!(there.link(0).connections() > 0);
    assert_eq!(count(&client, 200).await, 200);

    let other = Client::connect(ClientConfig::new(&new.bootstrap())).await.unwrap();
    Admin::new(&other).create_topics([NewTopic::new("t", 1, 1)]).await.unwrap();
    names.set("bootstrap.test:9092", &new.bootstrap());
    old.nodes()[0].kill().await.unwrap();
    write(&producer, 100).await;
    assert_eq!(count(&other, 100).await, 100, "they are in the cluster that took the name over");
}
