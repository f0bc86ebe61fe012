//! DeleteGroups: groups without members, with their offsets.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::GROUP;
use super::code;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|group| {
        let deleted = delete(cluster, call, &group.0);
        DeletableGroupResult::default().with_group_id(group).with_error_code(code(&deleted))
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}

fn delete(cluster: &mut Cluster, call: &Call, group: &str) -> Result<(), ErrorCode> {
    call.fails_whole()?;
    cluster.check_coordinator(call, GROUP, group)?;
    match cluster.groups.size(group) {
        Some(0) => {}
        Some(_) => return Err(ErrorCode::NonEmptyGroup),
        None if cluster.offsets.has(group) => {}
        None => return Err(ErrorCode::GroupIdNotFound),
    }
    cluster.groups.remove(group);
    cluster.offsets.delete_group(group);
    Ok(())
}
