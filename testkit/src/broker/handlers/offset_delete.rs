//! OffsetDelete: committed offsets of topics no member of the group reads.

use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::GROUP;
use super::code;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let group = request.group_id.0.as_str();
    if let Err(error) = admit(cluster, call, group) {
        return OffsetDeleteResponse::default().with_error_code(error.code());
    }
    let topics = request.topics.iter().map(|topic| {
        let name = topic.name.0.as_str();
        let subscribed = cluster.groups.is_subscribed(group, name);
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let deleted = if subscribed {
                Err(ErrorCode::GroupSubscribedToTopic)
            } else if cluster.partition(name, index).is_none() {
                Err(ErrorCode::UnknownTopicOrPartition)
            } else {
                cluster.offsets.delete(group, &(name.to_owned(), index));
                Ok(())
            };
            OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code(&deleted))
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}

fn admit(cluster: &Cluster, call: &Call, group: &str) -> Result<(), ErrorCode> {
    call.fails_whole()?;
    cluster.check_coordinator(call, GROUP, group)?;
    let known = cluster.groups.size(group).is_some() || cluster.offsets.has(group);
    if known { Ok(()) } else { Err(ErrorCode::GroupIdNotFound) }
}
