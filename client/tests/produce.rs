//! Writing records to the embedded broker, with faults.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::{client, config};
use ottla_client::{
    Acks, Admin, Certainty, Client, ClientConfig, Compression, Consumer, ConsumerConfig, Error, ErrorCode,
    IsolationLevel, OffsetSpec, Producer, ProducerConfig, ProducerRecord, StartOffset, TopicPartition,
    TransactionalProducer,
};
use ottla_testkit::{ApiKey, Broker};

/// How many records each partition of `topic` has.
async fn ends(client: &Client, topic: &str, partitions: i32) -> Vec<i64> {
    let latest = |p| (TopicPartition::new(topic, p), OffsetSpec::Latest);
    let specs: HashMap<_, _> = (0..partitions).map(latest).collect();
    let listed = Admin::new(client).list_offsets(&specs, IsolationLevel::ReadUncommitted).await;
    let end = |p| listed[&TopicPartition::new(topic, p)].as_ref().unwrap().offset.unwrap();
    (0..partitions).map(end).collect()
}

#[tokio::test]
async fn records_get_their_offsets_on_every_version() {
    for version in ["0.11", "1.1", "2.8", "3.9", "4.1"] {
        let broker = Broker::builder().topic("t", 2).as_version(version).start().await.unwrap();
        let client = client(&broker).await;
        let producer = Producer::new(&client, config(|c| c.linger = Duration::ZERO)).unwrap();
        for i in 0..10 {
            let record = ProducerRecord::new("t").partition(i % 2).key("k").value("v").timestamp(1000);
            let metadata = producer.send(record).await.unwrap().await.unwrap();
            assert_eq!(metadata.topic_partition, TopicPartition::new("t", i % 2), "{version}");
            assert_eq!((metadata.offset, metadata.timestamp), (i64::from(i / 2), 1000), "{version}");
        }
        producer.close(Duration::from_secs(5)).await.unwrap();
        assert_eq!(ends(&client, "t", 2).await, [5, 5], "{version}");
    }
}

#[tokio::test]
async fn flush_sends_what_lingers_and_every_codec_is_accepted() {
    let broker = Broker::builder().topic("t", 3).start().await.unwrap();
    let client = client(&broker).await;
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let before: i64 = ends(&client, "t", 3).await.iter().sum();
        let lingering = config(|c| {
            c.linger = Duration::from_secs(30);
            c.compression_type = compression;
        });
        let producer = Producer::new(&client, lingering).unwrap();
        let mut deliveries = Vec::new();
        for i in 0..5000 {
            let value = format!("value number {i}");
            deliveries.push(producer.send(ProducerRecord::new("t").value(&value)).await.unwrap());
        }
        producer.flush().await.unwrap();
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        let after: i64 = ends(&client, "t", 3).await.iter().sum();
        assert_eq!(after - before, 5000, "{compression}");
    }
}

/// Faults of many kinds in front of an idempotent producer: every record once and in order.
#[tokio::test]
async fn retries_neither_lose_double_nor_swap_records() {
    let broker = Broker::builder().nodes(3).topic("t", 4).seed(7).start().await.unwrap();
    let client = client(&broker).await;
    let small = config(|c| {
        c.batch_size = 200;
        c.linger = Duration::from_millis(1);
    });
    let producer = Producer::new(&client, small).unwrap();
    let rules = [
        broker.on(ApiKey::Produce).fail(ottla_testkit::ErrorCode::NotEnoughReplicas).times(5),
        broker.on(ApiKey::Produce).hang_up_after().times(3),
        broker.on(ApiKey::Produce).hang_up().times(3),
    ];
    let mut deliveries = Vec::new();
    for i in 0..4000i32 {
        let value = i.to_be_bytes();
        let record = ProducerRecord::new("t").partition(i % 4).value(&value);
        deliveries.push(producer.send(record).await.unwrap());
        if i % 1000 == 500 {
            broker.move_leader("t", i % 4, (i / 1000) % 3);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for (i, delivery) in (0i64..).zip(deliveries) {
        let metadata = delivery.await.unwrap();
        assert_eq!(metadata.offset, i / 4, "record {i} in {}", metadata.topic_partition);
    }
    assert!(rules.iter().all(|rule| rule.hits() > 0), "every fault was met");
    assert_eq!(ends(&client, "t", 4).await, [1000; 4]);
}

/// A broker takes any first sequence of a producer it does not know. If the first batch is refused and the second is not,
/// they are swapped, and the first fits nowhere any more.
#[tokio::test]
async fn a_new_partition_that_refuses_its_first_batch_gets_all_in_order() {
    let broker = Broker::builder().topic("t", 8).start().await.unwrap();
    let client = client(&broker).await;
    let small = config(|c| {
        c.batch_size = 200;
        c.linger = Duration::ZERO;
        c.delivery_timeout = Duration::from_secs(40);
    });
    let producer = Producer::new(&client, small).unwrap();
    for partition in 0..8 {
        let rule = broker.on(ApiKey::Produce).fail(ottla_testkit::ErrorCode::UnknownTopicOrPartition).times(1);
        let mut deliveries = Vec::new();
        for i in 0..200i32 {
            let value = i.to_be_bytes();
            deliveries.push(producer.send(ProducerRecord::new("t").partition(partition).value(&value)).await.unwrap());
        }
        for (i, delivery) in (0..).zip(deliveries) {
            assert_eq!(delivery.await.unwrap().offset, i);
        }
        assert_eq!(rule.hits(), 1);
    }
    assert_eq!(ends(&client, "t", 8).await, [200; 8]);
}

/// Answers get lost after the write: the broker has the batch already when it comes again.
#[tokio::test]
async fn a_lost_answer_doubles_nothing() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let producer = Producer::new(&client, config(|c| c.linger = Duration::ZERO)).unwrap();
    for round in 0..5 {
        let rule = broker.on(ApiKey::Produce).hang_up_after().times(1);
        let metadata = producer.send(ProducerRecord::new("t").value("x")).await.unwrap().await.unwrap();
        assert_eq!((metadata.offset, rule.hits()), (round, 1));
    }
    assert_eq!(ends(&client, "t", 1).await, [5]);
}

#[tokio::test]
async fn a_refused_record_says_why_and_that_it_is_not_written() {
    let broker = Broker::builder().topic_with("t", 1, &[("max.message.bytes", "1000")]).start().await.unwrap();
    let client = client(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let big = [b'x'; 5000];
    let error = producer.send(ProducerRecord::new("t").value(&big)).await.unwrap().await.unwrap_err();
    assert!(matches!(&error, Error::Delivery { certainty: Certainty::NotWritten, .. }), "{error:?}");
    assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge));
    assert!(error.to_string().contains("t-0") && error.to_string().contains("not written"), "{error}");
    let metadata = producer.send(ProducerRecord::new("t").value("small")).await.unwrap().await.unwrap();
    assert_eq!(metadata.offset, 0, "the producer goes on");
    let huge = vec![0; 2 << 20];
    let error = producer.send(ProducerRecord::new("t").value(&huge)).await.unwrap_err();
    assert!(error.to_string().contains("max.request.size"), "{error}");
}

/// Who named a topic gets the one of that name; its log begins at sequence 0, and has the partitions that it has.
#[tokio::test]
async fn recreated_topic_gets_no_old_sequences() {
    for version in ["4.1", "3.9"] {
        let broker = Broker::builder().topic("t", 3).as_version(version).start().await.unwrap();
        let mut settings = ClientConfig::new(&broker.bootstrap());
        settings.metadata_max_age = Duration::from_millis(200);
        let client = Client::connect(settings).await.unwrap();
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        let send = |value: &'static str| producer.send(ProducerRecord::new("t").partition(1).value(value));
        for offset in 0..10 {
            assert_eq!(send("old").await.unwrap().await.unwrap().offset, offset);
        }
        assert!(broker.delete_topic("t"));
        Admin::new(&client).create_topics([ottla_client::NewTopic::new("t", 2, 1)]).await.unwrap();
        for offset in 0..10 {
            assert_eq!(send("new").await.unwrap().await.unwrap().offset, offset, "{version}");
        }
    }
}

/// What waits when a topic comes again goes to the new one, and fails where it has no such partition.
#[tokio::test]
async fn records_that_linger_go_to_the_recreated_topic() {
    let broker = Broker::builder().topic("t", 2).start().await.unwrap();
    let mut settings = ClientConfig::new(&broker.bootstrap());
    settings.metadata_max_age = Duration::from_millis(100);
    let client = Client::connect(settings).await.unwrap();
    let producer = Producer::new(&client, config(|c| c.linger = Duration::from_secs(3))).unwrap();
    let send = async |partition| producer.send(ProducerRecord::new("t").partition(partition).value("v")).await.unwrap();
    let (stays, goes) = (send(0).await, send(1).await);
    assert!(broker.delete_topic("t"));
    Admin::new(&client).create_topics([ottla_client::NewTopic::new("t", 1, 1)]).await.unwrap();
    let error = tokio::time::timeout(Duration::from_secs(10), goes).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicId), "{error}");
    assert!(matches!(error, Error::Delivery { certainty: Certainty::NotWritten, .. }), "{error:?}");
    assert!(error.to_string().contains("created again"), "{error}");
    assert_eq!(stays.await.unwrap().offset, 0);
    assert_eq!(ends(&client, "t", 1).await, [1]);
}

#[tokio::test]
async fn memory_is_waited_for_and_the_wait_ends() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let tight = |max_block| {
        config(|c| {
            c.buffer_memory = 4 * c.batch_size;
            c.max_block = max_block;
        })
    };
    let producer = Producer::new(&client, tight(Duration::from_secs(10))).unwrap();
    let value = [7; 1000];
    for _ in 0..2000 {
        producer.send(ProducerRecord::new("t").value(&value)).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert_eq!(ends(&client, "t", 1).await, [2000]);

    let producer = Producer::new(&client, tight(Duration::from_millis(200))).unwrap();
    let _silent = broker.on(ApiKey::Produce).delay(Duration::from_secs(30)).always();
    let started = Instant::now();
    let error = loop {
        match producer.send(ProducerRecord::new("t").value(&value)).await {
            Ok(_) => assert!(started.elapsed() < Duration::from_secs(10)),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("buffer.memory"), "{error}");
}

#[tokio::test]
async fn delivery_timeout_says_that_it_may_be_written() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let mut quick = ClientConfig::new(&broker.bootstrap());
    quick.request_timeout = Duration::from_millis(300);
    let client = Client::connect(quick).await.unwrap();
    let producer = Producer::new(
        &client,
        config(|c| {
            c.linger = Duration::ZERO;
            c.delivery_timeout = Duration::from_millis(700);
        }),
    )
    .unwrap();
    let silent = broker.on(ApiKey::Produce).drop_response().always();
    let started = Instant::now();
    let error = producer.send(ProducerRecord::new("t").value("x")).await.unwrap().await.unwrap_err();
    assert!(matches!(&error, Error::Delivery { certainty: Certainty::PossiblyWritten, .. }), "{error:?}");
    assert!(error.to_string().contains("delivery.timeout.ms"), "{error}");
    assert!((Duration::from_millis(600)..Duration::from_secs(3)).contains(&started.elapsed()));
    silent.remove();
    producer.send(ProducerRecord::new("t").value("y")).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn acks_0_and_1_work() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    for (acks, offset) in [(Acks::None, -1), (Acks::Leader, 1)] {
        let producer = Producer::new(&client, config(|c| c.acks = acks)).unwrap();
        let metadata = producer.send(ProducerRecord::new("t").value("x")).await.unwrap().await.unwrap();
        assert_eq!(metadata.offset, offset);
        producer.close(Duration::from_secs(5)).await.unwrap();
    }
}

#[tokio::test]
async fn close_returns_by_its_deadline_with_all_brokers_gone() {
    let mut broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    producer.send(ProducerRecord::new("t").value("x")).await.unwrap().await.unwrap();
    broker.kill_node(broker.leader("t", 0).unwrap());
    let delivery = producer.send(ProducerRecord::new("t").value("y")).await.unwrap();
    let started = Instant::now();
    producer.close(Duration::from_millis(300)).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(matches!(delivery.await.unwrap_err(), Error::Delivery { .. }));

    // All the others, and those that are dropped.
    let transactional = config(|c| c.transactional_id = Some("x".into()));
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let consumer = || {
        let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
        consumer.assign([(TopicPartition::new("t", 0), StartOffset::Earliest)]);
        consumer
    };
    let (closed, dropped) = (consumer(), consumer());
    let producer = TransactionalProducer::new(&client, transactional).unwrap();
    producer.init().await.unwrap();
    producer.begin_transaction().unwrap();
    producer.send(ProducerRecord::new("t").value("x")).await.unwrap().await.unwrap();
    closed.poll(Duration::from_secs(10)).await.unwrap();
    dropped.poll(Duration::from_secs(10)).await.unwrap();
    let admin = Admin::new(&client);
    drop(broker);
    let started = Instant::now();
    let late = producer.close(Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(late, Error::Timeout { .. }), "{late}");
    closed.close().await;
    drop((dropped, admin));
    client.close();
    drop(client);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

/// No panic, and no hang.
#[tokio::test]
async fn a_timeout_may_be_as_long_as_it_likes() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new("t", 0), StartOffset::Earliest)]);
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    drop(producer.send(ProducerRecord::new("t").value("x")).await.unwrap());
    producer.close(Duration::MAX).await.unwrap();
    assert_eq!(consumer.poll(Duration::MAX).await.unwrap().count(), 1);
    let transactional = config(|c| c.transactional_id = Some("x".into()));
    TransactionalProducer::new(&client, transactional).unwrap().close(Duration::MAX).await.unwrap();
}

#[tokio::test]
async fn zstd_needs_brokers_of_2_1_and_the_error_says_what_they_read() {
    let broker = Broker::builder().topic("t", 1).as_version("2.0").start().await.unwrap();
    let client = client(&broker).await;
    let mut config = ProducerConfig::default();
    config.compression_type = Compression::Zstd;
    let producer = Producer::new(&client, config).unwrap();
    let error = producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap_err().to_string();
    assert!(error.contains("brokers before 2.1 read none, gzip, snappy and lz4 (compression.type)"), "{error}");
}

#[tokio::test]
async fn a_timestamp_before_1970_is_refused() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let error = producer.send(ProducerRecord::new("t").value("v").timestamp(-7)).await.unwrap_err().to_string();
    assert!(error.contains("a record for t has the timestamp -7: it counts milliseconds since 1970"), "{error}");
}
