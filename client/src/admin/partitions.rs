//! Adding partitions to topics.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};

use super::call::{Round, Target, asked, outcome};
use super::{Admin, PerItem};
use crate::error::Result;

/// How many partitions a topic shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewPartitions {
    /// In all, those that exist included.
    pub total: i32,
    /// The brokers of each new partition's copies, the leader first; empty: Kafka chooses.
    pub assignments: Vec<Vec<i32>>,
}

impl NewPartitions {
    /// So many in all, wherever Kafka likes.
    #[must_use]
    pub fn increase_to(total: i32) -> Self {
        Self { total, assignments: Vec::new() }
    }
}

impl Admin {
    /// Adds partitions. Records with keys that were written before stay where they are: from then on their keys may have
    /// another partition.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::NewPartitions;
    ///
    /// admin.create_partitions([("orders", NewPartitions::increase_to(12))]).await?.remove("orders");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the controller could not be asked; per topic [`Error::Broker`](crate::Error::Broker), such as
    /// `INVALID_PARTITIONS`.
    pub async fn create_partitions<'a>(
        &self,
        topics: impl IntoIterator<Item = (&'a str, NewPartitions)>,
    ) -> Result<PerItem<String, ()>> {
        let topics: HashMap<String, NewPartitions> =
            topics.into_iter().map(|(name, partitions)| (name.to_owned(), partitions)).collect();
        let names: Vec<String> = topics.keys().cloned().collect();
        let topics = &topics;
        let created = self.each(
            ApiKey::CreatePartitions,
            names,
            |_| Target::Controller,
            |node, names| async move {
                let request = CreatePartitionsRequest {
                    topics: names.iter().filter_map(|name| Some(wanted(name, topics.get(name)?))).collect(),
                    timeout_ms: self.timeout_ms(),
                    validate_only: self.validate_only,
                };
                let (response, at) = self.send(node, None, |_| request).await?;
                let results = response.results.into_iter().map(|topic| {
                    let api = ApiKey::CreatePartitions;
                    let result = outcome(topic.error_code, api, &topic.name, topic.error_message, &at);
                    (topic.name, result)
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(created.await)
    }
}

fn wanted(name: &str, partitions: &NewPartitions) -> CreatePartitionsTopic {
    let assignments = partitions.assignments.iter().map(|ids| CreatePartitionsAssignment { broker_ids: ids.clone() });
    CreatePartitionsTopic {
        name: name.to_owned(),
        count: partitions.total,
        assignments: Some(assignments.collect::<Vec<_>>()).filter(|all| !all.is_empty()),
    }
}
