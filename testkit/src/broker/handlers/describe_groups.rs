//! DescribeGroups: classic groups, and those that only committed offsets.

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::super::ErrorCode;
use super::super::acl;
use super::super::cluster::{Call, Cluster};
use super::super::group::classic::{ClassicGroup, GroupState};
use super::super::leadership::GROUP;
use super::{NOT_ASKED, code, text};

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let include = request.include_authorized_operations;
    let groups = request.groups.into_iter().map(|group| {
        let described = describe(cluster, call, group);
        let shown = include && described.error_code == 0;
        let operations = if shown { cluster.operations(call, acl::GROUP, &described.group_id.0) } else { NOT_ASKED };
        described.with_authorized_operations(operations)
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe(cluster: &Cluster, call: &Call, group: GroupId) -> DescribedGroup {
    let checked = call.fails_whole().and_then(|()| cluster.check_coordinator(call, GROUP, &group.0));
    let classic = cluster.groups.classic.get(group.0.as_str());
    // ConsumerGroupDescribe tells of the groups of the other protocol.
    let other = cluster.groups.consumer.contains_key(group.0.as_str());
    let known = !other && (classic.is_some() || cluster.offsets.has(&group.0));
    // From v6 on an unknown group is an error, before it was a dead one (KIP-1043).
    let checked = checked.and(if known || call.version < 6 { Ok(()) } else { Err(ErrorCode::GroupIdNotFound) });
    let described = DescribedGroup::default().with_error_code(code(&checked)).with_group_id(group);
    match (checked, classic) {
        (Err(ErrorCode::GroupIdNotFound), _) => {
            let reason = format!("Group {} not found.", described.group_id.0);
            described.with_group_state(text("Dead")).with_error_message(Some(text(reason)))
        }
        (Err(_), _) => described,
        (Ok(()), Some(classic)) => with_members(call, described, classic),
        (Ok(()), None) => described.with_group_state(text(if known { "Empty" } else { "Dead" })),
    }
}

fn with_members(call: &Call, described: DescribedGroup, group: &ClassicGroup) -> DescribedGroup {
    let stable = group.state == GroupState::Stable;
    let members = group.members.iter().map(|(id, member)| {
        let shown = DescribedGroupMember::default()
            .with_member_id(text(id.clone()))
            .with_group_instance_id(member.instance_id.clone().filter(|_| call.version >= 4).map(text))
            .with_client_id(text(member.client_id.clone()))
            .with_client_host(text("/127.0.0.1"));
        if !stable {
            return shown;
        }
        shown.with_member_metadata(member.metadata(&group.protocol)).with_member_assignment(member.assignment.clone())
    });
    described
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(group.protocol_type.clone()))
        .with_protocol_data(text(if stable { group.protocol.clone() } else { String::new() }))
        .with_members(members.collect())
}
