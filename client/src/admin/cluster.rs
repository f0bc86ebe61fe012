//! The cluster and its controllers.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use ottla_protocol::messages::describe_cluster::DescribeClusterRequest;
use ottla_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, PartitionData, PartitionDataResult, ReplicaState, TopicData,
};
use ottla_protocol::{ApiKey, ErrorCode};
use uuid::Uuid;

use super::Admin;
use super::call::{Target, outcome};
use crate::client::CONTROLLERS;
use crate::error::{Error, Result};
use crate::metadata::Broker;
use crate::types::BrokerId;

/// The topic that the controllers agree through.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: String,
    /// Its controller; with KRaft some broker that passes requests on to it, unless controllers were asked.
    pub controller: Option<BrokerId>,
    /// Its brokers, or its controllers where those were asked.
    pub brokers: Vec<BrokerDescription>,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerDescription {
    /// Its number and where it listens.
    pub broker: Broker,
    /// It is registered, and does not serve.
    pub is_fenced: bool,
}

/// The controllers of a cluster with KRaft.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumDescription {
    /// The controller that leads.
    pub leader: BrokerId,
    /// Grows with each new leader.
    pub leader_epoch: i32,
    /// What a majority has.
    pub high_watermark: i64,
    /// The controllers that vote.
    pub voters: Vec<QuorumReplica>,
    /// Brokers and controllers that only follow.
    pub observers: Vec<QuorumReplica>,
}

/// A copy of the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumReplica {
    /// Whose.
    pub id: BrokerId,
    /// The id of its directory; nil where the broker is too old to tell.
    pub directory_id: Uuid,
    /// How far it is.
    pub log_end_offset: i64,
    /// When it last fetched, in milliseconds since the Unix epoch.
    pub last_fetch: Option<i64>,
    /// When it last had everything.
    pub last_caught_up: Option<i64>,
}

impl Admin {
    /// The cluster as some broker sees it now; with `bootstrap.controllers` its controllers, as the active one sees them.
    /// Brokers 2.8 and newer.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// let cluster = admin.describe_cluster(false).await?;
    /// println!("{} has {} brokers", cluster.cluster_id, cluster.brokers.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`]; when no broker could be asked, or none knows fenced brokers, which need 4.0.
    pub async fn describe_cluster(&self, include_fenced: bool) -> Result<ClusterDescription> {
        let api = ApiKey::DescribeCluster;
        self.once("DescribeCluster", Target::Any, |node| async move {
            let mut request = DescribeClusterRequest { include_fenced_brokers: include_fenced, ..Default::default() };
            if self.client.is_of_controllers() {
                request.endpoint_type = CONTROLLERS;
            }
            let (response, at) = self.send(node, None, |_| request).await?;
            outcome(response.error_code, api, "the cluster", response.error_message, &at)?;
            let brokers = response.brokers.into_iter().map(|broker| BrokerDescription {
                broker: Broker {
                    id: BrokerId(broker.broker_id),
                    host: broker.host,
                    port: u16::try_from(broker.port).unwrap_or_default(),
                    rack: broker.rack,
                },
                is_fenced: broker.is_fenced,
            });
            Ok(ClusterDescription {
                cluster_id: response.cluster_id,
                controller: Some(BrokerId(response.controller_id)).filter(|id| id.0 >= 0),
                brokers: brokers.collect(),
            })
        })
        .await
    }

    /// The controllers and how far they are. Brokers with KRaft.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] with ZooKeeper; [`Error::Broker`].
    pub async fn describe_quorum(&self) -> Result<QuorumDescription> {
        let api = ApiKey::DescribeQuorum;
        self.once("DescribeQuorum", Target::Controller, |node| async move {
            let partition = PartitionData { partition_index: 0 };
            let topic = TopicData { topic_name: METADATA_TOPIC.to_owned(), partitions: vec![partition] };
            let (response, at) = self.send(node, None, |_| DescribeQuorumRequest { topics: vec![topic] }).await?;
            outcome(response.error_code, api, METADATA_TOPIC, response.error_message, &at)?;
            let partition = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
            let missing = || Error::broker(ErrorCode::UnknownServerError, api, METADATA_TOPIC).at(&at);
            let partition = partition.ok_or_else(missing)?;
            outcome(partition.error_code, api, METADATA_TOPIC, partition.error_message.clone(), &at)?;
            Ok(quorum(partition))
        })
        .await
    }
}

fn quorum(partition: PartitionDataResult) -> QuorumDescription {
    let replica = |state: ReplicaState| QuorumReplica {
        id: BrokerId(state.replica_id),
        directory_id: state.replica_directory_id,
        log_end_offset: state.log_end_offset,
        last_fetch: Some(state.last_fetch_timestamp).filter(|time| *time >= 0),
        last_caught_up: Some(state.last_caught_up_timestamp).filter(|time| *time >= 0),
    };
    QuorumDescription {
        leader: BrokerId(partition.leader_id),
        leader_epoch: partition.leader_epoch,
        high_watermark: partition.high_watermark,
        voters: partition.current_voters.into_iter().map(replica).collect(),
        observers: partition.observers.into_iter().map(replica).collect(),
    }
}
