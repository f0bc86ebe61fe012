//! The fault proxy in front of the embedded broker: each fault, seen from a client.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests fail by panic")]

mod wire;

use std::time::{Duration, Instant};

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, FindCoordinatorRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ottla_testkit::{ApiKey, Broker, Direction, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::{Client, batch};

const PLENTY: Duration = Duration::from_secs(10);

async fn one() -> (Broker, Proxy, Client) {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let proxy = Proxy::start(&broker.bootstrap()).await.unwrap();
    let client = Client::connect(&proxy.bootstrap()).await;
    (broker, proxy, client)
}

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}

fn produce(values: &[&str]) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch(values, None, false)));
    let topic = TopicProduceData::default().with_name(name()).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![topic])
}

/// How many records the broker has, asked past the proxy.
async fn written(broker: &Broker) -> i64 {
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(name()).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    let answer = Client::connect(&broker.bootstrap()).await.call(7, &request).await;
    answer.topics[0].partitions[0].offset
}

async fn versions(client: &mut Client) -> Duration {
    let asked = Instant::now();
    client.call(0, &ApiVersionsRequest::default()).await;
    asked.elapsed()
}

#[tokio::test]
async fn every_advertised_address_is_a_link() {
    let broker = Broker::builder().nodes(3).topic("t", 3).start().await.unwrap();
    let proxy = Proxy::start(&broker.bootstrap()).await.unwrap();
    let mut client = Client::connect(&proxy.link(1).address()).await;
    let metadata = client.call(12, &MetadataRequest::default()).await;
    let advertised: Vec<_> = metadata.brokers.iter().map(|broker| format!("127.0.0.1:{}", broker.port)).collect();
    let links: Vec<_> = proxy.links().map(ottla_testkit::Link::address).collect();
    assert_eq!(advertised, links);
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![StrBytes::from_static_str("g")]);
    let coordinator = client.call(4, &request).await.coordinators.remove(0);
    assert!(links.contains(&format!("127.0.0.1:{}", coordinator.port)));
}

#[tokio::test]
async fn latency_is_added_in_each_direction_and_restore_takes_it_away() {
    let (_broker, proxy, mut client) = one().await;
    proxy.link(0).latency(Direction::Both, Duration::from_millis(60), Duration::from_millis(5));
    assert!(versions(&mut client).await >= Duration::from_millis(120));
    proxy.link(0).latency(Direction::Both, Duration::ZERO, Duration::ZERO);
    proxy.link(0).latency(Direction::ToClient, Duration::from_millis(60), Duration::ZERO);
    assert!(versions(&mut client).await >= Duration::from_millis(60));
    proxy.link(0).restore();
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        fastest = fastest.min(versions(&mut client).await);
    }
    assert!(fastest < Duration::from_millis(60), "{fastest:?}");
}

#[tokio::test]
async fn bandwidth_bounds_the_rate_of_its_direction() {
    let (_broker, proxy, mut client) = one().await;
    proxy.link(0).bandwidth(Direction::ToBroker, Some(100_000));
    let asked = Instant::now();
    let value = "x".repeat(30_000);
    client.call(9, &produce(&[&value])).await;
    assert!(asked.elapsed() >= Duration::from_millis(300), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_cut_request_never_reaches_the_broker_nor_does_half_of_one() {
    let (broker, proxy, mut client) = one().await;
    let cut = proxy.on(ApiKey::Produce).cut();
    versions(&mut client).await;
    client.send(9, &produce(&["a"])).await;
    assert!(client.receive_raw().await.is_none());
    assert_eq!(cut.hits(), 1);
    let half = proxy.on(ApiKey::Produce).cut_mid_request();
    let mut client = Client::connect(&proxy.bootstrap()).await;
    client.send(9, &produce(&["a"])).await;
    assert!(client.receive_raw().await.is_none());
    assert_eq!((half.hits(), written(&broker).await), (1, 0));
}

#[tokio::test]
async fn a_cut_before_the_reply_leaves_a_written_record_without_acknowledgement() {
    let (broker, proxy, mut client) = one().await;
    let rule = proxy.on(ApiKey::Produce).cut_before_reply();
    client.send(9, &produce(&["a"])).await;
    assert!(client.receive_raw().await.is_none());
    assert_eq!((rule.hits(), written(&broker).await), (1, 1));
}

#[tokio::test]
async fn a_cut_mid_reply_gives_half_of_it() {
    let (broker, proxy, _client) = one().await;
    let _rule = proxy.on(ApiKey::Produce).cut_mid_reply();
    let mut client = Client::connect(&proxy.bootstrap()).await;
    client.send(9, &produce(&["a"])).await;
    assert!(client.receive_raw().await.is_none(), "half a frame is no frame");
    assert_eq!(written(&broker).await, 1);
}

#[tokio::test]
async fn a_silent_link_holds_what_is_sent_and_lets_it_go_later() {
    let (_broker, proxy, mut client) = one().await;
    versions(&mut client).await;
    proxy.link(0).silence(Direction::ToClient);
    let sent = client.send(0, &ApiVersionsRequest::default()).await;
    let early = tokio::time::timeout(Duration::from_millis(200), client.receive_raw()).await;
    assert!(early.is_err(), "nothing passes and nothing is closed: {early:?}");
    proxy.link(0).restore();
    assert_eq!(client.receive::<ApiVersionsRequest>(0).await.0, sent);
}

#[tokio::test]
async fn a_silenced_connection_stays_open_and_others_go_on() {
    let (broker, proxy, mut client) = one().await;
    let _rule = proxy.on(ApiKey::Produce).silence();
    client.send(9, &produce(&["a"])).await;
    assert!(tokio::time::timeout(Duration::from_millis(200), client.receive_raw()).await.is_err());
    let mut other = Client::connect(&proxy.bootstrap()).await;
    other.call(9, &produce(&["b"])).await;
    assert_eq!(written(&broker).await, 1);
}

#[tokio::test]
async fn a_flipped_bit_of_a_batch_is_refused_by_its_checksum() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let value = "x".repeat(100_000);
    let proxy = Proxy::start_seeded(&broker.bootstrap(), 5).await.unwrap();
    let mut client = Client::connect(&proxy.bootstrap()).await;
    let _rule = proxy.on(ApiKey::Produce).flip_request();
    let answer = client.call(9, &produce(&[&value])).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 2, "CORRUPT_MESSAGE");
}

#[tokio::test]
async fn a_flipped_bit_of_a_reply_changes_it_by_one_bit() {
    let (_broker, proxy, mut client) = one().await;
    client.send(0, &ApiVersionsRequest::default()).await;
    let whole = client.receive_raw().await.unwrap();
    let mut other = Client::connect(&proxy.bootstrap()).await;
    let _rule = proxy.on(ApiKey::ApiVersions).flip_reply();
    other.send(0, &ApiVersionsRequest::default()).await;
    let flipped = other.receive_raw().await.unwrap();
    let bits: u32 = whole.iter().zip(&flipped).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((whole.len(), bits), (flipped.len(), 1));
}

#[tokio::test]
async fn a_cut_link_closes_what_is_open_and_a_refusing_one_what_comes() {
    let (_broker, proxy, mut client) = one().await;
    versions(&mut client).await;
    assert_eq!(proxy.link(0).connections(), 1);
    proxy.link(0).cut();
    assert!(client.receive_raw().await.is_none());
    versions(&mut Client::connect(&proxy.bootstrap()).await).await;
    proxy.link(0).refuse();
    let mut socket = TcpStream::connect(proxy.bootstrap()).await.unwrap();
    assert!(matches!(tokio::time::timeout(PLENTY, socket.read_u8()).await, Ok(Err(_))), "closed at once");
    proxy.link(0).restore();
    versions(&mut Client::connect(&proxy.bootstrap()).await).await;
}

#[tokio::test]
async fn a_delayed_request_is_carried_out_later() {
    let (broker, proxy, mut client) = one().await;
    let _rule = proxy.on(ApiKey::Produce).delay(Duration::from_millis(150));
    let asked = Instant::now();
    client.call(9, &produce(&["a"])).await;
    assert!(asked.elapsed() >= Duration::from_millis(150));
    assert_eq!(written(&broker).await, 1);
}

#[tokio::test]
async fn what_is_not_kafka_passes_unread() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(&upstream.local_addr().unwrap().to_string()).await.unwrap();
    let mut client = TcpStream::connect(proxy.bootstrap()).await.unwrap();
    client.write_all(&[22, 3, 1, 0, 1]).await.unwrap();
    let (mut server, _) = upstream.accept().await.unwrap();
    let mut received = [0; 5];
    server.read_exact(&mut received).await.unwrap();
    assert_eq!(received, [22, 3, 1, 0, 1]);
    server.write_all(b"\xffhello").await.unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"\xffhello");
}
