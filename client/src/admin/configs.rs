//! Configurations of topics, brokers, groups and others.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;
use std::fmt;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::alter_configs::{self as legacy, AlterConfigsRequest};
use ottla_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_protocol::messages::list_config_resources::ListConfigResourcesRequest;

use super::call::{Round, Target, asked, outcome};
use super::{Admin, PerItem};
use crate::error::Result;
use crate::types::BrokerId;

/// Whose configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigResource {
    /// A topic's.
    Topic(String),
    /// A broker's; it is asked itself.
    Broker(BrokerId),
    /// What all brokers have that have nothing of their own.
    BrokerDefault,
    /// The levels of a broker's log; it is asked itself.
    BrokerLogger(BrokerId),
    /// A subscription to metrics of clients (KIP-714).
    ClientMetrics(String),
    /// A group's. Brokers 3.8 and newer.
    Group(String),
}

impl ConfigResource {
    fn wire(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(id) => (4, id.0.to_string()),
            Self::BrokerDefault => (4, String::new()),
            Self::BrokerLogger(id) => (8, id.0.to_string()),
            Self::ClientMetrics(name) => (16, name.clone()),
            Self::Group(name) => (32, name.clone()),
        }
    }

    fn of(resource_type: i8, name: String) -> Option<Self> {
        match resource_type {
            2 => Some(Self::Topic(name)),
            4 if name.is_empty() => Some(Self::BrokerDefault),
            4 => name.parse().ok().map(|id| Self::Broker(BrokerId(id))),
            8 => name.parse().ok().map(|id| Self::BrokerLogger(BrokerId(id))),
            16 => Some(Self::ClientMetrics(name)),
            32 => Some(Self::Group(name)),
            _ => None,
        }
    }

    fn target(&self) -> Target {
        match self {
            Self::Broker(id) | Self::BrokerLogger(id) => Target::Broker(*id),
            _ => Target::Controller,
        }
    }

    /// Who changes it. Of controllers the active one does, also what is a broker's.
    fn writer(&self, of_controllers: bool) -> Target {
        match self {
            Self::Broker(_) if of_controllers => Target::Controller,
            _ => self.target(),
        }
    }

    /// Reading is for any broker, but for what a broker alone knows.
    fn reader(&self) -> Target {
        match self.target() {
            Target::Controller => Target::Any,
            target => target,
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::BrokerDefault => f.write_str("all brokers"),
            Self::BrokerLogger(id) => write!(f, "the log of broker {id}"),
            Self::ClientMetrics(name) => write!(f, "metrics subscription {name}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigEntry {
    /// Its value; `None` when it is a secret, or has none.
    pub value: Option<String>,
    /// It cannot be changed.
    pub is_read_only: bool,
    /// Its value is not told.
    pub is_sensitive: bool,
    /// Where the value is from.
    pub source: ConfigSource,
}

/// Where a value is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Set for the topic.
    Topic,
    /// Set for the broker while it ran.
    DynamicBroker,
    /// Set for all brokers while they ran.
    DynamicDefaultBroker,
    /// The broker's file.
    StaticBroker,
    /// Kafka's default.
    Default,
    /// The level of a logger that was changed.
    DynamicBrokerLogger,
    /// A subscription to metrics.
    ClientMetrics,
    /// Set for the group.
    Group,
    /// The broker did not tell, or something newer.
    Unknown,
}

/// How a setting is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// To this value.
    Set(String),
    /// To its default.
    Delete,
    /// These values are added to its list.
    Append(String),
    /// These values are taken from its list.
    Subtract(String),
}

/// The settings of a resource by their names.
type Config = HashMap<String, ConfigEntry>;

impl Admin {
    /// The configuration of one resource. With `keys` only these settings.
    ///
    /// # Errors
    /// [`Error::Timeout`](crate::Error::Timeout); [`Error::Broker`](crate::Error::Broker), such as missing rights.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
        keys: Option<&[&str]>,
    ) -> Result<HashMap<String, ConfigEntry>> {
        let keys = keys.map(super::owned);
        let mut described = self.describe(vec![resource.clone()], keys.as_deref()).await;
        described.remove(resource).unwrap_or_else(|| Ok(HashMap::new()))
    }

    /// The configurations of many resources, whole.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::{BrokerId, ConfigResource};
    ///
    /// let resources = [ConfigResource::Topic("orders".into()), ConfigResource::Broker(BrokerId(1))];
    /// for (resource, config) in admin.describe_configs_of(&resources).await? {
    ///     println!("{resource} has {} settings", config?.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When no broker could be asked; per resource [`Error::Broker`](crate::Error::Broker).
    pub async fn describe_configs_of(&self, resources: &[ConfigResource]) -> Result<PerItem<ConfigResource, Config>> {
        asked(self.describe(resources.to_vec(), None).await)
    }

    async fn describe(
        &self,
        resources: Vec<ConfigResource>,
        keys: Option<&[String]>,
    ) -> PerItem<ConfigResource, Config> {
        let api = ApiKey::DescribeConfigs;
        self.each(api, resources, ConfigResource::reader, |node, resources| async move {
            let wanted = resources.iter().map(|resource| {
                let (resource_type, resource_name) = resource.wire();
                DescribeConfigsResource {
                    resource_type,
                    resource_name,
                    configuration_keys: keys.map(<[String]>::to_vec),
                }
            });
            let request = DescribeConfigsRequest { resources: wanted.collect(), ..Default::default() };
            let (response, at) = self.send(node, None, |_| request).await?;
            let results = response.results.into_iter().filter_map(|result| {
                let resource = ConfigResource::of(result.resource_type, result.resource_name)?;
                let outcome = outcome(result.error_code, api, &resource, result.error_message, &at);
                Some((resource, outcome.map(|()| result.configs.into_iter().map(entry).collect())))
            });
            Ok(Round::new(response.throttle_time_ms, results))
        })
        .await
    }

    /// Changes single settings. Brokers 2.3 and newer.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::{ConfigOp, ConfigResource};
    ///
    /// let change = ("retention.ms".to_owned(), ConfigOp::Set("86400000".into()));
    /// admin.incremental_alter_configs(&[(ConfigResource::Topic("orders".into()), vec![change])].into()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When nobody could be asked; per resource [`Error::Broker`](crate::Error::Broker), such as `INVALID_CONFIG`.
    pub async fn incremental_alter_configs(
        &self,
        changes: &HashMap<ConfigResource, Vec<(String, ConfigOp)>>,
    ) -> Result<PerItem<ConfigResource, ()>> {
        let api = ApiKey::IncrementalAlterConfigs;
        let writer = |resource: &ConfigResource| resource.writer(self.client.is_of_controllers());
        let altered = self.each(api, changes.keys().cloned(), writer, |node, resources| async move {
            let wanted = resources.iter().map(|resource| {
                let (resource_type, resource_name) = resource.wire();
                let configs = changes.get(resource).into_iter().flatten().map(change).collect();
                AlterConfigsResource { resource_type, resource_name, configs }
            });
            let request =
                IncrementalAlterConfigsRequest { resources: wanted.collect(), validate_only: self.validate_only };
            let (response, at) = self.send(node, None, |_| request).await?;
            let results = response.responses.into_iter().filter_map(|result| {
                let resource = ConfigResource::of(result.resource_type, result.resource_name)?;
                let outcome = outcome(result.error_code, api, &resource, result.error_message, &at);
                Some((resource, outcome))
            });
            Ok(Round::new(response.throttle_time_ms, results))
        });
        asked(altered.await)
    }

    /// Replaces whole configurations: what is not named goes back to its default. For brokers before 2.3;
    /// [`incremental_alter_configs`](Self::incremental_alter_configs) is the better call.
    ///
    /// # Errors
    /// When nobody could be asked; per resource [`Error::Broker`](crate::Error::Broker), such as `INVALID_CONFIG`.
    pub async fn alter_configs(
        &self,
        configs: &HashMap<ConfigResource, HashMap<String, String>>,
    ) -> Result<PerItem<ConfigResource, ()>> {
        let api = ApiKey::AlterConfigs;
        let writer = |resource: &ConfigResource| resource.writer(self.client.is_of_controllers());
        let altered = self.each(api, configs.keys().cloned(), writer, |node, resources| async move {
            let wanted = resources.iter().map(|resource| {
                let (resource_type, resource_name) = resource.wire();
                let settings = configs.get(resource).into_iter().flatten();
                let settings = settings
                    .map(|(name, value)| legacy::AlterableConfig { name: name.clone(), value: Some(value.clone()) });
                legacy::AlterConfigsResource { resource_type, resource_name, configs: settings.collect() }
            });
            let request = AlterConfigsRequest { resources: wanted.collect(), validate_only: self.validate_only };
            let (response, at) = self.send(node, None, |_| request).await?;
            let results = response.responses.into_iter().filter_map(|result| {
                let resource = ConfigResource::of(result.resource_type, result.resource_name)?;
                let outcome = outcome(result.error_code, api, &resource, result.error_message, &at);
                Some((resource, outcome))
            });
            Ok(Round::new(response.throttle_time_ms, results))
        });
        asked(altered.await)
    }

    /// What has a configuration: all subscriptions to metrics (brokers 3.7 and newer), and with 4.1 and newer also topics,
    /// groups, brokers and their logs.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion); when no broker could be asked;
    /// [`Error::Broker`](crate::Error::Broker).
    pub async fn list_config_resources(&self) -> Result<Vec<ConfigResource>> {
        self.once("ListConfigResources", Target::Any, |node| async move {
            let (response, at) = self.send(node, None, |_| ListConfigResourcesRequest::default()).await?;
            outcome(response.error_code, ApiKey::ListConfigResources, "the cluster", None, &at)?;
            let listed = response.config_resources.into_iter();
            Ok(listed.filter_map(|r| ConfigResource::of(r.resource_type, r.resource_name)).collect())
        })
        .await
    }
}

fn entry(entry: DescribeConfigsResourceResult) -> (String, ConfigEntry) {
    let source = match entry.config_source {
        1 => ConfigSource::Topic,
        2 => ConfigSource::DynamicBroker,
        3 => ConfigSource::DynamicDefaultBroker,
        4 => ConfigSource::StaticBroker,
        5 => ConfigSource::Default,
        6 => ConfigSource::DynamicBrokerLogger,
        7 => ConfigSource::ClientMetrics,
        8 => ConfigSource::Group,
        _ => ConfigSource::Unknown,
    };
    let described =
        ConfigEntry { value: entry.value, is_read_only: entry.read_only, is_sensitive: entry.is_sensitive, source };
    (entry.name, described)
}

fn change((name, operation): &(String, ConfigOp)) -> AlterableConfig {
    let (config_operation, value) = match operation {
        ConfigOp::Set(value) => (0, Some(value.clone())),
        ConfigOp::Delete => (1, None),
        ConfigOp::Append(value) => (2, Some(value.clone())),
        ConfigOp::Subtract(value) => (3, Some(value.clone())),
    };
    AlterableConfig { name: name.clone(), config_operation, value }
}
