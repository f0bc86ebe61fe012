//! Deleting records.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;
use std::sync::Arc;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};

use super::call::{Round, Target, asked, outcome};
use super::{Admin, PerItem, by_topic};
use crate::error::Result;
use crate::types::TopicPartition;

impl Admin {
    /// Deletes all records before these offsets; -1 is the end of what is committed. The result is the first offset that is
    /// left.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::TopicPartition;
    ///
    /// let partition = TopicPartition::new("orders", 0);
    /// let first = admin.delete_records(&[(partition.clone(), 1000)].into()).await?;
    /// println!("{partition} begins at {:?}", first.get(&partition));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When no leader could be asked; per partition [`Error::Broker`](crate::Error::Broker), such as
    /// `OFFSET_OUT_OF_RANGE`.
    pub async fn delete_records(&self, before: &HashMap<TopicPartition, i64>) -> Result<PerItem<TopicPartition, i64>> {
        let deleted = self.each(
            ApiKey::DeleteRecords,
            before.keys().cloned(),
            |partition| Target::Leader(partition.clone()),
            |node, partitions| async move {
                let offset = |tp: &TopicPartition| DeleteRecordsPartition {
                    partition_index: tp.partition,
                    offset: before.get(tp).copied().unwrap_or_default(),
                };
                let topics = by_topic(partitions.iter().map(|tp| (tp, offset(tp))));
                let topics = topics.into_iter().map(|(name, partitions)| DeleteRecordsTopic { name, partitions });
                let request = DeleteRecordsRequest { topics: topics.collect(), timeout_ms: self.timeout_ms() };
                let (response, at) = self.send(node, None, |_| request).await?;
                let mut results = Vec::new();
                for topic in response.topics {
                    let name: Arc<str> = topic.name.into();
                    for partition in topic.partitions {
                        let tp = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                        let result = outcome(partition.error_code, ApiKey::DeleteRecords, &tp, None, &at);
                        results.push((tp, result.map(|()| partition.low_watermark)));
                    }
                }
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(deleted.await)
    }
}
