//! Offsets of a transaction (API key 25).

use crate::macros::{message, request};

request!(AddOffsetsToTxnRequest => AddOffsetsToTxnResponse, AddOffsetsToTxn, versions 0-4, flexible 3+);

message! {
    /// Makes a group's offsets part of a transaction.
    AddOffsetsToTxnRequest {
        transactional_id: String;
        producer_id: i64;
        producer_epoch: i16;
        group_id: String;
    }

    /// Whether they were added.
    AddOffsetsToTxnResponse {
        throttle_time_ms: i32;
        error_code: i16;
    }
}
