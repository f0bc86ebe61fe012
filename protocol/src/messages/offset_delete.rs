//! Deleting committed offsets (API key 47).

use crate::macros::{message, request};

request!(OffsetDeleteRequest => OffsetDeleteResponse, OffsetDelete, versions 0-0);

message! {
    /// Deletes stored positions of a group.
    OffsetDeleteRequest {
        group_id: String;
        topics: Vec<OffsetDeleteRequestTopic>;
    }

    OffsetDeleteRequestTopic {
        name: String;
        partitions: Vec<OffsetDeleteRequestPartition>;
    }

    OffsetDeleteRequestPartition {
        partition_index: i32;
    }

    /// Which positions were deleted.
    OffsetDeleteResponse {
        error_code: i16;
        throttle_time_ms: i32, ignorable;
        topics: Vec<OffsetDeleteResponseTopic>;
    }

    OffsetDeleteResponseTopic {
        name: String;
        partitions: Vec<OffsetDeleteResponsePartition>;
    }

    OffsetDeleteResponsePartition {
        partition_index: i32;
        error_code: i16;
    }
}
