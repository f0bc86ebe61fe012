//! Membership in a share group (API key 76).
use uuid::Uuid;

use crate::macros::{message, request};

request!(ShareGroupHeartbeatRequest => ShareGroupHeartbeatResponse, ShareGroupHeartbeat, versions 1-1, flexible 0+);

message! {
    /// Joins, keeps or leaves the membership of a share group.
    ShareGroupHeartbeatRequest {
        group_id: String;
        member_id: String;
        member_epoch: i32;
        rack_id: Option<String>;
        subscribed_topic_names: Option<Vec<String>>;
    }

    /// The member's epoch and assignment.
    ShareGroupHeartbeatResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String>;
        member_id: Option<String>;
        member_epoch: i32;
        heartbeat_interval_ms: i32;
        assignment: Option<Assignment>;
    }

    Assignment {
        topic_partitions: Vec<TopicPartitions>;
    }

    TopicPartitions {
        topic_id: Uuid;
        partitions: Vec<i32>;
    }
}
