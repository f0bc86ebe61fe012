//! AddRaftVoter, RemoveRaftVoter and UnregisterBroker. The quorum is one of fixed voters, as when a cluster is formatted
//! without `--standalone` (`kraft.version` 0), so voters are refused as `KafkaRaftClient.java` does.

use kafka_protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::topics::Refusal;
use super::text;

fn refusal(cluster: &Cluster, call: &Call, cluster_id: Option<&str>, voter: i32, what: &str) -> Refusal {
    if let Err(error) = call.fails_whole().and_then(|()| call.may_cluster()) {
        return (error, error.to_string());
    }
    if cluster_id.is_some_and(|id| id != cluster.cluster_id) {
        return (ErrorCode::InconsistentClusterId, "The cluster id is not that of this cluster.".to_owned());
    }
    if voter < 0 {
        return (ErrorCode::InvalidRequest, format!("Invalid voter id {voter}."));
    }
    let reason = format!("Cluster doesn't support {what} voter because the kraft.version feature is 0");
    (ErrorCode::UnsupportedVersion, reason)
}

pub(super) fn add(cluster: &mut Cluster, call: &Call, request: AddRaftVoterRequest) -> AddRaftVoterResponse {
    let (error, reason) = refusal(cluster, call, request.cluster_id.as_deref(), request.voter_id, "adding");
    AddRaftVoterResponse::default().with_error_code(error.code()).with_error_message(Some(text(reason)))
}

pub(super) fn remove(cluster: &mut Cluster, call: &Call, request: RemoveRaftVoterRequest) -> RemoveRaftVoterResponse {
    let (error, reason) = refusal(cluster, call, request.cluster_id.as_deref(), request.voter_id, "removing");
    RemoveRaftVoterResponse::default().with_error_code(error.code()).with_error_message(Some(text(reason)))
}

/// A broker that is alive registers itself again at once, so nothing is seen of it.
pub(super) fn unregister(
    cluster: &mut Cluster,
    call: &Call,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let id = request.broker_id.0;
    let known = cluster.node(id).map(drop).ok_or(ErrorCode::BrokerIdNotRegistered);
    let done = call.fails_whole().and_then(|()| call.may_cluster()).and(known);
    let response = UnregisterBrokerResponse::default().with_error_message(None);
    match done {
        Ok(()) => response,
        Err(error) => {
            response.with_error_code(error.code()).with_error_message(Some(text(format!("Broker ID {id}: {error}"))))
        }
    }
}
