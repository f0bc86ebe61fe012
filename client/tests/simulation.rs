//! The client against the embedded broker without sockets, in virtual time: seeds of latency, stalls, cuts, leaders that
//! move and nodes that die.
//!
//! A seed that fails is printed; `OTTLA_SEED=n` runs it alone, `OTTLA_SEEDS=n` runs that many. All that is random comes from
//! the seed, so it fails again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use common::Pipes;
use ottla_client::{
    Certainty, Client, ClientConfig, Consumer, ConsumerConfig, Error, IsolationLevel, Producer, ProducerConfig,
    ProducerRecord, StartOffset, TopicPartition, TransactionalProducer,
};
use ottla_testkit::checker::{Entry, Event, Outcome, PolledRecord, check};
use ottla_testkit::{ApiKey, Broker, Simulation, Weather};

/// Nothing takes longer, in virtual time.
const BOUND: Duration = Duration::from_secs(30 * 60);
const PARTITIONS: i32 = 2;

/// Tells the story of a seed, in a runtime and a time of its own.
fn tell<T, F: Future<Output = T>>(seed: u64, story: &impl Fn(u64) -> F) -> T {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { tokio::time::timeout(BOUND, story(seed)).await })
    }));
    match told {
        Ok(Ok(end)) => end,
        Ok(Err(_)) => panic!("seed {seed}: not over after {BOUND:?}"),
        Err(_) => panic!("seed {seed} failed, see above"),
    }
}

/// Tells a story for each seed.
fn with_seeds<T, F: Future<Output = T>>(story: impl Fn(u64) -> F) {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seeds =
        number("OTTLA_SEED").map_or_else(|| 0..number("OTTLA_SEEDS").unwrap_or(100), |seed: u64| seed..seed + 1);
    for seed in seeds {
        tell(seed, &story);
    }
}

struct World {
    simulation: Simulation,
    client: Client,
    history: Vec<Entry>,
    rng: fastrand::Rng,
    /// The node that is dead, and for how many disturbances yet.
    dead: Option<(i32, u32)>,
    began: tokio::time::Instant,
}

impl World {
    async fn new(seed: u64) -> Self {
        let began = tokio::time::Instant::now();
        let simulation = Simulation::start(Broker::builder().nodes(3).topic("t", PARTITIONS), seed).unwrap();
        let mut config = ClientConfig::new(&simulation.bootstrap());
        config.dial = Some(Arc::new(Pipes(simulation.clone())));
        let client = Client::connect(config).await.unwrap();
        simulation.set_weather(Weather::foul());
        Self { simulation, client, history: Vec::new(), rng: fastrand::Rng::with_seed(seed), dead: None, began }
    }

    fn note(&mut self, process: &str, event: Event) {
        self.history.push(Entry { process: process.to_owned(), event });
    }

    fn sent(
        &mut self,
        value: u64,
        partition: i32,
        result: &ottla_client::Result<ottla_client::RecordMetadata>,
        transaction: Option<&str>,
    ) {
        let offset = result.as_ref().ok().map(|metadata| metadata.offset);
        let outcome = match result {
            Ok(_) => Outcome::Ok,
            Err(Error::Delivery { certainty: Certainty::NotWritten, .. }) => Outcome::Failed,
            Err(_) => Outcome::Unknown,
        };
        let (topic, transaction) = ("t".to_owned(), transaction.map(str::to_owned));
        self.note("producer", Event::Send { topic, partition: Some(partition), offset, value, outcome, transaction });
    }

    /// Moves a leader now and then, kills a node, and brings it back.
    fn disturb(&mut self) {
        if self.rng.u32(0..20) == 0 {
            let (partition, node) = (self.rng.i32(0..PARTITIONS), self.rng.i32(0..3));
            self.simulation.move_leader("t", partition, node);
        }
        match &mut self.dead {
            None if self.rng.u32(0..20) == 0 => {
                let node = self.rng.i32(0..3);
                assert!(self.simulation.kill_node(node));
                self.dead = Some((node, self.rng.u32(1..20)));
            }
            None => {}
            Some((node, 0)) => {
                assert!(self.simulation.restart_node(*node));
                self.dead = None;
            }
            Some((_, left)) => *left -= 1,
        }
    }

    /// Reads everything, in foul weather still, and asks the checker.
    async fn verify(mut self, ends: impl Fn(&[Entry]) -> HashMap<i32, i64>) -> Told {
        let mut config = ConsumerConfig::default();
        config.isolation_level = IsolationLevel::ReadCommitted;
        let consumer = Consumer::new(&self.client, config).unwrap();
        let partitions: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new("t", partition)).collect();
        consumer.assign(partitions.iter().map(|partition| (partition.clone(), StartOffset::Earliest)));
        let ends = ends(&self.history);
        let reached = |consumer: &Consumer| {
            partitions
                .iter()
                .all(|at| consumer.position(at).unwrap_or(0) >= ends.get(&at.partition).copied().unwrap_or(0))
        };
        while !reached(&consumer) {
            self.disturb();
            let records = consumer.poll(Duration::from_secs(1)).await.unwrap();
            for partition in &records {
                for record in partition.iter() {
                    let record = record.unwrap();
                    let value = std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
                    let at = partition.topic_partition();
                    let polled = PolledRecord {
                        topic: at.topic.to_string(),
                        partition: at.partition,
                        offset: record.offset,
                        value,
                    };
                    self.note("reader", Event::Poll { records: vec![polled], uncommitted: false });
                }
            }
        }
        for at in &partitions {
            let offset = consumer.position(at).unwrap_or(0);
            self.note("reader", Event::ReadToEnd { topic: "t".to_owned(), partition: at.partition, offset });
        }
        let report = check(&self.history);
        assert!(report.is_good(), "{report}");
        let requests = [ApiKey::Metadata, ApiKey::Produce, ApiKey::Fetch, ApiKey::ListOffsets, ApiKey::FindCoordinator]
            .map(|api| self.simulation.received(api));
        Told { history: self.history, requests, lasted: self.began.elapsed() }
    }
}

/// What is the same when a seed's story is told again.
#[derive(Debug, PartialEq)]
struct Told {
    history: Vec<Entry>,
    requests: [u64; 5],
    lasted: Duration,
}

/// The offset after the last acknowledged record of each partition.
fn acknowledged(history: &[Entry]) -> HashMap<i32, i64> {
    let mut ends = HashMap::new();
    for entry in history {
        if let Event::Send { partition: Some(partition), offset: Some(offset), .. } = &entry.event {
            let end = ends.entry(*partition).or_insert(0);
            *end = (offset + 1).max(*end);
        }
    }
    ends
}

#[test]
fn an_idempotent_producer_neither_loses_nor_doubles_nor_swaps_records() {
    with_seeds(produce);
}

#[test]
fn transactions_are_seen_whole_or_not_at_all() {
    with_seeds(transact);
}

#[test]
fn a_seed_tells_the_same_story_again() {
    for seed in 0..20 {
        assert_eq!(tell(seed, &produce), tell(seed, &produce), "seed {seed}");
        assert_eq!(tell(seed, &transact), tell(seed, &transact), "seed {seed}");
    }
}

/// Stalls of two requests take longer than `max.block.ms`: then the same is asked for again.
async fn again<T, F: Future<Output = ottla_client::Result<T>>>(ask: impl Fn() -> F) -> T {
    loop {
        match ask().await {
            Ok(done) => return done,
            Err(Error::Timeout { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn produce(seed: u64) -> Told {
    let mut world = World::new(seed).await;
    let mut config = ProducerConfig::default();
    config.linger = Duration::from_millis(world.rng.u64(0..10));
    let producer = Producer::new(&world.client, config).unwrap();
    let mut waiting = Vec::new();
    for value in 0..120u64 {
        world.disturb();
        let partition = world.rng.i32(0..PARTITIONS);
        let text = value.to_string();
        let delivery = again(|| producer.send(ProducerRecord::new("t").partition(partition).value(&text))).await;
        waiting.push((value, partition, delivery));
        if world.rng.u32(0..4) == 0 {
            tokio::time::sleep(Duration::from_millis(world.rng.u64(0..50))).await;
        }
    }
    for (value, partition, delivery) in waiting {
        let result = delivery.await;
        assert!(matches!(&result, Ok(_) | Err(Error::Delivery { .. })), "{result:?}");
        world.sent(value, partition, &result, None);
    }
    assert!(!acknowledged(&world.history).is_empty(), "nothing was acknowledged");
    world.verify(acknowledged).await
}

async fn transact(seed: u64) -> Told {
    let mut world = World::new(seed).await;
    let mut config = ProducerConfig::default();
    config.transactional_id = Some("writer".to_owned());
    // Stalls of the weather shall not make the coordinator give a transaction up.
    config.transaction_timeout = Duration::from_secs(600);
    let producer = TransactionalProducer::new(&world.client, config).unwrap();
    again(|| producer.init()).await;
    let mut value = 0;
    for number in 0..12 {
        world.disturb();
        let name = format!("transaction {number}");
        producer.begin_transaction().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..world.rng.u32(1..8) {
            let partition = world.rng.i32(0..PARTITIONS);
            let record = value.to_string();
            let delivery = again(|| producer.send(ProducerRecord::new("t").partition(partition).value(&record))).await;
            waiting.push((value, partition, delivery));
            value += 1;
        }
        let commits = world.rng.u32(0..3) > 0;
        again(|| async {
            if commits { producer.commit_transaction().await } else { producer.abort_transaction().await }
        })
        .await;
        for (value, partition, delivery) in waiting {
            let result = delivery.await;
            // Records of an aborted transaction may never have been sent.
            assert!(result.is_ok() || !commits, "{result:?}");
            world.sent(value, partition, &result, Some(&name));
        }
        let outcome = if commits { Outcome::Ok } else { Outcome::Failed };
        world.note("producer", Event::EndTransaction { transaction: name, outcome });
    }
    world.verify(acknowledged).await
}
