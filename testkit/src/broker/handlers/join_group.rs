//! JoinGroup.

use std::time::Duration;

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster, ConnectionId, Outcome};
use super::super::group::classic::ClassicGroup;
use super::super::group::exchange::{Join, Joined};
use super::super::leadership::GROUP;
use super::super::request::Head;
use super::text;

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    head: Head,
    connection: ConnectionId,
    request: JoinGroupRequest,
) -> Outcome {
    let group = request.group_id.0.to_string();
    let member_id = request.member_id.to_string();
    if let Err(error) = admit(cluster, call, &request) {
        let refused = JoinGroupResponse::default().with_error_code(error.code()).with_member_id(text(member_id));
        return Outcome::Reply(head.reply(nameless(call.version, refused.with_generation_id(-1))));
    }
    let fresh_id = format!("{}-{}", call.client_id.as_str(), cluster.random_uuid());
    if cluster.groups.consumer.get(&group).is_some_and(|consumers| !consumers.members.is_empty()) {
        let joined = cluster.join_consumers(call, &group, &read(call, request), fresh_id);
        return Outcome::Reply(head.reply(response(call.version, joined)));
    }
    cluster.groups.consumer.remove(&group);
    let delay = cluster.config.group_initial_rebalance_delay;
    let classic = cluster.groups.classic.entry(group.clone()).or_insert_with(|| ClassicGroup::new(delay));
    let joined = classic.join(call.now, connection, &read(call, request), fresh_id);
    let outcome = match joined {
        Some(joined) => Outcome::Reply(head.reply(response(call.version, joined))),
        None => cluster.groups.wait(call.now, connection, head),
    };
    cluster.waited(call.now, connection, &group, outcome)
}

fn admit(cluster: &Cluster, call: &Call, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
    call.fails_whole()?;
    if request.group_id.0.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    cluster.check_coordinator(call, GROUP, &request.group_id.0)?;
    let timeout = Duration::from_millis(u64::try_from(request.session_timeout_ms).unwrap_or(0));
    if !(cluster.config.group_min_session_timeout..=cluster.config.group_max_session_timeout).contains(&timeout) {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    if cluster.groups.consumer.get(request.group_id.0.as_str()).is_some_and(|group| !group.members.is_empty()) {
        return Ok(());
    }
    if let Some(group) = cluster.groups.classic.get(request.group_id.0.as_str())
        && !group.has_room(&request.member_id, request.group_instance_id.as_deref(), cluster.config.group_max_size)
    {
        return Err(ErrorCode::GroupMaxSizeReached);
    }
    // A member id nobody gave out, of a group nobody knows.
    let known = cluster.groups.classic.contains_key(request.group_id.0.as_str());
    if known || request.member_id.is_empty() { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
}

fn read(call: &Call, request: JoinGroupRequest) -> Join {
    let millis = |value: i32| Duration::from_millis(u64::try_from(value).unwrap_or(0));
    let session_timeout = millis(request.session_timeout_ms);
    Join {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|instance| instance.to_string()),
        client_id: call.client_id.to_string(),
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| (protocol.name.to_string(), protocol.metadata))
            .collect(),
        session_timeout,
        rebalance_timeout: if call.version >= 1 { millis(request.rebalance_timeout_ms) } else { session_timeout },
        id_required: call.version >= 4,
        may_skip_assignment: call.version >= 9,
    }
}

/// Before v7 the protocol's name was never null.
fn nameless(version: i16, response: JoinGroupResponse) -> JoinGroupResponse {
    if version >= 7 { response.with_protocol_name(None) } else { response.with_protocol_name(Some(text(""))) }
}

pub(crate) fn response(version: i16, joined: Joined) -> JoinGroupResponse {
    let response = JoinGroupResponse::default()
        .with_error_code(joined.error.map_or(0, |error| error.code()))
        .with_member_id(text(joined.member_id))
        .with_generation_id(joined.generation);
    if joined.error.is_some() {
        return nameless(version, response);
    }
    let members = joined.members.into_iter().map(|(id, instance, metadata)| {
        JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(instance.filter(|_| version >= 5).map(text))
            .with_metadata(metadata)
    });
    response
        .with_protocol_type((version >= 7).then(|| text(joined.protocol_type)))
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.skip_assignment && version >= 9)
        .with_members(members.collect())
}
