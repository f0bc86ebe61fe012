//! Measures the client against a broker: rate, CPU time per record, peak memory, latency.
//!
//! ```text
//! cargo run --release -p ottla-client --example bench -- produce --bootstrap localhost:9092
//! cargo run --release -p ottla-client --example bench -- consume --bootstrap localhost:9092
//! ```
#![allow(clippy::disallowed_methods, reason = "a program, not a machine")]

use std::error::Error;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use ottla_client::{
    Admin, Client, ClientConfig, Compression, Consumer, ConsumerConfig, IsolationLevel, NewTopic, OffsetSpec, Producer,
    ProducerConfig, ProducerRecord, StartOffset, TopicPartition, TransactionalProducer,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Writes records; creates the topic where it is missing.
    Produce,
    /// Reads records that are there.
    Consume,
    /// Writes records in transactions of 1000.
    Transactions,
    /// Writes one record after the other, and tells how long each took.
    Latency,
}

/// Measures the client against a broker.
#[derive(Debug, Parser)]
struct Options {
    what: What,
    #[arg(long, default_value = "localhost:9092")]
    bootstrap: String,
    #[arg(long, default_value = "ottla-bench")]
    topic: String,
    #[arg(long, default_value_t = 3_000_000)]
    records: u64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100)]
    size: usize,
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    #[arg(long, default_value = "none")]
    compression: String,
    /// Milliseconds.
    #[arg(long, default_value_t = 5)]
    linger: u64,
    #[arg(long, default_value_t = 1_000_000)]
    batch_size: usize,
    #[arg(long, default_value_t = 33_554_432)]
    buffer_memory: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let client = Client::connect(ClientConfig::new(&options.bootstrap)).await?;
    if options.what != What::Consume {
        create_topic(&client, &options).await?;
    }
    let run = Run::begin(&options);
    let latencies = match options.what {
        What::Produce => produce(&client, &options).await.map(|()| Vec::new()),
        What::Transactions => transactions(&client, &options).await.map(|()| Vec::new()),
        What::Consume => consume(&client, &options).await.map(|()| Vec::new()),
        What::Latency => latency(&client, &options).await,
    }?;
    run.report(latencies)
}

async fn create_topic(client: &Client, options: &Options) -> Result<(), Box<dyn Error>> {
    let topic = NewTopic::new(&options.topic, options.partitions, -1);
    for (_, created) in Admin::new(client).create_topics([topic]).await? {
        match created {
            Err(error) if error.code() != Some(ottla_client::ErrorCode::TopicAlreadyExists) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn config(options: &Options) -> Result<ProducerConfig, Box<dyn Error>> {
    let mut config = ProducerConfig::default();
    config.linger = Duration::from_millis(options.linger);
    config.batch_size = options.batch_size;
    config.max_request_size = config.max_request_size.max(options.batch_size + options.size + 1000);
    config.buffer_memory = options.buffer_memory;
    config.compression_type = options.compression.parse::<Compression>()?;
    Ok(config)
}

/// Bytes that neither compress to nothing nor not at all.
fn value(size: usize) -> Vec<u8> {
    let words = b"the quick brown fox jumps over the lazy dog 0123456789 ".iter().copied().cycle();
    words.take(size).collect()
}

async fn produce(client: &Client, options: &Options) -> Result<(), Box<dyn Error>> {
    let producer = Producer::new(client, config(options)?)?;
    let value = value(options.size);
    let record = ProducerRecord::new(&options.topic).value(&value);
    for _ in 0..options.records {
        if producer.try_send(&record)?.is_none() {
            producer.send(record).await?;
        }
    }
    producer.flush().await?;
    match producer.take_failure() {
        Some(error) => Err(error.into()),
        None => Ok(producer.close(Duration::from_secs(10)).await?),
    }
}

async fn transactions(client: &Client, options: &Options) -> Result<(), Box<dyn Error>> {
    let mut config = config(options)?;
    config.transactional_id = Some(format!("bench-{}", std::process::id()));
    let producer = TransactionalProducer::new(client, config)?;
    producer.init().await?;
    let value = value(options.size);
    let record = ProducerRecord::new(&options.topic).value(&value);
    for _ in 0..options.records.div_ceil(1000) {
        let transaction = producer.transaction()?;
        for _ in 0..1000 {
            transaction.send(record).await?;
        }
        transaction.commit().await?;
    }
    Ok(producer.close(Duration::from_secs(10)).await?)
}

async fn consume(client: &Client, options: &Options) -> Result<(), Box<dyn Error>> {
    let topic = client.topic(&options.topic, Instant::now() + Duration::from_secs(30)).await?;
    let partitions: Vec<_> =
        topic.partitions.iter().map(|p| TopicPartition::new(options.topic.as_str(), p.index)).collect();
    let specs = partitions.iter().map(|tp| (tp.clone(), OffsetSpec::Latest)).collect();
    let ends = Admin::new(client).list_offsets(&specs, IsolationLevel::ReadUncommitted).await;
    let available: i64 = ends.values().filter_map(|end| end.as_ref().ok()?.offset).sum();
    if u64::try_from(available)? < options.records {
        return Err(format!("{} has only {available} records: run `produce` first", options.topic).into());
    }
    let mut config = ConsumerConfig::default();
    config.max_poll_records = 50_000;
    config.max_partition_fetch_bytes = 4 << 20;
    let consumer = Consumer::new(client, config)?;
    consumer.assign(partitions.into_iter().map(|tp| (tp, StartOffset::Earliest)));
    let (mut seen, mut bytes) = (0, 0);
    while seen < options.records {
        for partition in &consumer.poll(Duration::from_secs(1)).await? {
            for record in partition {
                bytes += record?.value.map_or(0, <[u8]>::len);
                seen += 1;
            }
        }
    }
    println!("{bytes} bytes of values");
    consumer.close().await;
    Ok(())
}

async fn latency(client: &Client, options: &Options) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut config = config(options)?;
    config.linger = Duration::ZERO;
    let producer = Producer::new(client, config)?;
    let value = value(options.size);
    let record = ProducerRecord::new(&options.topic).value(&value);
    let mut latencies = Vec::new();
    for _ in 0..options.records.min(100_000) {
        let started = Instant::now();
        producer.send(record).await?.await?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}

/// What a run costs.
struct Run {
    what: String,
    records: u64,
    started: Instant,
    cpu: Duration,
}

impl Run {
    fn begin(options: &Options) -> Self {
        let what = format!("{:?}", options.what).to_lowercase();
        Self { what, records: options.records, started: Instant::now(), cpu: cpu_time() }
    }

    fn report(self, mut latencies: Vec<Duration>) -> Result<(), Box<dyn Error>> {
        let records = if latencies.is_empty() { self.records as f64 } else { latencies.len() as f64 };
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = records / seconds;
        let cpu = (cpu_time() - self.cpu).as_secs_f64() * 1e6 / records;
        let rss = peak_rss_kib()? as f64 / 1024.0;
        println!("{}: {rate:.0} records/s, {cpu:.3} CPU µs/record, peak RSS {rss:.1} MB", self.what);
        let mut percentiles = String::new();
        if !latencies.is_empty() {
            latencies.sort_unstable();
            let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
            println!("latency: p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms", at(0.5), at(0.99), at(0.999));
            percentiles = format!(",\"p50_ms\":{:.3},\"p99_ms\":{:.3},\"p999_ms\":{:.3}", at(0.5), at(0.99), at(0.999));
        }
        println!(
            "{{\"what\":\"{}\",\"records\":{records},\"seconds\":{seconds:.3},\"rate\":{rate:.0},\"cpu_us\":{cpu:.4},\"rss_mb\":{rss:.1}{percentiles}}}",
            self.what
        );
        Ok(())
    }
}

/// User and system time of this process, in hundredths of a second as the kernel counts them.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn peak_rss_kib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel tells no peak memory")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
