//! FindCoordinator: one key (v0-v3) or several (v4 on).

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::{GROUP, TRANSACTION};
use super::{code, text};

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    if call.version >= 4 {
        let keys = request.coordinator_keys.into_iter();
        let found = keys.map(|key| find(cluster, call, request.key_type, key)).collect();
        return FindCoordinatorResponse::default().with_coordinators(found);
    }
    let found = find(cluster, call, request.key_type, request.key);
    FindCoordinatorResponse::default()
        .with_error_code(found.error_code)
        .with_error_message(found.error_message.filter(|_| call.version >= 1))
        .with_node_id(found.node_id)
        .with_host(found.host)
        .with_port(found.port)
}

fn find(cluster: &Cluster, call: &Call, kind: i8, key: StrBytes) -> Coordinator {
    let known = match kind {
        GROUP | TRANSACTION => Ok(()),
        _ => Err(ErrorCode::InvalidRequest),
    };
    let node = call
        .fails_whole()
        .and(known)
        .and_then(|()| call.may_coordinate(kind, &key))
        .and_then(|()| cluster.coordinator(kind, &key).ok_or(ErrorCode::CoordinatorNotAvailable));
    let found = Coordinator::default().with_key(key).with_error_code(code(&node));
    match node {
        Ok(node) => found
            .with_node_id(BrokerId(node.id))
            .with_host(text(node.host.clone()))
            .with_port(i32::from(node.port))
            .with_error_message(Some(StrBytes::new())),
        Err(error) => found.with_node_id(BrokerId(-1)).with_port(-1).with_error_message(Some(text(error.to_string()))),
    }
}
