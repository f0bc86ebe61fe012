//! Clusters that move: brokers at other addresses, other clusters behind the same name, brokers that are gone.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Names;
use ottla_client::{
    Client, ClientConfig, Error, ErrorCode, MetadataRecoveryStrategy, Producer, ProducerConfig, ProducerRecord,
};
use ottla_testkit::kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse,
};
use ottla_testkit::{ApiKey, Broker};

const LONG: Duration = Duration::from_secs(20);

async fn write(producer: &Producer, count: usize) {
    for number in 0..count {
        let value = number.to_string();
        producer.send(ProducerRecord::new("t").value(&value)).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert!(producer.take_failure().is_none());
}

fn named(names: &Arc<Names>) -> ClientConfig {
    let mut config = ClientConfig::new("bootstrap.test:9092");
    config.dial = Some(Arc::clone(names) as Arc<dyn ottla_client::Dial>);
    config
}

#[tokio::test]
async fn rebootstrap_resolves_names_again_and_leaves_the_old_brokers() {
    let mut old = Broker::builder().topic("t", 1).start().await.unwrap();
    let names = Arc::new(Names::default());
    names.set("bootstrap.test:9092", &old.bootstrap());
    let client = Client::connect(named(&names)).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    write(&producer, 10).await;
    let new = Broker::builder().nodes(2).topic("t", 1).start().await.unwrap();
    names.set("bootstrap.test:9092", new.bootstrap().split(',').next().unwrap());
    let node = client.cluster().brokers().next().unwrap().id;
    old.kill_node(node.0);
    write(&producer, 10).await;
    assert_eq!(new.offsets("t", 0).map(|(_, end)| end), Some(10), "they are in the new cluster");
    assert_eq!(client.cluster().brokers().count(), 2);
}

/// Also where no pause keeps them apart: each was tried, and none is there.
#[tokio::test]
async fn rebootstrap_is_done_without_a_pause_between_attempts_too() {
    let mut old = Broker::builder().nodes(2).topic("t", 1).start().await.unwrap();
    let names = Arc::new(Names::default());
    names.set("bootstrap.test:9092", old.bootstrap().split(',').next().unwrap());
    let mut config = named(&names);
    (config.reconnect_backoff, config.reconnect_backoff_max) = (Duration::ZERO, Duration::ZERO);
    let client = Client::connect(config).await.unwrap();
    client.topic("t", Instant::now() + LONG).await.unwrap();
    let new = Broker::builder().topic("t", 1).topic("new", 1).start().await.unwrap();
    names.set("bootstrap.test:9092", &new.bootstrap());
    client.cluster().brokers().for_each(|broker| old.kill_node(broker.id.0));
    client.topic("new", Instant::now() + LONG).await.unwrap();
}

#[tokio::test]
async fn names_that_do_not_resolve_yet_are_waited_for_as_long_as_is_said() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let names = Arc::new(Names::default());
    let mut config = named(&names);
    let error = Client::connect(config.clone()).await.unwrap_err().to_string();
    assert!(error.contains("the name bootstrap.test cannot be resolved"), "{error}");
    config.bootstrap_resolve_timeout = LONG;
    config.reconnect_backoff_max = Duration::from_millis(100);
    let connecting = tokio::spawn(Client::connect(config));
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(!connecting.is_finished());
    names.set("bootstrap.test:9092", &broker.bootstrap());
    assert_eq!(connecting.await.unwrap().unwrap().cluster().brokers().count(), 1);
}

#[tokio::test]
async fn rebootstrap_is_done_when_the_cluster_asks_for_it() {
    let old = Broker::builder().topic("t", 1).start().await.unwrap();
    let new = Broker::builder().nodes(3).topic("t", 1).start().await.unwrap();
    let names = Arc::new(Names::default());
    names.set("bootstrap.test:9092", &old.bootstrap());
    let client = Client::connect(named(&names)).await.unwrap();
    names.set("bootstrap.test:9092", new.bootstrap().split(',').next().unwrap());
    let answer = |_: &MetadataRequest| MetadataResponse::default().with_error_code(129);
    let asks = old.on(ApiKey::Metadata).reply(answer).always();
    client.topic("t", Instant::now() + LONG).await.unwrap();
    assert!(asks.hits() >= 1);
    assert_eq!(client.cluster().brokers().count(), 3);
}

/// A cluster of two, of which one says from now on that it is another broker; the one that the bootstrap server's name leads
/// to from now on; and a client of the first.
async fn taken_over(change: impl FnOnce(&mut ClientConfig)) -> (Broker, Broker, Client) {
    let old = Broker::builder().nodes(2).topic("t", 2).start().await.unwrap();
    let new = Broker::builder().nodes(3).topic("u", 1).start().await.unwrap();
    let names = Arc::new(Names::default());
    let mut addresses: Vec<_> = old.bootstrap().split(',').map(str::to_owned).collect();
    names.set("bootstrap.test:9092", &addresses[0]);
    let mut config = named(&names);
    change(&mut config);
    let client = Client::connect(config).await.unwrap();
    names.set("bootstrap.test:9092", new.bootstrap().split(',').next().unwrap());
    let answer = |_: &ApiVersionsRequest| ApiVersionsResponse::default().with_error_code(129);
    addresses.swap_remove(0);
    let ids: Vec<_> = client.cluster().brokers().map(|b| b.id.0).collect();
    let gone = ids.iter().find(|id| old.address(**id).as_deref() == Some(&addresses[0])).copied().unwrap();
    let staying = ids.into_iter().find(|id| *id != gone).unwrap();
    old.on(ApiKey::ApiVersions).node(gone).reply(answer).always();
    assert!(old.move_leader("t", 0, gone) && old.move_leader("t", 1, staying));
    (old, new, client)
}

#[tokio::test]
async fn rebootstrap_is_done_when_any_broker_says_that_it_is_another_one() {
    let (old, _new, client) = taken_over(|_| {}).await;
    // The other broker goes on being reached, and tells nothing.
    let _silent = old.on(ApiKey::Metadata).hang_up().always();
    client.topic("u", Instant::now() + LONG).await.unwrap();
    assert_eq!(client.cluster().brokers().count(), 3, "it is the new cluster");
}

#[tokio::test]
async fn without_rebootstrap_a_broker_that_is_another_one_is_left_alone() {
    let (old, _new, client) =
        taken_over(|config| config.metadata_recovery_strategy = MetadataRecoveryStrategy::None).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let _refused = producer.send(ProducerRecord::new("t").partition(0).value("v")).await.unwrap();
    producer.send(ProducerRecord::new("t").partition(1).value("v")).await.unwrap().await.unwrap();
    let deadline = Instant::now() + LONG;
    while !client.describe().contains("REBOOTSTRAP_REQUIRED") {
        assert!(Instant::now() < deadline, "{}", client.describe());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.cluster().brokers().count(), 2);
    assert_eq!(old.offsets("t", 1).map(|(_, end)| end), Some(1));
}

#[tokio::test]
async fn a_broker_that_is_connected_in_any_way_keeps_a_client_with_its_cluster() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.reconnect_backoff = Duration::from_secs(60);
    config.reconnect_backoff_max = Duration::from_secs(60);
    let client = Client::connect(config).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    write(&producer, 10).await;
    // No connection can be opened any more, and that for metadata goes.
    let refused = broker.on(ApiKey::ApiVersions).hang_up().always();
    let _gone = broker.on(ApiKey::Metadata).hang_up().always();
    let error = client.topic("other", Instant::now() + Duration::from_secs(2)).await.unwrap_err();
    assert!(error.to_string().contains("none of its brokers can be reached"), "{error}");
    assert!(refused.hits() > 0);
    assert_eq!(client.cluster().brokers().count(), 1, "it has not begun again");
    write(&producer, 10).await;
    assert_eq!(client.metrics().total.connection_close_total, 1, "{:?}", client.metrics());
}

#[tokio::test]
async fn without_rebootstrap_a_client_stays_with_its_brokers() {
    let mut old = Broker::builder().topic("t", 1).start().await.unwrap();
    let names = Arc::new(Names::default());
    names.set("bootstrap.test:9092", &old.bootstrap());
    let mut config = named(&names);
    config.metadata_recovery_strategy = MetadataRecoveryStrategy::None;
    let client = Client::connect(config).await.unwrap();
    let new = Broker::builder().topic("u", 1).start().await.unwrap();
    names.set("bootstrap.test:9092", &new.bootstrap());
    let node = client.cluster().brokers().next().unwrap().id;
    old.kill_node(node.0);
    let error = client.topic("u", Instant::now() + Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("none of its brokers can be reached"), "{error}");
    old.restart_node(node.0).await.unwrap();
    client.topic("t", Instant::now() + LONG).await.unwrap();
}

#[tokio::test]
async fn silent_reconnect_loop_is_reported_within_api_timeout() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let _loop = broker.on(ApiKey::Metadata).hang_up().always();
    let started = Instant::now();
    let error = client.topic("t", started + Duration::from_millis(800)).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    let text = error.to_string();
    assert!(text.contains("finding the topic t") && text.contains("the broker closed it"), "{text}");
    // What it waits for can be asked.
    let text = client.describe();
    assert!(text.contains("metadata cannot be refreshed") && text.contains("Metadata"), "{text}");
}

#[tokio::test]
async fn a_client_says_what_it_is_connected_to_and_counts_what_it_does() {
    let broker = Broker::builder().nodes(3).topic("t", 3).start().await.unwrap();
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.client_id = "shop".to_owned();
    let client = Client::connect(config).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    write(&producer, 30).await;
    let _slow = broker.on(ApiKey::Produce).delay(Duration::from_secs(2)).times(1);
    producer.send(ProducerRecord::new("t").value("x")).await.unwrap();
    let deadline = Instant::now() + LONG;
    while !client.describe().contains("unanswered, Produce since") {
        assert!(Instant::now() < deadline, "{}", client.describe());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let text = client.describe();
    for part in ["client shop of cluster", "3 brokers", "controller", "general (idle)", "metadata"] {
        assert!(text.contains(part), "{part} in: {text}");
    }
    let metrics = client.metrics();
    assert!(metrics.connection_count >= 2 && metrics.total.connection_creation_total >= 2, "{metrics:?}");
    assert!(metrics.total.request_total > metrics.total.response_total, "one is unanswered: {metrics:?}");
    assert!(metrics.total.outgoing_byte_total > 0 && metrics.total.incoming_byte_total > 0, "{metrics:?}");
    assert!(metrics.total.request_latency_max >= metrics.total.request_latency_avg && metrics.metadata_age.is_some());
}

#[tokio::test]
async fn all_topics_are_watched_as_long_as_somebody_wants_them() {
    let broker = Broker::builder().topic("a1", 1).topic("a2", 2).topic("b", 1).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    assert_eq!(client.cluster().topics().count(), 0);
    let watch = client.watch_all_topics();
    let deadline = Instant::now() + LONG;
    while client.cluster().topics_matching(|name| name.starts_with('a'), true).count() < 2 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.cluster().topics().count(), 3);
    drop(watch);
}

#[tokio::test]
async fn a_topic_that_cannot_be_created_does_not_keep_others_from_being_watched() {
    let broker = Broker::builder().topic("a1", 1).auto_create_topics(false).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let mut impatient = ProducerConfig::default();
    impatient.max_block = Duration::from_millis(200);
    let producer = Producer::new(&client, impatient).unwrap();
    producer.send(ProducerRecord::new("missing").value("v")).await.unwrap_err();
    let _watch = client.watch_all_topics();
    let deadline = Instant::now() + LONG;
    while client.cluster().topic("a1").is_none() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn metadata_that_is_old_at_once_is_asked_for_at_a_distance() {
    let broker = Broker::builder().start().await.unwrap();
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.metadata_max_age = Duration::ZERO;
    let _client = Client::connect(config).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = broker.received(ApiKey::Metadata);
    assert!((2..30).contains(&asked), "{asked}");
}

/// KIP-1102: the broker that is connected hears, and says nothing of the cluster.
#[tokio::test]
async fn brokers_that_give_no_metadata_for_long_are_left_for_the_bootstrap_servers() {
    let (old, new) = (
        Broker::builder().topic("t", 1).start().await.unwrap(),
        Broker::builder().topic("t", 1).topic("new", 1).start().await.unwrap(),
    );
    let names = Arc::new(Names::default());
    names.set("bootstrap.test:9092", &old.bootstrap());
    let mut config = named(&names);
    config.metadata_recovery_rebootstrap_trigger = Duration::from_millis(300);
    config.request_timeout = Duration::from_millis(200);
    let client = Client::connect(config).await.unwrap();
    client.topic("t", Instant::now() + LONG).await.unwrap();
    names.set("bootstrap.test:9092", &new.bootstrap());
    let _silent = old.on(ApiKey::Metadata).drop_response().always();
    client.topic("new", Instant::now() + LONG).await.unwrap();
}

#[tokio::test]
async fn a_topic_that_may_not_be_read_fails_its_callers_only() {
    let broker = Broker::builder().topic("t", 1).topic("secret", 1).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let _denied =
        broker.on(ApiKey::Metadata).topic("secret").fail(ottla_testkit::ErrorCode::TopicAuthorizationFailed).always();
    let error = client.topic("secret", Instant::now() + LONG).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicAuthorizationFailed));
    client.topic("t", Instant::now() + LONG).await.unwrap();
}
