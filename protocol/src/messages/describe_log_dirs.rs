//! Looking at disks (API key 35).

use crate::macros::{message, request};

request!(DescribeLogDirsRequest => DescribeLogDirsResponse, DescribeLogDirs, versions 0-5, flexible 2+);

message! {
    /// Asks what lies on the disks of a broker.
    DescribeLogDirsRequest {
        topics: Option<Vec<DescribableLogDirTopic>> = Some(Default::default());
    }

    DescribableLogDirTopic {
        topic: String;
        partitions: Vec<i32>;
    }

    /// The disks and the replicas on them.
    DescribeLogDirsResponse {
        throttle_time_ms: i32;
        error_code: i16, @ 3+, ignorable;
        results: Vec<DescribeLogDirsResult>;
    }

    DescribeLogDirsResult {
        error_code: i16;
        log_dir: String;
        topics: Vec<DescribeLogDirsTopic>;
        total_bytes: i64 = -1, @ 4+, ignorable;
        usable_bytes: i64 = -1, @ 4+, ignorable;
        is_cordoned: bool, @ 5+, ignorable;
    }

    DescribeLogDirsTopic {
        name: String;
        partitions: Vec<DescribeLogDirsPartition>;
    }

    DescribeLogDirsPartition {
        partition_index: i32;
        partition_size: i64;
        offset_lag: i64;
        is_future_key: bool;
    }
}
