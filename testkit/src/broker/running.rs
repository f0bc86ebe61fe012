#![allow(clippy::disallowed_methods, reason = "spawns the broker's tasks")]
//! \[I/O\] A running embedded broker: what tests look at and what they do to it.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::builder::BrokerBuilder;
use super::denials::Denial;
use super::leadership::{GROUP, TRANSACTION};
use super::rules::RuleBuilder;
use super::server::{self, Shared};

#[derive(Debug)]
struct RunningNode {
    paused: watch::Sender<bool>,
    stop: CancellationToken,
}

/// A Kafka cluster inside this process, on loopback. Dropping it stops it.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    stop: CancellationToken,
    nodes: HashMap<i32, RunningNode>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Broker {
    /// Describes the broker to start.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }

    /// Starts the tasks of a cluster, a listener per node.
    pub(crate) fn run(shared: Arc<Shared>, listeners: Vec<(i32, TcpListener)>) -> Self {
        let mut broker = Self { shared, stop: CancellationToken::new(), nodes: HashMap::new() };
        tokio::spawn(server::clock(broker.shared.clone(), broker.stop.child_token()));
        for (id, listener) in listeners {
            broker.run_node(id, listener);
        }
        broker
    }

    /// Addresses of all nodes: `127.0.0.1:p,127.0.0.1:q`.
    pub fn bootstrap(&self) -> String {
        let cluster = self.shared.cluster();
        let addresses: Vec<_> = cluster.nodes.iter().map(|node| format!("{}:{}", node.host, node.port)).collect();
        addresses.join(",")
    }

    /// Address of one node.
    pub fn address(&self, node: i32) -> Option<String> {
        self.shared.cluster().node(node).map(|node| format!("{}:{}", node.host, node.port))
    }

    fn run_node(&mut self, id: i32, listener: TcpListener) {
        let stop = self.stop.child_token();
        let (paused, receiver) = watch::channel(false);
        tokio::spawn(server::listen(self.shared.clone(), id, listener, receiver, stop.clone()));
        self.nodes.insert(id, RunningNode { paused, stop });
    }

    /// Kills a node: its listener and connections close, its partitions and coordinators move to other nodes where
    /// they can.
    pub fn kill_node(&mut self, id: i32) {
        if let Some(node) = self.nodes.remove(&id) {
            node.stop.cancel();
            self.shared.with(|cluster, _| cluster.node_died(id));
        }
    }

    /// Starts a killed node again on its old port, with its data; resumes it if it was paused.
    ///
    /// # Errors
    /// The port is taken by now, or there is no such node.
    pub async fn restart_node(&mut self, id: i32) -> io::Result<()> {
        if let Some(node) = self.nodes.get(&id) {
            node.paused.send_replace(false);
            return Ok(());
        }
        let port = self.shared.cluster().node(id).map(|node| node.port);
        let port = port.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no node {id}")))?;
        // The killed listener's task closes its socket on its next turn only.
        let mut bound = server::bind(port);
        for _ in 0..100 {
            if bound.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            bound = server::bind(port);
        }
        self.run_node(id, bound?.0);
        self.shared.with(|cluster, _| cluster.node_returned(id));
        Ok(())
    }

    /// Stops a node's time: connections stay open (new ones are accepted by the system), nothing is read or answered
    /// until [`resume_node`](Self::resume_node). Nobody takes over what it leads.
    pub fn pause_node(&self, id: i32) {
        if let Some(node) = self.nodes.get(&id) {
            node.paused.send_replace(true);
        }
    }

    /// Lets a paused node go on.
    pub fn resume_node(&self, id: i32) {
        if let Some(node) = self.nodes.get(&id) {
            node.paused.send_replace(false);
        }
    }

    /// Makes `node` lead a partition; false if there is no such partition or the node is not alive.
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> bool {
        self.shared.with(|cluster, _| cluster.move_leader(topic, partition, node))
    }

    /// The node that leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.shared.cluster().partition(topic, partition).and_then(|partition| partition.leader)
    }

    /// Gives a group's coordination to `node`.
    pub fn move_group_coordinator(&self, group: &str, node: i32) {
        self.shared.with(|cluster, _| cluster.move_coordinator(GROUP, group, node));
    }

    /// Gives a transactional id's coordination to `node`.
    pub fn move_transaction_coordinator(&self, transactional_id: &str, node: i32) {
        self.shared.with(|cluster, _| cluster.move_coordinator(TRANSACTION, transactional_id, node));
    }

    /// The node that coordinates a group.
    pub fn group_coordinator(&self, group: &str) -> Option<i32> {
        self.shared.cluster().coordinator(GROUP, group).map(|node| node.id)
    }

    /// The node that coordinates a transactional id.
    pub fn transaction_coordinator(&self, transactional_id: &str) -> Option<i32> {
        self.shared.cluster().coordinator(TRANSACTION, transactional_id).map(|node| node.id)
    }

    /// Begins a fault rule for requests of one API.
    pub fn on(&self, api: ApiKey) -> RuleBuilder {
        RuleBuilder::new(self.shared.clone(), api)
    }

    /// Denies something to clients, at once and until [`allow_everything`](Self::allow_everything).
    pub fn deny(&self, denial: Denial) {
        Arc::make_mut(&mut self.shared.cluster().denials).push(denial);
    }

    /// Takes back every [`deny`](Self::deny).
    pub fn allow_everything(&self) {
        self.shared.cluster().denials = Arc::default();
    }

    /// From now on every client is over its quota for this API: replies carry `throttle_time_ms` = `delay`, and
    /// nothing more is read from the connection for so long (brokers before 2.0: the reply comes that much later).
    /// Zero ends it.
    pub fn throttle(&self, api: ApiKey, delay: Duration) {
        let quotas = &mut self.shared.cluster().quotas;
        if delay.is_zero() {
            quotas.remove(&(api as i16));
        } else {
            quotas.insert(api as i16, delay);
        }
    }

    /// How many requests of an API have come so far.
    pub fn received(&self, api: ApiKey) -> u64 {
        self.shared.cluster().received(api)
    }

    /// Deletes a topic as an administrator would; false if there is none.
    pub fn delete_topic(&self, name: &str) -> bool {
        self.shared.with(|cluster, _| cluster.delete_topic(name).is_ok())
    }

    /// Moves a partition's log start to `offset`, as retention does.
    pub fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) {
        self.shared.with(|cluster, _| {
            if let Some(partition) = cluster.partition_mut(topic, partition) {
                partition.delete_before(offset);
            }
        });
    }

    /// Compacts a partition's log as `cleanup.policy=compact` does: of each key only the newest record stays. The last
    /// batch and everything from the last stable offset on stay as they are.
    pub fn compact(&self, topic: &str, partition: i32) {
        self.shared.with(|cluster, _| cluster.compact(topic, partition));
    }

    /// Sends readers of a partition from its leader to this replica (KIP-392) while it is in sync; `None` ends it.
    pub fn prefer_replica(&self, topic: &str, partition: i32, replica: Option<i32>) {
        self.shared.with(|cluster, _| {
            if let Some(partition) = cluster.partition_mut(topic, partition) {
                partition.preferred = replica;
            }
            cluster.wake(topic, partition);
        });
    }

    /// Loses the end of a partition's log, as an unclean election does: batches at and after `offset` are gone and
    /// the leader epoch is newer.
    pub fn truncate(&self, topic: &str, partition: i32, offset: i64) {
        self.shared.with(|cluster, _| cluster.truncate(topic, partition, offset));
    }

    /// Log start and log end offset of a partition.
    pub fn offsets(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let cluster = self.shared.cluster();
        let partition = cluster.partition(topic, partition)?;
        Some((partition.log.start_offset(), partition.log.next_offset()))
    }

    /// What clients have pushed of their metrics (KIP-714), oldest first, compressed as it came. Needs
    /// [`telemetry`](BrokerBuilder::telemetry).
    pub fn pushed_metrics(&self) -> Vec<Bytes> {
        self.shared.cluster().client_metrics.pushed.clone()
    }

    /// Offsets a group has committed, by topic and partition.
    pub fn committed(&self, group: &str) -> HashMap<(String, i32), i64> {
        self.shared.cluster().offsets.snapshot(group)
    }

    /// State of a transactional id as DescribeTransactions names it, e.g. `CompleteCommit`.
    pub fn transaction_state(&self, transactional_id: &str) -> Option<&'static str> {
        self.shared.cluster().transactions.describe(transactional_id).map(|transaction| transaction.state.name())
    }
}
