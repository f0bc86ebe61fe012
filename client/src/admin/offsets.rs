//! Offsets in the log, and the positions of groups.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use ottla_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use ottla_protocol::{ApiKey, ErrorCode};

use super::{Admin, PerItem};
use crate::client::CoordinatorKind;
use crate::error::{Error, Remedy, Result};
use crate::network::Lane;
use crate::types::{BrokerId, IsolationLevel, OffsetAndMetadata, TopicPartition};

/// Topic ids took the place of names in version 10; names are what callers have.
const NEWEST_WITH_NAMES: i16 = 9;

/// Which offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first one.
    Earliest,
    /// The end: the next one to be written, or with `read_committed` the first that is not decided.
    Latest,
    /// The first whose time is not before this, in milliseconds since the Unix epoch.
    Timestamp(i64),
    /// The one with the largest time. Brokers 3.0 and newer.
    MaxTimestamp,
}

impl OffsetSpec {
    fn code(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            Self::Timestamp(time) => time.max(0),
            Self::MaxTimestamp => -3,
        }
    }
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; `None`: no record is so young.
    pub offset: Option<i64>,
    /// Its time, where it was looked up by time.
    pub timestamp: Option<i64>,
    /// The epoch it was written in.
    pub leader_epoch: Option<i32>,
}

impl Admin {
    /// Looks offsets up at the leaders of the partitions.
    pub async fn list_offsets(
        &self,
        specs: &HashMap<TopicPartition, OffsetSpec>,
        isolation_level: IsolationLevel,
    ) -> PerItem<TopicPartition, ListedOffset> {
        let deadline = self.client.api_deadline();
        let mut results = PerItem::new();
        let mut open: HashMap<TopicPartition, OffsetSpec> = specs.clone();
        let mut rng = fastrand::Rng::new();
        for failures in 0.. {
            let answers = self.list_offsets_once(&open, isolation_level, deadline).await;
            for (topic_partition, answer) in answers {
                let again = answer.as_ref().is_err_and(|e| e.remedy() != Remedy::GiveUp);
                if !again {
                    open.remove(&topic_partition);
                }
                results.insert(topic_partition, answer);
            }
            let delay = self.client.config().retry().delay(failures, &mut rng);
            if open.is_empty() || Instant::now() + delay >= deadline {
                break;
            }
            self.client.refresh_metadata();
            crate::network::pool::pause(delay).await;
        }
        results
    }

    /// One attempt for each.
    pub(crate) async fn list_offsets_once(
        &self,
        specs: &HashMap<TopicPartition, OffsetSpec>,
        isolation_level: IsolationLevel,
        deadline: Instant,
    ) -> PerItem<TopicPartition, ListedOffset> {
        let mut results = PerItem::new();
        let mut by_leader: HashMap<BrokerId, Vec<(TopicPartition, OffsetSpec)>> = HashMap::new();
        for (topic_partition, spec) in specs {
            match self.leader(topic_partition, deadline).await {
                Ok(leader) => by_leader.entry(leader).or_default().push((topic_partition.clone(), *spec)),
                Err(error) => {
                    results.insert(topic_partition.clone(), Err(error));
                }
            }
        }
        let mut answers = futures_util::stream::iter(by_leader)
            .map(|(leader, specs)| async move {
                let answer = self.list_offsets_at(leader, &specs, isolation_level).await;
                (specs, answer)
            })
            .buffer_unordered(16);
        while let Some((specs, answer)) = answers.next().await {
            match answer {
                Ok(found) => results.extend(found),
                Err(error) => results.extend(specs.into_iter().map(|(tp, _)| (tp, Err(error.clone())))),
            }
        }
        results
    }

    async fn leader(&self, topic_partition: &TopicPartition, deadline: Instant) -> Result<BrokerId> {
        let known =
            self.client.cluster().partition(&topic_partition.topic, topic_partition.partition).and_then(|p| p.leader);
        if let Some(leader) = known {
            return Ok(leader);
        }
        let topic = self.client.topic(&topic_partition.topic, deadline).await?;
        let missing = |code| Error::broker(code, ApiKey::Metadata, topic_partition);
        let partition =
            topic.partition(topic_partition.partition).ok_or_else(|| missing(ErrorCode::UnknownTopicOrPartition))?;
        partition.leader.ok_or_else(|| missing(ErrorCode::LeaderNotAvailable))
    }

    async fn list_offsets_at(
        &self,
        leader: BrokerId,
        specs: &[(TopicPartition, OffsetSpec)],
        isolation_level: IsolationLevel,
    ) -> Result<PerItem<TopicPartition, ListedOffset>> {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (topic_partition, spec) in specs {
            topics.entry(&topic_partition.topic).or_default().push(ListOffsetsPartition {
                partition_index: topic_partition.partition,
                timestamp: spec.code(),
                ..Default::default()
            });
        }
        let topics =
            topics.into_iter().map(|(name, partitions)| ListOffsetsTopic { name: name.to_owned(), partitions });
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: isolation_level.code(),
            topics: topics.collect(),
            ..Default::default()
        };
        let response = self.client.request(leader, Lane::General, &request, None).await?;
        let mut found = PerItem::new();
        for topic in response.topics {
            let name: Arc<str> = topic.name.into();
            for partition in topic.partitions {
                let topic_partition = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                let result = listed(&topic_partition, partition);
                found.insert(topic_partition, result);
            }
        }
        Ok(found)
    }

    /// The positions that a group has stored; `None` for a partition without one.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the coordinator could not be asked; missing rights at once.
    pub async fn committed_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<PerItem<TopicPartition, Option<OffsetAndMetadata>>> {
        let client = &self.client;
        let deadline = client.api_deadline();
        let what = format!("OffsetFetch of group {group}");
        client
            .retrying(&what, deadline, || async {
                let answer = self.fetch_offsets(group, partitions, deadline).await;
                self.forget_group_if_moved(group, answer)
            })
            .await
    }

    async fn fetch_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        deadline: Instant,
    ) -> Result<PerItem<TopicPartition, Option<OffsetAndMetadata>>> {
        let coordinator = self.client.coordinator(CoordinatorKind::Group, group, deadline).await?;
        let connection = self.client.connection(coordinator, Lane::Coordinator).await?;
        let version = connection.choose::<OffsetFetchRequest>(Some(NEWEST_WITH_NAMES))?;
        let topics = by_topic(partitions.iter().map(|tp| (tp, tp.partition)));
        // From version 8 on many groups are asked at once (KIP-709).
        let request = if version < 8 {
            let topics =
                topics.into_iter().map(|(name, partition_indexes)| OffsetFetchRequestTopic { name, partition_indexes });
            OffsetFetchRequest {
                group_id: group.to_owned(),
                topics: Some(topics.collect()),
                require_stable: version >= 7,
                ..Default::default()
            }
        } else {
            let topics = topics.into_iter().map(|(name, partition_indexes)| OffsetFetchRequestTopics {
                name,
                partition_indexes,
                ..Default::default()
            });
            let group = OffsetFetchRequestGroup {
                group_id: group.to_owned(),
                topics: Some(topics.collect()),
                ..Default::default()
            };
            OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() }
        };
        stored_offsets(group, connection.send(&request, version)?.await?)
    }

    /// Stores positions for a group without members: nobody may be subscribed through it.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the coordinator could not be asked; per partition [`Error::Broker`], `UNKNOWN_MEMBER_ID`
    /// when the group has members.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: &HashMap<TopicPartition, OffsetAndMetadata>,
    ) -> Result<PerItem<TopicPartition, ()>> {
        let client = &self.client;
        let partition = |tp: &TopicPartition, offset: &OffsetAndMetadata| OffsetCommitRequestPartition {
            partition_index: tp.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch.unwrap_or(-1),
            committed_metadata: Some(offset.metadata.clone()),
            ..Default::default()
        };
        let topics = by_topic(offsets.iter().map(|(tp, offset)| (tp, partition(tp, offset))));
        let topics = topics.into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
            name,
            partitions,
            ..Default::default()
        });
        let request =
            OffsetCommitRequest { group_id: group.to_owned(), topics: topics.collect(), ..Default::default() };
        let deadline = client.api_deadline();
        let what = format!("OffsetCommit of group {group}");
        let response = client
            .retrying(&what, deadline, || async {
                let answer = self.commit_once(group, &request, deadline).await;
                self.forget_group_if_moved(group, answer)
            })
            .await?;
        Ok(response)
    }

    async fn commit_once(
        &self,
        group: &str,
        request: &OffsetCommitRequest,
        deadline: Instant,
    ) -> Result<PerItem<TopicPartition, ()>> {
        let coordinator = self.client.coordinator(CoordinatorKind::Group, group, deadline).await?;
        let response = self.client.request(coordinator, Lane::Coordinator, request, Some(NEWEST_WITH_NAMES)).await?;
        let mut results = PerItem::new();
        for topic in response.topics {
            let name: Arc<str> = topic.name.into();
            for partition in topic.partitions {
                let topic_partition = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                let code = ErrorCode::from(partition.error_code);
                let error = Error::broker(code, ApiKey::OffsetCommit, format!("{topic_partition} of group {group}"));
                if code != ErrorCode::None && error.remedy() != Remedy::GiveUp {
                    return Err(error);
                }
                results.insert(topic_partition, if code == ErrorCode::None { Ok(()) } else { Err(error) });
            }
        }
        Ok(results)
    }

    fn forget_group_if_moved<T>(&self, group: &str, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && matches!(error.remedy(), Remedy::FindCoordinator | Remedy::RefreshMetadata)
        {
            self.client.forget_coordinator(CoordinatorKind::Group, group);
        }
        result
    }
}

fn listed(topic_partition: &TopicPartition, partition: ListOffsetsPartitionResponse) -> Result<ListedOffset> {
    match ErrorCode::from(partition.error_code) {
        ErrorCode::None => {
            // Version 0 answers with a list.
            let offset = partition.old_style_offsets.first().copied().unwrap_or(partition.offset);
            Ok(ListedOffset {
                offset: Some(offset).filter(|offset| *offset >= 0),
                timestamp: Some(partition.timestamp).filter(|time| *time >= 0),
                leader_epoch: Some(partition.leader_epoch).filter(|epoch| *epoch >= 0),
            })
        }
        code => Err(Error::broker(code, ApiKey::ListOffsets, topic_partition)),
    }
}

fn by_topic<'a, T>(items: impl Iterator<Item = (&'a TopicPartition, T)>) -> BTreeMap<String, Vec<T>> {
    let mut topics: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (topic_partition, item) in items {
        topics.entry(topic_partition.topic.to_string()).or_default().push(item);
    }
    topics
}

type Stored = PerItem<TopicPartition, Option<OffsetAndMetadata>>;

fn stored_offsets(group: &str, response: OffsetFetchResponse) -> Result<Stored> {
    let mut stored = Stored::new();
    let mut code = response.error_code;
    let mut put = |name: &str, partition: i32, offset: i64, epoch: i32, metadata: Option<String>, code: i16| {
        let topic_partition = TopicPartition::new(name, partition);
        let error = Error::broker(code.into(), ApiKey::OffsetFetch, format!("{topic_partition} of group {group}"));
        let result = match ErrorCode::from(code) {
            ErrorCode::None => Ok((offset >= 0).then(|| OffsetAndMetadata {
                offset,
                leader_epoch: Some(epoch).filter(|epoch| *epoch >= 0),
                metadata: metadata.unwrap_or_default(),
            })),
            // Offsets of a transaction that is not decided (KIP-447), or a coordinator that moved.
            _ if error.remedy() != Remedy::GiveUp => return Err(error),
            _ => Err(error),
        };
        stored.insert(topic_partition, result);
        Ok(())
    };
    for topic in response.topics {
        for p in topic.partitions {
            let epoch = p.committed_leader_epoch;
            put(&topic.name, p.partition_index, p.committed_offset, epoch, p.metadata, p.error_code)?;
        }
    }
    for answer in response.groups {
        code = answer.error_code;
        for topic in answer.topics {
            for p in topic.partitions {
                let epoch = p.committed_leader_epoch;
                put(&topic.name, p.partition_index, p.committed_offset, epoch, p.metadata, p.error_code)?;
            }
        }
    }
    match ErrorCode::from(code) {
        ErrorCode::None => Ok(stored),
        code => Err(Error::broker(code, ApiKey::OffsetFetch, format!("group {group}"))),
    }
}
