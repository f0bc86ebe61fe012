//! Committing offsets in a transaction (API key 28).
use uuid::Uuid;

use crate::macros::{message, request};

request!(TxnOffsetCommitRequest => TxnOffsetCommitResponse, TxnOffsetCommit, versions 0-6, flexible 3+);

message! {
    /// Stores a group's positions as part of a transaction.
    TxnOffsetCommitRequest {
        transactional_id: String;
        group_id: String;
        producer_id: i64;
        producer_epoch: i16;
        generation_id_or_member_epoch: i32 = -1, @ 3+;
        member_id: String, @ 3+;
        group_instance_id: Option<String>, @ 3+;
        topics: Vec<TxnOffsetCommitRequestTopic>;
    }

    TxnOffsetCommitRequestTopic {
        name: String, @ 0-5, ignorable;
        topic_id: Uuid, @ 6+, ignorable;
        partitions: Vec<TxnOffsetCommitRequestPartition>;
    }

    TxnOffsetCommitRequestPartition {
        partition_index: i32;
        committed_offset: i64;
        committed_leader_epoch: i32 = -1, @ 2+, ignorable;
        committed_metadata: Option<String> = Some(Default::default());
    }

    /// Which positions were stored.
    TxnOffsetCommitResponse {
        throttle_time_ms: i32;
        topics: Vec<TxnOffsetCommitResponseTopic>;
    }

    TxnOffsetCommitResponseTopic {
        name: String, @ 0-5, ignorable;
        topic_id: Uuid, @ 6+, ignorable;
        partitions: Vec<TxnOffsetCommitResponsePartition>;
    }

    TxnOffsetCommitResponsePartition {
        partition_index: i32;
        error_code: i16;
    }
}
