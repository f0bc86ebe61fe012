//! Reading goes on, and loses and repeats nothing, when brokers, topics and data change.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_client::{
    AutoOffsetReset, Client, ClientConfig, Compression, Consumer, ConsumerConfig, ConsumerRecords, Error, Producer,
    ProducerConfig, ProducerRecord, StartOffset, TopicPartition,
};
use ottla_protocol::Request;
use ottla_protocol::messages::ProduceRequest;
use ottla_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use ottla_protocol::record::BatchBuilder;
use ottla_testkit::{ApiKey, Broker, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const POLL: Duration = Duration::from_secs(5);

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

async fn client(broker: &Broker) -> Client {
    Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap()
}

fn consumer(client: &Client, change: impl FnOnce(&mut ConsumerConfig)) -> Consumer {
    let mut config = ConsumerConfig::default();
    config.auto_offset_reset = AutoOffsetReset::Earliest;
    change(&mut config);
    Consumer::new(client, config).unwrap()
}

/// Writes the values `from..to` to a partition, with the value as timestamp.
async fn write(client: &Client, partition: i32, range: std::ops::Range<i64>, compression: Compression) {
    let mut config = ProducerConfig::default();
    config.compression_type = compression;
    let producer = Producer::new(client, config).unwrap();
    for i in range {
        let value = i.to_string();
        let record = ProducerRecord::new("t").partition(partition).value(&value).timestamp(i);
        drop(producer.send(record).await.unwrap());
    }
    producer.flush().await.unwrap();
    producer.close(POLL).await.unwrap();
}

type Read = BTreeMap<i32, Vec<(i64, String)>>;

/// Polls once and adds what came. How many records came.
async fn poll_into(consumer: &Consumer, read: &mut Read) -> usize {
    let records = consumer.poll(POLL).await.unwrap();
    add(&records, read);
    for partition in &records {
        assert_eq!(consumer.position(partition.topic_partition()), Some(partition.next_offset()));
    }
    records.count()
}

fn add(records: &ConsumerRecords, read: &mut Read) {
    for partition in records {
        let seen = read.entry(partition.topic_partition().partition).or_default();
        for record in partition {
            let record = record.unwrap();
            seen.push((record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
    }
}

/// Polls until `count` records came.
async fn read(consumer: &Consumer, count: usize) -> Read {
    let mut read = Read::new();
    let mut seen = 0;
    let deadline = Instant::now() + Duration::from_secs(20);
    while seen < count {
        assert!(Instant::now() < deadline, "only {seen} of {count} records came");
        seen += poll_into(consumer, &mut read).await;
    }
    assert_eq!(seen, count);
    read
}

fn expected(range: std::ops::Range<i64>) -> Vec<(i64, String)> {
    range.map(|i| (i, i.to_string())).collect()
}

#[tokio::test]
async fn leaders_move_and_connections_are_cut_and_nothing_is_lost_or_doubled() {
    for version in ["0.11", "2.8", "4.1"] {
        let broker = Broker::builder().nodes(3).topic("t", 3).as_version(version).start().await.unwrap();
        let client = client(&broker).await;
        let consumer = consumer(&client, |c| c.max_poll_records = 50);
        consumer.assign((0..3).map(|p| (tp(p), StartOffset::Earliest)));
        let mut all = Read::new();
        for round in 0..8 {
            for partition in 0..3 {
                write(&client, partition, round * 100..(round + 1) * 100, Compression::None).await;
            }
            match round % 4 {
                0 => drop(broker.on(ApiKey::Fetch).hang_up()),
                1 => drop(broker.on(ApiKey::Fetch).hang_up_after()),
                2 => drop(broker.on(ApiKey::Fetch).fail(ErrorCode::FetchSessionIdNotFound)),
                _ => {}
            }
            let partition = round as i32 % 3;
            let leader = broker.leader("t", partition).unwrap();
            let next = (1..=3).chain(0..1).find(|node| *node != leader && broker.move_leader("t", partition, *node));
            assert!(next.is_some());
            let mut seen = 0;
            while seen < 300 {
                seen += poll_into(&consumer, &mut all).await;
            }
        }
        for partition in 0..3 {
            assert_eq!(all[&partition], expected(0..800), "{version}");
        }
    }
}

#[tokio::test]
async fn a_node_dies_and_its_partitions_are_read_from_others() {
    let mut broker = Broker::builder().nodes(3).topic("t", 3).start().await.unwrap();
    let client = client(&broker).await;
    let consumer = consumer(&client, |_| ());
    consumer.assign((0..3).map(|p| (tp(p), StartOffset::Earliest)));
    for partition in 0..3 {
        write(&client, partition, 0..10, Compression::None).await;
    }
    read(&consumer, 30).await;
    broker.kill_node(broker.leader("t", 1).unwrap());
    for partition in 0..3 {
        write(&client, partition, 10..20, Compression::None).await;
    }
    let seen = read(&consumer, 30).await;
    assert!(seen.values().all(|records| *records == expected(10..20)));
}

#[tokio::test]
async fn a_topic_that_may_not_be_read_is_told_once_and_read_when_it_may_be() {
    let broker = Broker::builder().topic("t", 2).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, 0, 0..10, Compression::None).await;
    let rule = broker.on(ApiKey::Fetch).topic("t").partition(1).fail(ErrorCode::TopicAuthorizationFailed).always();
    let consumer = consumer(&client, |_| ());
    consumer.assign((0..2).map(|p| (tp(p), StartOffset::Earliest)));
    let (mut errors, mut seen) = (Vec::new(), 0);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        match consumer.poll(Duration::from_millis(100)).await {
            Ok(records) => seen += records.count(),
            Err(error) => errors.push(error.to_string()),
        }
    }
    assert_eq!((seen, errors.len()), (10, 1), "{errors:?}");
    assert!(errors[0].contains("t-1") && errors[0].contains("TOPIC_AUTHORIZATION_FAILED"), "{errors:?}");
    assert!(rule.hits() > 1, "it is tried again");
    rule.remove();
    write(&client, 1, 0..5, Compression::None).await;
    assert_eq!(read(&consumer, 5).await[&1], expected(0..5));
}

#[tokio::test]
async fn a_topic_that_does_not_exist_yet_is_waited_for() {
    let broker = Broker::builder().auto_create_topics(false).start().await.unwrap();
    let client = client(&broker).await;
    let consumer = consumer(&client, |c| c.allow_auto_create_topics = false);
    consumer.assign([(tp(0), StartOffset::Earliest)]);
    assert!(consumer.poll(Duration::from_millis(300)).await.unwrap().is_empty());
    let admin = ottla_client::Admin::new(&client);
    admin.create_topics([ottla_client::NewTopic::new("t", 1, 1)]).await.unwrap();
    write(&client, 0, 0..5, Compression::None).await;
    assert_eq!(read(&consumer, 5).await[&0], expected(0..5));
}

#[tokio::test]
async fn a_truncated_log_is_read_on_from_where_it_parts() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, 0, 0..5, Compression::None).await;
    write(&client, 0, 5..10, Compression::None).await;
    let reset = consumer(&client, |_| ());
    let strict = consumer(&client, |c| c.auto_offset_reset = AutoOffsetReset::None);
    for consumer in [&reset, &strict] {
        consumer.assign([(tp(0), StartOffset::At(0, None))]);
        assert_eq!(read(consumer, 10).await[&0], expected(0..10));
    }
    broker.truncate("t", 0, 5);
    write(&client, 0, 5..12, Compression::None).await;
    assert_eq!(read(&reset, 7).await[&0], expected(5..12));
    let error = strict.poll(POLL).await.unwrap_err();
    assert!(matches!(&error, Error::OffsetOutOfRange { offset: 10, .. }), "{error}");
    assert!(error.to_string().contains(&format!("({})", broker.bootstrap())), "{error}");
}

/// A batch that cannot be read is told, is never passed over, and holds up nobody else.
#[tokio::test]
async fn a_corrupt_batch_is_told_until_it_is_sought_past() {
    let broker = Broker::builder().topic("t", 2).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, 0, 0..3, Compression::None).await;
    append_unreadable(&broker, 0).await;
    write(&client, 0, 4..6, Compression::None).await;
    write(&client, 1, 0..1000, Compression::None).await;
    let consumer = consumer(&client, |c| c.max_poll_records = 100);
    consumer.assign((0..2).map(|p| (tp(p), StartOffset::Earliest)));
    let (mut all, mut errors) = (Read::new(), 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while errors < 2 || all.get(&1).map_or(0, Vec::len) < 1000 {
        assert!(Instant::now() < deadline, "{errors} errors");
        match consumer.poll(POLL).await {
            Ok(records) => add(&records, &mut all),
            Err(error) => {
                assert!(matches!(&error, Error::CorruptRecords { offset: 3, .. }), "{error}");
                let text = error.to_string();
                assert!(
                    text.contains("offset 3 of t-0, which broker ") && text.contains(&broker.bootstrap()),
                    "{text}"
                );
                assert_eq!(consumer.position(&tp(0)), Some(3));
                errors += 1;
            }
        }
    }
    assert_eq!(all[&0], expected(0..3));
    consumer.seek(&tp(0), StartOffset::At(4, None)).unwrap();
    assert_eq!(read(&consumer, 2).await[&0], expected(4..6));
}

/// Appends a batch whose checksum is right and whose compressed records are not.
async fn append_unreadable(broker: &Broker, partition: i32) {
    let mut builder = BatchBuilder::with_capacity(1000);
    builder.append(0, None, Some(&[7; 200]), &[]);
    let batch = builder.finish(Compression::Gzip, None).unwrap();
    let mut bytes = batch.records().into_bytes().to_vec();
    bytes[61..].fill(0xff);
    let crc = !bytes[21..].iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0x82f6_3b78 } else { c >> 1 })
    });
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let data = PartitionProduceData { index: partition, records: Some(Bytes::from(bytes).into()) };
    let topic = TopicProduceData { name: "t".into(), partition_data: vec![data], ..Default::default() };
    let request = ProduceRequest { acks: 1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
    let leader = broker.address(broker.leader("t", partition).unwrap()).unwrap();
    let mut stream = TcpStream::connect(leader).await.unwrap();
    stream.write_all(&request.encode_frame(7, 1, None).unwrap().to_bytes()).await.unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).await.unwrap();
    let answer = ProduceRequest::decode_response(7, Bytes::from(answer).slice(4..)).unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

/// What waits of paused partitions may fill the memory, and the others are read nevertheless.
#[tokio::test]
async fn paused_partitions_starve_no_others() {
    let broker = Broker::builder().topic("t", 4).start().await.unwrap();
    let client = client(&broker).await;
    for partition in 0..4 {
        write(&client, partition, 0..2000, Compression::None).await;
    }
    let consumer = consumer(&client, |c| {
        c.max_partition_fetch_bytes = 5_000;
        c.prefetch_memory_bytes = 10_000;
        c.max_poll_records = 10;
    });
    consumer.assign((0..3).map(|p| (tp(p), StartOffset::Earliest)));
    let mut all = read(&consumer, 10).await;
    consumer.pause(&[tp(0), tp(1), tp(2)]);
    consumer.add([(tp(3), StartOffset::Earliest)]);
    assert_eq!(read(&consumer, 2000).await, BTreeMap::from([(3, expected(0..2000))]));
    consumer.resume(&[tp(0), tp(1), tp(2)]);
    for (partition, records) in read(&consumer, 5990).await {
        all.entry(partition).or_default().extend(records);
    }
    assert!((0..3).all(|p| all[&p] == expected(0..2000)));
}

/// A fetch that waits for data at the broker delays no other consumer of the same client.
#[tokio::test]
async fn consumers_of_one_client_do_not_wait_for_each_other() {
    let broker = Broker::builder().topic("t", 2).start().await.unwrap();
    let client = client(&broker).await;
    let patient = consumer(&client, |c| c.fetch_max_wait = Duration::from_secs(20));
    patient.assign([(tp(1), StartOffset::At(0, None))]);
    let asked = broker.on(ApiKey::Fetch).delay(Duration::ZERO).always();
    assert!(patient.poll(Duration::from_millis(100)).await.unwrap().is_empty());
    assert!(asked.hits() > 0, "it waits at the broker");
    write(&client, 0, 0..10, Compression::None).await;
    let other = consumer(&client, |_| ());
    other.assign([(tp(0), StartOffset::Earliest)]);
    let started = Instant::now();
    read(&other, 10).await;
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// A broker that does not answer any more is not waited for when another one leads.
#[tokio::test]
async fn a_silent_broker_is_left_when_its_partitions_move() {
    let broker = Broker::builder().nodes(2).topic("t", 1).start().await.unwrap();
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.metadata_max_age = Duration::from_millis(200);
    config.request_timeout = Duration::from_secs(15);
    let client = Client::connect(config).await.unwrap();
    write(&client, 0, 0..10, Compression::None).await;
    let consumer = consumer(&client, |_| ());
    consumer.assign([(tp(0), StartOffset::Earliest)]);
    read(&consumer, 10).await;
    let old = broker.leader("t", 0).unwrap();
    let silent = broker.on(ApiKey::Fetch).node(old).drop_response().always();
    let deadline = Instant::now() + POLL;
    while silent.hits() == 0 {
        assert!(Instant::now() < deadline);
        assert!(consumer.poll(Duration::from_millis(20)).await.unwrap().is_empty());
    }
    assert!(broker.move_leader("t", 0, 1 - old));
    write(&client, 0, 10..20, Compression::None).await;
    let started = Instant::now();
    assert_eq!(read(&consumer, 10).await[&0], expected(10..20));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn recreated_topic_gets_no_old_offsets() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.metadata_max_age = Duration::from_millis(100);
    let client = Client::connect(config).await.unwrap();
    write(&client, 0, 0..10, Compression::None).await;
    let consumer = consumer(&client, |_| ());
    consumer.assign([(tp(0), StartOffset::Earliest)]);
    read(&consumer, 10).await;
    let id = || client.cluster().topic("t").and_then(|topic| topic.id);
    let old = id();
    assert!(broker.delete_topic("t"));
    let admin = ottla_client::Admin::new(&client);
    admin.create_topics([ottla_client::NewTopic::new("t", 1, 1)]).await.unwrap();
    // What is written before would be for the deleted topic, and fail.
    let deadline = Instant::now() + Duration::from_secs(20);
    while id().is_none() || id() == old {
        assert!(Instant::now() < deadline, "metadata tells of the new topic");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    write(&client, 0, 0..30, Compression::None).await;
    assert_eq!(read(&consumer, 30).await[&0], expected(0..30));
}

#[tokio::test]
async fn a_deleted_topic_is_told_once_fetched_no_more_and_read_when_it_is_there_again() {
    let broker = Broker::builder().topic("t", 2).topic("other", 1).auto_create_topics(false).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, 0, 0..10, Compression::None).await;
    let consumer = consumer(&client, |c| c.fetch_max_wait = Duration::from_millis(50));
    consumer.assign((0..2).map(|p| (tp(p), StartOffset::Earliest)));
    read(&consumer, 10).await;
    assert!(broker.delete_topic("t"));
    let error = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Err(error) = consumer.poll(POLL).await {
                break error.to_string();
            }
        }
    });
    let error = error.await.unwrap();
    for part in ["topic t", "has been gone for", "UNKNOWN_TOPIC_OR_PARTITION", "create it"] {
        assert!(error.contains(part), "{part} in: {error}");
    }
    // What was under way may still arrive.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let fetches = broker.received(ApiKey::Fetch);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let records = consumer.poll(Duration::from_millis(100)).await.unwrap();
        assert!(records.is_empty(), "it is told once");
    }
    assert_eq!(broker.received(ApiKey::Fetch), fetches, "nothing is fetched");
    let admin = ottla_client::Admin::new(&client);
    admin.create_topics([ottla_client::NewTopic::new("t", 2, 1)]).await.unwrap();
    write(&client, 1, 0..5, Compression::None).await;
    assert_eq!(read(&consumer, 5).await[&1], expected(0..5));
}

/// The thread that polls is the one that fetches.
#[tokio::test(flavor = "current_thread")]
async fn a_poll_that_is_dropped_loses_nothing() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, 0, 0..3000, Compression::Lz4).await;
    let consumer = consumer(&client, |c| c.max_poll_records = 10);
    consumer.assign([(tp(0), StartOffset::Earliest)]);
    let (mut all, mut dropped) = (Read::new(), 0);
    while all.get(&0).map_or(0, Vec::len) < 3000 {
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => dropped += 1,
            records = consumer.poll(POLL) => add(&records.unwrap(), &mut all),
        }
        tokio::select! {
            biased;
            records = consumer.poll(POLL) => add(&records.unwrap(), &mut all),
            () = tokio::task::yield_now() => dropped += 1,
        }
    }
    assert!(dropped > 100, "{dropped}");
    assert_eq!(all[&0], expected(0..3000));
    consumer.close().await;
}
