//! The positions of groups.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;
use std::sync::Arc;

use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use ottla_protocol::{ApiKey, ErrorCode};

use super::call::{Round, Target, asked, outcome};
use super::groups::of_group;
use super::{Admin, PerItem, by_topic, indexes};
use crate::error::{Error, Place, Result};
use crate::types::{OffsetAndMetadata, TopicPartition};

/// Topic ids took the place of names in version 10; names are what callers have.
const NEWEST_WITH_NAMES: i16 = 9;

type Stored = PerItem<TopicPartition, Option<OffsetAndMetadata>>;

impl Admin {
    /// The positions that a group has stored; `None` for a partition without one.
    ///
    /// # Errors
    /// When the coordinator could not be asked; per partition [`Error::Broker`], and [`Error::Timeout`] where a transaction that
    /// is not decided keeps its position back.
    pub async fn committed_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<PerItem<TopicPartition, Option<OffsetAndMetadata>>> {
        self.stored(group, Some(partitions)).await
    }

    /// All positions that a group has stored. Brokers 0.10.2 and newer.
    ///
    /// # Errors
    /// As [`committed_offsets`](Self::committed_offsets); the error of any partition.
    pub async fn all_committed_offsets(&self, group: &str) -> Result<HashMap<TopicPartition, OffsetAndMetadata>> {
        let stored = self.stored(group, None).await?;
        let positions = stored.into_iter().filter_map(|(tp, result)| match result {
            Ok(position) => position.map(|position| Ok((tp, position))),
            Err(error) => Some(Err(error)),
        });
        positions.collect()
    }

    async fn stored(&self, group: &str, partitions: Option<&[TopicPartition]>) -> Result<Stored> {
        let partitions = partitions.map(<[TopicPartition]>::to_vec);
        let coordinator = Target::Group(group.to_owned());
        self.some_or_all(ApiKey::OffsetFetch, partitions, coordinator, |node, partitions| async move {
            let build = |version| offset_fetch(group, partitions.as_deref(), version);
            let (response, at) = self.send(node, Some(NEWEST_WITH_NAMES), build).await?;
            Ok(Round::new(response.throttle_time_ms, stored_offsets(group, response, &at)?))
        })
        .await
    }

    /// Stores positions for a group without members: nobody may be subscribed through it.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::{OffsetAndMetadata, TopicPartition};
    ///
    /// let position = (TopicPartition::new("orders", 0), OffsetAndMetadata::new(42));
    /// admin.commit_offsets("shop", &[position].into()).await?;
    /// println!("{:?}", admin.all_committed_offsets("shop").await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the coordinator could not be asked; per partition [`Error::Broker`], `UNKNOWN_MEMBER_ID` when the group has
    /// members.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: &HashMap<TopicPartition, OffsetAndMetadata>,
    ) -> Result<PerItem<TopicPartition, ()>> {
        let api = ApiKey::OffsetCommit;
        let committed = self.each(
            api,
            offsets.keys().cloned(),
            |_| Target::Group(group.to_owned()),
            |node, partitions| async move {
                let known = partitions.iter().filter_map(|tp| Some((tp, position(tp, offsets.get(tp)?))));
                let topics = by_topic(known).into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
                    name,
                    partitions,
                    ..Default::default()
                });
                let request =
                    OffsetCommitRequest { group_id: group.to_owned(), topics: topics.collect(), ..Default::default() };
                let (response, at) = self.send(node, Some(NEWEST_WITH_NAMES), |_| request).await?;
                let mut results = Vec::new();
                for topic in response.topics {
                    let name: Arc<str> = topic.name.into();
                    for partition in topic.partitions {
                        let tp = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                        let result = outcome(partition.error_code, api, in_group(&tp, group), None, &at);
                        results.push((tp, result));
                    }
                }
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(committed.await)
    }

    /// Forgets positions of a group. Members may run, but not read these topics. Brokers 2.4 and newer.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`]; when the coordinator could not be asked; per partition [`Error::Broker`], such as
    /// `GROUP_SUBSCRIBED_TO_TOPIC`.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<PerItem<TopicPartition, ()>> {
        let api = ApiKey::OffsetDelete;
        let deleted = self.each(
            api,
            partitions.to_vec(),
            |_| Target::Group(group.to_owned()),
            |node, partitions| async move {
                let topics = indexes(&partitions).into_iter().map(|(name, partitions)| {
                    let partitions = partitions.into_iter();
                    let partitions = partitions.map(|partition_index| OffsetDeleteRequestPartition { partition_index });
                    OffsetDeleteRequestTopic { name, partitions: partitions.collect() }
                });
                let request = OffsetDeleteRequest { group_id: group.to_owned(), topics: topics.collect() };
                let (response, at) = self.send(node, None, |_| request).await?;
                outcome(response.error_code, api, of_group(group), None, &at)?;
                let mut results = Vec::new();
                for topic in response.topics {
                    let name: Arc<str> = topic.name.into();
                    for partition in topic.partitions {
                        let tp = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                        let result = outcome(partition.error_code, api, in_group(&tp, group), None, &at);
                        results.push((tp, result));
                    }
                }
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(deleted.await)
    }
}

fn in_group(topic_partition: &TopicPartition, group: &str) -> String {
    format!("{topic_partition} of group {group}")
}

fn position(topic_partition: &TopicPartition, offset: &OffsetAndMetadata) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition {
        partition_index: topic_partition.partition,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch.unwrap_or(-1),
        committed_metadata: Some(offset.metadata.clone()),
        ..Default::default()
    }
}

fn offset_fetch(group: &str, partitions: Option<&[TopicPartition]>, version: i16) -> OffsetFetchRequest {
    let topics = partitions.map(indexes);
    // From version 8 on many groups are asked at once (KIP-709).
    if version < 8 {
        let topic = |(name, partition_indexes)| OffsetFetchRequestTopic { name, partition_indexes };
        return OffsetFetchRequest {
            group_id: group.to_owned(),
            topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
            require_stable: version >= 7,
            ..Default::default()
        };
    }
    let topic = |(name, partition_indexes)| OffsetFetchRequestTopics { name, partition_indexes, ..Default::default() };
    let group = OffsetFetchRequestGroup {
        group_id: group.to_owned(),
        topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
        ..Default::default()
    };
    OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() }
}

fn stored_offsets(group: &str, response: OffsetFetchResponse, at: &Place) -> Result<Stored> {
    let mut stored = Stored::new();
    let mut code = response.error_code;
    let mut put = |name: &str, partition: i32, offset: i64, epoch: i32, metadata: Option<String>, code: i16| {
        let topic_partition = TopicPartition::new(name, partition);
        let error = Error::broker(code.into(), ApiKey::OffsetFetch, in_group(&topic_partition, group)).at(at);
        let result = match ErrorCode::from(code) {
            ErrorCode::None => Ok((offset >= 0).then(|| OffsetAndMetadata {
                offset,
                leader_epoch: Some(epoch).filter(|epoch| *epoch >= 0),
                metadata: metadata.unwrap_or_default(),
            })),
            // Such as UNSTABLE_OFFSET_COMMIT: a transaction that is not decided (KIP-447).
            _ => Err(error),
        };
        stored.insert(topic_partition, result);
    };
    for topic in response.topics {
        for p in topic.partitions {
            let epoch = p.committed_leader_epoch;
            put(&topic.name, p.partition_index, p.committed_offset, epoch, p.metadata, p.error_code);
        }
    }
    for answer in response.groups {
        code = answer.error_code;
        for topic in answer.topics {
            for p in topic.partitions {
                let epoch = p.committed_leader_epoch;
                put(&topic.name, p.partition_index, p.committed_offset, epoch, p.metadata, p.error_code);
            }
        }
    }
    match ErrorCode::from(code) {
        ErrorCode::None => Ok(stored),
        code => Err(Error::broker(code, ApiKey::OffsetFetch, of_group(group)).at(at)),
    }
}
