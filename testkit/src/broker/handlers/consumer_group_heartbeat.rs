//! ConsumerGroupHeartbeat (KIP-848): join, stay, leave.

use std::time::Duration;

use kafka_protocol::messages::consumer_group_heartbeat_response::{
    Assignment as AssignmentResponse, TopicPartitions as AssignedPartitions,
};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::features::GROUP_VERSION;
use super::super::group::assignor::{Assignment, Assignor};
use super::super::group::consumer::{Beat, Beaten};
use super::super::group::reconcile::AWAY;
use super::super::leadership::GROUP;
use super::super::topics::Refusal;
use super::text;

/// The member leaves for good.
const LEAVES: i32 = -1;

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let interval = i32::try_from(cluster.config.consumer_heartbeat_interval.as_millis()).unwrap_or(i32::MAX);
    match beat(cluster, call, request) {
        Ok((beaten, left)) => ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(text(beaten.member_id)))
            .with_member_epoch(beaten.epoch)
            .with_heartbeat_interval_ms(if left { 0 } else { interval })
            .with_assignment(beaten.assignment.map(assignment)),
        Err((error, reason)) => ConsumerGroupHeartbeatResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(reason)).filter(|reason| !reason.is_empty())),
    }
}

fn assignment(assignment: Assignment) -> AssignmentResponse {
    let topics = assignment.into_iter().map(|(topic, partitions)| {
        AssignedPartitions::default().with_topic_id(topic).with_partitions(partitions.into_iter().collect())
    });
    AssignmentResponse::default().with_topic_partitions(topics.collect())
}

fn beat(cluster: &mut Cluster, call: &Call, request: ConsumerGroupHeartbeatRequest) -> Result<(Beaten, bool), Refusal> {
    let plain = |error| (error, String::new());
    call.fails_whole().map_err(plain)?;
    // 3.7 to 3.9 list the API and refuse it, unless they were told to try the protocol early; 4.0 lists it also when
    // the feature is off.
    if cluster.features.level(GROUP_VERSION) < 1 {
        return Err(plain(ErrorCode::UnsupportedVersion));
    }
    call.may_coordinate(GROUP, &request.group_id.0).map_err(plain)?;
    // One topic that may not be described is enough to be refused (KafkaApis.handleConsumerGroupHeartbeat).
    let names = request.subscribed_topic_names.iter().flatten();
    names.map(|name| &name.0).try_for_each(|name| call.may_topic(name)).map_err(plain)?;
    check(call, &request)?;
    cluster.check_coordinator(call, GROUP, &request.group_id.0).map_err(plain)?;
    let group = request.group_id.0.to_string();
    let epoch = request.member_epoch;
    let result = if epoch == LEAVES || epoch == AWAY {
        let member_id = request.member_id.to_string();
        let known = cluster.groups.consumer.get_mut(&group).ok_or_else(|| unknown(&group))?;
        known.leave(&member_id, request.instance_id.as_deref(), epoch == AWAY)?;
        Ok((Beaten { member_id, epoch, assignment: None }, true))
    } else {
        stay(cluster, call, &group, request).map(|beaten| (beaten, false))
    };
    cluster.consumers_changed(call.now, &group);
    result
}

fn unknown(group: &str) -> Refusal {
    (ErrorCode::GroupIdNotFound, format!("There is no consumer group {group}."))
}

fn stay(
    cluster: &mut Cluster,
    call: &Call,
    group: &str,
    request: ConsumerGroupHeartbeatRequest,
) -> Result<Beaten, Refusal> {
    let joins = request.member_epoch == 0;
    let known = cluster.groups.consumer.contains_key(group);
    if !known && !joins {
        return Err(unknown(group));
    }
    let limits = cluster.consumer_limits();
    let mut beat = read(call, request)?;
    if beat.member_id.is_empty() {
        beat.member_id = cluster.random_uuid().to_string();
    }
    let mut entry = match cluster.groups.consumer.remove(group) {
        Some(known) => known,
        None => cluster.upgraded(call.now, group)?,
    };
    let beaten = entry.heartbeat(call.now, &beat, &cluster.topics, limits);
    // A refused first member leaves no group behind; a classic group becomes a consumer group, and who waits in it is
    // to join again.
    if known || beaten.is_ok() {
        if let Some(classic) = cluster.groups.classic.get_mut(group) {
            classic.interrupt();
            cluster.settle_group(group);
            cluster.groups.classic.remove(group);
        }
        cluster.groups.consumer.insert(group.to_owned(), entry);
    }
    beaten
}

fn read(call: &Call, request: ConsumerGroupHeartbeatRequest) -> Result<Beat, Refusal> {
    let assignor = match request.server_assignor.as_deref() {
        None => None,
        Some(name) => {
            let unsupported = || {
                let known = Assignor::ALL.map(Assignor::name).join(", ");
                (ErrorCode::UnsupportedAssignor, format!("Assignor {name} is not one of {known}."))
            };
            Some(Assignor::named(name).ok_or_else(unsupported)?)
        }
    };
    let owned = request.topic_partitions.map(|topics| {
        topics.into_iter().map(|topic| (topic.topic_id, topic.partitions.into_iter().collect())).collect()
    });
    let string = |value: Option<StrBytes>| value.map(|value| value.to_string());
    Ok(Beat {
        member_id: request.member_id.to_string(),
        epoch: request.member_epoch,
        instance_id: string(request.instance_id),
        rack_id: string(request.rack_id),
        client_id: call.client_id.to_string(),
        rebalance_timeout: u64::try_from(request.rebalance_timeout_ms).ok().map(Duration::from_millis),
        topics: request.subscribed_topic_names.map(|names| names.into_iter().map(|name| name.0.to_string()).collect()),
        regex: string(request.subscribed_topic_regex),
        assignor,
        owned,
    })
}

/// `GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid`.
fn check(call: &Call, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let invalid = |reason: &str| Err((ErrorCode::InvalidRequest, reason.to_owned()));
    let empty = |value: &Option<StrBytes>| value.as_deref().is_some_and(str::is_empty);
    let epoch = request.member_epoch;
    if (call.version >= 1 || epoch > 0 || epoch == LEAVES) && request.member_id.is_empty() {
        return invalid("The member id is empty.");
    }
    if request.group_id.0.is_empty() {
        return invalid("The group id is empty.");
    }
    if empty(&request.instance_id) || empty(&request.rack_id) {
        return invalid("The instance id or the rack id is empty.");
    }
    match epoch {
        0 if request.rebalance_timeout_ms == -1 => invalid("The first heartbeat has no rebalance timeout."),
        0 if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            invalid("A member that joins must own no partitions.")
        }
        0 if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
            invalid("The first heartbeat has neither topic names nor a regular expression.")
        }
        AWAY if request.instance_id.is_none() => invalid("Only a static member may leave for a while."),
        epoch if epoch < AWAY => invalid("The member epoch is invalid."),
        _ => Ok(()),
    }
}
