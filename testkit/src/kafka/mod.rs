//! Real Apache Kafka in Docker containers, any version from 0.10 on, one node or several.
//!
//! The containers use the host's network on loopback, with ports that were free a moment ago. Everything is removed when
//! the [`Kafka`] goes, also when a test panics.
mod docker;
mod node;
mod ports;
mod security;
mod tools;

pub use docker::DockerError;
pub use node::Node;
pub use security::{Listener, Security};
pub use tools::{RunningTool, Tool, ToolOutput};

use std::time::Duration;

use crate::proxy::Proxy;

/// How long a node may take to become ready on a busy machine.
const BOOT: Duration = Duration::from_secs(120);

/// A running cluster.
#[derive(Debug)]
pub struct Kafka {
    nodes: Vec<Node>,
    proxy: Option<Proxy>,
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
    security: Option<Security>,
    proxied: bool,
    dynamic_quorum: bool,
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
            security: None,
            proxied: false,
            dynamic_quorum: false,
        }
    }

    /// The addresses of all nodes, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Node::address).collect::<Vec<_>>().join(",")
    }

    /// The addresses of one listener of all nodes.
    ///
    /// # Panics
    /// When the cluster was started without [`KafkaBuilder::security`] and the listener is not `Plaintext`.
    pub fn bootstrap_of(&self, listener: Listener) -> String {
        self.nodes.iter().map(|node| node.address_of(listener)).collect::<Vec<_>>().join(",")
    }

    /// The addresses of the controllers of all nodes, for `bootstrap.controllers`.
    ///
    /// # Panics
    /// Before 3.3.
    pub fn controllers(&self) -> String {
        self.nodes.iter().map(Node::controller_address).collect::<Vec<_>>().join(",")
    }

    /// What stands before the nodes: link `i` before the node `i + 1`.
    ///
    /// # Panics
    /// When the cluster was started without [`KafkaBuilder::proxied`].
    pub fn proxy(&self) -> &Proxy {
        match &self.proxy {
            Some(proxy) => proxy,
            None => panic!("there is no proxy; see KafkaBuilder::proxied"),
        }
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

    /// Opens all of [`Listener::ALL`] on every node; 2.7 or newer, which read PEM.
    pub fn security(mut self, security: Security) -> Self {
        self.security = Some(security);
        self
    }

    /// Puts a fault proxy between the nodes and their clients. The nodes advertise it themselves, and talk to each other
    /// past it. For versions from 3.3 on, without [`security`](Self::security). Clients use `proxy().bootstrap()`.
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// The controllers' voters can be changed (KIP-853): the first node alone votes, the others' controllers follow it. For
    /// versions from 3.9 on.
    pub fn dynamic_quorum(mut self) -> Self {
        self.dynamic_quorum = true;
        self
    }

    /// Starts the nodes and waits until each is ready. The image is built when it is not there.
    ///
    /// # Errors
    /// When Docker does not answer, the image cannot be built, or a node does not become ready; with its log's end.
    pub async fn start(self) -> Result<Kafka, DockerError> {
        docker::ensure_image(&self.version).await?;
        let mut attempts = 3;
        loop {
            attempts -= 1;
            match self.start_once().await {
                // Another process was faster with one of the ports.
                Err(DockerError::NotReady { log, .. }) if attempts > 0 && log.contains("Address already in use") => {}
                result => return result,
            }
        }
    }

    async fn start_once(&self) -> Result<Kafka, DockerError> {
        let places = self.places()?;
        let proxy = if self.proxied { Some(self.proxy(&places).await?) } else { None };
        let voters: Vec<_> =
            (1..).zip(&places).map(|(id, place): (i32, _)| format!("{id}@127.0.0.1:{}", place.controller)).collect();
        let quorum = self.quorum(&places);
        let mut nodes = Vec::new();
        for (index, place) in places.into_iter().enumerate() {
            let id = index as i32 + 1;
            let advertised = proxy.as_ref().map(|proxy| proxy.link(index).address());
            let mut properties = self.all_properties(&place, advertised);
            properties.extend(quorum.clone());
            let environment = [
                ("NODE_ID", id.to_string()),
                ("PORT", place.clients[0].1.to_string()),
                ("CONTROLLER_PORT", place.controller.to_string()),
                ("VOTERS", voters.join(",")),
                ("HEAP", self.heap.clone()),
                ("PROPERTIES", properties.join("\n")),
                ("FORMAT_ARGS", self.all_format_args(index == 0)),
            ];
            let controller = has_controllers(&self.version).then_some(place.controller);
            nodes.push(Node::start(id, place.clients, controller, &self.version, &environment).await?);
        }
        for node in &nodes {
            node.wait_ready(BOOT).await?;
        }
        Ok(Kafka { nodes, proxy })
    }

    fn places(&self) -> Result<Vec<Place>, DockerError> {
        let listeners = if self.security.is_some() { &Listener::ALL[..] } else { &[Listener::Plaintext] };
        let mut ports = ports::free(self.nodes * (listeners.len() + 2))?.into_iter();
        let mut port = || ports.next().unwrap_or_default();
        let place = |_| Place {
            controller: port(),
            internal: port(),
            clients: listeners.iter().map(|&listener| (listener, port())).collect(),
        };
        Ok((0..self.nodes).map(place).collect())
    }

    async fn proxy(&self, places: &[Place]) -> Result<Proxy, DockerError> {
        let upstreams: Vec<_> = places.iter().map(|place| format!("127.0.0.1:{}", place.clients[0].1)).collect();
        Ok(Proxy::start(&upstreams.join(",")).await?)
    }

    fn all_properties(&self, place: &Place, advertised: Option<String>) -> Vec<String> {
        let replicas = self.nodes.min(3);
        let mut lines = if replicas > 1 { replicated(replicas) } else { Vec::new() };
        if let Some(security) = &self.security {
            let controller = has_controllers(&self.version).then_some(place.controller);
            lines.extend(security.properties(&place.clients, controller));
        } else if let Some(proxy) = advertised {
            let (controller, internal, client) = (place.controller, place.internal, place.clients[0].1);
            let at = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
            let (inner, outer) = (at("INTERNAL", internal), at("PLAINTEXT", client));
            lines.push(format!("listeners={outer},{inner},{}", at("CONTROLLER", controller)));
            lines.push(format!("advertised.listeners=PLAINTEXT://{proxy},{inner}"));
            lines.push(
                "listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
            );
            lines.push("inter.broker.listener.name=INTERNAL".to_owned());
        }
        lines.extend(self.properties.iter().cloned());
        lines
    }

    /// What takes the place of the voters in the images' start script.
    fn quorum(&self, places: &[Place]) -> Vec<String> {
        let first = places.first().filter(|_| self.dynamic_quorum);
        let servers = |place: &Place| format!("controller.quorum.bootstrap.servers=127.0.0.1:{}", place.controller);
        first.map(|place| vec!["controller.quorum.voters=".to_owned(), servers(place)]).unwrap_or_default()
    }

    fn all_format_args(&self, is_first: bool) -> String {
        let users = self.security.as_ref().map(Security::format_args).unwrap_or_default();
        let quorum = match (self.dynamic_quorum, is_first) {
            (false, _) => "",
            (true, true) => "--standalone",
            (true, false) => "--no-initial-controllers",
        };
        format!("{} {users} {quorum}", self.format_args)
    }
}

/// Since 3.3 nodes run without ZooKeeper here, as in the images' start script.
fn has_controllers(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (3, 3)
}

/// The ports of a node.
struct Place {
    controller: u16,
    /// Where nodes talk to each other when clients come through a proxy.
    internal: u16,
    clients: Vec<(Listener, u16)>,
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
