//! Kafka's own command line programs, run in a container.
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

use super::docker::{DockerError, ensure_image, remove};

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

/// A program that runs in the background; it is ended when this is dropped.
#[derive(Debug)]
pub struct RunningTool {
    container: String,
    child: Child,
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
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(RunningTool { container, child, _config: config })
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

fn write_file(lines: &str) -> std::io::Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), lines)?;
    Ok(file)
}
