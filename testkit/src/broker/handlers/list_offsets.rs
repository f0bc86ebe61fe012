//! ListOffsets: earliest, latest, highest timestamp, and the first record at or after a time.

use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::log::Found;
use super::super::partition::Partition;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const NOTHING: Found = Found { offset: -1, timestamp: -1, leader_epoch: -1 };

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let committed = request.isolation_level == 1;
    let topics = request.topics.iter().map(|topic| {
        let name = topic.name.0.as_str();
        let partitions = topic.partitions.iter().map(|asked| {
            let index = asked.partition_index;
            let found = call
                .fails(name, index)
                .and_then(|()| cluster.led(call.node, name, index, asked.current_leader_epoch))
                .and_then(|partition| look_up(partition, call, asked, committed));
            answer(call, index, found)
        });
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn look_up(
    partition: &Partition,
    call: &Call,
    asked: &ListOffsetsPartition,
    committed: bool,
) -> Result<Found, ErrorCode> {
    let bound = if committed { partition.last_stable_offset() } else { partition.high_watermark() };
    let visible = |found: Option<Found>| found.filter(|found| found.offset < bound).unwrap_or(NOTHING);
    let supported = |since: i16, found: Found| {
        if call.version >= since { Ok(found) } else { Err(ErrorCode::UnsupportedForMessageFormat) }
    };
    match asked.timestamp {
        LATEST => {
            let leader_epoch = partition.log.epochs.latest().unwrap_or(partition.leader_epoch);
            Ok(Found { offset: bound, timestamp: -1, leader_epoch })
        }
        EARLIEST => Ok(earliest(partition)),
        MAX_TIMESTAMP => supported(7, partition.log.max_timestamp().unwrap_or(NOTHING)),
        EARLIEST_LOCAL => supported(8, earliest(partition)),
        LATEST_TIERED => supported(9, NOTHING),
        timestamp if timestamp >= 0 => Ok(visible(partition.log.first_at_or_after(timestamp))),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn earliest(partition: &Partition) -> Found {
    let offset = partition.log.start_offset();
    let leader_epoch = partition.log.epochs.epoch_of(offset).unwrap_or(-1);
    Found { offset, timestamp: -1, leader_epoch }
}

fn answer(call: &Call, index: i32, found: Result<Found, ErrorCode>) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(index);
    match found {
        Ok(found) => response
            .with_offset(found.offset)
            .with_timestamp(found.timestamp)
            .with_leader_epoch(if call.version >= 4 { found.leader_epoch } else { -1 }),
        Err(error) => response.with_error_code(error.code()).with_offset(-1).with_timestamp(-1),
    }
}
