//! OffsetCommit.

use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::group::exchange::Speaker;
use super::super::leadership::GROUP;
use super::super::offsets::Committed;
use super::code;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let group = request.group_id.0.as_str();
    let unknown = if call.version >= 9 { ErrorCode::GroupIdNotFound } else { ErrorCode::IllegalGeneration };
    let speaker = Speaker {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id_or_member_epoch,
    };
    let admitted = cluster
        .check_coordinator(call, GROUP, group)
        .and_then(|()| cluster.check_commit(call, group, speaker, false, unknown));
    let topics = request.topics.iter().map(|topic| {
        let name = topic.name.0.as_str();
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let committed = call.fails(name, index).and_then(|()| {
                // The API layer looks for the partition before the coordinator is asked (KafkaApis.scala).
                cluster.partition(name, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
                admitted?;
                let offset = Committed {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_ref().map_or_else(String::new, ToString::to_string),
                };
                cluster.offsets.commit(group, (name.to_owned(), index), offset)
            });
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code(&committed))
        });
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}
