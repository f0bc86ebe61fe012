//! Kafka's own command line programs, run in a container.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::docker::{DockerError, docker, ensure_image, remove};

/// The package of the programs.
const PACKAGE: &str = "org.apache.kafka.tools";
const IMAGE: &str = "ottla/kafka-tools:4.3.1";
/// Where a program finds [`Tool::config`] in its container.
const CONFIG: &str = "/client.properties";

/// One of Kafka's programs, such as `VerifiableProducer` or `consumer.ConsoleConsumer`.
#[derive(Clone, Debug)]
#[must_use = "nothing runs until `run` or `spawn`"]
pub struct Tool {
    class: String,
    args: Vec<String>,
    config: Option<String>,
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

impl ToolOutput {
    /// The last lines of both outputs, for a message of a failed test.
    pub fn tail(&self) -> String {
        let last = |text: &str| {
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(15)..].join("\n")
        };
        format!("{}\n{}", last(&self.stdout), last(&self.stderr))
    }
}

/// A program that runs in the background; it is ended when this is dropped.
#[derive(Debug)]
pub struct RunningTool {
    container: String,
    child: Child,
    stdout: Collected,
    stderr: Collected,
    /// The program's configuration, which lies in a file as long as it runs.
    _config: Option<NamedTempFile>,
}

impl Tool {
    /// The program `class` of `org.apache.kafka.tools`.
    pub fn new(class: &str) -> Self {
        Self { class: format!("{PACKAGE}.{class}"), args: Vec::new(), config: None }
    }

    /// Adds arguments.
    pub fn args<S: ToString>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.to_string()));
        self
    }

    /// Client settings, the lines of a property file that is given to the program as `--command-config`.
    pub fn config(mut self, lines: &str) -> Self {
        self.config = Some(lines.to_owned());
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
        let config = self.config.map(|lines| write_file(&lines)).transpose()?;
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--network", "host", "--name", &container]);
        if let Some(file) = &config {
            command.arg("-v").arg(format!("{}:{CONFIG}:ro", file.path().display()));
        }
        command.args([IMAGE, &self.class]).args(&self.args);
        if config.is_some() {
            command.args(["--command-config", CONFIG]);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let (stdout, stderr) = (Collected::from(child.stdout.take()), Collected::from(child.stderr.take()));
        Ok(RunningTool { container, child, stdout, stderr, _config: config })
    }
}

impl RunningTool {
    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When its output cannot be read.
    pub async fn wait(mut self) -> Result<ToolOutput, DockerError> {
        let success = self.child.wait().await?.success();
        self.stdout.end().await?;
        self.stderr.end().await?;
        Ok(ToolOutput { stdout: self.stdout.text(), stderr: self.stderr.text(), success })
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// When Docker refuses, as for a program that has ended.
    pub async fn stop(self) -> Result<ToolOutput, DockerError> {
        docker(&["stop", "-t", "60", &self.container]).await?;
        self.wait().await
    }

    /// Ends it now (SIGKILL).
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for RunningTool {
    fn drop(&mut self) {
        // It is gone by itself when it has ended.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            remove(&self.container);
        }
    }
}

/// An output that is read all the time: a program blocks when nobody reads what it prints.
#[derive(Debug, Default)]
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reading: Option<JoinHandle<std::io::Result<()>>>,
}

impl Collected {
    fn from<R: AsyncRead + Unpin + Send + 'static>(output: Option<R>) -> Self {
        let mut collected = Self::default();
        if let Some(mut output) = output {
            let bytes = collected.bytes.clone();
            collected.reading = Some(tokio::spawn(async move {
                let mut read = Vec::with_capacity(8 << 10);
                while output.read_buf(&mut read).await? > 0 {
                    bytes.lock().unwrap_or_else(PoisonError::into_inner).append(&mut read);
                }
                Ok(())
            }));
        }
        collected
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    async fn end(&mut self) -> std::io::Result<()> {
        match self.reading.take() {
            Some(reading) => reading.await.map_err(std::io::Error::other)?,
            None => Ok(()),
        }
    }
}

fn write_file(lines: &str) -> std::io::Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), lines)?;
    Ok(file)
}
