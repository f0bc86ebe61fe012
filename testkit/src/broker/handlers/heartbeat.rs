//! Heartbeat of the classic group protocol.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::group::exchange::Speaker;
use super::super::leadership::GROUP;
use super::code;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: HeartbeatRequest) -> HeartbeatResponse {
    HeartbeatResponse::default().with_error_code(code(&beat(cluster, call, &request)))
}

fn beat(cluster: &mut Cluster, call: &Call, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
    call.fails_whole()?;
    cluster.check_coordinator(call, GROUP, &request.group_id.0)?;
    let group = cluster.groups.classic.get_mut(request.group_id.0.as_str()).ok_or(ErrorCode::UnknownMemberId)?;
    let speaker = Speaker {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    group.heartbeat(call.now, speaker)
}
