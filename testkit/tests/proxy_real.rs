//! A real broker that advertises its proxy: clients never get past it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests fail by panic")]

mod wire;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ApiVersionsRequest, BrokerId, ListOffsetsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use ottla_testkit::ApiKey;
use ottla_testkit::kafka::{Kafka, Tool};
use wire::Client;

#[tokio::test]
async fn a_proxied_broker_is_reached_through_its_proxy_only() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let bootstrap = kafka.proxy().bootstrap();
    let metadata = Client::connect(&kafka.bootstrap()).await.call(12, &MetadataRequest::default()).await;
    assert_eq!(format!("127.0.0.1:{}", metadata.brokers[0].port), bootstrap, "also whoever asks past the proxy");

    let lost = kafka.proxy().on(ApiKey::Produce).cut_before_reply();
    let produced = Tool::new("VerifiableProducer")
        .args(["--bootstrap-server", &bootstrap, "--topic", "orders", "--max-messages", "1"])
        .run()
        .await
        .unwrap();
    // This program does not try again. What it believes to be lost is there: one record, as more may need a second request,
    // which is lost with the connection.
    assert!(produced.stdout.contains("Disconnected from node 1"), "{produced:?}");
    assert!(produced.stdout.contains("\"acked\":0"), "{produced:?}");
    assert_eq!(lost.hits(), 1);
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let name = TopicName(StrBytes::from_static_str("orders"));
    let topic = ListOffsetsTopic::default().with_name(name).with_partitions(vec![partition]);
    let ends = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let answer = Client::connect(&kafka.bootstrap()).await.call(7, &ends).await;
    assert_eq!(answer.topics[0].partitions[0].offset, 1);

    kafka.proxy().link(0).cut();
    let mut client = Client::connect(&bootstrap).await;
    client.call(0, &ApiVersionsRequest::default()).await;
}
