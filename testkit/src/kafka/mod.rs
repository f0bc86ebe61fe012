//! Real Apache Kafka in Docker containers, any version from 0.10 on, one node or several.
//!
//! The containers use the host's network on loopback, with ports that were free a moment ago. Everything is removed when
//! the [`Kafka`] goes, also when a test panics.
mod docker;
mod node;
mod tools;

pub use docker::DockerError;
pub use node::Node;
pub use tools::{RunningTool, Tool, ToolOutput};

use std::net::TcpListener;
use std::time::Duration;

/// How long a node may take to become ready on a busy machine.
const BOOT: Duration = Duration::from_secs(120);

/// A running cluster.
#[derive(Debug)]
pub struct Kafka {
    nodes: Vec<Node>,
}

/// What cluster to start.
#[derive(Clone, Debug)]
#[must_use = "nothing runs until `start`"]
pub struct KafkaBuilder {
    version: String,
    nodes: usize,
    heap: String,
    properties: Vec<String>,
    format_args: String,
}

impl Kafka {
    /// One node of 4.4.0, unless told otherwise.
    pub fn builder() -> KafkaBuilder {
        KafkaBuilder {
            version: "4.4.0".to_owned(),
            nodes: 1,
            heap: "256m".to_owned(),
            properties: Vec::new(),
            format_args: String::new(),
        }
    }

    /// The addresses of all nodes, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Node::address).collect::<Vec<_>>().join(",")
    }

    /// The nodes in the order of their ids, which start at 1.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with this id.
    pub fn node(&self, id: i32) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id() == id)
    }
}

impl KafkaBuilder {
    /// The version, such as `2.8.2`.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// The number of nodes; more than one needs 3.3 or newer. Topics then have three replicas by default.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// The heap of each node, such as `384m`.
    pub fn heap(mut self, heap: &str) -> Self {
        heap.clone_into(&mut self.heap);
        self
    }

    /// A line of `server.properties`. The last one for a key wins.
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push(format!("{key}={value}"));
        self
    }

    /// Arguments for `StorageTool format`, such as `--feature transaction.version=1`.
    pub fn format_args(mut self, args: &str) -> Self {
        args.clone_into(&mut self.format_args);
        self
    }

    /// Starts the nodes and waits until each is ready. The image is built when it is not there.
    ///
    /// # Errors
    /// When Docker does not answer, the image cannot be built, or a node does not become ready; with its log's end.
    pub async fn start(mut self) -> Result<Kafka, DockerError> {
        docker::ensure_image(&self.version).await?;
        let ports = free_ports(self.nodes * 2)?;
        let (client, controller) = ports.split_at(self.nodes);
        let voters: Vec<_> = controller.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}")).collect();
        let replicas = self.nodes.min(3);
        if replicas > 1 {
            self.properties.splice(0..0, replicated(replicas));
        }
        let mut nodes = Vec::new();
        for (id, (port, controller)) in (1..).zip(client.iter().zip(controller)) {
            let environment = [
                ("NODE_ID", i32::to_string(&id)),
                ("PORT", port.to_string()),
                ("CONTROLLER_PORT", controller.to_string()),
                ("VOTERS", voters.join(",")),
                ("HEAP", self.heap.clone()),
                ("PROPERTIES", self.properties.join("\n")),
                ("FORMAT_ARGS", self.format_args.clone()),
            ];
            nodes.push(Node::start(id, *port, &self.version, &environment).await?);
        }
        for node in &nodes {
            node.wait_ready(BOOT).await?;
        }
        Ok(Kafka { nodes })
    }
}

/// What makes the inner topics survive the loss of a node, and the loss of a node be seen within seconds.
fn replicated(replicas: usize) -> Vec<String> {
    let least = replicas - 1;
    vec![
        format!("default.replication.factor={replicas}"),
        format!("min.insync.replicas={least}"),
        format!("offsets.topic.replication.factor={replicas}"),
        format!("transaction.state.log.replication.factor={replicas}"),
        format!("transaction.state.log.min.isr={least}"),
        format!("share.coordinator.state.topic.replication.factor={replicas}"),
        format!("share.coordinator.state.topic.min.isr={least}"),
        "broker.session.timeout.ms=6000".to_owned(),
        "broker.heartbeat.interval.ms=1000".to_owned(),
    ]
}

fn free_ports(count: usize) -> Result<Vec<u16>, DockerError> {
    // All are held until all are chosen, so that none comes twice.
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    Ok(listeners.iter().map(|l| l.local_addr().map(|a| a.port())).collect::<Result<_, _>>()?)
}
