//! Topics.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;

use ottla_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic, TopicRequest,
};
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::{ApiKey, ErrorCode};
use uuid::Uuid;

use super::call::{Node, Round, Target, asked, outcome};
use super::{Admin, PerItem, owned};
use crate::error::{Error, Result};
use crate::metadata::{Asked, Metadata, Topic};
use crate::types::BrokerId;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1: the broker's default (2.4 and newer).
    pub partitions: i32,
    /// How many copies of each; -1: the broker's default (2.4 and newer).
    pub replication_factor: i16,
    /// The brokers of each partition's copies, the leader first; empty: Kafka chooses.
    pub assignments: Vec<Vec<i32>>,
    /// Settings other than the broker's.
    pub configs: HashMap<String, String>,
}

impl NewTopic {
    /// A topic with the broker's default of everything else.
    #[must_use]
    pub fn new(name: &str, partitions: i32, replication_factor: i16) -> Self {
        let (assignments, configs) = (Vec::new(), HashMap::new());
        Self { name: name.to_owned(), partitions, replication_factor, assignments, configs }
    }

    /// With this setting.
    #[must_use]
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.configs.insert(key.to_owned(), value.to_owned());
        self
    }

    fn into_request(self) -> CreatableTopic {
        let assigned = !self.assignments.is_empty();
        let assignments = (0..).zip(self.assignments);
        CreatableTopic {
            name: self.name,
            num_partitions: if assigned { -1 } else { self.partitions },
            replication_factor: if assigned { -1 } else { self.replication_factor },
            assignments: assignments
                .map(|(partition_index, broker_ids)| CreatableReplicaAssignment { partition_index, broker_ids })
                .collect(),
            configs: self
                .configs
                .into_iter()
                .map(|(name, value)| CreatableTopicConfig { name, value: Some(value) })
                .collect(),
        }
    }
}

/// A topic with what only newer brokers tell of its partitions (KIP-966).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicDetails {
    /// Its id.
    pub id: Uuid,
    /// One of Kafka's own.
    pub internal: bool,
    /// Its partitions by number.
    pub partitions: Vec<TopicPartitionDetails>,
}

/// A partition and who could lead it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicPartitionDetails {
    /// Its number.
    pub index: i32,
    /// Its leader; `None`: there is none now.
    pub leader: Option<BrokerId>,
    /// Grows with each new leader.
    pub leader_epoch: i32,
    /// The brokers that keep a copy.
    pub replicas: Vec<BrokerId>,
    /// Those whose copy is up to date.
    pub isr: Vec<BrokerId>,
    /// Those outside of the `isr` that could lead without a loss.
    pub eligible_leader_replicas: Vec<BrokerId>,
    /// Those that were the last to be eligible.
    pub last_known_elr: Vec<BrokerId>,
    /// Those that are down.
    pub offline_replicas: Vec<BrokerId>,
}

impl Admin {
    /// Creates topics. When it returns they exist; a broker may need a moment longer to know them.
    ///
    /// # Errors
    /// When the controller could not be asked; per topic [`Error::Broker`], such as `TOPIC_ALREADY_EXISTS`.
    pub async fn create_topics(&self, topics: impl IntoIterator<Item = NewTopic>) -> Result<PerItem<String, ()>> {
        let topics: HashMap<String, CreatableTopic> =
            topics.into_iter().map(|topic| (topic.name.clone(), topic.into_request())).collect();
        let names: Vec<String> = topics.keys().cloned().collect();
        let topics = &topics;
        let created = self.each(
            ApiKey::CreateTopics,
            names,
            |_| Target::Controller,
            |node, names| async move {
                let request = CreateTopicsRequest {
                    topics: names.iter().filter_map(|name| topics.get(name).cloned()).collect(),
                    timeout_ms: self.timeout_ms(),
                    validate_only: self.validate_only,
                };
                let (response, at) = self.send(node, None, |_| request).await?;
                let results = response.topics.into_iter().map(|topic| {
                    let result = outcome(topic.error_code, ApiKey::CreateTopics, &topic.name, topic.error_message, &at);
                    (topic.name, result)
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(created.await)
    }

    /// Deletes topics by their names.
    ///
    /// # Errors
    /// When the controller could not be asked; per topic [`Error::Broker`].
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<PerItem<String, ()>> {
        let deleted = self.each(
            ApiKey::DeleteTopics,
            owned(topics),
            |_| Target::Controller,
            |node, names| async move {
                let build = |version| match version {
                    6.. => delete(names.into_iter().map(|name| (Some(name), Uuid::nil())), self.timeout_ms()),
                    _ => {
                        DeleteTopicsRequest { topic_names: names, timeout_ms: self.timeout_ms(), ..Default::default() }
                    }
                };
                let (response, at) = self.send(node, None, build).await?;
                let results = response.responses.into_iter().map(|topic| {
                    let name = topic.name.unwrap_or_default();
                    let result = outcome(topic.error_code, ApiKey::DeleteTopics, &name, topic.error_message, &at);
                    (name, result)
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(deleted.await)
    }

    /// Deletes topics by their ids: one that was created again under the same name stays. Brokers 2.8 and newer.
    ///
    /// # Errors
    /// When the controller could not be asked; [`Error::UnsupportedVersion`]; per topic [`Error::Broker`].
    pub async fn delete_topics_by_id(&self, ids: &[Uuid]) -> Result<PerItem<Uuid, ()>> {
        let deleted = self.each(
            ApiKey::DeleteTopics,
            ids.to_vec(),
            |_| Target::Controller,
            |node, ids| async move {
                let build = |_| delete(ids.into_iter().map(|id| (None, id)), self.timeout_ms());
                let (response, at) = self.send(node, None, build).await?;
                let results = response.responses.into_iter().map(|topic| {
                    let (api, id) = (ApiKey::DeleteTopics, topic.topic_id);
                    (id, outcome(topic.error_code, api, format!("topic {id}"), topic.error_message, &at))
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(deleted.await)
    }

    /// The topics of the cluster, without Kafka's own.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no broker could be asked.
    pub async fn list_topics(&self) -> Result<Vec<String>> {
        let request = MetadataRequest { topics: None, ..Default::default() };
        let request = &request;
        let listed = self.once("Metadata", Target::Any, |node| async move {
            let (response, at) = self.send(node, None, |_| request.clone()).await?;
            outcome(response.error_code, ApiKey::Metadata, "all topics", None, &at).map(|()| response)
        });
        let response = listed.await?;
        let own = response.topics.into_iter().filter(|t| !t.is_internal);
        let mut names: Vec<_> = own.filter_map(|t| t.name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// What is known of these topics now; one that does not exist is an error of its own, at once, and is not created.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no broker could be asked; per topic [`Error::Broker`].
    pub async fn describe_topics(&self, topics: &[&str]) -> Result<PerItem<String, Topic>> {
        let api = ApiKey::Metadata;
        let any = |_: &String| Target::Any;
        let described = self.each(api, owned(topics), any, |node, topics| async move {
            let named =
                topics.iter().map(|name| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() });
            let request = MetadataRequest {
                topics: Some(named.collect()),
                allow_auto_topic_creation: false,
                ..Default::default()
            };
            let (response, at) = self.send(node, None, |version| older(request, version)).await?;
            let snapshot = Metadata::default().update(at.version, Asked::Some, response);
            let refused = |code, subject: &str| Error::broker(code, api, subject).at(&at);
            let snapshot = snapshot.ok_or_else(|| refused(ErrorCode::BrokerNotAvailable, "the cluster"))?;
            let results = topics.into_iter().map(|name| {
                let result = match snapshot.topic(&name) {
                    None => Err(refused(ErrorCode::UnknownTopicOrPartition, &name)),
                    Some(Topic { error: Some(code), .. }) => Err(refused(*code, &name)),
                    Some(topic) => Ok(topic.clone()),
                };
                (name, result)
            });
            Ok(Round::new(0, results))
        });
        asked(described.await)
    }

    /// What is known of these topics and of who could lead their partitions, page by page. Brokers 3.8 and newer with
    /// KRaft.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`]; [`Error::Timeout`] when no broker could be asked; per topic [`Error::Broker`].
    pub async fn describe_topic_partitions(&self, topics: &[&str]) -> Result<PerItem<String, TopicDetails>> {
        let any = |_: &String| Target::Any;
        let described = self.each(ApiKey::DescribeTopicPartitions, owned(topics), any, |node, names| async move {
            Ok(Round::new(0, self.topic_partitions(node, names).await?))
        });
        asked(described.await)
    }

    /// All pages.
    async fn topic_partitions(&self, node: Node, mut names: Vec<String>) -> Result<PerItem<String, TopicDetails>> {
        names.sort_unstable();
        let mut described: PerItem<String, TopicDetails> = PerItem::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let first = cursor.as_ref().map(|cursor| cursor.topic_name.clone());
            let open = names.iter().filter(|name| first.as_ref().is_none_or(|first| *name >= first));
            let request = DescribeTopicPartitionsRequest {
                topics: open.map(|name| TopicRequest { name: name.clone() }).collect(),
                response_partition_limit: 2000,
                cursor: cursor.clone(),
            };
            let (page, at) = self.send(node, None, |_| request).await?;
            for topic in page.topics {
                let name = topic.name.clone().unwrap_or_default();
                let result = outcome(topic.error_code, ApiKey::DescribeTopicPartitions, &name, None, &at);
                match (result, described.get_mut(&name)) {
                    (Ok(()), Some(Ok(known))) => known.partitions.extend(topic.partitions.into_iter().map(details)),
                    (result, _) => {
                        described.insert(name, result.map(|()| topic_details(topic)));
                    }
                }
            }
            let next =
                page.next_cursor.map(|c| Cursor { topic_name: c.topic_name, partition_index: c.partition_index });
            if next.is_none() || next == cursor {
                return Ok(described);
            }
            cursor = next;
        }
    }
}

/// Before version 4 it cannot be said that a topic shall not be created.
fn older(mut request: MetadataRequest, version: i16) -> MetadataRequest {
    if version < 4 {
        request.allow_auto_topic_creation = true;
    }
    request
}

fn delete(topics: impl Iterator<Item = (Option<String>, Uuid)>, timeout_ms: i32) -> DeleteTopicsRequest {
    let topics = topics.map(|(name, topic_id)| DeleteTopicState { name, topic_id });
    DeleteTopicsRequest { topics: topics.collect(), timeout_ms, ..Default::default() }
}

fn topic_details(topic: DescribeTopicPartitionsResponseTopic) -> TopicDetails {
    TopicDetails {
        id: topic.topic_id,
        internal: topic.is_internal,
        partitions: topic.partitions.into_iter().map(details).collect(),
    }
}

fn details(partition: DescribeTopicPartitionsResponsePartition) -> TopicPartitionDetails {
    let brokers = |ids: Vec<i32>| ids.into_iter().map(BrokerId).collect::<Vec<_>>();
    TopicPartitionDetails {
        index: partition.partition_index,
        leader: Some(BrokerId(partition.leader_id)).filter(|leader| leader.0 >= 0),
        leader_epoch: partition.leader_epoch,
        replicas: brokers(partition.replica_nodes),
        isr: brokers(partition.isr_nodes),
        eligible_leader_replicas: brokers(partition.eligible_leader_replicas.unwrap_or_default()),
        last_known_elr: brokers(partition.last_known_elr.unwrap_or_default()),
        offline_replicas: brokers(partition.offline_replicas),
    }
}
