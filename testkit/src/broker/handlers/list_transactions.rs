//! ListTransactions: those this node coordinates.

use std::time::Duration;

use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId};

use super::super::cluster::{Call, Cluster};
use super::super::leadership::TRANSACTION;
use super::super::transactions::{Transaction, TransactionState};
use super::{code, text};

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let fault = call.fails_whole();
    if fault.is_err() {
        return ListTransactionsResponse::default().with_error_code(code(&fault));
    }
    let is_state = |name: &str| TransactionState::ALL.iter().any(|state| state.name() == name);
    let unknown = request.state_filters.iter().filter(|name| !is_state(name)).cloned().collect();
    let mine = |id: &str| cluster.coordinator(TRANSACTION, id).is_some_and(|node| node.id == call.node);
    let listed = cluster
        .transactions
        .iter()
        .filter(|(id, transaction)| mine(id) && matches(call, &request, id, transaction))
        .map(|(id, transaction)| {
            Listed::default()
                .with_transactional_id(TransactionalId(text(id.clone())))
                .with_producer_id(ProducerId(transaction.producer_id))
                .with_transaction_state(text(transaction.state.name()))
        });
    ListTransactionsResponse::default().with_transaction_states(listed.collect()).with_unknown_state_filters(unknown)
}

fn matches(call: &Call, request: &ListTransactionsRequest, id: &str, transaction: &Transaction) -> bool {
    let state = request.state_filters.is_empty()
        || request.state_filters.iter().any(|name| name.as_str() == transaction.state.name());
    let producer = request.producer_id_filters.is_empty()
        || request.producer_id_filters.contains(&ProducerId(transaction.producer_id));
    // Without a start the difference to it is large, as it is for Kafka, whose "no start" is -1.
    let duration = request.duration_filter < 0
        || transaction.started.is_none_or(|started| {
            let least = Duration::from_millis(u64::try_from(request.duration_filter).unwrap_or(0));
            call.now.saturating_duration_since(started) > least
        });
    let pattern = request.transactional_id_pattern.as_ref().is_none_or(|pattern| resembles(pattern, id));
    state && producer && duration && pattern
}

/// The pattern is a regular expression; here only literals and `.*` are understood.
fn resembles(pattern: &str, id: &str) -> bool {
    if pattern.is_empty() {
        return true;
    }
    let mut rest = id;
    let mut parts = pattern.split(".*").peekable();
    let Some(first) = parts.next() else { return true };
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::resembles;

    #[test]
    fn patterns_of_literals_and_stars() {
        assert!(resembles("", "a") && resembles("abc", "abc") && resembles("a.*", "abc") && resembles(".*c", "abc"));
        assert!(resembles("a.*c", "abbc") && resembles(".*b.*", "abc"));
        assert!(!resembles("ab", "abc") && !resembles("b.*", "abc") && !resembles("a.*d", "abc"));
    }
}
