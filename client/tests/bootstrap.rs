//! Clients that are started before their cluster can be found (KIP-909).
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Names, config};
use ottla_client::{
    Admin, Client, ClientConfig, Consumer, ConsumerConfig, Error, NewTopic, Producer, ProducerConfig, ProducerRecord,
    StartOffset, TopicPartition, TransactionalProducer,
};
use ottla_testkit::{ApiKey, Broker};

const LONG: Duration = Duration::from_secs(20);

fn named(names: &Arc<Names>) -> ClientConfig {
    let mut config = ClientConfig::new("bootstrap.test:9092");
    config.dial = Some(Arc::clone(names) as Arc<dyn ottla_client::Dial>);
    config
}

fn says_why(error: &Error) {
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("the name bootstrap.test cannot be resolved"), "{error}");
}

#[tokio::test]
async fn the_first_failed_round_is_the_error_of_each_call_until_the_cluster_is_found() {
    let started = Instant::now();
    let names = Arc::new(Names::default());
    let client = Client::start(named(&names)).unwrap();
    says_why(&client.topic("t", started + LONG).await.unwrap_err());
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    says_why(&producer.send(ProducerRecord::new("t").value("v")).await.unwrap_err());
    let transactional = config(|c| c.transactional_id = Some("t".into()));
    says_why(&TransactionalProducer::new(&client, transactional).unwrap().init().await.unwrap_err());
    says_why(&Admin::new(&client).describe_cluster(false).await.unwrap_err());
    let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new("t", 0), StartOffset::Earliest)]);
    says_why(&consumer.poll(LONG).await.unwrap_err());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(client.describe().contains("metadata cannot be refreshed"), "{}", client.describe());

    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    names.set("bootstrap.test:9092", &broker.bootstrap());
    while client.topic("t", started + LONG).await.is_err() {
        assert!(started.elapsed() < LONG, "{}", client.describe());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap();
    assert_eq!(consumer.poll(LONG).await.unwrap().count(), 1);
}

#[tokio::test]
async fn calls_wait_for_the_cluster_as_long_as_is_said() {
    let names = Arc::new(Names::default());
    let mut config = named(&names);
    config.bootstrap_resolve_timeout = LONG;
    let client = Client::start(config).unwrap();
    let late = client.topic("t", Instant::now() + Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(&late, Error::Timeout { .. }), "{late:?}");
    assert!(late.to_string().contains("the name bootstrap.test cannot be resolved"), "{late}");
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let sending = tokio::spawn(async move { producer.send(ProducerRecord::new("t").value("v")).await?.await });
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(!sending.is_finished());
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    names.set("bootstrap.test:9092", &broker.bootstrap());
    assert_eq!(sending.await.unwrap().unwrap().offset, 0);
}

#[tokio::test]
async fn a_client_that_is_started_asks_without_a_call_and_a_dropped_one_asks_no_more() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = Client::start(ClientConfig::new(&broker.bootstrap())).unwrap();
    assert_eq!(client.cluster().brokers().count(), 0, "it does not wait");
    let deadline = Instant::now() + LONG;
    while client.cluster().brokers().count() == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The first call asks the controller, which nobody has named yet.
    let started = Client::start(ClientConfig::new(&broker.bootstrap())).unwrap();
    let admin = Admin::new(&started).retries(0);
    admin.create_topics([NewTopic::new("made", 1, 1)]).await.unwrap().remove("made").unwrap().unwrap();
    let _refused = broker.on(ApiKey::Metadata).hang_up().always();
    let lost = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap_err();
    assert!(matches!(lost, Error::Disconnected { .. }), "{lost:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = broker.received(ApiKey::Metadata);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(broker.received(ApiKey::Metadata), asked, "the client went with the error");
}

#[tokio::test]
async fn a_closed_client_lets_calls_go_that_wait_for_the_cluster() {
    let names = Arc::new(Names::default());
    let mut config = named(&names);
    config.bootstrap_resolve_timeout = LONG;
    let client = Client::start(config).unwrap();
    let waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.topic("t", Instant::now() + LONG).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.close();
    assert!(matches!(waiting.await.unwrap(), Err(Error::Closed { .. })));
}

#[test]
fn outside_of_a_runtime_nothing_is_started_and_it_is_said_why() {
    let error = Client::start(ClientConfig::new("127.0.0.1:9092")).unwrap_err();
    assert!(matches!(error, Error::Misuse { .. }), "{error:?}");
    assert!(error.to_string().contains("no tokio runtime"), "{error}");
}
