//! Configurations of topics and brokers.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;

use ottla_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_protocol::{ApiKey, ErrorCode};

use super::Admin;
use crate::error::{Error, Result};
use crate::network::Lane;
use crate::types::BrokerId;

/// Whose configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConfigResource {
    /// A topic's.
    Topic(String),
    /// A broker's; it is asked itself.
    Broker(BrokerId),
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
}

impl Admin {
    /// The configuration of one resource. With `keys` only these settings.
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::Broker`], such as missing rights.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
        keys: Option<&[&str]>,
    ) -> Result<HashMap<String, ConfigEntry>> {
        let (resource_type, resource_name) = match resource {
            ConfigResource::Topic(name) => (2, name.clone()),
            ConfigResource::Broker(id) => (4, id.to_string()),
        };
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type,
                resource_name: resource_name.clone(),
                configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
            }],
            ..Default::default()
        };
        let client = &self.client;
        let what = format!("DescribeConfigs of {resource_name}");
        let deadline = client.api_deadline();
        client
            .retrying(&what, deadline, || async {
                let response = match resource {
                    ConfigResource::Broker(id) => client.request(*id, Lane::General, &request, None).await?,
                    ConfigResource::Topic(_) => client.request_any(&request, deadline).await?,
                };
                let Some(result) = response.results.into_iter().next() else {
                    return Err(Error::broker(ErrorCode::ResourceNotFound, ApiKey::DescribeConfigs, &resource_name));
                };
                if result.error_code != 0 {
                    let error = Error::broker(result.error_code.into(), ApiKey::DescribeConfigs, &resource_name);
                    return Err(error.message(result.error_message));
                }
                let entries = result.configs.into_iter().map(|entry| {
                    let described = ConfigEntry {
                        value: entry.value,
                        is_read_only: entry.read_only,
                        is_sensitive: entry.is_sensitive,
                    };
                    (entry.name, described)
                });
                Ok(entries.collect())
            })
            .await
    }
}
