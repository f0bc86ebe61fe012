//! Reading records (API key 1).
use uuid::Uuid;

use crate::macros::{message, request};
use crate::record::Records;

request!(FetchRequest => FetchResponse, Fetch, versions 0-18, flexible 12+);

message! {
    /// Asks a broker for record batches from given offsets on.
    FetchRequest {
        cluster_id: Option<String>, @ 12+, # 0, ignorable;
        replica_id: i32 = -1, @ 0-14;
        replica_state: ReplicaState, @ 15+, # 1;
        max_wait_ms: i32;
        min_bytes: i32;
        max_bytes: i32 = i32::MAX, @ 3+, ignorable;
        isolation_level: i8, @ 4+, ignorable;
        session_id: i32, @ 7+, ignorable;
        session_epoch: i32 = -1, @ 7+, ignorable;
        topics: Vec<FetchTopic>;
        forgotten_topics_data: Vec<ForgottenTopic>, @ 7+;
        rack_id: String, @ 11+, ignorable;
    }

    ReplicaState {
        replica_id: i32 = -1, @ 15+;
        replica_epoch: i64 = -1, @ 15+;
    }

    FetchTopic {
        topic: String, @ 0-12, ignorable;
        topic_id: Uuid, @ 13+, ignorable;
        partitions: Vec<FetchPartition>;
    }

    FetchPartition {
        partition: i32;
        current_leader_epoch: i32 = -1, @ 9+, ignorable;
        fetch_offset: i64;
        last_fetched_epoch: i32 = -1, @ 12+;
        log_start_offset: i64 = -1, @ 5+, ignorable;
        partition_max_bytes: i32;
        replica_directory_id: Uuid, @ 17+, # 0, ignorable;
        high_watermark: i64 = i64::MAX, @ 18+, # 1, ignorable;
    }

    ForgottenTopic {
        topic: String, @ 7-12, ignorable;
        topic_id: Uuid, @ 13+, ignorable;
        partitions: Vec<i32>, @ 7+;
    }

    /// Record batches and the watermarks of their partitions.
    FetchResponse {
        throttle_time_ms: i32, @ 1+, ignorable;
        error_code: i16, @ 7+, ignorable;
        session_id: i32, @ 7+;
        responses: Vec<FetchableTopicResponse>;
        node_endpoints: Vec<NodeEndpoint>, @ 16+, # 0;
    }

    FetchableTopicResponse {
        topic: String, @ 0-12, ignorable;
        topic_id: Uuid, @ 13+, ignorable;
        partitions: Vec<PartitionData>;
    }

    PartitionData {
        partition_index: i32;
        error_code: i16;
        high_watermark: i64;
        last_stable_offset: i64 = -1, @ 4+, ignorable;
        log_start_offset: i64 = -1, @ 5+, ignorable;
        diverging_epoch: EpochEndOffset, @ 12+, # 0;
        current_leader: LeaderIdAndEpoch, @ 12+, # 1;
        snapshot_id: SnapshotId, @ 12+, # 2;
        aborted_transactions: Option<Vec<AbortedTransaction>> = Some(Default::default()), @ 4+, ignorable;
        preferred_read_replica: i32 = -1, @ 11+;
        records: Option<Records>;
    }

    EpochEndOffset {
        epoch: i32 = -1, @ 12+;
        end_offset: i64 = -1, @ 12+;
    }

    LeaderIdAndEpoch {
        leader_id: i32 = -1, @ 12+;
        leader_epoch: i32 = -1, @ 12+;
    }

    SnapshotId {
        end_offset: i64 = -1;
        epoch: i32 = -1;
    }

    AbortedTransaction {
        producer_id: i64, @ 4+;
        first_offset: i64, @ 4+;
    }

    NodeEndpoint {
        node_id: i32, @ 16+;
        host: String, @ 16+;
        port: i32, @ 16+;
        rack: Option<String>, @ 16+;
    }
}
