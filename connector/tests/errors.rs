//! What a user reads when something is wrong: one paragraph that says what to do, and an exit code that is not 0.
#![allow(clippy::disallowed_methods, reason = "a test drives")]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{pipeline, run};
use ottla_testkit::Broker;

async fn broker() -> Broker {
    Broker::builder().topic("events", 3).topic("counts", 2).start().await.expect("a broker")
}

const LIMIT: Duration = Duration::from_secs(60);

/// Runs the example, which fails; what it says.
async fn failure(args: Vec<String>) -> String {
    let ended = run(args, LIMIT).await;
    assert_eq!(ended.status.and_then(|status| status.code()), Some(1), "{ended}");
    let error = ended.stderr.lines().find_map(|line| line.strip_prefix("error: "));
    error.unwrap_or_else(|| panic!("no error in {ended}")).to_owned()
}

fn args(bootstrap: &str, directory: &Path, more: &[&str]) -> Vec<String> {
    let directory = directory.to_str().expect("a path");
    let fixed = ["--bootstrap", bootstrap, "--checkpoint-dir", directory, "--checkpoint-interval", "100ms"];
    fixed.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
}

fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bootstrap_address() {
    let directory = tempfile::tempdir().expect("a directory");
    let error = failure(args("127.0.0.1:1", directory.path(), &["--bounded"])).await;
    says(&error, &["127.0.0.1:1", "refused", "check that bootstrap.servers names a running broker's host and port"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist() {
    let (broker, directory) = (broker().await, tempfile::tempdir().expect("a directory"));
    for (option, which) in [("--input", "input topic"), ("--output", "output topic")] {
        let error = failure(args(&broker.bootstrap(), directory.path(), &["--bounded", option, "nowhere"])).await;
        says(&error, &[which, "nowhere", "does not exist", "Create it"]);
    }
    assert!(broker.offsets("nowhere", 0).is_none(), "it was not created either");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_checkpoint_file() {
    let (broker, directory) = (broker().await, tempfile::tempdir().expect("a directory"));
    let arguments = args(&broker.bootstrap(), directory.path(), &["--bounded"]);
    let first = run(arguments.clone(), LIMIT).await;
    assert!(first.success(), "{first}");
    let files = std::fs::read_dir(directory.path()).expect("the directory").map(|e| e.expect("an entry").path());
    let newest = files.filter(|f| f.extension().is_some_and(|e| e == "ottla")).max().expect("a checkpoint");
    let mut bytes = std::fs::read(&newest).expect("the checkpoint");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, &bytes).expect("to damage it");
    let error = failure(arguments).await;
    says(&error, &[newest.to_str().expect("a path"), "checksum", "restore an earlier one"]);
    assert_eq!(std::fs::read(&newest).expect("the checkpoint"), bytes, "it is left for whoever wants to look at it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_directory() {
    let (broker, directory) = (broker().await, tempfile::tempdir().expect("a directory"));
    let arguments = args(&broker.bootstrap(), directory.path(), &[]);
    let mut first = pipeline(&arguments).spawn().expect("the first");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !directory.path().join("job.meta").exists() {
        assert!(Instant::now() < deadline, "the first does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = failure(arguments).await;
    first.kill().expect("to end the first");
    first.wait().expect("the first ended");
    says(&error, &[directory.path().to_str().expect("a path"), "another process", "stop that process first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_timeout_above_the_brokers_limit() {
    let directory = tempfile::tempdir().expect("a directory");
    let builder = Broker::builder().topic("events", 3).topic("counts", 2);
    let broker = builder.transaction_max_timeout(Duration::from_secs(900)).start().await.expect("a broker");
    let long = ["--bounded", "--transaction-timeout", "60m"];
    let error = failure(args(&broker.bootstrap(), directory.path(), &long)).await;
    let numbers = "transaction.timeout.ms=3600000 exceeds the broker's transaction.max.timeout.ms=900000";
    says(&error, &[numbers, "Nothing was written", "Set transaction.timeout.ms to at most the broker's limit"]);
    assert_eq!(broker.offsets("counts", 0), Some((0, 0)));
}
