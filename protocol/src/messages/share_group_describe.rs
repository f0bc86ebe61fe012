//! Looking at share groups (API key 77).
use uuid::Uuid;

use crate::macros::{message, request};

request!(ShareGroupDescribeRequest => ShareGroupDescribeResponse, ShareGroupDescribe, versions 1-1, flexible 0+);

message! {
    /// Asks for the state and members of share groups.
    ShareGroupDescribeRequest {
        group_ids: Vec<String>;
        include_authorized_operations: bool;
    }

    /// The groups described.
    ShareGroupDescribeResponse {
        throttle_time_ms: i32;
        groups: Vec<DescribedGroup>;
    }

    DescribedGroup {
        error_code: i16;
        error_message: Option<String>;
        group_id: String;
        group_state: String;
        group_epoch: i32;
        assignment_epoch: i32;
        assignor_name: String;
        members: Vec<Member>;
        authorized_operations: i32 = -2147483648;
    }

    Member {
        member_id: String;
        rack_id: Option<String>;
        member_epoch: i32;
        client_id: String;
        client_host: String;
        subscribed_topic_names: Vec<String>;
        assignment: Assignment;
    }

    TopicPartitions {
        topic_id: Uuid;
        topic_name: String;
        partitions: Vec<i32>;
    }

    Assignment {
        topic_partitions: Vec<TopicPartitions>;
    }
}
