//! Committing offsets (API key 8).
use uuid::Uuid;

use crate::macros::{message, request};

request!(OffsetCommitRequest => OffsetCommitResponse, OffsetCommit, versions 0-10, flexible 8+);

message! {
    /// Stores a group's positions.
    OffsetCommitRequest {
        group_id: String;
        generation_id_or_member_epoch: i32 = -1, @ 1+, ignorable;
        member_id: String, @ 1+, ignorable;
        group_instance_id: Option<String>, @ 7+;
        retention_time_ms: i64 = -1, @ 2-4, ignorable;
        topics: Vec<OffsetCommitRequestTopic>;
    }

    OffsetCommitRequestTopic {
        name: String, @ 0-9, ignorable;
        topic_id: Uuid, @ 10+, ignorable;
        partitions: Vec<OffsetCommitRequestPartition>;
    }

    OffsetCommitRequestPartition {
        partition_index: i32;
        committed_offset: i64;
        committed_leader_epoch: i32 = -1, @ 6+, ignorable;
        commit_timestamp: i64 = -1, @ 1-1;
        committed_metadata: Option<String> = Some(Default::default());
    }

    /// Which positions were stored.
    OffsetCommitResponse {
        throttle_time_ms: i32, @ 3+, ignorable;
        topics: Vec<OffsetCommitResponseTopic>;
    }

    OffsetCommitResponseTopic {
        name: String, @ 0-9, ignorable;
        topic_id: Uuid, @ 10+, ignorable;
        partitions: Vec<OffsetCommitResponsePartition>;
    }

    OffsetCommitResponsePartition {
        partition_index: i32;
        error_code: i16;
    }
}
