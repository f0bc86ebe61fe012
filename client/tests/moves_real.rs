//! Real brokers that move, and what a client costs that has nothing to do.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Names;
use ottla_client::{
    Admin, Client, ClientConfig, Consumer, ConsumerConfig, Dial, NewTopic, Producer, ProducerConfig, ProducerRecord,
    StartOffset, TopicPartition,
};
use ottla_testkit::Proxy;
use ottla_testkit::kafka::Kafka;

async fn write(producer: &Producer, count: i64) {
    for number in 0..count {
        let value = number.to_string();
        producer.send(ProducerRecord::new("t").value(&value)).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert!(producer.take_failure().is_none());
}

/// The number of records of the topic, read from its start.
async fn count(client: &Client, expected: i64) -> i64 {
    let consumer = Consumer::new(client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new("t", 0), StartOffset::Earliest)]);
    let mut read = 0;
    for _ in 0..100 {
        read += i64::try_from(consumer.poll(Duration::from_millis(200)).await.unwrap().count()).unwrap();
        if read >= expected {
            break;
        }
    }
    read
}

/// A broker whose name moves to another address, then a cluster that is replaced behind its bootstrap name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_name_moves_and_a_cluster_that_is_replaced_are_followed() {
    let advertised = "PLAINTEXT://broker.test:19092";
    let old = Kafka::builder().property("advertised.listeners", advertised).start();
    let (old, new) = tokio::join!(old, Kafka::builder().start());
    let (old, new) = (old.unwrap(), new.unwrap());
    let names = Arc::new(Names::default());
    let (here, there) = (Proxy::start(&old.bootstrap()).await.unwrap(), Proxy::start(&old.bootstrap()).await.unwrap());
    names.set("bootstrap.test:9092", &here.bootstrap());
    names.set("broker.test:19092", &here.bootstrap());
    let mut config = ClientConfig::new("bootstrap.test:9092");
    config.dial = Some(Arc::clone(&names) as Arc<dyn Dial>);
    let client = Client::connect(config).await.unwrap();
    Admin::new(&client).create_topics([NewTopic::new("t", 1, 1)]).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    write(&producer, 100).await;

    names.set("broker.test:19092", &there.bootstrap());
    here.link(0).refuse();
    here.link(0).cut();
    write(&producer, 100).await;
    assert!(there.link(0).connections() > 0);
    assert_eq!(count(&client, 200).await, 200);

    let other = Client::connect(ClientConfig::new(&new.bootstrap())).await.unwrap();
    Admin::new(&other).create_topics([NewTopic::new("t", 1, 1)]).await.unwrap();
    names.set("bootstrap.test:9092", &new.bootstrap());
    old.nodes()[0].kill().await.unwrap();
    write(&producer, 100).await;
    assert_eq!(count(&other, 100).await, 100, "they are in the cluster that took the name over");
}

/// `performance.md` §2: three brokers, ten assigned partitions without records.
#[tokio::test]
async fn an_idle_client_costs_next_to_nothing() {
    let kafka = Kafka::builder().nodes(3).start().await.unwrap();
    let before = Cost::now();
    let client = Client::connect(ClientConfig::new(&kafka.bootstrap())).await.unwrap();
    Admin::new(&client).create_topics([NewTopic::new("t", 10, 3)]).await.unwrap();
    let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    let partitions = (0..10).map(|index| (TopicPartition::new("t", index), StartOffset::Earliest));
    consumer.assign(partitions);
    // Until every broker is being fetched from.
    for _ in 0..10 {
        assert!(consumer.poll(Duration::from_millis(500)).await.unwrap().is_empty());
    }
    let (settled, requests) = (Cost::now(), client.metrics().total.request_total);
    let time = Duration::from_secs(10);
    tokio::time::sleep(time).await;
    let (after, fetches) = (Cost::now(), client.metrics().total.request_total - requests);
    let seconds = time.as_secs_f64();
    let cpu = (after.cpu_ms - settled.cpu_ms) / (seconds * 1e3);
    // A long poll wakes the task of its connection and the fetcher: what is beyond that is idle's own.
    let (wakeups, polls) = ((after.wakeups - settled.wakeups) / seconds, fetches as f64 / seconds);
    let memory = (after.rss_kib - before.rss_kib) / 1024.0;
    println!("idle: {:.3} % CPU, {wakeups:.1} wake-ups/s at {polls:.1} long polls/s, {memory:.1} MiB", cpu * 100.0);
    println!("{}", client.describe());
    // Unoptimized code takes several times as long for a fetch.
    let most = if cfg!(debug_assertions) { 0.01 } else { 0.001 };
    assert!(cpu < most, "{:.3} % CPU", cpu * 100.0);
    assert!(wakeups - 3.0 * polls < 10.0, "{wakeups:.1} wake-ups/s at {polls:.1} long polls/s");
    assert!(memory < 5.0, "{memory:.1} MiB");
}

/// What this process has used.
struct Cost {
    cpu_ms: f64,
    wakeups: f64,
    rss_kib: f64,
}

impl Cost {
    fn now() -> Self {
        let number = |text: &str, key: &str| -> f64 {
            let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_else(|| panic!("{key}"));
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let (mut cpu_ms, mut wakeups) = (0.0, 0.0);
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let path = task.unwrap().path();
            let Ok(status) = std::fs::read_to_string(path.join("status")) else { continue };
            wakeups += number(&status, "voluntary_ctxt_switches:");
            // Nanoseconds on the CPU, where clock ticks would be too coarse.
            let schedstat = std::fs::read_to_string(path.join("schedstat")).unwrap();
            cpu_ms += schedstat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e6;
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        Self { cpu_ms, wakeups, rss_kib: number(&status, "VmRSS:") }
    }
}
