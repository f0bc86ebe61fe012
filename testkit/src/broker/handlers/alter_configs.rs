//! AlterConfigs and IncrementalAlterConfigs: of topics and of subscriptions to clients' metrics, where they take effect; of
//! brokers and groups, where they are only kept and described.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Replaced;
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as Changed;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::config::{BROKER, GROUP, GROUP_CONFIGS, TOPIC, TopicConfig, topic_configs};
use super::super::topics::Refusal;
use super::super::versions::KafkaVersion;
use super::text;

const CLIENT_METRICS: i8 = 16;
/// Operations of IncrementalAlterConfigs.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// What is set, by name.
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
    let version = cluster.config.version;
    let responses = request.resources.iter().map(|resource| {
        let wanted = |current: &Configs| {
            let mut set = current.clone();
            resource.configs.iter().try_for_each(|config| apply(&mut set, config, version))?;
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
    match kind {
        TOPIC => {}
        BROKER | GROUP => return keep(cluster, call, kind, name, validate_only, wanted),
        CLIENT_METRICS => {
            let set = wanted(&cluster.client_metrics.set(name))?;
            return cluster.client_metrics.alter(name, set, validate_only);
        }
        _ => return Err((ErrorCode::InvalidRequest, format!("Unexpected resource type {kind}."))),
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

/// Configs of a broker or a group.
fn keep(
    cluster: &mut Cluster,
    call: &Call,
    kind: i8,
    name: &str,
    validate_only: bool,
    wanted: impl FnOnce(&Configs) -> Result<Configs, Refusal>,
) -> Result<(), Refusal> {
    let invalid = |reason: String| Err((ErrorCode::InvalidRequest, reason));
    if kind == BROKER && !name.is_empty() && name.parse() != Ok(call.node) {
        return invalid(format!("Unexpected broker id, expected {}, but received {name}", call.node));
    }
    // Groups have configs since 4.0 (KIP-848).
    if kind == GROUP && !cluster.config.version.at_least(4, 0) {
        return invalid("Unexpected resource type GROUP.".to_owned());
    }
    let key = (kind, name.to_owned());
    let set = wanted(cluster.kept_configs.get(&key).unwrap_or(&Configs::new()))?;
    let unknown = |config: &&String| GROUP_CONFIGS.iter().all(|(known, ..)| known != *config);
    if kind == GROUP
        && let Some(config) = set.keys().find(unknown)
    {
        return Err((ErrorCode::InvalidConfig, format!("Unknown group config name: {config}")));
    }
    // These work from the start and are not changed later: to say yes would be a lie.
    if kind == BROKER
        && let Some((config, ..)) =
            cluster.config.described(call.node).iter().find(|(config, ..)| set.contains_key(*config))
    {
        return invalid(format!("The embedded broker can't change {config} while it runs."));
    }
    if !validate_only {
        cluster.kept_configs.insert(key, set);
    }
    Ok(())
}

fn apply(set: &mut Configs, config: &AlterableConfig, version: KafkaVersion) -> Result<(), Refusal> {
    let name = config.name.to_string();
    let invalid = |reason: String| Err((ErrorCode::InvalidRequest, reason));
    if config.config_operation == DELETE {
        set.remove(&name);
        return Ok(());
    }
    let Some(value) = &config.value else { return invalid(format!("Null value for {name}.")) };
    let parts = |list: &str| list.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    // What a topic has not set it has from the defaults (ConfigurationControlManager.getParts).
    let default = || topic_configs(version).find(|(known, ..)| *known == name).map(|&(_, _, default)| default);
    let mut list = parts(set.get(&name).map(String::as_str).or_else(default).unwrap_or_default());
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
