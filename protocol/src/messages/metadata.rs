//! The cluster's shape (API key 3).
use uuid::Uuid;

use crate::macros::{message, request};

request!(MetadataRequest => MetadataResponse, Metadata, versions 0-13, flexible 9+);

message! {
    /// Asks which brokers, topics and partition leaders there are.
    MetadataRequest {
        topics: Option<Vec<MetadataRequestTopic>> = Some(Default::default()), ? 1+;
        allow_auto_topic_creation: bool = true, @ 4+;
        include_cluster_authorized_operations: bool, @ 8-10;
        include_topic_authorized_operations: bool, @ 8+;
    }

    MetadataRequestTopic {
        topic_id: Uuid, @ 10+, ignorable;
        name: Option<String> = Some(Default::default()), ? 10+;
    }

    /// The cluster as the answering broker sees it.
    MetadataResponse {
        throttle_time_ms: i32, @ 3+, ignorable;
        brokers: Vec<MetadataResponseBroker>;
        cluster_id: Option<String>, @ 2+, ignorable;
        controller_id: i32 = -1, @ 1+, ignorable;
        topics: Vec<MetadataResponseTopic>;
        cluster_authorized_operations: i32 = -2147483648, @ 8-10;
        error_code: i16, @ 13+, ignorable;
    }

    MetadataResponseBroker {
        node_id: i32;
        host: String;
        port: i32;
        rack: Option<String>, @ 1+, ignorable;
    }

    MetadataResponseTopic {
        error_code: i16;
        name: Option<String> = Some(Default::default()), ? 12+;
        topic_id: Uuid, @ 10+, ignorable;
        is_internal: bool, @ 1+, ignorable;
        partitions: Vec<MetadataResponsePartition>;
        topic_authorized_operations: i32 = -2147483648, @ 8+;
    }

    MetadataResponsePartition {
        error_code: i16;
        partition_index: i32;
        leader_id: i32;
        leader_epoch: i32 = -1, @ 7+, ignorable;
        replica_nodes: Vec<i32>;
        isr_nodes: Vec<i32>;
        offline_replicas: Vec<i32>, @ 5+, ignorable;
    }
}
