//! What a client costs that is connected, has partitions assigned and nothing to do.
//!
//! ```text
//! cargo run --release -p ottla-client --example idle -- --bootstrap localhost:9092
//! ```
#![allow(clippy::disallowed_methods, reason = "a program, not a machine")]

use std::error::Error;
use std::fs;
use std::time::Duration;

use clap::Parser;
use ottla_client::{Admin, Client, ClientConfig, Consumer, ConsumerConfig, NewTopic, StartOffset, TopicPartition};

/// Measures what an idle client costs.
#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value = "localhost:9092")]
    bootstrap: String,
    /// It is created where it is missing, and has to be silent.
    #[arg(long, default_value = "ottla-idle")]
    topic: String,
    #[arg(long, default_value_t = 10)]
    partitions: i32,
    #[arg(long, default_value_t = 20)]
    seconds: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let before = Cost::now()?;
    let client = Client::connect(ClientConfig::new(&options.bootstrap)).await?;
    for (_, created) in
        Admin::new(&client).create_topics([NewTopic::new(&options.topic, options.partitions, -1)]).await?
    {
        match created {
            Err(error) if error.code() != Some(ottla_client::ErrorCode::TopicAlreadyExists) => return Err(error.into()),
            _ => {}
        }
    }
    let consumer = Consumer::new(&client, ConsumerConfig::default())?;
    let partition = |index| (TopicPartition::new(options.topic.as_str(), index), StartOffset::Latest);
    consumer.assign((0..options.partitions).map(partition));
    // Until every broker is being fetched from.
    for _ in 0..10 {
        if !consumer.poll(Duration::from_millis(500)).await?.is_empty() {
            return Err(format!("{} is not silent", options.topic).into());
        }
    }
    let (settled, requests) = (Cost::now()?, client.metrics().total.request_total);
    // Nobody polls meanwhile: what runs is the client's own.
    tokio::time::sleep(Duration::from_secs(options.seconds.into())).await;
    let (after, fetches) = (Cost::now()?, client.metrics().total.request_total - requests);
    let seconds = f64::from(options.seconds);
    let cpu = (after.cpu_ms - settled.cpu_ms) / (seconds * 10.0);
    let (wakeups, polls) = ((after.wakeups - settled.wakeups) / seconds, fetches as f64 / seconds);
    let memory = (after.rss_kib - before.rss_kib) / 1024.0;
    println!("{}", client.describe());
    println!("idle: {cpu:.3} % CPU, {wakeups:.1} wake-ups/s at {polls:.1} long polls/s, {memory:.1} MiB");
    println!("{{\"cpu_percent\":{cpu:.4},\"wakeups\":{wakeups:.2},\"polls\":{polls:.2},\"memory_mib\":{memory:.2}}}");
    Ok(())
}

/// What this process has used.
struct Cost {
    cpu_ms: f64,
    wakeups: f64,
    rss_kib: f64,
}

impl Cost {
    fn now() -> Result<Self, Box<dyn Error>> {
        let (mut cpu_ms, mut wakeups) = (0.0, 0.0);
        for task in fs::read_dir("/proc/self/task")? {
            let path = task?.path();
            // A thread may have ended since.
            let Ok(status) = fs::read_to_string(path.join("status")) else { continue };
            wakeups += number(&status, "voluntary_ctxt_switches:")?;
            // Nanoseconds on the CPU, where clock ticks would be too coarse.
            let schedstat = fs::read_to_string(path.join("schedstat"))?;
            cpu_ms += schedstat.split_whitespace().next().ok_or("no time on the CPU")?.parse::<f64>()? / 1e6;
        }
        let rss_kib = number(&fs::read_to_string("/proc/self/status")?, "VmRSS:")?;
        Ok(Self { cpu_ms, wakeups, rss_kib })
    }
}

/// The number that the kernel gives for `key`.
fn number(text: &str, key: &str) -> Result<f64, Box<dyn Error>> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next());
    Ok(value.ok_or_else(|| format!("the kernel tells no {key}"))?.parse()?)
}
