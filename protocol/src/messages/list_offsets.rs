//! Offsets by time (API key 2).

use crate::macros::{message, request};

request!(ListOffsetsRequest => ListOffsetsResponse, ListOffsets, versions 0-11, flexible 6+);

message! {
    /// Looks up offsets by time, or the ends of a log.
    ListOffsetsRequest {
        replica_id: i32;
        isolation_level: i8, @ 2+;
        topics: Vec<ListOffsetsTopic>;
        timeout_ms: i32, @ 10+, ignorable;
    }

    ListOffsetsTopic {
        name: String;
        partitions: Vec<ListOffsetsPartition>;
    }

    ListOffsetsPartition {
        partition_index: i32;
        current_leader_epoch: i32 = -1, @ 4+, ignorable;
        timestamp: i64;
        max_num_offsets: i32 = 1, @ 0-0;
    }

    /// The offsets found.
    ListOffsetsResponse {
        throttle_time_ms: i32, @ 2+, ignorable;
        topics: Vec<ListOffsetsTopicResponse>;
    }

    ListOffsetsTopicResponse {
        name: String;
        partitions: Vec<ListOffsetsPartitionResponse>;
    }

    ListOffsetsPartitionResponse {
        partition_index: i32;
        error_code: i16;
        old_style_offsets: Vec<i64>, @ 0-0;
        timestamp: i64 = -1, @ 1+;
        offset: i64 = -1, @ 1+;
        leader_epoch: i32 = -1, @ 4+;
    }
}
