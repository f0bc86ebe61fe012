//! Real brokers start, are used with Kafka's own programs, lose their leader, and stop.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod wire;

use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use ottla_testkit::kafka::{Kafka, Node, Tool};
use wire::Client;

async fn create_topic(kafka: &Kafka, topic: &str, partitions: i32) {
    let created = Tool::new("TopicCommand")
        .args(["--bootstrap-server", &kafka.bootstrap(), "--create", "--topic", topic, "--partitions"])
        .args([partitions])
        .run()
        .await
        .expect("Docker runs it");
    assert!(created.success, "{created:?}");
}

async fn produce(kafka: &Kafka, topic: &str, count: i32) {
    let produced = Tool::new("VerifiableProducer")
        .args(["--bootstrap-server", &kafka.bootstrap(), "--topic", topic, "--max-messages"])
        .args([count])
        .run()
        .await
        .expect("Docker runs it");
    assert!(produced.stdout.contains(&format!("\"acked\":{count}")), "{produced:?}");
}

async fn consumed(kafka: &Kafka, topic: &str, count: i32) -> usize {
    let read = Tool::new("consumer.ConsoleConsumer")
        .args(["--bootstrap-server", &kafka.bootstrap(), "--topic", topic, "--from-beginning", "--timeout-ms", "20000"])
        .args(["--max-messages".to_owned(), count.to_string()])
        .run()
        .await
        .expect("Docker runs it");
    read.stdout.lines().filter(|line| line.parse::<i32>().is_ok()).count()
}

#[tokio::test]
async fn one_node_of_4_4_0() {
    let kafka = Kafka::builder().start().await.expect("Docker runs it");
    create_topic(&kafka, "orders", 3).await;
    produce(&kafka, "orders", 1000).await;
    assert_eq!(consumed(&kafka, "orders", 1000).await, 1000);
}

#[tokio::test]
async fn one_node_of_2_8_2_keeps_its_data_over_a_crash() {
    let kafka = Kafka::builder().version("2.8.2").start().await.unwrap();
    create_topic(&kafka, "orders", 3).await;
    produce(&kafka, "orders", 1000).await;
    let node = &kafka.nodes()[0];
    node.kill().await.unwrap();
    node.restart().await.unwrap();
    node.wait_ready(Duration::from_secs(60)).await.unwrap();
    assert_eq!(consumed(&kafka, "orders", 1000).await, 1000);
}

/// One cluster for all that can happen to a node: starting it is most of the work.
#[tokio::test]
async fn three_nodes_survive_a_kill_a_pause_and_a_rolling_restart() {
    let kafka = Kafka::builder().nodes(3).heap("384m").start().await.unwrap();
    create_topic(&kafka, "orders", 1).await;
    produce(&kafka, "orders", 1000).await;

    let (killed, replicas) = seen_by(kafka.node(1).unwrap(), "orders").await;
    assert_eq!(replicas.len(), 3);
    kafka.node(killed).unwrap().kill().await.unwrap();
    let witness = kafka.nodes().iter().find(|node| node.id() != killed).unwrap();
    until(witness, "a new leader", |leader, _| leader != killed && leader > 0).await;
    assert_eq!(consumed(&kafka, "orders", 1000).await, 1000);
    kafka.node(killed).unwrap().restart().await.unwrap();
    until(witness, "the killed node to be in sync again", |_, in_sync| in_sync.len() == 3).await;

    let (paused, _) = seen_by(witness, "orders").await;
    let witness = kafka.nodes().iter().find(|node| node.id() != paused).unwrap();
    kafka.node(paused).unwrap().pause().await.unwrap();
    until(witness, "a leader for the paused one", |leader, _| leader != paused && leader > 0).await;
    produce(&kafka, "orders", 1000).await;
    kafka.node(paused).unwrap().unpause().await.unwrap();
    until(witness, "the paused node to be in sync again", |_, in_sync| in_sync.len() == 3).await;

    for node in kafka.nodes() {
        node.stop().await.unwrap();
        node.restart().await.unwrap();
        node.wait_ready(Duration::from_secs(60)).await.unwrap();
        until(node, "the restarted node to be in sync again", |_, in_sync| in_sync.len() == 3).await;
    }
    assert_eq!(consumed(&kafka, "orders", 2000).await, 2000);
}

/// The leader and the in-sync replicas of the topic's first partition, as one node knows them.
async fn seen_by(node: &Node, topic: &'static str) -> (i32, Vec<i32>) {
    let name = TopicName(StrBytes::from_static_str(topic));
    let asked =
        MetadataRequest::default().with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(name))]));
    let answer = Client::connect(&node.address()).await.call(12, &asked).await;
    let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
    partition.map_or((-1, Vec::new()), |partition| {
        (partition.leader_id.0, partition.isr_nodes.iter().map(|id| id.0).collect())
    })
}

async fn until(node: &Node, what: &str, holds: impl Fn(i32, &[i32]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (leader, in_sync) = seen_by(node, "orders").await;
        if holds(leader, &in_sync) {
            return;
        }
        assert!(Instant::now() < deadline, "waited for {what}: leader {leader}, in sync {in_sync:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
