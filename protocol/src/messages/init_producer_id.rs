//! Producer ids (API key 22).

use crate::macros::{message, request};

#[cfg(not(feature = "unstable-kip939"))]
request!(InitProducerIdRequest => InitProducerIdResponse, InitProducerId, versions 0-5, flexible 2+);
// Brokers before KIP-939 is finished may understand 6 in another way.
#[cfg(feature = "unstable-kip939")]
request!(InitProducerIdRequest => InitProducerIdResponse, InitProducerId, versions 0-6, flexible 2+);

message! {
    /// Gets a producer id, or the next epoch of a transactional one; earlier owners are fenced.
    InitProducerIdRequest {
        transactional_id: Option<String> = Some(Default::default());
        transaction_timeout_ms: i32;
        producer_id: i64 = -1, @ 3+;
        producer_epoch: i16 = -1, @ 3+;
        enable2_pc: bool, @ 6+;
        keep_prepared_txn: bool, @ 6+;
    }

    /// The producer id and epoch to write with.
    InitProducerIdResponse {
        throttle_time_ms: i32, ignorable;
        error_code: i16;
        producer_id: i64 = -1;
        producer_epoch: i16;
        ongoing_txn_producer_id: i64 = -1, @ 6+;
        ongoing_txn_producer_epoch: i16 = -1, @ 6+;
    }
}
