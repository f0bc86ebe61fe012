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
    if request.group_id.0.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    cluster.check_coordinator(call, GROUP, &request.group_id.0)?;
    let speaker = Speaker {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    if let Some(consumers) = cluster.groups.consumer.get_mut(request.group_id.0.as_str()) {
        let beaten = consumers.heartbeat_classic(call.now, speaker);
        cluster.groups.note_due(&request.group_id.0);
        return beaten;
    }
    let group = cluster.groups.classic.get_mut(request.group_id.0.as_str()).ok_or(ErrorCode::UnknownMemberId)?;
    group.heartbeat(call.now, speaker)
}
