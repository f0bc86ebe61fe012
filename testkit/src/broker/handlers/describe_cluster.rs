//! DescribeCluster.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};

use super::super::ErrorCode;
use super::super::acl;
use super::super::cluster::{Call, Cluster};
use super::{NOT_ASKED, code, text};

const BROKERS: i8 = 1;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let asked = if call.version >= 1 { request.endpoint_type } else { BROKERS };
    let known = if asked == BROKERS { Ok(()) } else { Err(ErrorCode::MismatchedEndpointType) };
    let checked = call.fails_whole().and(known);
    if checked.is_err() {
        return DescribeClusterResponse::default().with_error_code(code(&checked));
    }
    let brokers = cluster.alive().map(|node| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(node.id))
            .with_host(text(node.host.clone()))
            .with_port(i32::from(node.port))
            .with_rack(node.rack.clone().map(text))
    });
    let operations = if request.include_cluster_authorized_operations {
        cluster.operations(call, acl::CLUSTER, acl::CLUSTER_NAME)
    } else {
        NOT_ASKED
    };
    DescribeClusterResponse::default()
        .with_cluster_authorized_operations(operations)
        .with_cluster_id(text(cluster.cluster_id.clone()))
        .with_controller_id(BrokerId(cluster.controller()))
        .with_brokers(brokers.collect())
}
