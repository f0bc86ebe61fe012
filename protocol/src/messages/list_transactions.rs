//! Listing transactions (API key 66).

use crate::macros::{message, request};

request!(ListTransactionsRequest => ListTransactionsResponse, ListTransactions, versions 0-2, flexible 0+);

message! {
    /// Asks a broker which transactions it coordinates.
    ListTransactionsRequest {
        state_filters: Vec<String>;
        producer_id_filters: Vec<i64>;
        duration_filter: i64 = -1, @ 1+;
        transactional_id_pattern: Option<String>, @ 2+;
    }

    /// The transactions of one broker.
    ListTransactionsResponse {
        throttle_time_ms: i32;
        error_code: i16;
        unknown_state_filters: Vec<String>;
        transaction_states: Vec<TransactionState>;
    }

    TransactionState {
        transactional_id: String;
        producer_id: i64;
        transaction_state: String;
    }
}
