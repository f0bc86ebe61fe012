//! Acknowledging in a share group (API key 79).
use uuid::Uuid;

use crate::macros::{message, request};

request!(ShareAcknowledgeRequest => ShareAcknowledgeResponse, ShareAcknowledge, versions 1-2, flexible 0+);

message! {
    /// Accepts, releases or rejects acquired records.
    ShareAcknowledgeRequest {
        group_id: Option<String>;
        member_id: Option<String> = Some(Default::default());
        share_session_epoch: i32;
        is_renew_ack: bool, @ 2+;
        topics: Vec<AcknowledgeTopic>;
    }

    AcknowledgeTopic {
        topic_id: Uuid;
        partitions: Vec<AcknowledgePartition>;
    }

    AcknowledgePartition {
        partition_index: i32;
        acknowledgement_batches: Vec<AcknowledgementBatch>;
    }

    AcknowledgementBatch {
        first_offset: i64;
        last_offset: i64;
        acknowledge_types: Vec<i8>;
    }

    /// Which acknowledgements were taken.
    ShareAcknowledgeResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String>;
        acquisition_lock_timeout_ms: i32, @ 2+, ignorable;
        responses: Vec<ShareAcknowledgeTopicResponse>;
        node_endpoints: Vec<NodeEndpoint>;
    }

    ShareAcknowledgeTopicResponse {
        topic_id: Uuid;
        partitions: Vec<PartitionData>;
    }

    PartitionData {
        partition_index: i32;
        error_code: i16;
        error_message: Option<String>;
        current_leader: LeaderIdAndEpoch;
    }

    LeaderIdAndEpoch {
        leader_id: i32;
        leader_epoch: i32;
    }

    NodeEndpoint {
        node_id: i32;
        host: String;
        port: i32;
        rack: Option<String>;
    }
}
