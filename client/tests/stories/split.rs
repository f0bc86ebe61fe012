//! Batches that are larger than their topic allows: `max.message.bytes` of `small` is 1000.
use std::time::Duration;

use ottla_client::{
    Admin, Certainty, Client, Compression, Consumer, ConsumerConfig, Delivery, Error, ErrorCode, NewTopic, Producer,
    ProducerConfig, ProducerRecord, StartOffset, TopicPartition, TransactionalProducer,
};

const RECORDS: usize = 200;

pub(crate) async fn create_topic(client: &Client) {
    let topic = NewTopic::new("small", 1, 1).config("max.message.bytes", "1000");
    for (_, created) in Admin::new(client).create_topics([topic]).await.unwrap() {
        created.unwrap();
    }
}

fn config(compression: Compression, change: impl FnOnce(&mut ProducerConfig)) -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.linger = Duration::from_millis(100);
    config.compression_type = compression;
    change(&mut config);
    config
}

/// Values that do not compress below what the topic allows.
fn values(rng: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let value = |number: usize| {
        let mut value = number.to_be_bytes().to_vec();
        value.extend(std::iter::repeat_with(|| rng.u8(..)).take(20 + number % 80));
        value
    };
    (0..RECORDS).map(value).collect()
}

async fn offsets(deliveries: Vec<Delivery>) -> Vec<i64> {
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.await.unwrap().offset);
    }
    offsets
}

async fn read(client: &Client, from: i64, count: usize) -> Vec<(i64, Vec<u8>)> {
    let consumer = Consumer::new(client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new("small", 0), StartOffset::At(from, None))]);
    let mut read = Vec::new();
    for _ in 0..100 {
        for partition in &consumer.poll(Duration::from_millis(200)).await.unwrap() {
            read.extend(partition.into_iter().map(|r| r.unwrap()).map(|r| (r.offset, r.value.unwrap().to_vec())));
        }
        if read.len() >= count {
            break;
        }
    }
    read
}

/// One batch of many records arrives in parts, in order, each once, and its deliveries know where.
pub(crate) async fn split_keeps_order_and_sequences(client: &Client) {
    let mut rng = fastrand::Rng::with_seed(5);
    for compression in [Compression::None, Compression::Gzip, Compression::Lz4] {
        let plain = |c: &mut ProducerConfig| {
            c.enable_idempotence = Some(false);
            c.max_in_flight_requests_per_connection = 1;
        };
        for config in [config(compression, |_| {}), config(compression, plain)] {
            let producer = Producer::new(client, config).unwrap();
            let values = values(&mut rng);
            let mut deliveries = Vec::new();
            for value in &values {
                deliveries.push(producer.send(ProducerRecord::new("small").value(value)).await.unwrap());
            }
            let offsets = offsets(deliveries).await;
            assert!(offsets.windows(2).all(|two| two[1] == two[0] + 1), "{compression}: {offsets:?}");
            let expected: Vec<_> = offsets.iter().copied().zip(values).collect();
            assert_eq!(read(client, offsets[0], RECORDS).await, expected, "{compression}");
            producer.close(Duration::from_secs(10)).await.unwrap();
        }
    }
}

pub(crate) async fn split_keeps_order_and_sequences_in_transactions(client: &Client) {
    let mut rng = fastrand::Rng::with_seed(6);
    let config = config(Compression::None, |c| c.transactional_id = Some("split".to_owned()));
    let producer = TransactionalProducer::new(client, config).unwrap();
    producer.init().await.unwrap();
    for _ in 0..3 {
        let transaction = producer.transaction().unwrap();
        let values = values(&mut rng);
        let mut deliveries = Vec::new();
        for value in &values {
            deliveries.push(transaction.send(ProducerRecord::new("small").value(value)).await.unwrap());
        }
        transaction.commit().await.unwrap();
        let offsets = offsets(deliveries).await;
        assert!(offsets.windows(2).all(|two| two[1] == two[0] + 1), "{offsets:?}");
        let expected: Vec<_> = offsets.iter().copied().zip(values).collect();
        assert_eq!(read(client, offsets[0], RECORDS).await, expected);
    }
    let transaction = producer.transaction().unwrap();
    let delivery = transaction.send(ProducerRecord::new("small").value(&[7; 2000])).await.unwrap();
    too_large(delivery.await.unwrap_err());
    assert!(transaction.commit().await.unwrap_err().is_abortable());
}

/// The record that is too large alone fails, and those around it do not.
pub(crate) async fn a_single_record_that_is_too_large_fails_alone(client: &Client) {
    let producer = Producer::new(client, config(Compression::None, |_| {})).unwrap();
    let mut deliveries = Vec::new();
    for size in [100, 400, 2000, 400, 100] {
        let value = vec![b'v'; size];
        deliveries.push(producer.send(ProducerRecord::new("small").value(&value)).await.unwrap());
    }
    let large = deliveries.remove(2);
    let offsets = offsets(deliveries).await;
    assert!(offsets.windows(2).all(|two| two[1] == two[0] + 1), "{offsets:?}");
    too_large(large.await.unwrap_err());
    producer.send(ProducerRecord::new("small").value("after")).await.unwrap().await.unwrap();
}

fn too_large(error: Error) {
    assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge), "{error}");
    assert!(matches!(error, Error::Delivery { certainty: Certainty::NotWritten, .. }), "{error}");
    assert!(error.to_string().contains("max.message.bytes"), "{error}");
}
