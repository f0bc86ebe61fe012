//! One broker in its container, and the things that can be done to it.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::docker::{DockerError, docker, remove};
use super::security::Listener;

/// A broker. Its data lives as long as this value, also over [`kill`](Self::kill) and [`restart`](Self::restart).
#[derive(Debug)]
pub struct Node {
    id: i32,
    ports: Vec<(Listener, u16)>,
    controller: Option<u16>,
    container: String,
    /// How often it was started: each start prints a ready line of its own.
    starts: AtomicUsize,
}

impl Node {
    pub(super) async fn start(
        id: i32,
        ports: Vec<(Listener, u16)>,
        controller: Option<u16>,
        version: &str,
        environment: &[(&str, String)],
    ) -> Result<Self, DockerError> {
        let pairs: Vec<_> = environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let image = format!("ottla/kafka:{version}");
        let mut args = vec!["run", "-d", "--network", "host"];
        args.extend(pairs.iter().flat_map(|pair| ["-e", pair]));
        args.push(&image);
        let container = docker(&args).await?.trim().to_owned();
        Ok(Self { id, ports, controller, container, starts: AtomicUsize::new(1) })
    }

    /// Its number in the cluster.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Where it listens for clients without TLS and SASL.
    pub fn address(&self) -> String {
        self.address_of(Listener::Plaintext)
    }

    /// Where it has this listener.
    ///
    /// # Panics
    /// When it does not have it.
    pub fn address_of(&self, listener: Listener) -> String {
        match self.ports.iter().find(|(known, _)| *known == listener) {
            Some((_, port)) => format!("127.0.0.1:{port}"),
            None => panic!("node {} has no listener {listener:?}; see KafkaBuilder::security", self.id),
        }
    }

    /// Where its controller listens.
    ///
    /// # Panics
    /// When it has none, as before 3.3.
    pub fn controller_address(&self) -> String {
        match self.controller {
            Some(port) => format!("127.0.0.1:{port}"),
            None => panic!("node {} has no controller: its version runs with ZooKeeper here", self.id),
        }
    }

    /// Waits until the broker says that it has started.
    ///
    /// # Errors
    /// [`DockerError::NotReady`] when it has ended, or has not started within `limit`.
    pub async fn wait_ready(&self, limit: Duration) -> Result<(), DockerError> {
        let started = Instant::now();
        let deadline = started + limit;
        loop {
            let log = self.logs().await?;
            if log.lines().filter(|line| is_ready(line)).count() >= self.starts.load(Ordering::Relaxed) {
                return Ok(());
            }
            if Instant::now() > deadline || !self.runs().await? {
                let lines: Vec<_> = log.lines().collect();
                let log = lines[lines.len().saturating_sub(40)..].join("\n");
                return Err(DockerError::NotReady { node: self.id, seconds: started.elapsed().as_secs(), log });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn runs(&self) -> Result<bool, DockerError> {
        Ok(docker(&["inspect", "-f", "{{.State.Running}}", &self.container]).await?.trim() == "true")
    }

    /// Ends it with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// When Docker refuses, as for a node that is down.
    pub async fn kill(&self) -> Result<(), DockerError> {
        docker(&["kill", &self.container]).await.map(drop)
    }

    /// Ends it in an orderly way.
    ///
    /// # Errors
    /// When Docker refuses.
    pub async fn stop(&self) -> Result<(), DockerError> {
        docker(&["stop", "-t", "30", &self.container]).await.map(drop)
    }

    /// Starts it again with the data it had, and does not wait until it is ready.
    ///
    /// # Errors
    /// When Docker refuses.
    pub async fn restart(&self) -> Result<(), DockerError> {
        docker(&["start", &self.container]).await?;
        self.starts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Freezes it: its connections stay and nothing is answered.
    ///
    /// # Errors
    /// When Docker refuses.
    pub async fn pause(&self) -> Result<(), DockerError> {
        docker(&["pause", &self.container]).await.map(drop)
    }

    /// Thaws it.
    ///
    /// # Errors
    /// When Docker refuses.
    pub async fn unpause(&self) -> Result<(), DockerError> {
        docker(&["unpause", &self.container]).await.map(drop)
    }

    /// All that it has printed.
    ///
    /// # Errors
    /// When Docker refuses.
    pub async fn logs(&self) -> Result<String, DockerError> {
        docker(&["logs", &self.container]).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        remove(&self.container);
    }
}

/// The line that each version prints when it can be used.
fn is_ready(line: &str) -> bool {
    line.contains("Kafka Server started")
        || (line.contains("[Kafka") && line.contains("erver ") && line.contains("started") && line.contains(']'))
}

#[cfg(test)]
mod tests {
    use super::is_ready;

    #[test]
    fn the_ready_line_of_every_era_is_known() {
        for line in [
            "14:19:46.145 [main] INFO kafka.server.KafkaRaftServer - [KafkaRaftServer nodeId=1] Kafka Server started",
            "14:19:45.629 [main] INFO kafka.server.KafkaServer - [KafkaServer id=1] started",
            "14:19:45.629 [main] INFO kafka.server.KafkaServer - [Kafka Server 1], started",
        ] {
            assert!(is_ready(line), "{line}");
        }
        assert!(!is_ready("[main] INFO kafka.server.KafkaServer - starting"));
        assert!(!is_ready("[BrokerServer id=1] Transition from STARTING to STARTED"));
    }
}
