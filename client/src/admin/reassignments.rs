//! Moving replicas between brokers.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;
use std::sync::Arc;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use ottla_protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
};

use super::call::{Round, Target, asked, outcome};
use super::{Admin, PerItem, by_topic, indexes};
use crate::error::Result;
use crate::types::{BrokerId, TopicPartition};

/// A partition that is moving.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OngoingReassignment {
    /// All brokers that have a copy or get one.
    pub replicas: Vec<BrokerId>,
    /// Those that get one.
    pub adding: Vec<BrokerId>,
    /// Those that lose theirs.
    pub removing: Vec<BrokerId>,
}

impl Admin {
    /// Begins to move partitions to these brokers, the preferred leader first; `None` cancels what is under way. Brokers
    /// 2.4 and newer.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::{BrokerId, TopicPartition};
    ///
    /// let partition = TopicPartition::new("orders", 0);
    /// let replicas = Some(vec![BrokerId(2), BrokerId(3)]);
    /// admin.alter_partition_reassignments(&[(partition, replicas)].into()).await?;
    /// println!("{:?}", admin.list_partition_reassignments(None).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the controller could not be asked; per partition [`Error::Broker`](crate::Error::Broker), such as
    /// `NO_REASSIGNMENT_IN_PROGRESS`.
    pub async fn alter_partition_reassignments(
        &self,
        replicas: &HashMap<TopicPartition, Option<Vec<BrokerId>>>,
    ) -> Result<PerItem<TopicPartition, ()>> {
        let api = ApiKey::AlterPartitionReassignments;
        let altered = self.each(
            api,
            replicas.keys().cloned(),
            |_| Target::Controller,
            |node, partitions| async move {
                let partition = |tp: &TopicPartition| ReassignablePartition {
                    partition_index: tp.partition,
                    replicas: replicas.get(tp).cloned().flatten().map(|ids| ids.iter().map(|id| id.0).collect()),
                };
                let topics = by_topic(partitions.iter().map(|tp| (tp, partition(tp))));
                let topics = topics.into_iter().map(|(name, partitions)| ReassignableTopic { name, partitions });
                let request = AlterPartitionReassignmentsRequest {
                    timeout_ms: self.timeout_ms(),
                    topics: topics.collect(),
                    ..Default::default()
                };
                let (response, at) = self.send(node, None, |_| request).await?;
                outcome(response.error_code, api, "the cluster", response.error_message, &at)?;
                let mut results = Vec::new();
                for topic in response.responses {
                    let name: Arc<str> = topic.name.into();
                    for partition in topic.partitions {
                        let tp = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                        let result = outcome(partition.error_code, api, &tp, partition.error_message, &at);
                        results.push((tp, result));
                    }
                }
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(altered.await)
    }

    /// The partitions that are moving, of these or of all. Brokers 2.4 and newer.
    ///
    /// # Errors
    /// When the controller could not be asked; [`Error::Broker`](crate::Error::Broker).
    pub async fn list_partition_reassignments(
        &self,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<HashMap<TopicPartition, OngoingReassignment>> {
        let topics = partitions.map(|partitions| {
            let topics = indexes(partitions).into_iter();
            topics
                .map(|(name, partition_indexes)| ListPartitionReassignmentsTopics { name, partition_indexes })
                .collect()
        });
        let request = &ListPartitionReassignmentsRequest { timeout_ms: self.timeout_ms(), topics };
        let api = ApiKey::ListPartitionReassignments;
        let brokers = |ids: Vec<i32>| ids.into_iter().map(BrokerId).collect::<Vec<_>>();
        self.once("ListPartitionReassignments", Target::Controller, |node| async move {
            let (response, at) = self.send(node, None, |_| request.clone()).await?;
            outcome(response.error_code, api, "the cluster", response.error_message, &at)?;
            let mut moving = HashMap::new();
            for topic in response.topics {
                let name: Arc<str> = topic.name.into();
                for partition in topic.partitions {
                    let ongoing = OngoingReassignment {
                        replicas: brokers(partition.replicas),
                        adding: brokers(partition.adding_replicas),
                        removing: brokers(partition.removing_replicas),
                    };
                    moving.insert(TopicPartition::new(Arc::clone(&name), partition.partition_index), ongoing);
                }
            }
            Ok(moving)
        })
        .await
    }
}
