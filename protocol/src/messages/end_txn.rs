//! Ending a transaction (API key 26).

use crate::macros::{message, request};

request!(EndTxnRequest => EndTxnResponse, EndTxn, versions 0-5, flexible 3+);

message! {
    /// Commits or aborts a transaction.
    EndTxnRequest {
        transactional_id: String;
        producer_id: i64;
        producer_epoch: i16;
        committed: bool;
    }

    /// Whether it ended, and from version 5 on the epoch to go on with.
    EndTxnResponse {
        throttle_time_ms: i32;
        error_code: i16;
        producer_id: i64 = -1, @ 5+, ignorable;
        producer_epoch: i16 = -1, @ 5+, ignorable;
    }
}
