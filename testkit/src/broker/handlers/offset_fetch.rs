//! OffsetFetch: one group (v1-v7) or several (v8 on).

use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::GROUP;
use super::super::offsets::Committed;
use super::{code, text};

/// Asked partitions by topic; `None` = all that are committed.
type Asked = Option<Vec<(String, Vec<i32>)>>;
/// A topic's answers.
type Topic = (String, Vec<(i32, Result<Committed, ErrorCode>)>);
type Found = Vec<Topic>;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let stable = request.require_stable;
    if call.version >= 8 {
        let groups = request.groups.into_iter().map(|group| {
            let topics = group.topics.map(|topics| {
                topics.into_iter().map(|topic| (topic.name.0.to_string(), topic.partition_indexes)).collect()
            });
            let reader = group.member_id.as_ref().map(|id| id.as_str());
            let found = admit(cluster, &group.group_id.0, reader, group.member_epoch)
                .and_then(|()| look_up(cluster, call, &group.group_id.0, topics, stable));
            let response =
                OffsetFetchResponseGroup::default().with_group_id(group.group_id).with_error_code(code(&found));
            response.with_topics(found.unwrap_or_default().into_iter().map(batched_topic).collect())
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let topics = request
        .topics
        .map(|topics| topics.into_iter().map(|topic| (topic.name.0.to_string(), topic.partition_indexes)).collect());
    let found = look_up(cluster, call, &request.group_id.0, topics, stable);
    let response = OffsetFetchResponse::default().with_error_code(if call.version >= 2 { code(&found) } else { 0 });
    response.with_topics(found.unwrap_or_default().into_iter().map(single_topic).collect())
}

/// v9 says which member of a consumer group asks (KIP-848).
fn admit(cluster: &Cluster, group: &str, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
    match cluster.groups.consumer.get(group) {
        Some(group) => group.fetch_offsets(member_id, epoch),
        None => Ok(()),
    }
}

fn look_up(cluster: &Cluster, call: &Call, group: &str, asked: Asked, stable: bool) -> Result<Found, ErrorCode> {
    call.fails_whole()?;
    cluster.check_coordinator(call, GROUP, group)?;
    let asked = asked.unwrap_or_else(|| cluster.offsets.all(group).into_iter().collect());
    let none = || Committed { offset: -1, leader_epoch: -1, metadata: String::new() };
    let one = |topic: &str, index: i32| {
        let key = (topic.to_owned(), index);
        if stable && cluster.offsets.is_unstable(group, &key) {
            return Err(ErrorCode::UnstableOffsetCommit);
        }
        Ok(cluster.offsets.committed(group, &key).cloned().unwrap_or_else(none))
    };
    let topics = asked.into_iter().map(|(topic, partitions)| {
        let found = partitions.into_iter().map(|index| (index, one(&topic, index))).collect();
        (topic, found)
    });
    Ok(topics.collect())
}

fn single_topic((topic, partitions): Topic) -> OffsetFetchResponseTopic {
    let partitions = partitions.into_iter().map(|(index, found)| {
        let response =
            OffsetFetchResponsePartition::default().with_partition_index(index).with_error_code(code(&found));
        match found {
            Ok(committed) => response
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch)
                .with_metadata(Some(text(committed.metadata))),
            Err(_) => response.with_committed_offset(-1).with_metadata(Some(text(""))),
        }
    });
    OffsetFetchResponseTopic::default().with_name(TopicName(text(topic))).with_partitions(partitions.collect())
}

fn batched_topic((topic, partitions): Topic) -> OffsetFetchResponseTopics {
    let partitions = partitions.into_iter().map(|(index, found)| {
        let response =
            OffsetFetchResponsePartitions::default().with_partition_index(index).with_error_code(code(&found));
        match found {
            Ok(committed) => response
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch)
                .with_metadata(Some(text(committed.metadata))),
            Err(_) => response.with_committed_offset(-1).with_metadata(Some(text(""))),
        }
    });
    OffsetFetchResponseTopics::default().with_name(TopicName(text(topic))).with_partitions(partitions.collect())
}
