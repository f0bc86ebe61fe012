//! Kafka's own programs, unchanged, against the embedded broker as a process of its own.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests fail by panic")]

mod wire;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use ottla_testkit::kafka::{RunningTool, Tool};
use wire::Client;

/// Starting a JVM and all it does, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Broker {
    process: Child,
    bootstrap: String,
}

impl Broker {
    fn start(args: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ottla-broker"))
            .args(["--port", "0"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let bootstrap = ready.strip_prefix("ready: ").unwrap().trim().to_owned();
        Self { process, bootstrap }
    }

    async fn produce(&self, topic: &str, count: u64) {
        let produced = self.tool("VerifiableProducer", topic).args(["--max-messages", &count.to_string()]).run().await;
        let produced = produced.unwrap();
        assert!(produced.stdout.contains(&format!("\"acked\":{count}")), "{}", produced.tail());
    }

    fn tool(&self, class: &str, topic: &str) -> Tool {
        Tool::new(class).args(["--bootstrap-server", &self.bootstrap, "--topic", topic])
    }

    /// The end of a partition on a cluster of one node.
    async fn end(&self, topic: &str, partition: i32) -> i64 {
        let partition = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(-1);
        let name = TopicName(StrBytes::from_string(topic.to_owned()));
        let topic = ListOffsetsTopic::default().with_name(name).with_partitions(vec![partition]);
        let ends = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let answer = Client::connect(&self.bootstrap).await.call(7, &ends).await;
        answer.topics[0].partitions[0].offset
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a VerifiableConsumer said it read: partition → offsets, each as often as it was read.
fn consumed(outputs: &[String]) -> BTreeMap<i64, Vec<i64>> {
    let mut read: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for line in outputs.iter().flat_map(|output| output.lines()) {
        let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if event["name"] == "records_consumed" {
            for part in event["partitions"].as_array().unwrap() {
                let range = part["minOffset"].as_i64().unwrap()..=part["maxOffset"].as_i64().unwrap();
                read.entry(part["partition"].as_i64().unwrap()).or_default().extend(range);
            }
        }
    }
    read.values_mut().for_each(|offsets| offsets.sort_unstable());
    read
}

#[tokio::test]
async fn a_million_records_through_the_perf_tools() {
    let broker = Broker::start(&["--topic", "perf:3"]);
    let sent = Tool::new("ProducerPerformance")
        .args(["--bootstrap-server", &broker.bootstrap, "--topic", "perf", "--num-records", "1000000"])
        .args(["--record-size", "100", "--throughput", "-1"])
        .run()
        .await
        .unwrap();
    assert!(sent.stdout.contains("1000000 records sent"), "{}", sent.tail());
    println!("producer: {}", sent.stdout.lines().last().unwrap_or_default());

    for protocol in protocols() {
        let read = broker
            .tool("ConsumerPerformance", "perf")
            .args(["--num-records", "1000000", "--timeout", "60000", "--hide-header"])
            .args(["--command-property", &format!("group.protocol={protocol}")])
            .run()
            .await
            .unwrap();
        let figures: Vec<_> = read.stdout.lines().last().unwrap_or_default().split(", ").collect();
        assert_eq!(figures.get(4), Some(&"1000000"), "{protocol}: {}", read.tail());
        println!("{protocol} consumer: {} records/s", figures[5]);
    }
}

fn protocols() -> [&'static str; 2] {
    ["classic", "consumer"]
}

#[tokio::test]
async fn a_group_of_three_reads_everything_once_while_one_leaves() {
    for protocol in protocols() {
        let broker = Broker::start(&["--topic", "orders:6"]);
        let member = async || -> RunningTool {
            let member = broker.tool("VerifiableConsumer", "orders").args(["--group-id", "readers"]);
            member.args(["--group-protocol", protocol]).spawn().await.unwrap()
        };
        let members = [member().await, member().await, member().await];
        for member in &members {
            until("each member to have partitions", async || member.stdout().contains("partitions_assigned")).await;
        }
        broker.produce("orders", 20_000).await;
        let [leaving, stays, too] = members;
        until("the leaving one to have read", async || leaving.stdout().contains("records_consumed")).await;
        let left = leaving.stop().await.unwrap();
        assert!(left.stdout.contains("shutdown_complete"), "it leaves in an orderly way: {}", left.tail());
        broker.produce("orders", 20_000).await;
        let total = |left: &str| {
            let outputs = [left.to_owned(), stays.stdout(), too.stdout()];
            consumed(&outputs).values().map(Vec::len).sum::<usize>()
        };
        until("everything to be read", async || total(&left.stdout) >= 40_000).await;
        let outputs = [left.stdout, stays.stop().await.unwrap().stdout, too.stop().await.unwrap().stdout];
        for (partition, offsets) in consumed(&outputs) {
            let end = broker.end("orders", partition as i32).await;
            assert_eq!(offsets, (0..end).collect::<Vec<_>>(), "{protocol}: partition {partition}");
        }
    }
}

#[tokio::test]
async fn a_transactional_copy_is_exact_over_a_crash() {
    const RECORDS: u64 = 3000;
    let broker = Broker::start(&["--topic", "input:1", "--topic", "output:1"]);
    broker.produce("input", RECORDS).await;
    let copier = || {
        Tool::new("TransactionalMessageCopier")
            .args(["--broker-list", &broker.bootstrap, "--input-topic", "input", "--input-partition", "0"])
            .args(["--output-topic", "output", "--consumer-group", "copiers", "--transactional-id", "copier"])
            .args(["--transaction-size", "10", "--enable-random-aborts"])
            // It asks for its position before it fences who was killed: if that one left offsets pending, the answer comes
            // when the coordinator has timed the transaction out, which must be within its minute of patience.
            .args(["--transaction-timeout", "10000"])
    };
    let doomed = copier().spawn().await.unwrap();
    until("the copier to be midway", async || broker.end("output", 0).await > 300).await;
    doomed.kill();
    assert!(broker.end("output", 0).await < RECORDS as i64, "it was killed too late to prove anything");

    let finished = copier().run().await.unwrap();
    assert!(finished.stdout.contains("\"remaining\":0"), "{}", finished.tail());
    let read = broker
        .tool("consumer.ConsoleConsumer", "output")
        .args(["--isolation-level", "read_committed", "--from-beginning", "--timeout-ms", "10000"])
        .args(["--max-messages".to_owned(), (RECORDS + 1).to_string()])
        .run()
        .await
        .unwrap();
    let values: Vec<u64> = read.stdout.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(values, (0..RECORDS).collect::<Vec<_>>());
}
