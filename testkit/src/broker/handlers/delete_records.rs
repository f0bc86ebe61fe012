//! DeleteRecords: moves a log's start.

use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::code;

/// "Everything there is now."
const HIGH_WATERMARK: i64 = -1;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let deleted = delete(cluster, call, &topic.name.0, asked.partition_index, asked.offset);
            DeleteRecordsPartitionResult::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(code(&deleted))
                .with_low_watermark(deleted.unwrap_or(-1))
        });
        DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

fn delete(cluster: &mut Cluster, call: &Call, topic: &str, index: i32, offset: i64) -> Result<i64, ErrorCode> {
    call.fails_whole()?;
    let end = cluster.led(call.node, topic, index, -1)?.high_watermark();
    let offset = if offset == HIGH_WATERMARK { end } else { offset };
    if !(0..=end).contains(&offset) {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let partition = cluster.partition_mut(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    partition.delete_before(offset);
    Ok(partition.log.start_offset())
}
