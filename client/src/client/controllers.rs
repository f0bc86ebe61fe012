//! The controllers of a cluster, asked without its brokers (KIP-919).
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use ottla_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use ottla_protocol::messages::metadata::MetadataResponseBroker;
use ottla_protocol::messages::{MetadataRequest, MetadataResponse};
use ottla_protocol::{ApiKey, ErrorCode, Request, VersionRange};

use super::Inner;
use crate::error::{Error, Result};
use crate::metadata::Asked;
use crate::network::connection::Connection;

/// `EndpointType.CONTROLLER` of Kafka.
pub(crate) const CONTROLLERS: i8 = 2;

/// The first version of DescribeCluster that tells of controllers.
const CONTROLLERS_FROM: i16 = 1;

impl Inner {
    /// Asks a controller for all of them, and publishes them as the nodes of the cluster. Whether they are others.
    pub(super) async fn refresh_controllers(&self, connection: &Connection) -> Result<bool> {
        let version = connection.choose::<DescribeClusterRequest>(None)?;
        if version < CONTROLLERS_FROM {
            let api = ApiKey::DescribeCluster;
            let ours = VersionRange { min: CONTROLLERS_FROM, max: DescribeClusterRequest::MAX_VERSION };
            let (theirs, broker) = (connection.api_versions().range(api), connection.place(version).name());
            return Err(Error::UnsupportedVersion { api, ours, theirs, broker });
        }
        let request = DescribeClusterRequest { endpoint_type: CONTROLLERS, ..Default::default() };
        let response = connection.send(&request, version)?.await?;
        let at = connection.place(version);
        let code = match ErrorCode::from(response.error_code) {
            ErrorCode::None if response.endpoint_type != CONTROLLERS => ErrorCode::MismatchedEndpointType,
            code => code,
        };
        if code != ErrorCode::None {
            let error = Error::broker(code, ApiKey::DescribeCluster, "the controllers").at(&at);
            return Err(error.message(response.error_message));
        }
        self.take_metadata(Asked::Some, as_metadata(response), &at)
    }
}

/// A controller has no topics, and does not answer to who asks for some.
pub(super) fn is_controller(connection: &Connection) -> bool {
    let versions = connection.api_versions();
    versions.range(MetadataRequest::API_KEY).is_none() && versions.range(ApiKey::DescribeCluster).is_some()
}

/// What only brokers answer would have to be asked of a controller: this one, or whichever.
pub(crate) fn no_broker(connection: Option<&Connection>, api: ApiKey, subject: impl ToString) -> Error {
    Error::Broker {
        code: ErrorCode::UnsupportedEndpointType,
        api,
        version: None,
        broker: connection.map(|c| c.place(0).name()),
        subject: subject.to_string(),
        message: None,
    }
}

fn as_metadata(response: DescribeClusterResponse) -> MetadataResponse {
    let node = |node: DescribeClusterBroker| MetadataResponseBroker {
        node_id: node.broker_id,
        host: node.host,
        port: node.port,
        rack: node.rack,
    };
    MetadataResponse {
        brokers: response.brokers.into_iter().map(node).collect(),
        cluster_id: Some(response.cluster_id),
        controller_id: response.controller_id,
        ..Default::default()
    }
}
