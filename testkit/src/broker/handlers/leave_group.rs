//! LeaveGroup: one member (v0-v2) or several (v3 on).

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::GROUP;
use super::code;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let group = request.group_id.0.as_str();
    let named = if group.is_empty() { Err(ErrorCode::InvalidGroupId) } else { Ok(()) };
    let admitted = call.fails_whole().and(named).and_then(|()| cluster.check_coordinator(call, GROUP, group));
    if admitted.is_err() {
        return LeaveGroupResponse::default().with_error_code(code(&admitted));
    }
    if call.version < 3 {
        let alone = MemberIdentity::default().with_member_id(request.member_id.clone());
        let left = leave(cluster, call, group, &alone);
        return LeaveGroupResponse::default().with_error_code(code(&left));
    }
    let members = request.members.iter().map(|member| {
        let left = leave(cluster, call, group, member);
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(code(&left))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

fn leave(cluster: &mut Cluster, call: &Call, group: &str, member: &MemberIdentity) -> Result<(), ErrorCode> {
    if let Some(consumers) = cluster.groups.consumer.get_mut(group) {
        let left = consumers.leave_classic(&member.member_id, member.group_instance_id.as_deref());
        cluster.consumers_changed(call.now, group);
        return left;
    }
    let classic = cluster.groups.classic.get_mut(group).ok_or(ErrorCode::UnknownMemberId)?;
    let left = classic.leave(call.now, &member.member_id, member.group_instance_id.as_deref());
    cluster.settle_group(group);
    left
}
