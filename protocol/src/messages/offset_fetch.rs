//! Reading committed offsets (API key 9).
use uuid::Uuid;

use crate::macros::{message, request};

request!(OffsetFetchRequest => OffsetFetchResponse, OffsetFetch, versions 0-10, flexible 6+);

message! {
    /// Asks for the positions that groups have stored.
    OffsetFetchRequest {
        group_id: String, @ 0-7;
        topics: Option<Vec<OffsetFetchRequestTopic>> = Some(Default::default()), @ 0-7, ? 2-7;
        groups: Vec<OffsetFetchRequestGroup>, @ 8+;
        require_stable: bool, @ 7+;
    }

    OffsetFetchRequestTopic {
        name: String, @ 0-7;
        partition_indexes: Vec<i32>, @ 0-7;
    }

    OffsetFetchRequestGroup {
        group_id: String, @ 8+;
        member_id: Option<String>, @ 9+, ignorable;
        member_epoch: i32 = -1, @ 9+, ignorable;
        topics: Option<Vec<OffsetFetchRequestTopics>> = Some(Default::default()), @ 8+;
    }

    OffsetFetchRequestTopics {
        name: String, @ 8-9, ignorable;
        topic_id: Uuid, @ 10+, ignorable;
        partition_indexes: Vec<i32>, @ 8+;
    }

    /// The stored positions.
    OffsetFetchResponse {
        throttle_time_ms: i32, @ 3+, ignorable;
        topics: Vec<OffsetFetchResponseTopic>, @ 0-7;
        error_code: i16, @ 2-7, ignorable;
        groups: Vec<OffsetFetchResponseGroup>, @ 8+;
    }

    OffsetFetchResponseTopic {
        name: String, @ 0-7;
        partitions: Vec<OffsetFetchResponsePartition>, @ 0-7;
    }

    OffsetFetchResponsePartition {
        partition_index: i32, @ 0-7;
        committed_offset: i64, @ 0-7;
        committed_leader_epoch: i32 = -1, @ 5-7, ignorable;
        metadata: Option<String> = Some(Default::default()), @ 0-7;
        error_code: i16, @ 0-7;
    }

    OffsetFetchResponseGroup {
        group_id: String, @ 8+;
        topics: Vec<OffsetFetchResponseTopics>, @ 8+;
        error_code: i16, @ 8+;
    }

    OffsetFetchResponseTopics {
        name: String, @ 8-9, ignorable;
        topic_id: Uuid, @ 10+, ignorable;
        partitions: Vec<OffsetFetchResponsePartitions>, @ 8+;
    }

    OffsetFetchResponsePartitions {
        partition_index: i32, @ 8+;
        committed_offset: i64, @ 8+;
        committed_leader_epoch: i32 = -1, @ 8+, ignorable;
        metadata: Option<String> = Some(Default::default()), @ 8+;
        error_code: i16, @ 8+;
    }
}
