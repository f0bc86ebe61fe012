//! Reading records from the embedded broker, with faults.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use ottla_client::{
    AutoOffsetReset, Client, ClientConfig, Compression, Consumer, ConsumerConfig, Error, ErrorCode, IsolationLevel,
    Producer, ProducerConfig, ProducerRecord, StartOffset, TopicPartition, TransactionalProducer,
};
use ottla_testkit::{ApiKey, Broker};

async fn client(broker: &Broker) -> Client {
    Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap()
}

fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("t", index)
}

fn consumer(client: &Client, change: impl FnOnce(&mut ConsumerConfig)) -> Consumer {
    let mut config = ConsumerConfig::default();
    config.fetch_max_wait = Duration::from_millis(100);
    change(&mut config);
    Consumer::new(client, config).unwrap()
}

/// Writes `count` numbers, each to the partition `number mod partitions`.
async fn fill(client: &Client, partitions: i32, from: i32, count: i32, compression: Compression) {
    let mut config = ProducerConfig::default();
    config.compression_type = compression;
    config.batch_size = 300;
    let producer = Producer::new(client, config).unwrap();
    for number in from..from + count {
        let value = number.to_string();
        let record = ProducerRecord::new("t").partition(number % partitions).value(&value).timestamp(i64::from(number));
        producer.send(record).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert!(producer.take_failure().is_none());
}

/// The numbers of each partition, until there are `count`.
async fn read(consumer: &Consumer, count: usize) -> BTreeMap<i32, Vec<i32>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut seen: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    while seen.values().map(Vec::len).sum::<usize>() < count {
        assert!(Instant::now() < deadline, "only {:?}", seen.values().map(Vec::len).collect::<Vec<_>>());
        let records = consumer.poll(Duration::from_millis(200)).await.unwrap();
        for partition in records.partitions() {
            let mut last = None;
            for record in partition {
                let record = record.unwrap();
                assert!(last < Some(record.offset), "offsets grow");
                last = Some(record.offset);
                let number = std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
                seen.entry(partition.topic_partition().partition).or_default().push(number);
            }
            assert_eq!(consumer.position(partition.topic_partition()), Some(partition.next_offset()));
        }
    }
    seen
}

fn expected(partitions: i32, count: i32) -> BTreeMap<i32, Vec<i32>> {
    let of = |p| (0..count).filter(|n| n % partitions == p).collect();
    (0..partitions).map(|p| (p, of(p))).collect()
}

#[tokio::test]
async fn everything_is_read_in_order_on_every_version() {
    for version in ["0.11", "1.1", "2.1", "2.8", "3.9", "4.1"] {
        let broker = Broker::builder().nodes(3).topic("t", 3).as_version(version).start().await.unwrap();
        let client = client(&broker).await;
        for (i, codec) in (0..).zip([Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4]) {
            fill(&client, 3, i * 1000, 1000, codec).await;
        }
        let consumer = consumer(&client, |c| c.max_poll_records = 70);
        consumer.assign((0..3).map(|p| (partition(p), StartOffset::Earliest)));
        assert_eq!(read(&consumer, 4000).await, expected(3, 4000), "{version}");
        assert!((0..3).all(|p| consumer.lag(&partition(p)) == Some(0)), "{version}");
    }
}

#[tokio::test]
async fn aborted_and_open_transactions_are_seen_by_uncommitted_readers_only() {
    for version in ["0.11", "2.8", "3.9", "4.1"] {
        let broker = Broker::builder().topic("t", 1).as_version(version).start().await.unwrap();
        let client = client(&broker).await;
        let mut config = ProducerConfig::default();
        config.transactional_id = Some("app".to_owned());
        let producer = TransactionalProducer::new(&client, config).unwrap();
        producer.init().await.unwrap();
        for number in 0..40 {
            producer.begin_transaction().unwrap();
            let value = number.to_string();
            producer.send(ProducerRecord::new("t").partition(0).value(&value)).await.unwrap();
            // An abort drops what is not sent yet.
            producer.flush().await.unwrap();
            if number == 39 {
                continue;
            }
            if number % 2 == 0 {
                producer.commit_transaction().await.unwrap();
            } else {
                producer.abort_transaction().await.unwrap();
            }
        }
        let committed = consumer(&client, |c| c.isolation_level = IsolationLevel::ReadCommitted);
        committed.assign([(partition(0), StartOffset::Earliest)]);
        let even: Vec<_> = (0..39).filter(|n| n % 2 == 0).collect();
        assert_eq!(read(&committed, 20).await[&0], even, "{version}");
        // What is open holds the position up.
        assert!(committed.poll(Duration::from_millis(200)).await.unwrap().is_empty());
        let all = consumer(&client, |_| ());
        all.assign([(partition(0), StartOffset::Earliest)]);
        assert_eq!(read(&all, 40).await[&0].len(), 40, "{version}");
        producer.abort_transaction().await.unwrap();
        // The position passes what was aborted, though no record comes.
        let deadline = Instant::now() + Duration::from_secs(5);
        while committed.position(&partition(0)) != Some(80) {
            assert!(Instant::now() < deadline, "{version}: {:?}", committed.position(&partition(0)));
            assert!(committed.poll(Duration::from_millis(50)).await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn reading_begins_where_it_is_told_to() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    fill(&client, 1, 0, 100, Compression::None).await;
    let consumer = consumer(&client, |_| ());
    for (start, first) in [
        (StartOffset::At(42, None), 42),
        (StartOffset::Earliest, 0),
        (StartOffset::Timestamp(77), 77),
        (StartOffset::Timestamp(-5), 0),
    ] {
        consumer.assign([(partition(0), start)]);
        let seen = read(&consumer, usize::try_from(100 - first).unwrap()).await;
        assert_eq!(seen[&0], (first..100).collect::<Vec<_>>(), "{start:?}");
    }
    for start in [StartOffset::Latest, StartOffset::Timestamp(1_000_000)] {
        consumer.assign([(partition(0), start)]);
        assert!(consumer.poll(Duration::from_millis(300)).await.unwrap().is_empty());
        assert_eq!(consumer.position(&partition(0)), Some(100), "{start:?}");
    }
    fill(&client, 1, 100, 5, Compression::None).await;
    assert_eq!(read(&consumer, 5).await[&0], [100, 101, 102, 103, 104]);
}

#[tokio::test]
async fn a_position_out_of_range_follows_the_policy() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    fill(&client, 1, 0, 100, Compression::None).await;
    broker.delete_records_before("t", 0, 30);
    let earliest = consumer(&client, |c| c.auto_offset_reset = AutoOffsetReset::Earliest);
    earliest.assign([(partition(0), StartOffset::At(5, None))]);
    assert_eq!(read(&earliest, 70).await[&0][0], 30);
    let none = consumer(&client, |c| c.auto_offset_reset = AutoOffsetReset::None);
    none.assign([(partition(0), StartOffset::At(5, None))]);
    let error = loop {
        match none.poll(Duration::from_secs(5)).await {
            Ok(records) => assert!(records.is_empty()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::OffsetOutOfRange { offset: 5, .. }), "{error}");
    none.seek(&partition(0), StartOffset::At(95, None)).unwrap();
    assert_eq!(read(&none, 5).await[&0], [95, 96, 97, 98, 99]);
}

#[tokio::test]
async fn pause_resume_and_seek_deliver_nothing_twice() {
    let broker = Broker::builder().topic("t", 2).start().await.unwrap();
    let client = client(&broker).await;
    fill(&client, 2, 0, 1000, Compression::None).await;
    let consumer = consumer(&client, |c| c.max_poll_records = 10);
    consumer.assign((0..2).map(|p| (partition(p), StartOffset::Earliest)));
    let mut seen: HashMap<i32, Vec<i64>> = HashMap::new();
    for round in 0..1000 {
        match round % 7 {
            2 => consumer.pause(&[partition(0)]),
            5 => consumer.resume(&[partition(0)]),
            _ => {}
        }
        for records in &consumer.poll(Duration::from_millis(20)).await.unwrap() {
            let offsets = seen.entry(records.topic_partition().partition).or_default();
            offsets.extend(records.iter().map(|r| r.unwrap().offset));
        }
        if seen.values().map(Vec::len).sum::<usize>() == 1000 {
            break;
        }
    }
    for p in 0..2 {
        assert_eq!(seen[&p], (0..500).collect::<Vec<_>>());
    }
    consumer.seek(&partition(1), StartOffset::At(498, None)).unwrap();
    assert_eq!(read(&consumer, 2).await[&1], [997, 999]);
    consumer.remove(&[partition(0), partition(7)]);
    assert_eq!(consumer.assignment(), [partition(1)]);
    assert!(consumer.seek(&partition(0), StartOffset::Earliest).is_err());
}

#[tokio::test]
async fn faults_lose_and_repeat_nothing() {
    let mut broker = Broker::builder().nodes(3).topic("t", 4).start().await.unwrap();
    let client = client(&broker).await;
    fill(&client, 4, 0, 4000, Compression::Lz4).await;
    let consumer = consumer(&client, |c| {
        c.max_poll_records = 100;
        c.max_partition_fetch_bytes = 2000;
    });
    let rules = [
        broker.on(ApiKey::Fetch).hang_up().times(3),
        broker.on(ApiKey::Fetch).hang_up_after().times(3),
        broker.on(ApiKey::Fetch).fail(ottla_testkit::ErrorCode::FetchSessionIdNotFound).times(3),
        broker.on(ApiKey::Fetch).fail(ottla_testkit::ErrorCode::InvalidFetchSessionEpoch).times(3),
        broker.on(ApiKey::Fetch).topic("t").partition(1).fail(ottla_testkit::ErrorCode::NotLeaderOrFollower).times(3),
        broker.on(ApiKey::ListOffsets).fail(ottla_testkit::ErrorCode::NotLeaderOrFollower).times(2),
    ];
    consumer.assign((0..4).map(|p| (partition(p), StartOffset::Earliest)));
    let mut seen = read(&consumer, 1000).await;
    broker.move_leader("t", 0, (broker.leader("t", 0).unwrap() + 1) % 3);
    broker.kill_node(broker.leader("t", 2).unwrap());
    let rest = read(&consumer, 4000 - seen.values().map(Vec::len).sum::<usize>()).await;
    for (partition, numbers) in rest {
        seen.entry(partition).or_default().extend(numbers);
    }
    assert_eq!(seen, expected(4, 4000));
    for (i, rule) in rules.iter().enumerate() {
        assert!(rule.hits() > 0, "fault {i} was met");
    }
}

#[tokio::test]
async fn a_topic_that_may_not_be_read_is_told_once_and_tried_again() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    fill(&client, 1, 0, 5, Compression::None).await;
    let denied = broker.on(ApiKey::Fetch).fail(ottla_testkit::ErrorCode::TopicAuthorizationFailed).times(1);
    let consumer = consumer(&client, |_| ());
    consumer.assign([(partition(0), StartOffset::At(0, None))]);
    let error = consumer.poll(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicAuthorizationFailed));
    assert!(error.to_string().contains("t-0"), "{error}");
    assert_eq!(denied.hits(), 1);
    assert_eq!(read(&consumer, 5).await[&0].len(), 5);
}

/// A large topic with little memory: reading goes on, and does not take more than it may.
#[tokio::test]
async fn a_small_budget_slows_reading_and_stops_nothing() {
    let broker = Broker::builder().topic("t", 8).start().await.unwrap();
    let client = client(&broker).await;
    fill(&client, 8, 0, 8000, Compression::None).await;
    let consumer = consumer(&client, |c| {
        c.max_partition_fetch_bytes = 1000;
        c.prefetch_memory_bytes = 2000;
    });
    consumer.assign((0..8).map(|p| (partition(p), StartOffset::Earliest)));
    assert_eq!(read(&consumer, 8000).await, expected(8, 8000));
}
