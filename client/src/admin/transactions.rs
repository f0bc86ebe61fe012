//! Transactions of all producers.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ottla_protocol::messages::describe_transactions::{DescribeTransactionsRequest, TransactionState};
use ottla_protocol::messages::list_transactions::ListTransactionsRequest;
use ottla_protocol::{ApiKey, ErrorCode};

use super::{Admin, PerItem};
use crate::client::{Client, CoordinatorKind};
use crate::error::{Error, Remedy, Result};
use crate::network::Lane;
use crate::producer::init_transactional;
use crate::types::{BrokerId, ProducerIdAndEpoch, TopicPartition};

/// Calls to coordinators at the same time.
const CONCURRENCY: usize = 8;

/// A transactional id that a broker coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionListing {
    /// Who.
    pub transactional_id: String,
    /// Its producer id.
    pub producer_id: i64,
    /// Kafka's name of its state, such as `Ongoing`.
    pub state: String,
}

/// What a coordinator knows of a transactional id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionDescription {
    /// Kafka's name of its state, such as `Ongoing`.
    pub state: String,
    /// Its producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The broker aborts a transaction that is open for longer.
    pub timeout: Duration,
    /// When the open one began, in milliseconds since the Unix epoch; `None`: none is open.
    pub start_time: Option<i64>,
    /// The partitions of the open one.
    pub partitions: Vec<TopicPartition>,
}

impl Admin {
    /// The transactional ids of the whole cluster, in the given states (all when empty), in no order. Brokers 3.0 and
    /// newer.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] on older brokers; [`Error::Timeout`] when a broker could not be asked.
    pub async fn list_transactions(&self, states: &[&str]) -> Result<Vec<TransactionListing>> {
        let brokers: Vec<BrokerId> = self.client.cluster().brokers().map(|b| b.id).collect();
        let mut listed = Vec::new();
        let mut answers = futures_util::stream::iter(brokers)
            .map(|broker| self.list_transactions_of(broker, states))
            .buffer_unordered(CONCURRENCY);
        while let Some(answer) = answers.next().await {
            listed.extend(answer?);
        }
        Ok(listed)
    }

    async fn list_transactions_of(&self, broker: BrokerId, states: &[&str]) -> Result<Vec<TransactionListing>> {
        let request = ListTransactionsRequest {
            state_filters: states.iter().map(|state| (*state).to_owned()).collect(),
            ..Default::default()
        };
        let client = &self.client;
        let what = format!("ListTransactions of broker {broker}");
        client
            .retrying(&what, client.api_deadline(), || async {
                let response = client.request(broker, Lane::General, &request, None).await?;
                if response.error_code != 0 {
                    let code = response.error_code.into();
                    return Err(Error::broker(code, ApiKey::ListTransactions, format!("broker {broker}")));
                }
                let listed = response.transaction_states.into_iter().map(|listed| TransactionListing {
                    transactional_id: listed.transactional_id,
                    producer_id: listed.producer_id,
                    state: listed.transaction_state,
                });
                Ok(listed.collect())
            })
            .await
    }

    /// What the coordinators know of these ids. Brokers 3.0 and newer.
    pub async fn describe_transactions(&self, transactional_ids: &[&str]) -> PerItem<String, TransactionDescription> {
        let deadline = self.client.api_deadline();
        futures_util::stream::iter(owned(transactional_ids))
            .map(|id| async move {
                let described = describe_transaction(&self.client, &id, deadline).await;
                (id, described)
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await
    }

    /// Ends the producers with these ids: their open transactions are aborted, prepared ones too, and none of them can
    /// write any more. Waits until the aborts are done.
    pub async fn fence_producers(
        &self,
        transactional_ids: &[&str],
        timeout: Duration,
    ) -> PerItem<String, ProducerIdAndEpoch> {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        futures_util::stream::iter(owned(transactional_ids))
            .map(|id| async move {
                let fenced = self.fence(&id, timeout_ms).await;
                (id, fenced)
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await
    }

    async fn fence(&self, id: &str, timeout_ms: i32) -> Result<ProducerIdAndEpoch> {
        let client = &self.client;
        let what = format!("fencing {id}");
        client
            .retrying(&what, client.api_deadline(), || async {
                let fenced = init_transactional(client, id, timeout_ms, ProducerIdAndEpoch::NONE).await;
                forget_if_moved(client, id, fenced)
            })
            .await
    }
}

/// A future that borrows from a slice of borrowed names is `Send` for no spawned task.
fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// What the coordinator knows of one id.
pub(crate) async fn describe_transaction(
    client: &Client,
    id: &str,
    deadline: Instant,
) -> Result<TransactionDescription> {
    let request = DescribeTransactionsRequest { transactional_ids: vec![id.to_owned()] };
    let what = format!("DescribeTransactions of {id}");
    client
        .retrying(&what, deadline, || async {
            let described = ask(client, id, &request, deadline).await;
            forget_if_moved(client, id, described)
        })
        .await
}

async fn ask(
    client: &Client,
    id: &str,
    request: &DescribeTransactionsRequest,
    deadline: Instant,
) -> Result<TransactionDescription> {
    let coordinator = client.coordinator(CoordinatorKind::Transaction, id, deadline).await?;
    let response = client.request(coordinator, Lane::Coordinator, request, None).await?;
    let Some(state) = response.transaction_states.into_iter().next() else {
        return Err(Error::broker(ErrorCode::TransactionalIdNotFound, ApiKey::DescribeTransactions, id));
    };
    match ErrorCode::from(state.error_code) {
        ErrorCode::None => Ok(described(state)),
        code => Err(Error::broker(code, ApiKey::DescribeTransactions, id)),
    }
}

fn described(state: TransactionState) -> TransactionDescription {
    let partitions = state.topics.into_iter().flat_map(|topic| {
        let name: std::sync::Arc<str> = topic.topic.into();
        topic.partitions.into_iter().map(move |p| TopicPartition::new(std::sync::Arc::clone(&name), p))
    });
    TransactionDescription {
        state: state.transaction_state,
        producer_id: state.producer_id,
        producer_epoch: state.producer_epoch,
        timeout: Duration::from_millis(u64::try_from(state.transaction_timeout_ms).unwrap_or(0)),
        start_time: Some(state.transaction_start_time_ms).filter(|time| *time >= 0),
        partitions: partitions.collect(),
    }
}

fn forget_if_moved<T>(client: &Client, id: &str, result: Result<T>) -> Result<T> {
    if let Err(error) = &result
        && matches!(error.remedy(), Remedy::FindCoordinator | Remedy::RefreshMetadata)
    {
        client.forget_coordinator(CoordinatorKind::Transaction, id);
    }
    result
}
