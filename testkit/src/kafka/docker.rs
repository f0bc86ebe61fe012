//! The `docker` command.
//!
//! A client library would bring a hundred crates for the same eight calls, and none of them does what `docker start`
//! does after `docker kill`: the same container with the same data.
use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// Docker, or what runs in it, did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerError {
    /// The command could not be started.
    #[error("cannot run docker: {0}; scripts/setup installs and starts it")]
    Io(#[from] io::Error),
    /// The command failed.
    #[error("`{command}` failed: {stderr}")]
    Failed {
        /// What was run.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// A broker did not become ready.
    #[error("node {node} has ended or is not ready after {seconds} s; its log ends with:\n{log}")]
    NotReady {
        /// The node.
        node: i32,
        /// How long it was waited for.
        seconds: u64,
        /// The last lines it wrote.
        log: String,
    },
}

/// Runs `docker` and returns what it printed, standard error included for `logs`.
pub(super) async fn docker(args: &[&str]) -> Result<String, DockerError> {
    run(Command::new("docker").args(args)).await
}

/// Builds the image of a version unless it is there.
pub(super) async fn ensure_image(version: &str) -> Result<(), DockerError> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka-image");
    run(Command::new(script).arg(version)).await.map(drop)
}

async fn run(command: &mut Command) -> Result<String, DockerError> {
    let output = command.stdin(Stdio::null()).output().await?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(format!("{}{stderr}", String::from_utf8_lossy(&output.stdout)))
    } else {
        let command = format!("{:?}", command.as_std()).replace('"', "");
        Err(DockerError::Failed { command, stderr: stderr.trim().to_owned() })
    }
}

/// Removes a container and its data, without waiting for an executor: this runs when values are dropped.
pub(super) fn remove(container: &str) {
    let removed = std::process::Command::new("docker")
        .args(["rm", "-f", "-v", container])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    match removed {
        Ok(output) if output.status.success() => {}
        Ok(output) => tracing::warn!(container, error = %String::from_utf8_lossy(&output.stderr), "cannot remove"),
        Err(error) => tracing::warn!(container, %error, "cannot remove"),
    }
}
