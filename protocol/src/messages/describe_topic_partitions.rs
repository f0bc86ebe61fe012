//! Topics by pages (API key 75).
use uuid::Uuid;

use crate::macros::{message, request};

request!(DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse, DescribeTopicPartitions, versions 0-0, flexible 0+);

message! {
    /// Asks for topics and their partitions page by page.
    DescribeTopicPartitionsRequest {
        topics: Vec<TopicRequest>;
        response_partition_limit: i32 = 2000;
        cursor: Option<Cursor>;
    }

    TopicRequest {
        name: String;
    }

    Cursor {
        topic_name: String;
        partition_index: i32;
    }

    /// One page of topics.
    DescribeTopicPartitionsResponse {
        throttle_time_ms: i32, ignorable;
        topics: Vec<DescribeTopicPartitionsResponseTopic>;
        next_cursor: Option<CursorResult>;
    }

    DescribeTopicPartitionsResponseTopic {
        error_code: i16;
        name: Option<String> = Some(Default::default());
        topic_id: Uuid, ignorable;
        is_internal: bool, ignorable;
        partitions: Vec<DescribeTopicPartitionsResponsePartition>;
        topic_authorized_operations: i32 = -2147483648;
    }

    DescribeTopicPartitionsResponsePartition {
        error_code: i16;
        partition_index: i32;
        leader_id: i32;
        leader_epoch: i32 = -1, ignorable;
        replica_nodes: Vec<i32>;
        isr_nodes: Vec<i32>;
        eligible_leader_replicas: Option<Vec<i32>>;
        last_known_elr: Option<Vec<i32>>;
        offline_replicas: Vec<i32>, ignorable;
    }

    CursorResult {
        topic_name: String;
        partition_index: i32;
    }
}
