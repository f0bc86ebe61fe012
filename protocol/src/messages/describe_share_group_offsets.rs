//! Looking at share group offsets (API key 90).
use uuid::Uuid;

use crate::macros::{message, request};

request!(DescribeShareGroupOffsetsRequest => DescribeShareGroupOffsetsResponse, DescribeShareGroupOffsets, versions 0-1, flexible 0+);

message! {
    /// Asks where share groups start.
    DescribeShareGroupOffsetsRequest {
        groups: Vec<DescribeShareGroupOffsetsRequestGroup>;
    }

    DescribeShareGroupOffsetsRequestGroup {
        group_id: String;
        topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>> = Some(Default::default());
    }

    DescribeShareGroupOffsetsRequestTopic {
        topic_name: String;
        partitions: Vec<i32>;
    }

    /// The start offsets.
    DescribeShareGroupOffsetsResponse {
        throttle_time_ms: i32;
        groups: Vec<DescribeShareGroupOffsetsResponseGroup>;
    }

    DescribeShareGroupOffsetsResponseGroup {
        group_id: String;
        topics: Vec<DescribeShareGroupOffsetsResponseTopic>;
        error_code: i16;
        error_message: Option<String>;
    }

    DescribeShareGroupOffsetsResponseTopic {
        topic_name: String;
        topic_id: Uuid;
        partitions: Vec<DescribeShareGroupOffsetsResponsePartition>;
    }

    DescribeShareGroupOffsetsResponsePartition {
        partition_index: i32;
        start_offset: i64;
        leader_epoch: i32;
        lag: i64 = -1, @ 1+, ignorable;
        error_code: i16;
        error_message: Option<String>;
    }
}
