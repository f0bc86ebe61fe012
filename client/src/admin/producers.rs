//! Who writes to partitions.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::sync::Arc;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::describe_producers::{DescribeProducersRequest, TopicRequest};

use super::call::{Round, Target, asked, outcome};
use super::{Admin, PerItem, indexes};
use crate::error::Result;
use crate::types::TopicPartition;

/// An idempotent or transactional producer, as the leader of a partition knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerState {
    /// Its producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The sequence number of its last record; `None`: only markers are left.
    pub last_sequence: Option<i32>,
    /// When it last wrote, in milliseconds since the Unix epoch.
    pub last_timestamp: Option<i64>,
    /// The epoch of its transaction coordinator; `None`: no transaction.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins; `None`: none is open.
    pub current_transaction_start: Option<i64>,
}

impl Admin {
    /// The producers that the leaders of these partitions remember. One whose `current_transaction_start` is old holds up
    /// readers with `read_committed`: see [`abort_transaction`](Admin::abort_transaction). Brokers 2.8 and newer.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::TopicPartition;
    ///
    /// for (partition, producers) in admin.describe_producers(&[TopicPartition::new("orders", 0)]).await? {
    ///     println!("{partition}: {:?}", producers?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion); when no leader could be asked; per partition
    /// [`Error::Broker`](crate::Error::Broker).
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<PerItem<TopicPartition, Vec<ProducerState>>> {
        let described = self.each(
            ApiKey::DescribeProducers,
            partitions.to_vec(),
            |partition| Target::Leader(partition.clone()),
            |node, partitions| async move {
                let topics = indexes(&partitions).into_iter();
                let topics = topics.map(|(name, partition_indexes)| TopicRequest { name, partition_indexes });
                let request = DescribeProducersRequest { topics: topics.collect() };
                let (response, at) = self.send(node, None, |_| request).await?;
                let mut results = Vec::new();
                for topic in response.topics {
                    let name: Arc<str> = topic.name.into();
                    for partition in topic.partitions {
                        let tp = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                        let (code, words) = (partition.error_code, partition.error_message);
                        let result = outcome(code, ApiKey::DescribeProducers, &tp, words, &at);
                        results.push((tp, result.map(|()| partition.active_producers.iter().map(state).collect())));
                    }
                }
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(described.await)
    }
}

fn state(producer: &ottla_protocol::messages::describe_producers::ProducerState) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: producer.producer_epoch,
        last_sequence: Some(producer.last_sequence).filter(|sequence| *sequence >= 0),
        last_timestamp: Some(producer.last_timestamp).filter(|time| *time >= 0),
        coordinator_epoch: Some(producer.coordinator_epoch).filter(|epoch| *epoch >= 0),
        current_transaction_start: Some(producer.current_txn_start_offset).filter(|offset| *offset >= 0),
    }
}
