//! The whole journey on real brokers: Kafka's own producer fills the input, the job is killed again and again, and
//! Kafka's own consumer reads the output.
#![allow(clippy::disallowed_methods, reason = "a test drives")]
mod common;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use common::{example, pipeline, run};
use ottla_client::{
    Admin, Client, ClientConfig, IsolationLevel, NewTopic, OffsetSpec, TopicPartition, TransactionFilter,
};
use ottla_testkit::kafka::{Kafka, Tool};

const INPUT: &str = "events";
const OUTPUT: &str = "counts";
const INPUT_PARTITIONS: i32 = 6;
const OUTPUT_PARTITIONS: i32 = 4;
const WINDOW_MS: i64 = 200;
const KEYS: i32 = 100;
const EVENTS: usize = 240_000;
/// So that events come for as long as the job is being killed.
const EVENTS_A_SECOND: usize = 8_000;
const KILLS: usize = 5;

/// (partition, window, key) → count.
type Counts = HashMap<(i32, i64, String), u64>;

#[tokio::test(flavor = "multi_thread")]
async fn kafka_4_4_0_one_node() {
    journey(Kafka::builder().start().await.expect("Kafka"), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_4_4_0_three_nodes_and_the_leader_of_the_output_dies() {
    journey(Kafka::builder().nodes(3).heap("512m").start().await.expect("Kafka"), Some(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_2_8_2_with_the_first_transaction_protocol() {
    journey(Kafka::builder().version("2.8.2").start().await.expect("Kafka"), None).await;
}

/// `broker_dies_at`: the kill of the job before which the leader of the output's first partition is killed too.
async fn journey(kafka: Kafka, broker_dies_at: Option<usize>) {
    // Built before events flow, or the job would come late.
    example();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let client = Client::connect(ClientConfig::new(&kafka.bootstrap())).await.expect("a client");
    create_topics(&client, &kafka).await;
    let producer = tokio::spawn(fill(kafka.bootstrap()));
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path().to_str().expect("a path");
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut parallelism = 1;
    for kill in 0..KILLS {
        parallelism = another(parallelism, &mut rng);
        let mut job = start(&kafka, directory, parallelism, log.path());
        tokio::time::sleep(Duration::from_millis(rng.u64(1_500..5_000))).await;
        let dead = if broker_dies_at == Some(kill) { Some(kill_leader(&client, &kafka).await) } else { None };
        if dead.is_some() {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let ended_by_itself = job.try_wait().expect("the job");
        // SIGKILL: nothing is cleaned up.
        job.kill().expect("to kill the job");
        job.wait().expect("the job ended");
        println!("{}", std::fs::read_to_string(log.path()).expect("what the job said"));
        assert!(ended_by_itself.is_none(), "the job ended by itself");
        if let Some(node) = dead {
            let node = kafka.node(node).expect("the node");
            node.restart().await.expect("a restart");
            node.wait_ready(Duration::from_secs(120)).await.expect("it is back");
        }
    }
    let acknowledged = producer.await.expect("the producer");
    // It does not repeat what fails, which some does when a broker dies: the input is what its topic holds.
    assert!(acknowledged == EVENTS || broker_dies_at.is_some(), "{acknowledged} events were acknowledged");
    let checkpoints = std::fs::read_dir(directory).expect("the directory").count();
    assert!(checkpoints > 2, "checkpoints were taken between the kills");
    let bootstrap = kafka.bootstrap();
    let mut last = arguments(&bootstrap, directory, &another(parallelism, &mut rng).to_string());
    last.extend(["--bounded", "--verify"].map(str::to_owned));
    let ended = run(last, Duration::from_secs(180)).await;
    assert!(ended.success(), "seed {seed}: {ended}");
    println!("{}", ended.stdout);
    check(&client, &kafka, acknowledged).await;
}

/// One to four, but not the same again.
fn another(parallelism: u32, rng: &mut fastrand::Rng) -> u32 {
    (parallelism - 1 + rng.u32(1..4)) % 4 + 1
}

async fn create_topics(client: &Client, kafka: &Kafka) {
    let replicas = i16::try_from(kafka.nodes().len()).expect("a few nodes");
    let topics = [(INPUT, INPUT_PARTITIONS), (OUTPUT, OUTPUT_PARTITIONS)];
    let topics = topics.map(|(name, partitions)| {
        let in_sync = if replicas > 1 { "2" } else { "1" };
        NewTopic::new(name, partitions, replicas).config("min.insync.replicas", in_sync)
    });
    for (name, created) in Admin::new(client).create_topics(topics).await.expect("the controller") {
        created.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// Kafka's own producer; how many events were acknowledged.
async fn fill(bootstrap: String) -> usize {
    let produced = Tool::new("VerifiableProducer")
        .args(["--bootstrap-server", &bootstrap, "--topic", INPUT, "--acks", "-1"])
        .args(["--max-messages", &EVENTS.to_string(), "--throughput", &EVENTS_A_SECOND.to_string()])
        .args(["--repeating-keys", &KEYS.to_string()])
        .run()
        .await
        .expect("Kafka's producer");
    produced.stdout.lines().filter(|line| line.contains("\"producer_send_success\"")).count()
}

fn arguments(bootstrap: &str, directory: &str, parallelism: &str) -> Vec<String> {
    let window = format!("{WINDOW_MS}ms");
    [
        ["--bootstrap", bootstrap],
        ["--input", INPUT],
        ["--output", OUTPUT],
        ["--checkpoint-dir", directory],
        ["--checkpoint-interval", "300ms"],
        ["--parallelism", parallelism],
        ["--window", &window],
        ["--out-of-orderness", "500ms"],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect()
}

fn start(kafka: &Kafka, directory: &str, parallelism: u32, log: &Path) -> Child {
    let arguments = arguments(&kafka.bootstrap(), directory, &parallelism.to_string());
    pipeline(&arguments).stderr(File::create(log).expect("a file")).spawn().expect("the job")
}

async fn kill_leader(client: &Client, kafka: &Kafka) -> i32 {
    let topic = client.topic(OUTPUT, Instant::now() + Duration::from_secs(30)).await.expect("the output topic");
    let leader = topic.partition(0).and_then(|p| p.leader).expect("a leader").0;
    println!("killing broker {leader}, the leader of {OUTPUT}-0");
    kafka.node(leader).expect("the node").kill().await.expect("to kill it");
    leader
}

/// Nothing missing, nothing double, nothing open: judged by Kafka's own consumer.
async fn check(client: &Client, kafka: &Kafka, acknowledged: usize) {
    let events = ends(client, INPUT, INPUT_PARTITIONS).await;
    assert!(events >= acknowledged, "Kafka lost some of {acknowledged} acknowledged events: it has {events}");
    let mut expected = Counts::new();
    for line in consume(kafka, INPUT, events).await {
        let (time, partition, key, _) = fields(&line);
        *expected.entry((partition, time - time.rem_euclid(WINDOW_MS), key.to_owned())).or_default() += 1;
    }
    assert_eq!(expected.values().sum::<u64>(), events as u64, "the whole input was read");
    // Offsets count markers and aborted records too: it is an upper bound.
    let results = ends(client, OUTPUT, OUTPUT_PARTITIONS).await;
    let mut counted = Counts::new();
    for line in consume(kafka, OUTPUT, results).await {
        let (_, _, key, value) = fields(&line);
        let number = |name: &str| -> i64 {
            let after = value.split(&format!("\"{name}\":")).nth(1).unwrap_or_else(|| panic!("{name} in {value}"));
            let digits = after.split([',', '}']).next().unwrap_or_default();
            digits.parse().unwrap_or_else(|e| panic!("{name} in {value}: {e}"))
        };
        let partition = i32::try_from(number("partition")).expect("a partition");
        let count = u64::try_from(number("count")).expect("a count");
        *counted.entry((partition, number("window"), key.to_owned())).or_default() += count;
    }
    let differing = |a: &Counts, b: &Counts| a.iter().filter(|(slot, n)| b.get(*slot) != Some(n)).count();
    let (missing, double) = (differing(&expected, &counted), differing(&counted, &expected));
    assert_eq!((missing, double), (0, 0), "of {} counts", expected.len());
}

/// The sum of a topic's end offsets, when nothing in it is open any more.
async fn ends(client: &Client, topic: &str, partitions: i32) -> usize {
    let partitions = (0..partitions).map(|p| TopicPartition::new(topic, p));
    let specs = partitions.map(|tp| (tp, OffsetSpec::Latest)).collect();
    let admin = Admin::new(client);
    let stable = admin.list_offsets(&specs, IsolationLevel::ReadCommitted).await;
    let ends = admin.list_offsets(&specs, IsolationLevel::ReadUncommitted).await;
    for (partition, end) in &ends {
        let end = end.as_ref().expect("an end").offset;
        assert_eq!(stable[partition].as_ref().expect("an end").offset, end, "a transaction is open in {partition}");
    }
    match admin
        .list_transactions(&TransactionFilter::in_states(&["Ongoing", "PrepareCommit", "PrepareAbort"]))
        .await
        .and_then(ottla_client::Listing::all)
    {
        Ok(open) => assert!(open.is_empty(), "{open:?}"),
        Err(ottla_client::Error::UnsupportedVersion { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    ends.values().filter_map(|end| end.as_ref().ok()?.offset).sum::<i64>().try_into().expect("a number")
}

/// Everything that Kafka's own consumer sees with `read_committed`, at most `count` records.
async fn consume(kafka: &Kafka, topic: &str, count: usize) -> Vec<String> {
    let mut tool = Tool::new("consumer.ConsoleConsumer")
        .args(["--bootstrap-server", &kafka.bootstrap(), "--topic", topic, "--from-beginning"])
        .args(["--max-messages", &count.to_string(), "--timeout-ms", "15000"]);
    for property in ["print.timestamp=true", "print.partition=true", "print.key=true", "key.separator=|"] {
        tool = tool.args(["--formatter-property", property]);
    }
    for property in ["isolation.level=read_committed", "max.poll.records=5000"] {
        tool = tool.args(["--command-property", property]);
    }
    let read = tool.run().await.expect("Kafka's consumer");
    let lines: Vec<_> = read.stdout.lines().filter(|l| l.starts_with("CreateTime:")).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{read:?}");
    lines
}

/// `CreateTime:1700000000000|Partition:3|key|value`
fn fields(line: &str) -> (i64, i32, &str, &str) {
    let parts: Vec<&str> = line.splitn(4, '|').collect();
    let [time, partition, key, value] = parts[..] else { panic!("{line}") };
    let time = time.strip_prefix("CreateTime:").and_then(|t| t.parse().ok());
    let partition = partition.strip_prefix("Partition:").and_then(|p| p.parse().ok());
    (time.unwrap_or_else(|| panic!("{line}")), partition.unwrap_or_else(|| panic!("{line}")), key, value)
}
