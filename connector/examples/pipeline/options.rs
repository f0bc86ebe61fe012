//! The command line.
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Counts events per key in windows of event time, from one Kafka topic to another, exactly once.
///
/// Without --bootstrap it starts a broker of its own, fills the input topic, runs to the end and checks the output.
/// Ctrl-C ends it with a last checkpoint; started again with the same directory it goes on, with any parallelism.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// The cluster, as host:port[,host:port]. Default: a broker in this process.
    #[arg(long)]
    pub(crate) bootstrap: Option<String>,
    /// The topic to read.
    #[arg(long, default_value = "events")]
    pub(crate) input: String,
    /// The topic to write; it must exist.
    #[arg(long, default_value = "counts")]
    pub(crate) output: String,
    /// How many subtasks read and write.
    #[arg(long, default_value_t = 4)]
    pub(crate) parallelism: u32,
    /// Where checkpoints are kept. Default: ./ottla-checkpoints, or a temporary directory without --bootstrap.
    #[arg(long)]
    pub(crate) checkpoint_dir: Option<PathBuf>,
    /// From one checkpoint to the next, such as 500ms or 10s.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(crate) checkpoint_interval: Duration,
    /// The length of a window.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(crate) window: Duration,
    /// How much later than its successors an event may come.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(crate) out_of_orderness: Duration,
    /// The broker aborts output that is not committed for so long. Default: an hour, or the broker's limit.
    #[arg(long, value_parser = duration)]
    pub(crate) transaction_timeout: Option<Duration>,
    /// End at what the input holds now.
    #[arg(long)]
    pub(crate) bounded: bool,
    /// Afterwards read both topics and compare them.
    #[arg(long)]
    pub(crate) verify: bool,
    /// How many events to fill the input with, without --bootstrap.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) records: u64,
}

/// A number with ms, s or m.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| format!("{text} is not a duration: write 500ms, 10s or 5m"))?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(format!("{text} is not a duration: write 500ms, 10s or 5m")),
    }
}
