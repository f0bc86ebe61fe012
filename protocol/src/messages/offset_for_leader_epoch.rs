//! Finding log truncation (API key 23).

use crate::macros::{message, request};

request!(OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse, OffsetForLeaderEpoch, versions 0-4, flexible 4+);

message! {
    /// Asks where the log of a leader epoch ends.
    OffsetForLeaderEpochRequest {
        replica_id: i32 = -2, @ 3+, ignorable;
        topics: Vec<OffsetForLeaderTopic>;
    }

    OffsetForLeaderTopic {
        topic: String;
        partitions: Vec<OffsetForLeaderPartition>;
    }

    OffsetForLeaderPartition {
        partition: i32;
        current_leader_epoch: i32 = -1, @ 2+, ignorable;
        leader_epoch: i32;
    }

    /// The ends of the epochs asked for.
    OffsetForLeaderEpochResponse {
        throttle_time_ms: i32, @ 2+, ignorable;
        topics: Vec<OffsetForLeaderTopicResult>;
    }

    OffsetForLeaderTopicResult {
        topic: String;
        partitions: Vec<EpochEndOffset>;
    }

    EpochEndOffset {
        error_code: i16;
        partition: i32;
        leader_epoch: i32 = -1, @ 1+, ignorable;
        end_offset: i64 = -1;
    }
}
