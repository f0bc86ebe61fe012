//! Batches that are too large for their topic, against the embedded broker.
#![allow(clippy::unwrap_used, reason = "a test")]
#[path = "stories/split.rs"]
mod story;

use ottla_client::{Client, ClientConfig};
use ottla_testkit::Broker;

async fn with_broker() -> (Broker, Client) {
    let broker = Broker::builder().start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    story::create_topic(&client).await;
    (broker, client)
}

#[tokio::test]
async fn split_keeps_order_and_sequences() {
    let (_broker, client) = with_broker().await;
    story::split_keeps_order_and_sequences(&client).await;
}

#[tokio::test]
async fn split_keeps_order_and_sequences_in_transactions() {
    let (_broker, client) = with_broker().await;
    story::split_keeps_order_and_sequences_in_transactions(&client).await;
}

#[tokio::test]
async fn a_single_record_that_is_too_large_fails_alone() {
    let (_broker, client) = with_broker().await;
    story::a_single_record_that_is_too_large_fails_alone(&client).await;
}
