//! Transactions of all producers.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ottla_protocol::messages::describe_transactions::{DescribeTransactionsRequest, TransactionState};
use ottla_protocol::messages::list_transactions::ListTransactionsRequest;
use ottla_protocol::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest};
use ottla_protocol::{ApiKey, ErrorCode};

use super::call::{Round, Target, outcome, wire_millis};
use super::producers::ProducerState;
use super::{Admin, Listing, PerItem, owned};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::producer::init_transactional;
use crate::types::{ProducerIdAndEpoch, TopicPartition, millis};

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

/// A transaction to abort in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbortTransaction {
    /// Where.
    pub topic_partition: TopicPartition,
    /// Whose.
    pub producer_id: i64,
    /// In which epoch.
    pub producer_epoch: i16,
    /// The epoch of its coordinator.
    pub coordinator_epoch: i32,
}

impl AbortTransaction {
    /// The open transaction of a producer that [`Admin::describe_producers`] has shown.
    #[must_use]
    pub fn of(topic_partition: TopicPartition, producer: &ProducerState) -> Self {
        Self {
            topic_partition,
            producer_id: producer.producer_id,
            producer_epoch: i16::try_from(producer.producer_epoch).unwrap_or(-1),
            coordinator_epoch: producer.coordinator_epoch.unwrap_or(0),
        }
    }
}

/// Which transactional ids to list: those for which all of it is true. Default: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Kafka's names of states, such as `Ongoing` and `CompleteCommit`; empty: any.
    pub states: Vec<String>,
    /// Of these producers; empty: of any.
    pub producer_ids: Vec<i64>,
    /// Whose transaction has been open for longer than this. Brokers 3.8 and newer.
    pub open_for: Option<Duration>,
    /// Whose whole name this pattern matches, in RE2's syntax. Brokers 4.1 and newer.
    pub pattern: Option<String>,
}

impl TransactionFilter {
    /// Those in one of these states.
    #[must_use]
    pub fn in_states(states: &[&str]) -> Self {
        Self { states: owned(states), ..Self::default() }
    }
}

impl Admin {
    /// The transactional ids of the whole cluster. Brokers 3.0 and newer. A broker that is down is asked until
    /// `default.api.timeout.ms` has passed, and its ids are missing then.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] on older brokers; when no broker has answered, as where all are too old for the filter;
    /// per broker in [`Listing::errors`].
    pub async fn list_transactions(&self, filter: &TransactionFilter) -> Result<Listing<TransactionListing>> {
        self.everywhere("ListTransactions", |node| async move {
            let request = ListTransactionsRequest {
                state_filters: filter.states.clone(),
                producer_id_filters: filter.producer_ids.clone(),
                duration_filter: filter.open_for.map_or(-1, wire_millis),
                transactional_id_pattern: filter.pattern.clone(),
            };
            let (response, at) = self.send(node, None, |_| request).await?;
            outcome(response.error_code, ApiKey::ListTransactions, "all transactions", None, &at)?;
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
        let api = ApiKey::DescribeTransactions;
        let coordinator = |id: &String| Target::Transaction(id.clone());
        self.each(api, owned(transactional_ids), coordinator, |node, transactional_ids| async move {
            let (response, at) = self.send(node, None, |_| DescribeTransactionsRequest { transactional_ids }).await?;
            let results = response.transaction_states.into_iter().map(|state| {
                let id = state.transactional_id.clone();
                (id, outcome(state.error_code, api, &state.transactional_id, None, &at).map(|()| described(state)))
            });
            Ok(Round::new(response.throttle_time_ms, results))
        })
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

    /// Ends the producer with this id, as [`fence_producers`](Self::fence_producers) does: its open transaction is aborted,
    /// also one that was prepared and is waited for.
    ///
    /// # Errors
    /// When the coordinator could not be asked; [`Error::Broker`].
    pub async fn force_terminate_transaction(&self, transactional_id: &str) -> Result<()> {
        self.fence(transactional_id, self.timeout_ms()).await.map(drop)
    }

    /// Aborts a hanging transaction in one partition: one that its coordinator knows nothing of any more. Only for what
    /// [`describe_producers`](Self::describe_producers) shows: the records of a transaction that does go on are lost.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::{AbortTransaction, TopicPartition};
    ///
    /// let partition = TopicPartition::new("orders", 0);
    /// for producer in admin.describe_producers(&[partition.clone()]).await?.remove(&partition).into_iter().flatten().flatten() {
    ///     if producer.current_transaction_start.is_some() {
    ///         admin.abort_transaction(&AbortTransaction::of(partition.clone(), &producer)).await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the leader could not be asked; [`Error::Broker`], such as `INVALID_PRODUCER_EPOCH`.
    pub async fn abort_transaction(&self, abort: &AbortTransaction) -> Result<()> {
        let AbortTransaction { topic_partition, producer_id, producer_epoch, coordinator_epoch } = abort;
        let topic = WritableTxnMarkerTopic {
            name: topic_partition.topic.to_string(),
            partition_indexes: vec![topic_partition.partition],
        };
        let marker = WritableTxnMarker {
            producer_id: *producer_id,
            producer_epoch: *producer_epoch,
            transaction_result: false,
            topics: vec![topic],
            coordinator_epoch: *coordinator_epoch,
            ..Default::default()
        };
        let request = &WriteTxnMarkersRequest { markers: vec![marker] };
        let what = format!("aborting the transaction of producer {producer_id} in {topic_partition}");
        self.once(&what, Target::Leader(topic_partition.clone()), |node| async move {
            let (response, at) = self.send(node, None, |_| request.clone()).await?;
            let results = response.markers.into_iter().flat_map(|m| m.topics).flat_map(|t| t.partitions);
            let code = results.map(|p| p.error_code).next().unwrap_or(-1);
            outcome(code, ApiKey::WriteTxnMarkers, topic_partition, None, &at)
        })
        .await
    }

    async fn fence(&self, id: &str, timeout_ms: i32) -> Result<ProducerIdAndEpoch> {
        let client = &self.client;
        self.once(&format!("fencing {id}"), Target::Transaction(id.to_owned()), |_| {
            init_transactional(client, id, timeout_ms, ProducerIdAndEpoch::NONE)
        })
        .await
    }
}

/// What the coordinator knows of one id, until `deadline`.
pub(crate) async fn describe_transaction(
    client: &Client,
    id: &str,
    deadline: Instant,
) -> Result<TransactionDescription> {
    let admin = Admin::new(client);
    let ids = [id];
    let left_out = || Error::broker(ErrorCode::TransactionalIdNotFound, ApiKey::DescribeTransactions, id);
    match tokio::time::timeout_at(deadline.into(), admin.describe_transactions(&ids)).await {
        Ok(mut described) => described.remove(id).unwrap_or_else(|| Err(left_out())),
        Err(_) => {
            let after = client.config().default_api_timeout;
            Err(Error::Timeout { what: format!("DescribeTransactions of {id}"), after, last: None })
        }
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
        timeout: millis(state.transaction_timeout_ms),
        start_time: Some(state.transaction_start_time_ms).filter(|time| *time >= 0),
        partitions: partitions.collect(),
    }
}
