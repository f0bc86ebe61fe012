//! What a refusal says: which request in which version, about what, at which broker, and what to do.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::time::Duration;

use ottla_client::{
    Admin, Certainty, Client, ClientConfig, Consumer, ConsumerConfig, Error, IsolationLevel, OffsetSpec, Producer,
    ProducerConfig, ProducerRecord, StartOffset, TopicPartition, TransactionalProducer,
};
use ottla_testkit::{ApiKey, Broker, ErrorCode as Code};

async fn cluster() -> (Broker, Client) {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    (broker, client)
}

/// The text with what differs from run to run left out.
fn plain(error: &Error, broker: &Broker) -> String {
    let text = error.to_string().replace(&broker.bootstrap(), "HOST:PORT");
    let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        let is_version = word.strip_prefix('v').is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()));
        if is_version {
            *word = "vN".to_owned();
        }
        let (number, unit) = word.split_at(word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len()));
        if !number.is_empty() && ["s:", "ms:", "µs:"].contains(&unit) {
            *word = "SOME:".to_owned();
        }
    }
    words.join(" ")
}

#[tokio::test]
async fn a_refused_batch() {
    let (broker, client) = cluster().await;
    broker.on(ApiKey::Produce).topic("orders").fail(Code::TopicAuthorizationFailed).always();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let error = producer.send(ProducerRecord::new("orders").value("v")).await.unwrap().await.unwrap_err();
    let Error::Delivery { certainty, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*certainty, Certainty::NotWritten);
    let node = client.cluster().brokers().next().unwrap().id;
    assert_eq!(
        plain(&error, &broker),
        format!(
            "a record for orders-0 failed (not written) after 1 attempt in SOME: Produce vN of orders-0 at broker {node} (HOST:PORT): \
             TOPIC_AUTHORIZATION_FAILED (29): no right to use the topic (the broker says: TopicAuthorizationFailed); \
             grant it to this principal with an ACL, or log in as another"
        )
    );
}

#[tokio::test]
async fn a_refused_fetch() {
    let (broker, client) = cluster().await;
    broker.on(ApiKey::Fetch).topic("orders").fail(Code::TopicAuthorizationFailed).always();
    let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new("orders", 0), StartOffset::At(0, None))]);
    let error = consumer.poll(Duration::from_secs(20)).await.unwrap_err();
    let text = plain(&error, &broker);
    let node = client.cluster().brokers().next().unwrap().id;
    let wanted = format!("Fetch vN of orders-0 at broker {node} (HOST:PORT): TOPIC_AUTHORIZATION_FAILED (29): ");
    assert!(text.starts_with(&wanted) && text.contains("ACL"), "{text}");
}

#[tokio::test]
async fn an_offset_that_is_not_there() {
    let (broker, client) = cluster().await;
    let mut config = ConsumerConfig::default();
    config.auto_offset_reset = ottla_client::AutoOffsetReset::None;
    let consumer = Consumer::new(&client, config).unwrap();
    consumer.assign([(TopicPartition::new("orders", 0), StartOffset::At(5, None))]);
    let error = consumer.poll(Duration::from_secs(20)).await.unwrap_err();
    let node = client.cluster().brokers().next().unwrap().id;
    assert_eq!(
        plain(&error, &broker),
        format!(
            "offset 5 of orders-0 is out of range at broker {node} (HOST:PORT), and auto.offset.reset is none: seek, or set a \
             policy"
        )
    );
}

#[tokio::test]
async fn a_connection_that_is_lost_says_what_was_asked_in_which_version() {
    let (broker, client) = cluster().await;
    broker.on(ApiKey::ListOffsets).hang_up().always();
    let mut config = client.config().clone();
    config.default_api_timeout = Duration::from_millis(500);
    let client = Client::connect(config).await.unwrap();
    let partition = TopicPartition::new("orders", 0);
    let specs = [(partition.clone(), OffsetSpec::Latest)].into();
    let mut listed = Admin::new(&client).list_offsets(&specs, IsolationLevel::ReadUncommitted).await;
    let text = plain(&listed.remove(&partition).unwrap().unwrap_err(), &broker);
    let node = client.cluster().brokers().next().unwrap().id;
    let lost = format!(
        "the connection to broker {node} (HOST:PORT) was lost after it was sent and before ListOffsets vN was answered: the \
         broker closed it"
    );
    assert!(text.contains(&lost), "{text}");
}

#[tokio::test]
async fn a_topic_that_may_not_be_read() {
    let (broker, client) = cluster().await;
    broker.on(ApiKey::Metadata).topic("orders").fail(Code::TopicAuthorizationFailed).always();
    let error = client.topic("orders", std::time::Instant::now() + Duration::from_secs(20)).await.unwrap_err();
    let text = plain(&error, &broker);
    let is_placed = |text: &str| text.starts_with("Metadata vN of topic orders at HOST:PORT: TOPIC_AUTHORIZATION");
    assert!(is_placed(&text), "{text}");
    let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new("orders", 0), StartOffset::Earliest)]);
    let text = plain(&consumer.poll(Duration::from_secs(20)).await.unwrap_err(), &broker);
    assert!(is_placed(&text), "{text}");
}

#[tokio::test]
async fn a_refused_transactional_id() {
    let (broker, client) = cluster().await;
    broker.on(ApiKey::InitProducerId).fail(Code::InvalidTransactionTimeout).always();
    let mut config = ProducerConfig::default();
    config.transactional_id = Some("shop".into());
    let error = TransactionalProducer::new(&client, config).unwrap().init().await.unwrap_err();
    let text = plain(&error, &broker);
    assert!(text.starts_with("InitProducerId vN of shop at broker "), "{text}");
    assert!(
        text.contains("lower transaction.timeout.ms, or raise transaction.max.timeout.ms at the brokers"),
        "{text}"
    );
    assert!(error.is_fatal());
}

#[tokio::test]
async fn a_batch_that_is_refused_again_and_again_says_how_often_and_for_how_long() {
    let (broker, client) = cluster().await;
    broker.on(ApiKey::Produce).topic("orders").fail(Code::NotEnoughReplicas).always();
    let mut config = ProducerConfig::default();
    config.retries = 2;
    let producer = Producer::new(&client, config).unwrap();
    let error = producer.send(ProducerRecord::new("orders").value("v")).await.unwrap().await.unwrap_err();
    let Error::Delivery { attempts, after, .. } = error else { panic!("{error:?}") };
    assert!(attempts == 3 && (Duration::from_millis(200)..Duration::from_secs(10)).contains(&after), "{error}");
    let text = plain(&error, &broker);
    assert!(
        text.starts_with("a record for orders-0 failed (not written) after 3 attempts in SOME: Produce vN"),
        "{text}"
    );
}

#[tokio::test]
async fn a_broker_that_cannot_be_reached_says_since_when() {
    let (mut broker, client) = cluster().await;
    let node = client.cluster().brokers().next().unwrap().id;
    broker.kill_node(node.0);
    let mut config = ProducerConfig::default();
    config.max_block = Duration::from_secs(2);
    let producer = Producer::new(&client, config).unwrap();
    let text = producer.send(ProducerRecord::new("new").value("v")).await.unwrap_err().to_string();
    assert!(text.contains("within 2") && text.contains("in a row, the first") && text.contains("ago"), "{text}");
}
