//! Real brokers start, are used with Kafka's own programs, lose their leader, and stop.
#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use std::time::Duration;

use ottla_testkit::kafka::{Kafka, Tool};

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

#[tokio::test]
async fn three_nodes_elect_a_leader_when_theirs_is_killed() {
    let kafka = Kafka::builder().nodes(3).heap("384m").start().await.unwrap();
    create_topic(&kafka, "orders", 1).await;
    produce(&kafka, "orders", 1000).await;
    let leader = leader(&kafka, "orders").await;
    kafka.node(leader).unwrap().kill().await.unwrap();
    assert_eq!(consumed(&kafka, "orders", 1000).await, 1000);
    assert_ne!(self::leader(&kafka, "orders").await, leader);
}

async fn leader(kafka: &Kafka, topic: &str) -> i32 {
    let described = Tool::new("TopicCommand")
        .args(["--bootstrap-server", &kafka.bootstrap(), "--describe", "--topic", topic])
        .run()
        .await
        .expect("Docker runs it");
    let after = described.stdout.split("Leader: ").nth(1).unwrap_or_else(|| panic!("{described:?}"));
    after.split_whitespace().next().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("{described:?}"))
}
