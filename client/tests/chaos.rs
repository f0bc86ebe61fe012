//! Three real brokers that are killed, paused, restarted and cut off under load, while topics grow, go and come again; and
//! a checker that reads what everyone saw.
//!
//! The seed is printed; `OTTLA_SEED=n` runs the same schedule again. A history that is not good stays in a file, which
//! `ottla-check` reads.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_client::{
    Admin, Certainty, Client, ClientConfig, Consumer, ConsumerConfig, ConsumerRecords, Error, IsolationLevel,
    NewPartitions, NewTopic, OffsetSpec, Producer, ProducerConfig, ProducerRecord, RecordMetadata, StartOffset,
    TopicPartition, TransactionalProducer,
};
use ottla_testkit::checker::{Entry, Event, Outcome, PolledRecord, check};
use ottla_testkit::kafka::{Kafka, Node};
use ottla_testkit::{ApiKey, Direction};

const TOPIC: &str = "t";
/// A topic that is deleted and created anew.
const BESIDE: &str = "beside";
/// Of `TOPIC` at first.
const PARTITIONS: i32 = 4;
/// The values of the transactional producer; those of the other are smaller.
const TRANSACTIONAL: u64 = 1 << 32;
/// For what has to work once all brokers are back.
const RECOVERY: Duration = Duration::from_secs(120);

/// What everyone saw, and how far the story is.
#[derive(Clone)]
struct World {
    client: Client,
    /// Partitions of `TOPIC` by now.
    partitions: Arc<AtomicI32>,
    history: Arc<Mutex<Vec<Entry>>>,
    is_over: Arc<AtomicBool>,
    all_is_written: Arc<AtomicBool>,
}

impl World {
    fn new(client: Client) -> Self {
        let partitions = Arc::new(AtomicI32::new(PARTITIONS));
        let (history, is_over, all_is_written) = Default::default();
        Self { client, partitions, history, is_over, all_is_written }
    }

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
async fn kills_pauses_restarts_and_cuts_of_three_brokers_lose_double_and_tear_nothing() {
    let seed = std::env::var("OTTLA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let kafka = Kafka::builder().nodes(3).heap("384m").proxied().start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&kafka.proxy().bootstrap())).await.unwrap();
    create(&client, TOPIC, PARTITIONS).await;
    create(&client, BESIDE, 1).await;
    let world = World::new(client);
    let load = [tokio::spawn(write(world.clone())), tokio::spawn(write_transactions(world.clone(), seed))];
    let reader = tokio::spawn(read(world.clone()));
    disturb(&world, &kafka, seed).await;
    world.is_over.store(true, Ordering::Relaxed);
    for writer in load {
        tokio::time::timeout(RECOVERY, writer).await.expect("writers end once all brokers are back").unwrap();
    }
    world.all_is_written.store(true, Ordering::Relaxed);
    tokio::time::timeout(RECOVERY, reader).await.expect("the reader reaches the end").unwrap();
    judge(&world, seed);
}

async fn create(client: &Client, name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, 3).config("min.insync.replicas", "2");
    Admin::new(client).create_topics([topic]).await.unwrap().remove(name).unwrap().unwrap();
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
    Cut,
    Silence,
    Grow,
    Recreate,
}

/// One broker after the other; the next when the last is back.
async fn disturb(world: &World, kafka: &Kafka, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut disturbances = [
        Disturbance::Kill,
        Disturbance::Pause,
        Disturbance::Restart,
        Disturbance::Kill,
        Disturbance::Cut,
        Disturbance::Silence,
        Disturbance::Grow,
        Disturbance::Recreate,
    ];
    rng.shuffle(&mut disturbances);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let producer = Producer::new(&world.client, ProducerConfig::default()).unwrap();
    for disturbance in disturbances {
        let index = rng.usize(..3);
        let node = &kafka.nodes()[index];
        let lasts = Duration::from_millis(rng.u64(2000..8000));
        match disturbance {
            Disturbance::Kill => kill(node, lasts).await,
            Disturbance::Pause => pause(node, lasts).await,
            Disturbance::Restart => restart(node).await,
            Disturbance::Cut => cut(kafka, index).await,
            Disturbance::Silence => silence(kafka, index, lasts).await,
            Disturbance::Grow => grow(world).await,
            Disturbance::Recreate => recreate(world, &producer).await,
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Connections end before a request arrives, after it was carried out, and in the middle of an answer.
async fn cut(kafka: &Kafka, index: usize) {
    println!("cut connections of {}", kafka.nodes()[index].id());
    let proxy = kafka.proxy();
    let rules = [
        proxy.on(ApiKey::Produce).cut_before_reply().times(3),
        proxy.on(ApiKey::Fetch).cut_mid_reply().times(3),
        proxy.on(ApiKey::EndTxn).cut_before_reply(),
        proxy.on(ApiKey::Produce).skip(5).cut_mid_request().times(2),
    ];
    proxy.link(index).cut();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let hits: Vec<u64> = rules.iter().map(|rule| rule.hits()).collect();
    assert!(hits.iter().sum::<u64>() > 0, "nothing was cut: {hits:?}");
    rules.into_iter().for_each(|rule| rule.remove());
}

/// Nothing comes back from a node for a while, and its connections stay open.
async fn silence(kafka: &Kafka, index: usize, lasts: Duration) {
    println!("silence of {} for {lasts:?}", kafka.nodes()[index].id());
    let link = kafka.proxy().link(index);
    link.silence(Direction::ToClient);
    tokio::time::sleep(lasts).await;
    link.restore();
}

/// One partition more, which everyone uses from now on.
async fn grow(world: &World) {
    let partitions = world.partitions.load(Ordering::Relaxed) + 1;
    println!("grow to {partitions} partitions");
    let grown = [(TOPIC, NewPartitions::increase_to(partitions))];
    Admin::new(&world.client).create_partitions(grown).await.unwrap().remove(TOPIC).unwrap().unwrap();
    world.partitions.store(partitions, Ordering::Relaxed);
}

/// A topic of the same name begins at 0, for the producer that wrote to the one before, too.
async fn recreate(world: &World, producer: &Producer) {
    println!("delete {BESIDE} and create it again");
    write_beside(producer, "old").await;
    Admin::new(&world.client).delete_topics(&[BESIDE]).await.unwrap().remove(BESIDE).unwrap().unwrap();
    // A deleted topic's name is free some moments later on all brokers.
    tokio::time::sleep(Duration::from_secs(2)).await;
    create(&world.client, BESIDE, 1).await;
    // The producer learns of the new topic by a record that was meant for the old one, and is refused.
    let probe = async {
        loop {
            let sent = producer.send(ProducerRecord::new(BESIDE).partition(0).value("probe")).await.unwrap().await;
            match sent {
                Ok(_) => break,
                Err(Error::Delivery { .. }) => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    tokio::time::timeout(RECOVERY, probe).await.expect("the new topic takes records");
    write_beside(producer, "new").await;
    let consumer = Consumer::new(&world.client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new(BESIDE, 0), StartOffset::Earliest)]);
    let mut found = Vec::new();
    while found.len() < 20 {
        let records = tokio::time::timeout(RECOVERY, consumer.poll(Duration::from_secs(1))).await.unwrap().unwrap();
        for partition in &records {
            let values = partition.iter().map(|record| record.unwrap().value.unwrap().to_vec());
            found.extend(values.filter(|value| value != b"probe"));
        }
    }
    let expected: Vec<_> = (0..20).map(|number| format!("new {number}").into_bytes()).collect();
    assert_eq!(found, expected, "the new topic has what was written to it, in order");
}

async fn write_beside(producer: &Producer, what: &str) {
    for number in 0..20 {
        let text = format!("{what} {number}");
        let delivery = producer.send(ProducerRecord::new(BESIDE).partition(0).value(&text)).await.unwrap();
        tokio::time::timeout(RECOVERY, delivery).await.unwrap().unwrap();
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

async fn write(world: World) {
    let producer = Producer::new(&world.client, ProducerConfig::default()).unwrap();
    let mut waiting = Vec::new();
    for value in 0.. {
        if !world.goes_on() {
            break;
        }
        let text = value.to_string();
        let partition = i32::try_from(value).unwrap() % world.partitions.load(Ordering::Relaxed);
        waiting
            .push((value, producer.send(ProducerRecord::new(TOPIC).partition(partition).value(&text)).await.unwrap()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (value, delivery) in waiting {
        let result = delivery.await;
        world.sent("writer", value, &result, None);
    }
}

async fn write_transactions(world: World, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 1);
    let mut config = ProducerConfig::default();
    config.transactional_id = Some("transactions".to_owned());
    let producer = TransactionalProducer::new(&world.client, config).unwrap();
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
            let partition = rng.i32(0..world.partitions.load(Ordering::Relaxed));
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
async fn read(world: World) {
    let mut config = ConsumerConfig::default();
    config.isolation_level = IsolationLevel::ReadCommitted;
    let consumer = Consumer::new(&world.client, config).unwrap();
    while !world.all_is_written.load(Ordering::Relaxed) {
        read_on(&world, &consumer).await;
    }
    let partitions: Vec<_> = consumer.assignment();
    let specs = partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
    let ends = Admin::new(&world.client).list_offsets(&specs, IsolationLevel::ReadCommitted).await;
    for partition in partitions {
        let offset = ends[&partition].as_ref().unwrap().offset.unwrap();
        while consumer.position(&partition).unwrap_or(0) < offset {
            read_on(&world, &consumer).await;
        }
        let topic = partition.topic.to_string();
        world.note("reader", Event::ReadToEnd { topic, partition: partition.partition, offset });
    }
}

/// Takes up new partitions, and what has come.
async fn read_on(world: &World, consumer: &Consumer) {
    let known = i32::try_from(consumer.assignment().len()).unwrap();
    let new = known..world.partitions.load(Ordering::Relaxed);
    consumer.add(new.map(|partition| (TopicPartition::new(TOPIC, partition), StartOffset::Earliest)));
    world.polled(&consumer.poll(Duration::from_millis(200)).await.unwrap());
}
