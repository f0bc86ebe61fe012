//! AlterConfigs and IncrementalAlterConfigs, of topics.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Replaced;
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as Changed;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::config::TopicConfig;
use super::super::topics::Refusal;
use super::text;

const TOPIC: i8 = 2;
/// Operations of IncrementalAlterConfigs.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// What a topic has set, by name.
type Configs = BTreeMap<String, String>;

pub(super) fn replace(cluster: &mut Cluster, call: &Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        let wanted = |_: &Configs| {
            let given = resource.configs.iter();
            let set = |config: &kafka_protocol::messages::alter_configs_request::AlterableConfig| {
                Some((config.name.to_string(), config.value.as_ref()?.to_string()))
            };
            Ok(given.filter_map(set).collect())
        };
        let done = alter(cluster, call, resource.resource_type, &resource.resource_name, request.validate_only, wanted);
        let response = Replaced::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match done {
            Ok(()) => response,
            Err((error, reason)) => response.with_error_code(error.code()).with_error_message(Some(text(reason))),
        }
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

pub(super) fn change(
    cluster: &mut Cluster,
    call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        let wanted = |current: &Configs| {
            let mut set = current.clone();
            resource.configs.iter().try_for_each(|config| apply(&mut set, config))?;
            Ok(set)
        };
        let done = alter(cluster, call, resource.resource_type, &resource.resource_name, request.validate_only, wanted);
        let response = Changed::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match done {
            Ok(()) => response,
            Err((error, reason)) => response.with_error_code(error.code()).with_error_message(Some(text(reason))),
        }
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn alter(
    cluster: &mut Cluster,
    call: &Call,
    kind: i8,
    name: &str,
    validate_only: bool,
    wanted: impl FnOnce(&Configs) -> Result<Configs, Refusal>,
) -> Result<(), Refusal> {
    call.fails(name, 0).map_err(|error| (error, String::new()))?;
    if kind != TOPIC {
        let reason = "The embedded broker changes the configs of topics only.";
        return Err((ErrorCode::InvalidRequest, reason.to_owned()));
    }
    let unknown = || (ErrorCode::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."));
    let topic = cluster.topics.get_mut(name).ok_or_else(unknown)?;
    let set = wanted(&topic.config.set)?;
    let config = TopicConfig::new(set, &cluster.config).map_err(|reason| (ErrorCode::InvalidConfig, reason))?;
    if !validate_only {
        topic.config = config;
    }
    Ok(())
}

fn apply(set: &mut Configs, config: &AlterableConfig) -> Result<(), Refusal> {
    let name = config.name.to_string();
    let invalid = |reason: String| Err((ErrorCode::InvalidRequest, reason));
    if config.config_operation == DELETE {
        set.remove(&name);
        return Ok(());
    }
    let Some(value) = &config.value else { return invalid(format!("Null value for {name}.")) };
    let parts = |list: &str| list.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let mut list = set.get(&name).map_or_else(Vec::new, |list| parts(list));
    let given = parts(value);
    match config.config_operation {
        SET => list = vec![value.to_string()],
        APPEND => {
            for part in given {
                if !list.contains(&part) {
                    list.push(part);
                }
            }
        }
        SUBTRACT => list.retain(|part| !given.contains(part)),
        other => return invalid(format!("Unknown operation {other} for {name}.")),
    }
    set.insert(name, list.join(","));
    Ok(())
}
