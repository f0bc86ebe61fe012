//! Brokers that cannot be reached, or do not let us in for a while: what is said of them, and that it goes on afterwards.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Names, config};
use ottla_client::{
    Admin, Client, ClientConfig, Error, MetadataRecoveryStrategy, Producer, ProducerConfig, ProducerRecord,
    SaslMechanism, SecurityProtocol, TransactionalProducer,
};
use ottla_testkit::kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use ottla_testkit::{ApiKey, Broker, Rule};

const REFUSED: i16 = 58;

fn impatient() -> ProducerConfig {
    config(|c| {
        c.linger = Duration::ZERO;
        c.delivery_timeout = Duration::from_millis(1500);
    })
}

fn quick(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.request_timeout = Duration::from_secs(1);
    config
}

fn alice(broker: &Broker) -> ClientConfig {
    let mut config = quick(broker);
    config.security_protocol = SecurityProtocol::SaslPlaintext;
    config.sasl.sasl_mechanism = Some(SaslMechanism::Plain);
    config.sasl.username = "alice".to_owned();
    config.sasl.password = "secret".into();
    config
}

/// Nobody gets in any more.
fn lock_out(broker: &Broker) -> Rule {
    let refuse = |_: &SaslAuthenticateRequest| {
        SaslAuthenticateResponse::default().with_error_code(REFUSED).with_error_message(Some("who are you".into()))
    };
    broker.on(ApiKey::SaslAuthenticate).reply(refuse).always()
}

async fn know(client: &Client) {
    client.topic("t", Instant::now() + Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_record_for_a_leader_that_cannot_be_reached_names_it_and_the_cause() {
    let broker = Broker::builder().nodes(2).topic("t", 1).start().await.unwrap();
    let id = broker.leader("t", 0).unwrap();
    let leader = broker.address(id).unwrap();
    let names = Arc::new(Names::default());
    let mut settings = quick(&broker);
    settings.dial = Some(Arc::clone(&names) as Arc<dyn ottla_client::Dial>);
    let client = Client::connect(settings).await.unwrap();
    know(&client).await;
    // A port that nobody listens on.
    names.set(&leader, "127.0.0.1:1");
    let producer = Producer::new(&client, impatient()).unwrap();
    let error = producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap_err().to_string();
    let place =
        format!("the last error was: cannot connect to broker {id} ({leader}): 127.0.0.1:1: Connection refused");
    for part in ["delivery.timeout.ms", &place, "; check that it runs", "advertised.listeners", "no firewall"] {
        assert!(error.contains(part), "{part} in: {error}");
    }
}

/// Invariant 4: it is no refusal of who we are, and another broker is tried.
#[tokio::test]
async fn a_connection_that_is_lost_during_the_authentication_is_not_a_refusal() {
    let broker = Broker::builder().nodes(2).topic("t", 1).sasl_user("alice", "secret").start().await.unwrap();
    let lost = broker.on(ApiKey::SaslAuthenticate).hang_up().times(1);
    Client::connect(alice(&broker)).await.unwrap();
    assert_eq!(lost.hits(), 1);
    let _lost = broker.on(ApiKey::SaslAuthenticate).hang_up().always();
    let error = Client::connect(alice(&broker)).await.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    assert!(error.to_string().contains("it hung up during the authentication"), "{error}");
}

/// While the broker is left alone after it, nobody else can be asked.
#[tokio::test]
async fn a_refused_authentication_stays_one_for_the_next_call() {
    let broker = Broker::builder().topic("t", 1).sasl_user("alice", "secret").start().await.unwrap();
    let mut config = alice(&broker);
    config.metadata_recovery_strategy = MetadataRecoveryStrategy::None;
    (config.reconnect_backoff, config.reconnect_backoff_max) = (Duration::from_secs(5), Duration::from_secs(5));
    let client = Client::connect(config).await.unwrap();
    let _refused = lock_out(&broker);
    broker.on(ApiKey::DescribeCluster).hang_up();
    let admin = Admin::new(&client).retries(1);
    for call in 0..3 {
        let error = admin.describe_cluster(false).await.unwrap_err();
        assert!(matches!(error, Error::Authentication { .. }), "call {call}: {error}");
    }
}

#[tokio::test]
async fn a_record_for_a_leader_that_lets_nobody_in_carries_the_last_authentication_error() {
    let broker = Broker::builder().nodes(2).topic("t", 1).sasl_user("alice", "secret").start().await.unwrap();
    let client = Client::connect(alice(&broker)).await.unwrap();
    let producer = Producer::new(&client, config(|c| c.enable_idempotence = Some(false))).unwrap();
    know(&client).await;
    let locked = lock_out(&broker);
    let leader = broker.leader("t", 0).unwrap();
    let place = format!("broker {leader} ({})", broker.address(leader).unwrap());
    let hurried = Producer::new(&client, impatient()).unwrap();
    let error = hurried.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap_err().to_string();
    for part in ["delivery.timeout.ms", &place, "refused the authentication with PLAIN", "who are you"] {
        assert!(error.contains(part), "{part} in: {error}");
    }
    assert!(!error.contains("secret"), "{error}");
    // Who is patient gets in some time.
    let delivery = producer.send(ProducerRecord::new("t").value("v")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    locked.remove();
    assert_eq!(delivery.await.unwrap().offset, 0);
    assert_eq!(hurried.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap().offset, 1);
}

#[tokio::test]
async fn a_producer_that_gets_no_id_for_its_password_goes_on_when_it_is_let_in() {
    let mut broker = Broker::builder().topic("t", 1).sasl_user("alice", "secret").start().await.unwrap();
    let client = Client::connect(alice(&broker)).await.unwrap();
    know(&client).await;
    let locked = lock_out(&broker);
    broker.kill_node(0);
    broker.restart_node(0).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let started = Instant::now();
    let error = producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap_err();
    assert!(
        matches!(&error, Error::Delivery { cause, .. } if matches!(**cause, Error::Authentication { .. })),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(10), "at once");
    locked.remove();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await {
            Ok(metadata) => break assert_eq!(metadata.offset, 0),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

#[tokio::test]
async fn an_error_of_metadata_is_told_no_more_once_there_was_an_answer() {
    let mut broker = Broker::builder().topic("t", 1).sasl_user("alice", "secret").start().await.unwrap();
    let client = Client::connect(alice(&broker)).await.unwrap();
    let locked = lock_out(&broker);
    broker.kill_node(0);
    broker.restart_node(0).await.unwrap();
    let error = client.topic("t", Instant::now() + Duration::from_secs(1)).await.unwrap_err();
    assert!(error.to_string().contains("who are you"), "{error}");
    locked.remove();
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.cluster().topic("t").is_none_or(|t| t.error.is_some()) {
        assert!(Instant::now() < deadline, "{}", client.describe());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    broker.on(ApiKey::Metadata).delay(Duration::from_secs(10)).always();
    let error = client.topic("other", Instant::now() + Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { last: None, .. }), "{error}");
}

#[tokio::test]
async fn a_transactional_producer_that_is_not_let_in_can_init_again() {
    let broker = Broker::builder().topic("t", 1).sasl_user("alice", "secret").start().await.unwrap();
    let client = Client::connect(alice(&broker)).await.unwrap();
    let producer = TransactionalProducer::new(&client, config(|c| c.transactional_id = Some("app".into()))).unwrap();
    let locked = lock_out(&broker);
    let error = producer.init().await.unwrap_err();
    assert!(error.is_abortable() && error.to_string().contains("who are you"), "{error}");
    locked.remove();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = producer.init().await {
        assert!(error.is_abortable() && Instant::now() < deadline, "{error}");
    }
    producer.begin_transaction().unwrap();
    producer.send(ProducerRecord::new("t").value("v")).await.unwrap();
    producer.commit_transaction().await.unwrap();
}
