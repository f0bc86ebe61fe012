//! Running the example as its users do: as a process of its own.
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The example's binary, built as the tests are.
pub(crate) fn example() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
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
pub(crate) fn pipeline(args: &[&str]) -> Command {
    let mut command = Command::new(example());
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the example to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    pipeline(args).output().expect("the example runs")
}

/// What it printed, for failures of a test.
pub(crate) fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{:?}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}
