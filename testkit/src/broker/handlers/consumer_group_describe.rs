//! ConsumerGroupDescribe: groups of the consumer protocol.

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment as AssignmentResponse, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName};

use super::super::ErrorCode;
use super::super::acl;
use super::super::cluster::{Call, Cluster};
use super::super::group::assignor::Assignment;
use super::super::group::consumer::ConsumerGroup;
use super::super::leadership::GROUP;
use super::{NOT_ASKED, text};

/// Which protocol a member speaks.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let include = request.include_authorized_operations;
    let groups = request.group_ids.into_iter().map(|group| {
        let described = describe(cluster, call, group);
        let shown = include && described.error_code == 0;
        let operations = if shown { cluster.operations(call, acl::GROUP, &described.group_id.0) } else { NOT_ASKED };
        described.with_authorized_operations(operations)
    });
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn describe(cluster: &Cluster, call: &Call, id: GroupId) -> DescribedGroup {
    let found = call
        .fails_whole()
        .and_then(|()| cluster.check_coordinator(call, GROUP, &id.0))
        .and_then(|()| cluster.groups.consumer.get(id.0.as_str()).ok_or(ErrorCode::GroupIdNotFound));
    let described = DescribedGroup::default().with_group_id(id.clone());
    match found {
        Ok(group) => with_members(cluster, call, described, group),
        Err(error) => {
            let reason = format!("Group {}: {error}", id.0);
            described.with_error_code(error.code()).with_error_message(Some(text(reason)))
        }
    }
}

fn with_members(cluster: &Cluster, call: &Call, described: DescribedGroup, group: &ConsumerGroup) -> DescribedGroup {
    let none = Assignment::new();
    let members = group.members.iter().map(|(id, member)| {
        let names = member.topics.iter().map(|name| TopicName(text(name.clone())));
        Member::default()
            .with_member_id(text(id.clone()))
            .with_instance_id(member.instance_id.clone().map(text))
            .with_rack_id(member.rack_id.clone().map(text))
            .with_member_epoch(member.epoch)
            .with_client_id(text(member.client_id.clone()))
            .with_client_host(text("/127.0.0.1"))
            .with_subscribed_topic_names(names.collect())
            .with_subscribed_topic_regex(member.regex.as_ref().map(|(pattern, _)| text(pattern.clone())))
            .with_assignment(named(cluster, &member.assigned))
            .with_target_assignment(named(cluster, group.targets.get(id).unwrap_or(&none)))
            .with_member_type(match &member.classic {
                _ if call.version < 1 => -1,
                Some(_) => CLASSIC_MEMBER,
                None => CONSUMER_MEMBER,
            })
    });
    described
        .with_group_state(text(group.state()))
        .with_group_epoch(group.epoch)
        .with_assignment_epoch(group.assignment_epoch)
        .with_assignor_name(text(group.preferred_assignor().name()))
        .with_members(members.collect())
}

/// With the topics' names; a deleted topic's partitions are left out.
fn named(cluster: &Cluster, assignment: &Assignment) -> AssignmentResponse {
    let topics = assignment.iter().filter_map(|(id, partitions)| {
        let name = cluster.topic_ids.get(id)?;
        let topic = TopicPartitions::default()
            .with_topic_id(*id)
            .with_topic_name(TopicName(text(name.clone())))
            .with_partitions(partitions.iter().copied().collect());
        Some(topic)
    });
    AssignmentResponse::default().with_topic_partitions(topics.collect())
}
