//! DescribeTransactions.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState as Described};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName, TransactionalId,
};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::leadership::TRANSACTION;
use super::super::transactions::Transaction;
use super::{code, text};

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let states = request.transactional_ids.into_iter().map(|id| describe(cluster, call, id));
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

fn describe(cluster: &Cluster, call: &Call, id: TransactionalId) -> Described {
    let found = look_up(cluster, call, &id.0);
    let state = Described::default().with_error_code(code(&found)).with_transactional_id(id);
    let Ok(transaction) = found else { return state };
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &transaction.partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| TopicData::default().with_topic(TopicName(text(topic))).with_partitions(partitions));
    state
        .with_transaction_state(text(transaction.state.name()))
        .with_transaction_timeout_ms(transaction.timeout_ms)
        .with_transaction_start_time_ms(transaction.started.map_or(-1, |started| cluster.wall_ms(started)))
        .with_producer_id(ProducerId(transaction.producer_id))
        .with_producer_epoch(transaction.epoch)
        .with_topics(topics.collect())
}

fn look_up<'a>(cluster: &'a Cluster, call: &Call, id: &str) -> Result<&'a Transaction, ErrorCode> {
    call.fails_whole()?;
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    cluster.check_coordinator(call, TRANSACTION, id)?;
    cluster.transactions.describe(id).ok_or(ErrorCode::TransactionalIdNotFound)
}
