//! Writing records (API key 0).
use uuid::Uuid;

use crate::macros::{message, request};
use crate::record::Records;

request!(ProduceRequest => ProduceResponse, Produce, versions 0-13, flexible 9+);

message! {
    /// Appends record batches to partitions.
    ProduceRequest {
        transactional_id: Option<String>, @ 3+;
        acks: i16;
        timeout_ms: i32;
        topic_data: Vec<TopicProduceData>;
    }

    TopicProduceData {
        name: String, @ 0-12, ignorable;
        topic_id: Uuid, @ 13+, ignorable;
        partition_data: Vec<PartitionProduceData>;
    }

    PartitionProduceData {
        index: i32;
        records: Option<Records>;
    }

    /// Where the batches of a [`ProduceRequest`] ended up.
    ProduceResponse {
        responses: Vec<TopicProduceResponse>;
        throttle_time_ms: i32, @ 1+, ignorable;
        node_endpoints: Vec<NodeEndpoint>, @ 10+, # 0;
    }

    TopicProduceResponse {
        name: String, @ 0-12, ignorable;
        topic_id: Uuid, @ 13+, ignorable;
        partition_responses: Vec<PartitionProduceResponse>;
    }

    PartitionProduceResponse {
        index: i32;
        error_code: i16;
        base_offset: i64;
        log_append_time_ms: i64 = -1, @ 2+, ignorable;
        log_start_offset: i64 = -1, @ 5+, ignorable;
        record_errors: Vec<BatchIndexAndErrorMessage>, @ 8+, ignorable;
        error_message: Option<String>, @ 8+, ignorable;
        current_leader: LeaderIdAndEpoch, @ 10+, # 0;
    }

    BatchIndexAndErrorMessage {
        batch_index: i32, @ 8+;
        batch_index_error_message: Option<String>, @ 8+;
    }

    LeaderIdAndEpoch {
        leader_id: i32 = -1, @ 10+;
        leader_epoch: i32 = -1, @ 10+;
    }

    NodeEndpoint {
        node_id: i32, @ 10+;
        host: String, @ 10+;
        port: i32, @ 10+;
        rack: Option<String>, @ 10+;
    }
}
