//! Topics.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;

use ottla_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::{ApiKey, ErrorCode};

use super::{Admin, PerItem};
use crate::error::{Error, Remedy, Result};
use crate::metadata::{Asked, Metadata, Topic};

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

impl Admin {
    /// Creates topics. When it returns they exist; a broker may need a moment longer to know them.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the controller could not be asked; per topic [`Error::Broker`], such as
    /// `TOPIC_ALREADY_EXISTS`.
    pub async fn create_topics(&self, topics: impl IntoIterator<Item = NewTopic>) -> Result<PerItem<String, ()>> {
        let client = &self.client;
        let request = CreateTopicsRequest {
            topics: topics.into_iter().map(NewTopic::into_request).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only: false,
        };
        let deadline = client.api_deadline();
        let response = client
            .retrying("CreateTopics", deadline, || async {
                let response = client.request_controller(&request, deadline).await?;
                let moved = response.topics.iter().any(|t| ErrorCode::from(t.error_code) == ErrorCode::NotController);
                self.unless_moved(moved, ApiKey::CreateTopics).map(|()| response)
            })
            .await?;
        let results = response.topics.into_iter().map(|topic| {
            let result = outcome(topic.error_code, ApiKey::CreateTopics, &topic.name, topic.error_message);
            (topic.name, result)
        });
        Ok(results.collect())
    }

    /// Deletes topics.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the controller could not be asked; per topic [`Error::Broker`].
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<PerItem<String, ()>> {
        let client = &self.client;
        let names = topics.iter().map(|name| (*name).to_owned());
        let request = DeleteTopicsRequest {
            topics: names.clone().map(|name| DeleteTopicState { name: Some(name), ..Default::default() }).collect(),
            topic_names: names.collect(),
            timeout_ms: self.timeout_ms(),
        };
        let deadline = client.api_deadline();
        let response = client
            .retrying("DeleteTopics", deadline, || async {
                let mut request = request.clone();
                let version = client.any_connection().await?.choose::<DeleteTopicsRequest>(None)?;
                if version >= 6 {
                    request.topic_names.clear()
                } else {
                    request.topics.clear()
                }
                let response = client.request_controller(&request, deadline).await?;
                let moved =
                    response.responses.iter().any(|t| ErrorCode::from(t.error_code) == ErrorCode::NotController);
                self.unless_moved(moved, ApiKey::DeleteTopics).map(|()| response)
            })
            .await?;
        let results = response.responses.into_iter().map(|topic| {
            let name = topic.name.unwrap_or_default();
            let result = outcome(topic.error_code, ApiKey::DeleteTopics, &name, topic.error_message);
            (name, result)
        });
        Ok(results.collect())
    }

    /// The topics of the cluster, without Kafka's own.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no broker could be asked.
    pub async fn list_topics(&self) -> Result<Vec<String>> {
        let request = MetadataRequest { topics: None, ..Default::default() };
        let response = self.client.request_any(&request, self.client.api_deadline()).await?;
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
        let named =
            topics.iter().map(|name| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() });
        let request =
            MetadataRequest { topics: Some(named.collect()), allow_auto_topic_creation: false, ..Default::default() };
        let client = &self.client;
        let snapshot = client
            .retrying("Metadata", client.api_deadline(), || async {
                let connection = client.any_connection().await?;
                let version = connection.choose::<MetadataRequest>(None)?;
                let response = connection.send(&request, version)?.await?;
                let snapshot = Metadata::default().update(version, Asked::Some, response);
                snapshot.ok_or_else(|| Error::broker(ErrorCode::BrokerNotAvailable, ApiKey::Metadata, "the cluster"))
            })
            .await?;
        let described = topics.iter().map(|name| {
            let missing = || Error::broker(ErrorCode::UnknownTopicOrPartition, ApiKey::Metadata, name);
            let result = match snapshot.topic(name) {
                None => Err(missing()),
                Some(Topic { error: Some(code), .. }) => Err(Error::broker(*code, ApiKey::Metadata, name)),
                Some(topic) => Ok(topic.clone()),
            };
            ((*name).to_owned(), result)
        });
        Ok(described.collect())
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.client.config().request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    fn unless_moved(&self, moved: bool, api: ApiKey) -> Result<()> {
        if !moved {
            return Ok(());
        }
        let error = Error::broker(ErrorCode::NotController, api, "the cluster");
        debug_assert_eq!(error.remedy(), Remedy::RefreshMetadata);
        self.client.refresh_metadata();
        Err(error)
    }
}

fn outcome(code: i16, api: ApiKey, subject: &str, message: Option<String>) -> Result<()> {
    match ErrorCode::from(code) {
        ErrorCode::None => Ok(()),
        code => Err(Error::broker(code, api, subject).message(message)),
    }
}
