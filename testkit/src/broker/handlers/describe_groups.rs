//! DescribeGroups: groups that only committed offsets, as long as no group protocol is spoken.

use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::GROUP;
use super::{code, text};

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|group| describe(cluster, call, group));
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe(cluster: &Cluster, call: &Call, group: GroupId) -> DescribedGroup {
    let checked = call.fails_whole().and_then(|()| cluster.check_coordinator(call.node, GROUP, &group.0));
    let known = cluster.offsets.has(&group.0);
    // From v6 on an unknown group is an error, before it was a dead one (KIP-1043).
    let checked = checked.and(if known || call.version < 6 { Ok(()) } else { Err(ErrorCode::GroupIdNotFound) });
    let state = match (&checked, known) {
        (Err(_), _) => "",
        (Ok(()), true) => "Empty",
        (Ok(()), false) => "Dead",
    };
    DescribedGroup::default().with_error_code(code(&checked)).with_group_id(group).with_group_state(text(state))
}
