//! OffsetForLeaderEpoch: where an epoch ended (KIP-320).

use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::super::cluster::{Call, Cluster};
use super::code;

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.iter().map(|topic| {
        let name = topic.topic.0.as_str();
        let partitions = topic.partitions.iter().map(|asked| {
            let led = call
                .fails(name, asked.partition)
                .and_then(|()| cluster.led(call.node, name, asked.partition, asked.current_leader_epoch));
            let found = led.as_ref().ok().and_then(|partition| {
                partition.log.epochs.end_offset_for(asked.leader_epoch, partition.log.next_offset())
            });
            let (epoch, offset) = found.unwrap_or((-1, -1));
            EpochEndOffset::default()
                .with_partition(asked.partition)
                .with_error_code(code(&led))
                .with_leader_epoch(epoch)
                .with_end_offset(offset)
        });
        OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions.collect())
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}
