//! Reading in a share group (API key 78).
use uuid::Uuid;

use crate::macros::{message, request};
use crate::record::Records;

request!(ShareFetchRequest => ShareFetchResponse, ShareFetch, versions 1-2, flexible 0+);

message! {
    /// Acquires records for a member of a share group.
    ShareFetchRequest {
        group_id: Option<String>;
        member_id: Option<String> = Some(Default::default());
        share_session_epoch: i32;
        max_wait_ms: i32;
        min_bytes: i32;
        max_bytes: i32 = i32::MAX;
        max_records: i32, @ 1+;
        batch_size: i32, @ 1+;
        share_acquire_mode: i8, @ 2+, ignorable;
        is_renew_ack: bool, @ 2+;
        topics: Vec<FetchTopic>;
        forgotten_topics_data: Vec<ForgottenTopic>;
    }

    FetchTopic {
        topic_id: Uuid;
        partitions: Vec<FetchPartition>;
    }

    FetchPartition {
        partition_index: i32;
        partition_max_bytes: i32, @ 0-0;
        acknowledgement_batches: Vec<AcknowledgementBatch>;
    }

    AcknowledgementBatch {
        first_offset: i64;
        last_offset: i64;
        acknowledge_types: Vec<i8>;
    }

    ForgottenTopic {
        topic_id: Uuid;
        partitions: Vec<i32>;
    }

    /// The records acquired.
    ShareFetchResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String>;
        acquisition_lock_timeout_ms: i32, @ 1+;
        responses: Vec<ShareFetchableTopicResponse>;
        node_endpoints: Vec<NodeEndpoint>;
    }

    ShareFetchableTopicResponse {
        topic_id: Uuid;
        partitions: Vec<PartitionData>;
    }

    PartitionData {
        partition_index: i32;
        error_code: i16;
        error_message: Option<String>;
        acknowledge_error_code: i16;
        acknowledge_error_message: Option<String>;
        current_leader: LeaderIdAndEpoch;
        records: Option<Records>, ? 0-0;
        acquired_records: Vec<AcquiredRecords>;
    }

    LeaderIdAndEpoch {
        leader_id: i32;
        leader_epoch: i32;
    }

    AcquiredRecords {
        first_offset: i64;
        last_offset: i64;
        delivery_count: i16;
    }

    NodeEndpoint {
        node_id: i32;
        host: String;
        port: i32;
        rack: Option<String>;
    }
}
