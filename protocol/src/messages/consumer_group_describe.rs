//! Looking at KIP-848 groups (API key 69).
use uuid::Uuid;

use crate::macros::{message, request};

request!(ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse, ConsumerGroupDescribe, versions 0-1, flexible 0+);

message! {
    /// Asks for the state and members of KIP-848 groups.
    ConsumerGroupDescribeRequest {
        group_ids: Vec<String>;
        include_authorized_operations: bool;
    }

    /// The groups described.
    ConsumerGroupDescribeResponse {
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
        instance_id: Option<String>;
        rack_id: Option<String>;
        member_epoch: i32;
        client_id: String;
        client_host: String;
        subscribed_topic_names: Vec<String>;
        subscribed_topic_regex: Option<String>;
        assignment: Assignment;
        target_assignment: Assignment;
        member_type: i8 = -1, @ 1+, ignorable;
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
