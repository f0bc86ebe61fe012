//! Kafka's own command line programs, run in a container.
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::process::{Child, Command};

use super::docker::{DockerError, ensure_image, remove};

/// The package of the programs.
const PACKAGE: &str = "org.apache.kafka.tools";
const IMAGE: &str = "ottla/kafka-tools:4.3.1";

/// One of Kafka's programs, such as `VerifiableProducer` or `consumer.ConsoleConsumer`.
#[derive(Clone, Debug)]
#[must_use = "nothing runs until `run` or `spawn`"]
pub struct Tool {
    class: String,
    args: Vec<String>,
}

/// What a program printed and how it ended.
#[derive(Clone, Debug)]
pub struct ToolOutput {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether it ended with 0.
    pub success: bool,
}

/// A program that runs in the background; it is ended when this is dropped.
#[derive(Debug)]
pub struct RunningTool {
    container: String,
    child: Child,
}

impl Tool {
    /// The program `class` of `org.apache.kafka.tools`.
    pub fn new(class: &str) -> Self {
        Self { class: format!("{PACKAGE}.{class}"), args: Vec::new() }
    }

    /// Adds arguments.
    pub fn args<S: ToString>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.to_string()));
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When Docker cannot run it. How the program itself ended is in the output.
    pub async fn run(self) -> Result<ToolOutput, DockerError> {
        let running = self.spawn().await?;
        running.wait().await
    }

    /// Starts it.
    ///
    /// # Errors
    /// When Docker cannot run it.
    pub async fn spawn(self) -> Result<RunningTool, DockerError> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        ensure_image("tools").await?;
        let container = format!("ottla-tool-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let child = Command::new("docker")
            .args(["run", "--rm", "--network", "host", "--name", &container, IMAGE, &self.class])
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(RunningTool { container, child })
    }
}

impl RunningTool {
    /// Waits for its end.
    ///
    /// # Errors
    /// When its output cannot be read.
    pub async fn wait(self) -> Result<ToolOutput, DockerError> {
        let output = self.child.wait_with_output().await?;
        Ok(ToolOutput {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            success: output.status.success(),
        })
    }

    /// Ends it now.
    pub fn kill(self) {
        remove(&self.container);
    }
}
