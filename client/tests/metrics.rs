//! What producers and consumers count.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::{client, config};
use ottla_client::{
    Admin, Client, ClientConfig, Compression, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord,
    StartOffset, TopicPartition, TransactionalProducer,
};
use ottla_testkit::{ApiKey, Broker, ErrorCode};

#[tokio::test]
async fn a_producer_counts_what_it_sends_again_and_what_fails() {
    let broker = Broker::builder().topic("t", 1).topic("other", 1).start().await.unwrap();
    let client = client(&broker).await;
    let compressed = config(|c| {
        c.linger = Duration::from_secs(30);
        c.compression_type = Compression::Lz4;
    });
    let producer = Producer::new(&client, compressed).unwrap();
    broker.on(ApiKey::Produce).fail(ErrorCode::NotEnoughReplicas).times(1);
    let value = "x".repeat(500);
    for _ in 0..10 {
        producer.send(ProducerRecord::new("t").value(&value)).await.unwrap();
    }
    producer.flush().await.unwrap();
    let metrics = producer.metrics();
    assert_eq!((metrics.record_send_total, metrics.record_retry_total, metrics.record_error_total), (20, 10, 0));
    assert_eq!((metrics.records_per_request_avg, metrics.records_per_request_max), (Some(10.0), Some(10.0)));
    assert!(metrics.compression_rate_avg > 0.0 && metrics.compression_rate_avg < 0.2, "{metrics:?}");
    assert_eq!(metrics.buffer_available_bytes, metrics.buffer_total_bytes);
    assert_eq!((metrics.requests_in_flight, metrics.waiting_threads), (0.0, 0.0));
    assert!(metrics.batch_size_max < Some(1000.0) && metrics.record_queue_time_avg.is_some(), "{metrics:?}");
    assert!(metrics.request_latency_max >= metrics.request_latency_avg && metrics.flush_time_ns_total > 0);
    assert!(metrics.metadata_wait_time_ns_total > 0);

    broker.on(ApiKey::Produce).fail(ErrorCode::InvalidRecord).times(1);
    let refused = producer.send(ProducerRecord::new("other").value("y")).await.unwrap();
    producer.flush().await.unwrap();
    refused.await.unwrap_err();
    let metrics = producer.metrics();
    let topics: HashMap<_, _> = metrics.topics.iter().map(|(name, of)| (&**name, of)).collect();
    let (t, other) = (topics["t"], topics["other"]);
    assert_eq!((t.record_send_total, t.record_retry_total, t.record_error_total), (20, 10, 0));
    assert_eq!((other.record_send_total, other.record_retry_total, other.record_error_total), (1, 0, 1));
    assert!(t.byte_total < 2000 && t.compression_rate < 0.2, "{t:?}");
    let named: HashMap<_, _> = metrics.named().collect();
    assert_eq!((named["record-error-total"], named["record-send-total"]), (1.0, 21.0));
}

#[tokio::test]
async fn a_record_that_passes_its_time_in_flight_counts_once_as_failed() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let mut settings = ClientConfig::new(&broker.bootstrap());
    settings.request_timeout = Duration::from_millis(300);
    (settings.retry_backoff, settings.retry_backoff_max) = (Duration::from_millis(1), Duration::from_millis(1));
    let client = Client::connect(settings).await.unwrap();
    let hurried = config(|c| {
        c.linger = Duration::ZERO;
        c.delivery_timeout = Duration::from_millis(400);
    });
    let producer = Producer::new(&client, hurried).unwrap();
    broker.on(ApiKey::Produce).drop_response().always();
    producer.send(ProducerRecord::new("t").value("x")).await.unwrap().await.unwrap_err();
    assert_eq!(producer.metrics().record_error_total, 1);
    // The second request was in flight when the time of the record had passed; it ends later.
    let deadline = Instant::now() + Duration::from_secs(20);
    while producer.metrics().requests_in_flight > 0.0 {
        assert!(Instant::now() < deadline, "{:?}", producer.metrics());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(producer.metrics().record_error_total, 1);
}

#[tokio::test]
async fn time_in_transactions_is_counted() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let producer = TransactionalProducer::new(&client, config(|c| c.transactional_id = Some("id".into()))).unwrap();
    producer.init().await.unwrap();
    producer.begin_transaction().unwrap();
    producer.send(ProducerRecord::new("t").value("x")).await.unwrap();
    producer.commit_transaction().await.unwrap();
    producer.begin_transaction().unwrap();
    producer.send(ProducerRecord::new("t").value("x")).await.unwrap();
    producer.abort_transaction().await.unwrap();
    let metrics = producer.metrics();
    assert!(metrics.txn_init_time_ns_total > 0 && metrics.txn_commit_time_ns_total > 0, "{metrics:?}");
    assert!(metrics.txn_abort_time_ns_total > 0, "{metrics:?}");
}

#[tokio::test]
async fn a_consumer_counts_what_it_gave_out_and_says_how_far_it_is_from_both_ends() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    for _ in 0..30 {
        producer.send(ProducerRecord::new("t").value("0123456789")).await.unwrap();
    }
    producer.flush().await.unwrap();
    let partition = TopicPartition::new("t", 0);
    let deleted = Admin::new(&client).delete_records(&HashMap::from([(partition.clone(), 5)])).await.unwrap();
    assert_eq!(*deleted[&partition].as_ref().unwrap(), 5);

    let mut of_ten = ConsumerConfig::default();
    of_ten.max_poll_records = 10;
    let consumer = Consumer::new(&client, of_ten).unwrap();
    assert_eq!(consumer.metrics().last_poll_seconds_ago, -1.0);
    consumer.assign([(partition.clone(), StartOffset::Earliest)]);
    let mut seen = 0;
    while seen < 20 {
        seen += consumer.poll(Duration::from_secs(5)).await.unwrap().count();
    }
    let metrics = consumer.metrics();
    assert_eq!((seen, metrics.records_consumed_total), (20, 20));
    assert!(metrics.bytes_consumed_total >= 200 && metrics.fetch_total >= 1, "{metrics:?}");
    let [(topic, of_topic)] = &metrics.topics[..] else { panic!("{metrics:?}") };
    assert_eq!((&**topic, of_topic.records_consumed_total), ("t", 20));
    let [(read, at)] = &metrics.partitions[..] else { panic!("{metrics:?}") };
    assert_eq!(
        (read, at.records_lag, at.records_lead, at.preferred_read_replica),
        (&partition, Some(5), Some(20), None)
    );
    assert_eq!((metrics.records_lag_max, metrics.records_lead_min, metrics.assigned_partitions), (5.0, 20.0, 1.0));
    assert!(metrics.time_between_poll_max.is_some() && metrics.last_poll_seconds_ago >= 0.0);
    assert!(metrics.fetch_latency_avg.is_some() && metrics.fetch_size_max >= Some(200.0), "{metrics:?}");
    consumer.remove(&[partition]);
    assert!(consumer.metrics().partitions.is_empty());
}
