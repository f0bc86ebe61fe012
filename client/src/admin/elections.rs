//! Electing leaders.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::sync::Arc;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};

use super::call::{Round, Target, outcome};
use super::{Admin, PerItem, indexes};
use crate::error::Result;
use crate::types::TopicPartition;

/// Who may become the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica.
    Preferred,
    /// Any replica, where none is up to date: records may be lost. Brokers 2.4 and newer.
    Unclean,
}

impl Admin {
    /// Elects leaders of these partitions; `None`: of all that need it.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::ElectionType;
    ///
    /// for (partition, result) in admin.elect_leaders(ElectionType::Preferred, None).await? {
    ///     println!("{partition}: {result:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the controller could not be asked; per partition [`Error::Broker`](crate::Error::Broker), such as
    /// `ELECTION_NOT_NEEDED`, which is not retried.
    pub async fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<PerItem<TopicPartition, ()>> {
        let api = ApiKey::ElectLeaders;
        let partitions = partitions.map(<[TopicPartition]>::to_vec);
        self.some_or_all(api, partitions, Target::Controller, |node, partitions| async move {
            let topic_partitions = partitions.map(|partitions| {
                let topics = indexes(&partitions).into_iter();
                topics.map(|(topic, partitions)| TopicPartitions { topic, partitions }).collect()
            });
            let request =
                ElectLeadersRequest { election_type: election as i8, topic_partitions, timeout_ms: self.timeout_ms() };
            let (response, at) = self.send(node, None, |_| request).await?;
            outcome(response.error_code, api, "the cluster", None, &at)?;
            let mut results = Vec::new();
            for topic in response.replica_election_results {
                let name: Arc<str> = topic.topic.into();
                for partition in topic.partition_result {
                    let tp = TopicPartition::new(Arc::clone(&name), partition.partition_id);
                    let result = outcome(partition.error_code, api, &tp, partition.error_message, &at);
                    results.push((tp, result));
                }
            }
            Ok(Round::new(response.throttle_time_ms, results))
        })
        .await
    }
}
