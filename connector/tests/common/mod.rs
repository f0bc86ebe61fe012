//! Running the example as its users do: as a process of its own.
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The example's binary: the one that `PIPELINE_EXAMPLE` names, else built as the tests are.
pub(crate) fn example() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(named) = std::env::var_os("PIPELINE_EXAMPLE") {
            return named.into();
        }
        let tests = std::env::current_exe().expect("a test binary");
        let profile = tests.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "-q", "-p", "ottla-connector", "--example", "pipeline"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo").success(), "the example does not build");
        profile.join("examples/pipeline")
    })
}

/// The example with these arguments, to be started.
pub(crate) fn pipeline(args: &[String]) -> Command {
    let mut command = Command::new(example());
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// How a run ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: it did not end in time and was killed.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}\n{}\n{}", self.status, self.stdout, self.stderr)
    }
}

/// Runs the example to its end.
pub(crate) async fn run(args: Vec<String>, limit: Duration) -> Ended {
    tokio::task::spawn_blocking(move || run_blocking(&args, limit)).await.expect("it runs")
}

fn run_blocking(args: &[String], limit: Duration) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| directory.path().join(name));
    let mut command = pipeline(args);
    command.stdout(File::create(&stdout).expect("a file")).stderr(File::create(&stderr).expect("a file"));
    let mut child = command.spawn().expect("the example starts");
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait().expect("the example") {
            Some(status) => break Some(status),
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            None => {
                child.kill().expect("to kill it");
                child.wait().expect("it ended");
                break None;
            }
        }
    };
    let [stdout, stderr] = [stdout, stderr].map(|file| std::fs::read_to_string(file).expect("what it printed"));
    Ended { status, stdout, stderr }
}
