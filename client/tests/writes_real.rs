//! What real brokers of several ages take from a producer and give to a consumer.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
#[path = "stories/split.rs"]
mod split;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ottla_client::{
    Admin, Client, ClientConfig, Compression, Consumer, ConsumerConfig, Error, Header, IsolationLevel, OffsetSpec,
    Producer, ProducerConfig, ProducerRecord, StartOffset, TopicPartition, TransactionalProducer,
};
use ottla_testkit::kafka::Kafka;

async fn splits(version: &str) {
    let kafka = Kafka::builder().version(version).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&kafka.bootstrap())).await.unwrap();
    split::create_topic(&client).await;
    split::split_keeps_order_and_sequences(&client).await;
    split::split_keeps_order_and_sequences_in_transactions(&client).await;
    split::a_single_record_that_is_too_large_fails_alone(&client).await;
}

#[tokio::test]
async fn kafka_4_4_0_gets_a_batch_that_is_too_large_in_parts() {
    splits("4.4.0").await;
}

#[tokio::test]
async fn kafka_2_8_2_gets_a_batch_that_is_too_large_in_parts() {
    splits("2.8.2").await;
}

const TIME: i64 = 1_700_000_000_000;

fn config(change: impl FnOnce(&mut ProducerConfig)) -> ProducerConfig {
    let mut config = ProducerConfig::default();
    change(&mut config);
    config
}

/// Everything that is in the partition: offset, timestamp, key, value.
async fn read(client: &Client, topic: &str, count: usize) -> Vec<(i64, i64, Option<Vec<u8>>, Option<Vec<u8>>)> {
    let consumer = Consumer::new(client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new(topic, 0), StartOffset::Earliest)]);
    let mut read = Vec::new();
    for _ in 0..100 {
        for partition in &consumer.poll(Duration::from_millis(200)).await.unwrap() {
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            let records = partition.into_iter().map(|record| record.unwrap());
            read.extend(records.map(|r| (r.offset, r.timestamp, owned(r.key), owned(r.value))));
        }
        if read.len() >= count {
            break;
        }
    }
    read
}

/// A cluster that knows message sets of magic 1 and neither batches, headers nor idempotence.
async fn before_0_11(version: &str, finds_times: bool) {
    let kafka = Kafka::builder().version(version).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&kafka.bootstrap())).await.unwrap();
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4] {
        let topic = format!("{version}-{compression}");
        // Idempotence was not asked for: it gives way.
        let producer = Producer::new(&client, config(|c| c.compression_type = compression)).unwrap();
        let (mut deliveries, mut expected) = (Vec::new(), Vec::new());
        for at in 0..500 {
            let (key, value) = (at.to_string(), format!("value number {at}"));
            let mut record = ProducerRecord::new(&topic).partition(0).timestamp(TIME + at);
            record = if at % 3 == 0 { record } else { record.key(&key) };
            record = if at % 7 == 0 { record } else { record.value(&value) };
            deliveries.push(producer.send(record).await.unwrap());
            let bytes = |present: bool, text: String| present.then(|| text.into_bytes());
            expected.push((at, TIME + at, bytes(at % 3 != 0, key), bytes(at % 7 != 0, value)));
        }
        for (offset, delivery) in (0..).zip(deliveries) {
            assert_eq!(delivery.await.unwrap().offset, offset, "{version} {compression}");
        }
        assert_eq!(read(&client, &topic, expected.len()).await, expected, "{version} {compression}");
    }
    let topic = format!("{version}-none");
    offsets(&client, &topic, finds_times).await;
    refusals(&client, &topic).await;
}

async fn offsets(client: &Client, topic: &str, finds_times: bool) {
    let partition = TopicPartition::new(topic, 0);
    let find = async |spec| {
        let specs = HashMap::from([(partition.clone(), spec)]);
        let found = Admin::new(client).list_offsets(&specs, IsolationLevel::ReadCommitted).await;
        found.into_values().next().unwrap()
    };
    assert_eq!(find(OffsetSpec::Earliest).await.unwrap().offset, Some(0));
    assert_eq!(find(OffsetSpec::Latest).await.unwrap().offset, Some(500));
    for special in [
        OffsetSpec::MaxTimestamp,
        OffsetSpec::EarliestLocal,
        OffsetSpec::LatestTiered,
        OffsetSpec::EarliestPendingUpload,
    ] {
        assert!(matches!(find(special).await, Err(Error::UnsupportedVersion { .. })), "{special:?}");
    }
    match find(OffsetSpec::Timestamp(TIME + 123)).await {
        Ok(found) => {
            assert!(finds_times && (found.offset, found.timestamp) == (Some(123), Some(TIME + 123)), "{found:?}")
        }
        Err(error) => {
            assert!(!finds_times && error.to_string().contains("ListOffsets is needed in version 1"), "{error}")
        }
    }
}

async fn refusals(client: &Client, topic: &str) {
    let producer = Producer::new(client, config(|_| {})).unwrap();
    let headers = [Header { key: "h", value: None }];
    let record = ProducerRecord::new(topic).partition(0).value("v").headers(&headers);
    let error = producer.send(record).await.unwrap().await.unwrap_err().to_string();
    assert!(error.contains("not written") && error.contains("headers, which need a broker of 0.11"), "{error}");
    let zstd = Producer::new(client, config(|c| c.compression_type = Compression::Zstd)).unwrap();
    let error = zstd.send(ProducerRecord::new(topic).value("v")).await.unwrap().await.unwrap_err().to_string();
    assert!(error.contains("compression.type"), "{error}");
    let explicit = Producer::new(client, config(|c| c.enable_idempotence = Some(true))).unwrap();
    let error = explicit.send(ProducerRecord::new(topic).value("v")).await.unwrap().await.unwrap_err().to_string();
    assert!(error.contains("InitProducerId is needed") && error.contains("does not have it"), "{error}");
    let transactional = config(|c| c.transactional_id = Some("t".to_owned()));
    let started = Instant::now();
    let error = TransactionalProducer::new(client, transactional).unwrap().init().await.unwrap_err().to_string();
    assert!(error.contains("FindCoordinator is needed in version 1") && error.contains("offers 0"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "it is not tried again and again");
}

#[tokio::test]
async fn kafka_0_10_0_1_is_written_and_read_in_message_sets() {
    before_0_11("0.10.0.1", false).await;
}

#[tokio::test]
async fn kafka_0_10_2_2_is_written_and_read_in_message_sets() {
    before_0_11("0.10.2.2", true).await;
}
