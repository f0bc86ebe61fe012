//! Looking at the quorum (API key 55).
use uuid::Uuid;

use crate::macros::{message, request};

request!(DescribeQuorumRequest => DescribeQuorumResponse, DescribeQuorum, versions 0-2, flexible 0+);

message! {
    /// Asks for the state of the controllers' quorum.
    DescribeQuorumRequest {
        topics: Vec<TopicData>;
    }

    TopicData {
        topic_name: String;
        partitions: Vec<PartitionData>;
    }

    PartitionData {
        partition_index: i32;
    }

    /// The leader, voters and observers of the quorum.
    DescribeQuorumResponse {
        error_code: i16;
        error_message: Option<String> = Some(Default::default()), @ 2+, ignorable;
        topics: Vec<TopicDataResult>;
        nodes: Vec<Node>, @ 2+;
    }

    TopicDataResult {
        topic_name: String;
        partitions: Vec<PartitionDataResult>;
    }

    PartitionDataResult {
        partition_index: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default()), @ 2+, ignorable;
        leader_id: i32;
        leader_epoch: i32;
        high_watermark: i64;
        current_voters: Vec<ReplicaState>;
        observers: Vec<ReplicaState>;
    }

    Node {
        node_id: i32, @ 2+;
        listeners: Vec<Listener>, @ 2+;
    }

    Listener {
        name: String, @ 2+;
        host: String, @ 2+;
        port: u16, @ 2+;
    }

    ReplicaState {
        replica_id: i32;
        replica_directory_id: Uuid, @ 2+;
        log_end_offset: i64;
        last_fetch_timestamp: i64 = -1, @ 1+, ignorable;
        last_caught_up_timestamp: i64 = -1, @ 1+, ignorable;
    }
}
