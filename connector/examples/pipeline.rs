//! The main job: reads events from a topic, counts them per key in windows of event time, writes the counts exactly once.
//!
//! ```text
//! cargo run --release -p ottla-connector --example pipeline
//! cargo run --release -p ottla-connector --example pipeline -- --bootstrap localhost:9092 --input events --output counts
//! ```
#![allow(clippy::disallowed_methods, reason = "a program, not a machine")]

#[path = "pipeline/count.rs"]
mod count;
#[path = "pipeline/fill.rs"]
mod fill;
#[path = "pipeline/job.rs"]
mod job;
#[path = "pipeline/options.rs"]
mod options;
#[path = "pipeline/progress.rs"]
mod progress;
#[path = "pipeline/verify.rs"]
mod verify;

use std::error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use ottla_client::{Admin, Client, ClientConfig, ErrorCode};
use ottla_connector::{
    CheckpointConfig, DeliveryGuarantee, KafkaRecord, KafkaSinkBuilder, KafkaSourceBuilder, Pipeline, StartOffsets,
    StopOffsets, WatermarkStrategy,
};
use ottla_testkit::Broker;

use crate::count::Event;
use crate::job::{CountEvents, write_count};
use crate::options::Options;
use crate::progress::Progress;

const JOB: &str = "pipeline";

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    let options = Options::parse();
    let ended = match options.bootstrap.clone() {
        Some(bootstrap) => run_on(&options, &bootstrap).await,
        None => run_on_own_broker(options).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts a broker, fills it, runs to the end and checks the output.
async fn run_on_own_broker(mut options: Options) -> Result<(), Box<dyn Error>> {
    let builder = Broker::builder().nodes(3).topic(&options.input, 6).topic(&options.output, 4);
    let broker = builder.start().await?;
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await?;
    eprintln!("filling {} with {} events", options.input, options.records);
    fill::fill(&client, &options.input, options.records).await?;
    let directory = tempfile::tempdir()?;
    options.checkpoint_dir.get_or_insert_with(|| directory.path().to_owned());
    (options.bounded, options.verify) = (true, true);
    run_on(&options, &broker.bootstrap()).await
}

async fn run_on(options: &Options, bootstrap: &str) -> Result<(), Box<dyn Error>> {
    let mut config = ClientConfig::new(bootstrap);
    config.client_id = JOB.to_owned();
    let client = Client::connect(config.clone()).await?;
    check_topics(&client, options).await?;
    let window = i64::try_from(options.window.as_millis())?.max(1);
    run_job(options, config, window).await?;
    if !options.verify {
        return Ok(());
    }
    let verdict = verify::verify(&client, &options.input, &options.output, window).await?;
    println!("{verdict}");
    if verdict.holds() { Ok(()) } else { Err("the output is not what the input says".into()) }
}

/// How long a topic may be unknown: the broker that is asked may not have heard yet of one that was just created.
const TOPIC_SETTLES: Duration = Duration::from_secs(5);

/// A topic that does not exist is no reason to wait for long, nor to create one by a typing error.
async fn check_topics(client: &Client, options: &Options) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + TOPIC_SETTLES;
    while let Some(name) = missing_topic(client, options).await? {
        if Instant::now() >= deadline {
            let which = if name == options.input { "input" } else { "output" };
            return Err(format!(
                "the {which} topic {name} does not exist on this cluster. Nothing was read or written. Create it \
                 (kafka-topics.sh --create --topic {name} --partitions 6), or name another with --{which}"
            )
            .into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn missing_topic(client: &Client, options: &Options) -> Result<Option<String>, Box<dyn Error>> {
    let names = [options.input.as_str(), options.output.as_str()];
    for (name, described) in Admin::new(client).describe_topics(&names).await? {
        match described {
            Ok(_) => {}
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => return Ok(Some(name)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

async fn run_job(options: &Options, config: ClientConfig, window: i64) -> Result<(), Box<dyn Error>> {
    let mut source = KafkaSourceBuilder::new(config.clone())
        .topics([options.input.as_str()])
        .start(StartOffsets::Earliest)
        .watermarks(WatermarkStrategy::bounded_out_of_orderness(options.out_of_orderness));
    if options.bounded {
        source = source.bounded(StopOffsets::LatestAtStart);
    }
    let source = source.build(|record: &KafkaRecord<'_>| {
        let time = record.timestamp().unwrap_or_default();
        Ok(Some(Event { partition: record.partition(), key: record.key().unwrap_or_default().into(), time }))
    })?;
    let mut sink = KafkaSinkBuilder::new(config).topic(&options.output).guarantee(DeliveryGuarantee::ExactlyOnce);
    if let Some(timeout) = options.transaction_timeout {
        sink = sink.transaction_timeout(timeout);
    }
    let directory = options.checkpoint_dir.clone().unwrap_or_else(|| "ottla-checkpoints".into());
    let mut checkpoints = CheckpointConfig::default();
    checkpoints.interval = options.checkpoint_interval;
    let pipeline = Pipeline::new(JOB, source, move |job| CountEvents::new(job, window), sink.build(write_count)?)
        .parallelism(options.parallelism)
        .checkpoints(checkpoints)
        .checkpoint_directory(directory)?
        .stop_on_signals();
    let handle = pipeline.handle();
    let progress = tokio::spawn(progress::show(Progress::new(), handle.clone()));
    let ended = pipeline.run().await;
    progress.abort();
    // Its last line ends before the verdict begins.
    let _ = progress.await;
    ended?;
    let status = handle.status();
    let (read, written) = (status.records_in, status.records_out);
    let checkpoint = status.last_checkpoint.map_or_else(|| "none".to_owned(), |id| id.to_string());
    eprintln!(
        "ended in order: {read} read, {written} written, last checkpoint {checkpoint}; started again it goes on there"
    );
    Ok(())
}
