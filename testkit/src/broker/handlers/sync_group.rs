//! SyncGroup.

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster, ConnectionId, Outcome};
use super::super::group::exchange::{Speaker, Synced};
use super::super::leadership::GROUP;
use super::super::request::Head;
use super::text;

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    head: Head,
    connection: ConnectionId,
    request: SyncGroupRequest,
) -> Outcome {
    let group = request.group_id.0.to_string();
    let outcome = match sync(cluster, call, connection, request) {
        Ok(None) => cluster.groups.wait(call.now, connection, head),
        Ok(Some(synced)) => Outcome::Reply(head.reply(response(call.version, Ok(synced)))),
        Err(error) => Outcome::Reply(head.reply(response(call.version, Err(error)))),
    };
    cluster.waited(call.now, connection, &group, outcome)
}

fn sync(
    cluster: &mut Cluster,
    call: &Call,
    connection: ConnectionId,
    request: SyncGroupRequest,
) -> Result<Option<Synced>, ErrorCode> {
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
        let protocol = (request.protocol_type.as_deref(), request.protocol_name.as_deref());
        let synced = consumers.sync_classic(call.now, speaker, protocol, &cluster.topics);
        cluster.groups.note_due(&request.group_id.0);
        return synced.map(Some);
    }
    let group = cluster.groups.classic.get_mut(request.group_id.0.as_str()).ok_or(ErrorCode::UnknownMemberId)?;
    let differs = |asked: &Option<kafka_protocol::protocol::StrBytes>, own: &str| {
        asked.as_ref().is_some_and(|asked| asked.as_str() != own)
    };
    // KIP-559: v5 says what it believes the group agreed on.
    if differs(&request.protocol_type, &group.protocol_type) || differs(&request.protocol_name, &group.protocol) {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    let assignments = request.assignments.into_iter().map(|one| (one.member_id.to_string(), one.assignment)).collect();
    group.sync(call.now, connection, speaker, assignments)
}

pub(crate) fn response(version: i16, synced: Result<Synced, ErrorCode>) -> SyncGroupResponse {
    match synced {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type((version >= 5).then(|| text(synced.protocol_type)))
            .with_protocol_name((version >= 5).then(|| text(synced.protocol)))
            .with_assignment(synced.assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    }
}
