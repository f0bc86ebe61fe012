//! Membership in a KIP-848 group (API key 68).
use uuid::Uuid;

use crate::macros::{message, request};

request!(ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse, ConsumerGroupHeartbeat, versions 0-1, flexible 0+);

message! {
    /// Joins, keeps, changes or leaves the membership of a KIP-848 group.
    ConsumerGroupHeartbeatRequest {
        group_id: String;
        member_id: String;
        member_epoch: i32;
        instance_id: Option<String>;
        rack_id: Option<String>;
        rebalance_timeout_ms: i32 = -1;
        subscribed_topic_names: Option<Vec<String>>;
        subscribed_topic_regex: Option<String>, @ 1+;
        server_assignor: Option<String>;
        topic_partitions: Option<Vec<TopicPartitions>>;
    }

    TopicPartitions {
        topic_id: Uuid;
        partitions: Vec<i32>;
    }

    /// The member's epoch and, when it changed, its assignment.
    ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String>;
        member_id: Option<String>;
        member_epoch: i32;
        heartbeat_interval_ms: i32;
        assignment: Option<Assignment>;
    }

    Assignment {
        topic_partitions: Vec<TopicPartitionsResult>;
    }

    TopicPartitionsResult {
        topic_id: Uuid;
        partitions: Vec<i32>;
    }
}
