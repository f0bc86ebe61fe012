//! Deleting records (API key 21).

use crate::macros::{message, request};

request!(DeleteRecordsRequest => DeleteRecordsResponse, DeleteRecords, versions 0-2, flexible 2+);

message! {
    /// Moves the start of partitions forward.
    DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic>;
        timeout_ms: i32;
    }

    DeleteRecordsTopic {
        name: String;
        partitions: Vec<DeleteRecordsPartition>;
    }

    DeleteRecordsPartition {
        partition_index: i32;
        offset: i64;
    }

    /// The new starts.
    DeleteRecordsResponse {
        throttle_time_ms: i32;
        topics: Vec<DeleteRecordsTopicResult>;
    }

    DeleteRecordsTopicResult {
        name: String;
        partitions: Vec<DeleteRecordsPartitionResult>;
    }

    DeleteRecordsPartitionResult {
        partition_index: i32;
        low_watermark: i64;
        error_code: i16;
    }
}
