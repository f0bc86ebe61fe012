//! The source on the embedded broker.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use ottla_client::{
    Admin, Client, ClientConfig, ConsumerConfig, IsolationLevel, NewTopic, OffsetAndMetadata, Producer, ProducerConfig,
    ProducerRecord, TopicPartition, TransactionalProducer,
};
use ottla_connector::{
    BadRecords, CheckpointId, DeserializationSchema, Discovery, Enumerator, Error, Event, Job, KafkaEnumerator,
    KafkaEnumeratorState, KafkaReader, KafkaRecord, KafkaSource, KafkaSourceBuilder, OnOutOfRange, PartitionSplit,
    Reader, RestoredSource, Result, Source, StartOffsets, StopOffsets, Timestamp, WatermarkStrategy, collecting,
};
use ottla_testkit::{ApiKey, Broker, ErrorCode};

const LIMIT: Duration = Duration::from_secs(20);

/// Where a value was read, and what it was.
type Seen = (String, i32, i64, String);

async fn client(broker: &Broker) -> Client {
    Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap()
}

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// Writes `values` to a partition; the time of each is its place.
async fn write(client: &Client, topic: &str, partition: i32, values: impl IntoIterator<Item = impl ToString>) {
    let producer = Producer::new(client, ProducerConfig::default()).unwrap();
    for (time, value) in (0..).zip(values) {
        let value = value.to_string();
        let record = ProducerRecord::new(topic).partition(partition).value(&value).timestamp(time);
        producer.send(record).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert!(producer.take_failure().is_none());
}

/// "END" ends a partition; "bad" is a bad record.
fn schema() -> impl DeserializationSchema<Output = Seen> {
    collecting(|record: &KafkaRecord<'_>, out| {
        let value = std::str::from_utf8(record.value().unwrap_or_default()).unwrap_or_default();
        match value {
            "END" => out.end_of_partition(),
            "bad" => return Err(Error::function("it is bad")),
            value => out.collect((record.topic().to_owned(), record.partition(), record.offset(), value.to_owned())),
        }
        Ok(())
    })
}

fn builder(broker: &Broker) -> KafkaSourceBuilder<Seen> {
    let mut consumer = ConsumerConfig::default();
    consumer.fetch_max_wait = Duration::from_millis(50);
    KafkaSourceBuilder::new(ClientConfig::new(&broker.bootstrap()))
        .topics(["t"])
        .start(StartOffsets::Earliest)
        .auto_watermark_interval(Duration::from_millis(20))
        .consumer(consumer)
}

fn job(subtask: u32, parallelism: u32) -> Job {
    Job { name: "test".into(), subtask, parallelism, attempt: 0, checkpointing: true, restored: None }
}

/// A job that does nothing but read.
struct Run<D: DeserializationSchema> {
    enumerator: KafkaEnumerator,
    readers: Vec<KafkaReader<D>>,
    seen: Vec<Seen>,
    watermarks: Vec<Timestamp>,
    finished: usize,
    exhausted: bool,
}

type State = (KafkaEnumeratorState, Vec<PartitionSplit>);

impl<D: DeserializationSchema<Output = Seen>> Run<D> {
    async fn open(source: &KafkaSource<D>, parallelism: u32, state: Option<State>) -> Self {
        let restored = state.map(|(enumerator, splits)| RestoredSource { enumerator, splits });
        let enumerator = source.enumerator(&job(0, parallelism), restored).await.unwrap();
        let mut readers = Vec::new();
        for subtask in 0..parallelism {
            readers.push(source.reader(&job(subtask, parallelism)).await.unwrap());
        }
        Self { enumerator, readers, seen: Vec::new(), watermarks: Vec::new(), finished: 0, exhausted: false }
    }

    fn deal(&mut self, discovery: Discovery<PartitionSplit>) {
        for (subtask, split) in discovery.assigned {
            self.readers[subtask as usize].add_splits(vec![split]);
        }
        for (subtask, id) in discovery.retired {
            self.readers[subtask as usize].remove_splits(&[id]);
        }
        if discovery.exhausted {
            self.exhausted = true;
            self.readers.iter_mut().for_each(Reader::no_more_splits);
        }
    }

    /// Reads until `enough`, dropping the futures of readers and enumerator all the time.
    async fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while !enough(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}, watermarks {:?}", self.counts(), self.watermarks);
            if !self.exhausted
                && let Ok(found) = tokio::time::timeout(Duration::from_millis(2), self.enumerator.discover()).await
            {
                self.deal(found?);
            }
            for index in 0..self.readers.len() {
                let next = self.readers[index].next();
                let Ok(event) = tokio::time::timeout(Duration::from_millis(5), next).await else { continue };
                match event? {
                    Event::Records(records) => self.seen.extend(records.into_iter().map(|r| r.value)),
                    Event::Watermark(watermark) => self.watermarks.push(watermark),
                    Event::Finished => self.finished += 1,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    async fn records(&mut self, count: usize) {
        self.until("records", |run| run.seen.len() >= count).await.unwrap();
        assert_eq!(self.seen.len(), count, "{:?}", self.counts());
    }

    async fn finish(&mut self) {
        let all = self.readers.len();
        self.until("the end", |run| run.finished == all).await.unwrap();
    }

    fn snapshot(&mut self, id: u64) -> State {
        let id = CheckpointId(id);
        let enumerator = self.enumerator.snapshot(id);
        (enumerator, self.readers.iter_mut().flat_map(|reader| reader.snapshot(id)).collect())
    }

    async fn close(mut self) {
        for reader in &mut self.readers {
            reader.close().await.unwrap();
        }
    }

    fn counts(&self) -> BTreeMap<(String, i32), usize> {
        let mut counts = BTreeMap::new();
        self.seen
            .iter()
            .for_each(|(topic, partition, ..)| *counts.entry((topic.clone(), *partition)).or_default() += 1);
        counts
    }

    /// The offsets of a partition, in the order in which they were read.
    fn offsets(&self, partition: i32) -> Vec<i64> {
        self.seen.iter().filter(|(_, p, ..)| *p == partition).map(|(_, _, offset, _)| *offset).collect()
    }
}

#[tokio::test]
async fn r16_all_partitions_are_read_from_their_start_in_order() {
    let broker = Broker::builder().nodes(2).topic("t", 5).start().await.unwrap();
    let client = client(&broker).await;
    for partition in 0..5 {
        write(&client, "t", partition, 0..700).await;
    }
    let source = builder(&broker).build(schema()).unwrap();
    let mut run = Run::open(&source, 2, None).await;
    run.records(3500).await;
    for partition in 0..5 {
        assert_eq!(run.offsets(partition), (0..700).collect::<Vec<_>>());
    }
    let (_, splits) = run.snapshot(1);
    assert!(splits.iter().all(|split| split.next_offset() == 700));
    run.close().await;
}

#[tokio::test]
async fn r28_a_read_up_to_the_end_finishes_and_reads_nothing_written_later() {
    let broker = Broker::builder().topic("t", 3).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, "t", 0, 0..10).await;
    write(&client, "t", 2, 0..5).await;
    let source = builder(&broker).bounded(StopOffsets::LatestAtStart).build(schema()).unwrap();
    // More subtasks than partitions: those without any finish too.
    let mut run = Run::open(&source, 4, None).await;
    let found = run.enumerator.discover().await.unwrap();
    assert!(found.exhausted);
    write(&client, "t", 0, 100..110).await;
    run.deal(found);
    run.finish().await;
    assert_eq!((run.offsets(0), run.offsets(2)), ((0..10).collect(), (0..5).collect()));
    assert_eq!(run.seen.len(), 15);
    assert_eq!(run.watermarks, [Timestamp::MAX; 4], "each says once that it is over");
    let (_, splits) = run.snapshot(1);
    assert!(splits.len() == 3 && splits.iter().all(PartitionSplit::is_finished));
    run.close().await;
}

#[tokio::test]
async fn r28_a_job_that_had_no_end_can_be_restored_with_one_and_back() {
    let broker = Broker::builder().topic("t", 3).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, "t", 0, 0..10).await;
    write(&client, "t", 2, 0..5).await;
    let endless = builder(&broker).build(schema()).unwrap();
    let mut run = Run::open(&endless, 2, None).await;
    run.records(15).await;
    let state = run.snapshot(1);
    run.close().await;

    write(&client, "t", 0, 10..20).await;
    let bounded = builder(&broker).bounded(StopOffsets::LatestAtStart).build(schema()).unwrap();
    let mut run = Run::open(&bounded, 3, Some(state)).await;
    run.finish().await;
    assert_eq!((run.seen.len(), run.offsets(0)), (10, (10..20).collect()));
    let state = run.snapshot(2);
    run.close().await;

    write(&client, "t", 1, 0..5).await;
    let mut run = Run::open(&endless, 2, Some(state)).await;
    run.records(5).await;
    assert_eq!(run.offsets(1), [0, 1, 2, 3, 4]);
    run.close().await;
}

#[tokio::test]
async fn r28_a55_markers_and_aborted_records_at_the_end_hang_nothing() {
    for isolation in [IsolationLevel::ReadCommitted, IsolationLevel::ReadUncommitted] {
        let broker = Broker::builder().topic("t", 2).start().await.unwrap();
        let client = client(&broker).await;
        let mut config = ProducerConfig::default();
        config.transactional_id = Some("app".into());
        let producer = TransactionalProducer::new(&client, config).unwrap();
        producer.init().await.unwrap();
        for commit in [true, false] {
            producer.begin_transaction().unwrap();
            for partition in 0..2 {
                drop(producer.send(ProducerRecord::new("t").partition(partition).value("x")).await.unwrap());
            }
            producer.flush().await.unwrap();
            if commit {
                producer.commit_transaction().await.unwrap();
            } else {
                producer.abort_transaction().await.unwrap();
            }
        }
        let deadline = Instant::now() + LIMIT;
        while (0..2).any(|partition| broker.offsets("t", partition) != Some((0, 4))) {
            assert!(Instant::now() < deadline, "markers are written beside the answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut consumer = ConsumerConfig::default();
        consumer.isolation_level = isolation;
        let bounded = builder(&broker).consumer(consumer).bounded(StopOffsets::LatestAtStart);
        let mut run = Run::open(&bounded.build(schema()).unwrap(), 1, None).await;
        run.finish().await;
        let each = if isolation == IsolationLevel::ReadCommitted { 1 } else { 2 };
        assert_eq!(run.seen.len(), 2 * each, "{isolation:?}");
        assert!(run.snapshot(1).1.iter().all(|split| split.next_offset() == 4));
        run.close().await;
    }
}

#[tokio::test]
async fn r26_r27_a_restored_job_reads_on_with_any_parallelism() {
    let broker = Broker::builder().topic("t", 4).start().await.unwrap();
    let client = client(&broker).await;
    for partition in 0..4 {
        write(&client, "t", partition, 0..50).await;
    }
    let source = builder(&broker).build(schema()).unwrap();
    let mut run = Run::open(&source, 3, None).await;
    run.until("some", |run| run.seen.len() >= 50).await.unwrap();
    let state = run.snapshot(1);
    let mut before = std::mem::take(&mut run.seen);
    run.close().await;
    let mut run = Run::open(&source, 2, Some(state)).await;
    run.records(200 - before.len()).await;
    before.append(&mut run.seen);
    before.sort_unstable();
    before.dedup();
    assert_eq!(before.len(), 200, "each record once");
    run.close().await;
}

#[tokio::test]
async fn r35_a_topic_that_appears_is_read_from_its_start_even_with_latest() {
    let broker = Broker::builder().topic("t", 2).auto_create_topics(false).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, "t", 0, 0..5).await;
    let source = builder(&broker)
        .topics(["later"])
        .start(StartOffsets::Latest)
        .discovery_interval(Duration::from_millis(50))
        .build(schema())
        .unwrap();
    let mut run = Run::open(&source, 2, None).await;
    let found = run.enumerator.discover().await.unwrap();
    assert_eq!(found.assigned.len(), 2);
    run.deal(found);
    Admin::new(&client).create_topics([NewTopic::new("later", 3, 1)]).await.unwrap();
    for partition in 0..3 {
        write(&client, "later", partition, 0..4).await;
    }
    write(&client, "t", 1, 0..6).await;
    run.records(18).await;
    let later = |partition| (("later".to_owned(), partition), 4);
    assert_eq!(run.counts(), BTreeMap::from([later(0), later(1), later(2), (("t".to_owned(), 1), 6)]));
    assert_eq!(run.snapshot(1).1.len(), 5);
    run.close().await;
}

#[tokio::test]
async fn r37_n7_a_topic_that_is_deleted_and_created_again_is_read_from_its_start() {
    let broker = Broker::builder().topic("t", 1).auto_create_topics(false).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, "t", 0, 0..8).await;
    let every = Duration::from_millis(30);
    let source = builder(&broker).discovery_interval(every).build(schema()).unwrap();
    let mut run = Run::open(&source, 1, None).await;
    run.records(8).await;
    assert!(broker.delete_topic("t"));
    run.until("removal", |run| run.enumerator.removed_partitions() == 1).await.unwrap();
    let created = Admin::new(&client).create_topics([NewTopic::new("t", 1, 1)]).await.unwrap();
    created["t"].as_ref().unwrap();
    write(&client, "t", 0, 0..3).await;
    run.records(11).await;
    assert_eq!(run.offsets(0)[8..], [0, 1, 2]);
    run.close().await;
}

#[tokio::test]
async fn r15_r19_r43_committed_offsets() {
    let broker = Broker::builder().topic("t", 3).start().await.unwrap();
    let client = client(&broker).await;
    for partition in 0..3 {
        write(&client, "t", partition, 0..50).await;
    }
    let committed = |offset| OffsetAndMetadata::new(offset);
    let offsets = HashMap::from([(tp("t", 0), committed(23)), (tp("t", 2), committed(43))]);
    Admin::new(&client).commit_offsets("g", &offsets).await.unwrap();
    let grouped = || builder(&broker).group_id("g").on_out_of_range(OnOutOfRange::Earliest);
    let source = grouped().start(StartOffsets::CommittedOffsets).build(schema()).unwrap();
    let mut run = Run::open(&source, 1, None).await;
    run.records(27 + 50 + 7).await;
    let counts: Vec<_> = run.counts().into_values().collect();
    assert_eq!(counts, [27, 50, 7]);
    run.snapshot(1);
    run.readers[0].checkpoint_completed(CheckpointId(1)).await;
    run.until("the commit", |run| run.readers[0].commits() == (1, 0)).await.unwrap();
    assert_eq!(run.readers[0].committed_offset(&tp("t", 1)), Some(50));
    run.close().await;
    assert!(broker.committed("g").values().all(|offset| *offset == 50));

    let map = grouped().start_at([(tp("t", 0), 19), (tp("t", 9), 4)]).build(schema()).unwrap();
    let mut run = Run::open(&map, 1, None).await;
    run.records(31).await;
    run.close().await;
}

#[tokio::test]
async fn r15_no_committed_offset_and_no_policy_fails() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let source = builder(&broker)
        .group_id("g")
        .start(StartOffsets::CommittedOffsets)
        .on_out_of_range(OnOutOfRange::Fail)
        .build(schema())
        .unwrap();
    let mut run = Run::open(&source, 1, None).await;
    let error = run.enumerator.discover().await.unwrap_err().to_string();
    assert_eq!(error, "no committed offset and no reset policy for t-0");
}

#[tokio::test]
async fn r20_n27_a_position_outside_of_the_log() {
    for (policy, read) in [(OnOutOfRange::Earliest, 10), (OnOutOfRange::Latest, 0), (OnOutOfRange::Fail, 0)] {
        let broker = Broker::builder().topic("t", 1).start().await.unwrap();
        let client = client(&broker).await;
        write(&client, "t", 0, 0..20).await;
        broker.delete_records_before("t", 0, 10);
        let source =
            builder(&broker).group_id("g").start_at([(tp("t", 0), 4)]).on_out_of_range(policy).build(schema()).unwrap();
        let mut run = Run::open(&source, 1, None).await;
        if policy == OnOutOfRange::Fail {
            let error = run.until("a failure", |_| false).await.unwrap_err().to_string();
            assert!(error.contains("position 4 of t-0") && error.contains("from 10 to 20"), "{error}");
            continue;
        }
        run.until("the reset", |run| run.readers[0].records_lost() > 0).await.unwrap();
        run.records(read).await;
        assert_eq!(run.readers[0].records_lost(), if read == 10 { 6 } else { 16 });
        run.close().await;
    }
}

#[tokio::test]
async fn r10_n15_the_end_of_one_partition_leaves_the_others() {
    let broker = Broker::builder().topic("t", 2).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, "t", 0, ["a", "END", "b"]).await;
    write(&client, "t", 1, 0..20).await;
    let source = builder(&broker).build(schema()).unwrap();
    let mut run = Run::open(&source, 1, None).await;
    run.records(21).await;
    let state = run.snapshot(1);
    assert_eq!(state.1.iter().map(PartitionSplit::next_offset).collect::<Vec<_>>(), [2, 20]);
    run.close().await;
    write(&client, "t", 0, ["c"]).await;
    write(&client, "t", 1, ["d", "END"]).await;
    let mut run = Run::open(&source, 1, Some(state)).await;
    run.finish().await;
    assert_eq!(run.seen, [("t".to_owned(), 1, 20, "d".to_owned())]);
    run.close().await;
}

#[tokio::test]
async fn n28_bad_records() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    write(&client(&broker).await, "t", 0, ["a", "bad", "b"]).await;
    let mut run = Run::open(&builder(&broker).build(schema()).unwrap(), 1, None).await;
    let error = run.until("a failure", |_| false).await.unwrap_err().to_string();
    assert!(error.contains("offset 1 of t-0") && error.contains("it is bad"), "{error}");
    assert_eq!((run.seen.len(), run.snapshot(1).1[0].next_offset()), (1, 1), "a restart meets it again");
    run.close().await;
    let skip = builder(&broker).bad_records(BadRecords::Skip).build(schema()).unwrap();
    let mut run = Run::open(&skip, 1, None).await;
    run.records(2).await;
    assert_eq!(run.readers[0].records_skipped(), 1);
    run.close().await;
}

#[tokio::test]
async fn r39_a_topic_that_never_comes_fails_and_one_that_comes_is_read() {
    let broker = Broker::builder().topic("other", 1).auto_create_topics(false).start().await.unwrap();
    let client = client(&broker).await;
    let source = builder(&broker).topic_wait(Duration::from_millis(300)).build(schema()).unwrap();
    let mut run = Run::open(&source, 1, None).await;
    let error = run.enumerator.discover().await.unwrap_err().to_string();
    assert_eq!(error, "could not fetch partitions of t; does it exist?");
    let source = builder(&broker).build(schema()).unwrap();
    let mut run = Run::open(&source, 1, None).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), run.enumerator.discover()).await.is_err());
    Admin::new(&client).create_topics([NewTopic::new("t", 1, 1)]).await.unwrap();
    write(&client, "t", 0, 0..3).await;
    run.records(3).await;
    run.close().await;
}

#[tokio::test]
async fn r3_r36_a_pattern_subscribes_to_whole_names() {
    let broker =
        Broker::builder().topic("test-topic-3", 2).topic("test-topic-10", 1).topic("x", 1).start().await.unwrap();
    let pattern = KafkaSourceBuilder::<Seen>::new(ClientConfig::new(&broker.bootstrap()))
        .topic_pattern("test-topic-[0-9]")
        .start(StartOffsets::Earliest);
    let mut run = Run::open(&pattern.build(schema()).unwrap(), 1, None).await;
    let found = run.enumerator.discover().await.unwrap();
    let names: Vec<_> = found.assigned.iter().map(|(_, split)| split.id().to_string()).collect();
    assert_eq!(names, ["test-topic-3-0", "test-topic-3-1"]);
}

#[tokio::test]
async fn w10_w11_watermarks_and_idleness() {
    let broker = Broker::builder().topic("t", 3).start().await.unwrap();
    let client = client(&broker).await;
    write(&client, "t", 0, 0..10).await;
    write(&client, "t", 1, 0..6).await;
    let with = |strategy| builder(&broker).watermarks(strategy).build(schema()).unwrap();
    let mut stalled = Run::open(&with(WatermarkStrategy::monotonous()), 1, None).await;
    stalled.records(16).await;
    let silent = tp("t", 2);
    stalled.until("the holder", |run| run.readers[0].watermark_holding_partition() == Some(&silent)).await.unwrap();
    assert!(stalled.watermarks.is_empty(), "the silent partition stalls all");
    stalled.close().await;
    let idle = WatermarkStrategy::monotonous().idleness(Duration::from_millis(200));
    let mut run = Run::open(&with(idle), 1, None).await;
    run.until("the watermark of the furthest", |run| run.watermarks.last() == Some(&8)).await.unwrap();
    assert!(run.watermarks.is_sorted());
    run.close().await;
}

#[tokio::test]
async fn n26_a_failing_discovery_fails_the_job_in_the_end() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let every = Duration::from_millis(20);
    let source = builder(&broker).discovery_interval(every).discovery_failure_threshold(3).build(schema()).unwrap();
    let mut run = Run::open(&source, 1, None).await;
    run.until("the first discovery", |run| run.readers[0].pending_records().is_some()).await.unwrap();
    broker.on(ApiKey::Metadata).fail(ErrorCode::TopicAuthorizationFailed).always();
    let error = run.until("a failure", |_| false).await.unwrap_err().to_string();
    assert!(error.contains("listing the partitions"), "{error}");
}
