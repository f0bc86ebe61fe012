//! Three real brokers that are killed, paused and restarted under load, and a checker that reads what everyone saw.
//!
//! The seed is printed; `OTTLA_SEED=n` runs the same schedule again. A history that is not good stays in a file, which
//! `ottla-check` reads.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_client::{
    Admin, Certainty, Client, ClientConfig, Consumer, ConsumerConfig, ConsumerRecords, Error, IsolationLevel, NewTopic,
    OffsetSpec, Producer, ProducerConfig, ProducerRecord, RecordMetadata, StartOffset, TopicPartition,
    TransactionalProducer,
};
use ottla_testkit::checker::{Entry, Event, Outcome, PolledRecord, check};
use ottla_testkit::kafka::{Kafka, Node};

const TOPIC: &str = "t";
const PARTITIONS: i32 = 4;
/// The values of the transactional producer; those of the other are smaller.
const TRANSACTIONAL: u64 = 1 << 32;
/// For what has to work once all brokers are back.
const RECOVERY: Duration = Duration::from_secs(120);

/// What everyone saw, and how far the story is.
#[derive(Clone, Default)]
struct World {
    history: Arc<Mutex<Vec<Entry>>>,
    is_over: Arc<AtomicBool>,
    all_is_written: Arc<AtomicBool>,
}

impl World {
    fn note(&self, process: &str, event: Event) {
        self.history.lock().unwrap().push(Entry { process: process.to_owned(), event });
    }

    fn sent(&self, process: &str, value: u64, result: &Result<RecordMetadata, Error>, transaction: Option<&str>) {
        let outcome = match result {
            Ok(_) => Outcome::Ok,
            Err(Error::Delivery { certainty: Certainty::NotWritten, .. }) => Outcome::Failed,
            Err(_) => Outcome::Unknown,
        };
        let at = result.as_ref().ok();
        let event = Event::Send {
            topic: TOPIC.to_owned(),
            partition: at.map(|at| at.topic_partition.partition),
            offset: at.map(|at| at.offset),
            value,
            outcome,
            transaction: transaction.map(str::to_owned),
        };
        self.note(process, event);
    }

    fn polled(&self, records: &ConsumerRecords) {
        for partition in records {
            let at = partition.topic_partition();
            let records = partition.iter().map(|record| {
                let record = record.unwrap();
                let value = std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
                PolledRecord { topic: at.topic.to_string(), partition: at.partition, offset: record.offset, value }
            });
            let records: Vec<_> = records.collect();
            self.note("reader", Event::Poll { records, uncommitted: false });
        }
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_pauses_and_restarts_of_three_brokers_lose_double_and_tear_nothing() {
    let seed = std::env::var("OTTLA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let kafka = Kafka::builder().nodes(3).heap("384m").start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&kafka.bootstrap())).await.unwrap();
    let topic = NewTopic::new(TOPIC, PARTITIONS, 3).config("min.insync.replicas", "2");
    for (_, created) in Admin::new(&client).create_topics([topic]).await.unwrap() {
        created.unwrap();
    }
    let world = World::default();
    let load = [
        tokio::spawn(write(world.clone(), client.clone())),
        tokio::spawn(write_transactions(world.clone(), client.clone(), seed)),
    ];
    let reader = tokio::spawn(read(world.clone(), client.clone()));
    disturb(&kafka, seed).await;
    world.is_over.store(true, Ordering::Relaxed);
    for writer in load {
        tokio::time::timeout(RECOVERY, writer).await.expect("writers end once all brokers are back").unwrap();
    }
    world.all_is_written.store(true, Ordering::Relaxed);
    tokio::time::timeout(RECOVERY, reader).await.expect("the reader reaches the end").unwrap();
    judge(&world, seed);
}

fn judge(world: &World, seed: u64) {
    let history = world.history.lock().unwrap();
    let acknowledged = |entry: &&Entry| matches!(entry.event, Event::Send { outcome: Outcome::Ok, .. });
    println!("{} events, {} records acknowledged", history.len(), history.iter().filter(acknowledged).count());
    for process in ["writer", "transactions"] {
        let written = history.iter().filter(|entry| entry.process == process).filter(acknowledged).count();
        assert!(written > 100, "{process} got only {written} records through");
    }
    let report = check(&history);
    if !report.is_good() {
        let file = std::env::temp_dir().join(format!("ottla-chaos-{seed}.jsonl"));
        let lines: Vec<_> = history.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        panic!("seed {seed}, history in {}: {report}", file.display());
    }
}

#[derive(Clone, Copy)]
enum Disturbance {
    Kill,
    Pause,
    Restart,
}

/// One broker after the other; the next when the last is back.
async fn disturb(kafka: &Kafka, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut disturbances = [Disturbance::Kill, Disturbance::Pause, Disturbance::Restart, Disturbance::Kill];
    rng.shuffle(&mut disturbances);
    tokio::time::sleep(Duration::from_secs(2)).await;
    for disturbance in disturbances {
        let node = &kafka.nodes()[rng.usize(..3)];
        let lasts = Duration::from_millis(rng.u64(2000..8000));
        match disturbance {
            Disturbance::Kill => kill(node, lasts).await,
            Disturbance::Pause => pause(node, lasts).await,
            Disturbance::Restart => restart(node).await,
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn kill(node: &Node, lasts: Duration) {
    println!("kill {} for {lasts:?}", node.id());
    node.kill().await.unwrap();
    tokio::time::sleep(lasts).await;
    node.restart().await.unwrap();
    node.wait_ready(RECOVERY).await.unwrap();
}

/// A zombie that comes back.
async fn pause(node: &Node, lasts: Duration) {
    println!("pause {} for {lasts:?}", node.id());
    node.pause().await.unwrap();
    tokio::time::sleep(lasts).await;
    node.unpause().await.unwrap();
}

async fn restart(node: &Node) {
    println!("restart {}", node.id());
    node.stop().await.unwrap();
    node.restart().await.unwrap();
    node.wait_ready(RECOVERY).await.unwrap();
}

async fn write(world: World, client: Client) {
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let mut waiting = Vec::new();
    for value in 0.. {
        if !world.goes_on() {
            break;
        }
        let text = value.to_string();
        let partition = i32::try_from(value % 4).unwrap();
        waiting
            .push((value, producer.send(ProducerRecord::new(TOPIC).partition(partition).value(&text)).await.unwrap()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (value, delivery) in waiting {
        let result = delivery.await;
        world.sent("writer", value, &result, None);
    }
}

async fn write_transactions(world: World, client: Client, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 1);
    let mut config = ProducerConfig::default();
    config.transactional_id = Some("transactions".to_owned());
    let producer = TransactionalProducer::new(&client, config).unwrap();
    while let Err(error) = producer.init().await {
        assert!(error.is_retriable(), "init: {error}");
    }
    let mut value = TRANSACTIONAL;
    for number in 0.. {
        if !world.goes_on() {
            break;
        }
        let name = format!("transaction {number}");
        producer.begin_transaction().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..rng.u32(1..20) {
            let text = value.to_string();
            let partition = rng.i32(0..PARTITIONS);
            match producer.send(ProducerRecord::new(TOPIC).partition(partition).value(&text)).await {
                Ok(delivery) => waiting.push((value, delivery)),
                Err(error) => assert!(!error.is_fatal(), "send: {error}"),
            }
            value += 1;
        }
        let outcome = end(&producer, rng.u32(..3) > 0).await;
        for (value, delivery) in waiting {
            world.sent("transactions", value, &delivery.await, Some(&name));
        }
        world.note("transactions", Event::EndTransaction { transaction: name, outcome });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Commits or aborts, however often it has to be asked for; aborts what cannot be committed.
async fn end(producer: &TransactionalProducer, commits: bool) -> Outcome {
    let mut commits = commits;
    loop {
        match if commits { producer.commit_transaction().await } else { producer.abort_transaction().await } {
            Ok(()) => return if commits { Outcome::Ok } else { Outcome::Failed },
            Err(Error::Timeout { .. }) => {}
            Err(error) if commits && error.is_abortable() => commits = false,
            Err(error) => panic!("the end of a transaction: {error:?}"),
        }
    }
}

/// Reads along, and at last up to what is there when nobody writes any more.
async fn read(world: World, client: Client) {
    let mut config = ConsumerConfig::default();
    config.isolation_level = IsolationLevel::ReadCommitted;
    let consumer = Consumer::new(&client, config).unwrap();
    let partitions: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new(TOPIC, partition)).collect();
    consumer.assign(partitions.iter().map(|partition| (partition.clone(), StartOffset::Earliest)));
    while !world.all_is_written.load(Ordering::Relaxed) {
        world.polled(&consumer.poll(Duration::from_millis(200)).await.unwrap());
    }
    let specs = partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
    let ends = Admin::new(&client).list_offsets(&specs, IsolationLevel::ReadCommitted).await;
    for partition in partitions {
        let offset = ends[&partition].as_ref().unwrap().offset.unwrap();
        while consumer.position(&partition).unwrap_or(0) < offset {
            world.polled(&consumer.poll(Duration::from_millis(200)).await.unwrap());
        }
        let topic = partition.topic.to_string();
        world.note("reader", Event::ReadToEnd { topic, partition: partition.partition, offset });
    }
}
