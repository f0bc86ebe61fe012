//! DescribeConfigs of topics, brokers, and subscriptions to clients' metrics.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::super::ErrorCode;
use super::super::client_metrics::{DEFAULT_INTERVAL_MS, INTERVAL, MATCH, METRICS};
use super::super::cluster::{Call, Cluster};
use super::super::config::{BROKER, GROUP, GROUP_CONFIGS, INT, LIST, STRING, TOPIC, topic_configs};
use super::{code, text};

const CLIENT_METRICS: i8 = 16;
/// Where a value comes from.
const TOPIC_CONFIG: i8 = 1;
const DYNAMIC_BROKER_CONFIG: i8 = 2;
const DYNAMIC_DEFAULT_BROKER_CONFIG: i8 = 3;
const STATIC_BROKER_CONFIG: i8 = 4;
const DEFAULT_CONFIG: i8 = 5;
const CLIENT_METRICS_CONFIG: i8 = 7;
const GROUP_CONFIG: i8 = 8;

struct Entry {
    name: String,
    kind: i8,
    value: String,
    source: i8,
}

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let found = call.fails_whole().and_then(|()| look_up(cluster, call, &resource));
        let result = DescribeConfigsResult::default()
            .with_error_code(code(&found))
            .with_error_message(found.as_ref().err().map(|error| text(error.to_string())))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        let asked = |entry: &Entry| {
            resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key.as_str() == entry.name))
        };
        let entries = found.unwrap_or_default().into_iter().filter(asked);
        result.with_configs(entries.map(|entry| described(call, entry, request.include_synonyms)).collect())
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn look_up(cluster: &Cluster, call: &Call, resource: &DescribeConfigsResource) -> Result<Vec<Entry>, ErrorCode> {
    match resource.resource_type {
        TOPIC => {
            let topic =
                cluster.topics.get(resource.resource_name.as_str()).ok_or(ErrorCode::UnknownTopicOrPartition)?;
            let entries = topic_configs(cluster.config.version).map(|&(name, kind, default)| {
                let (value, set) = topic.config.value(name, default, &cluster.config);
                Entry { name: name.to_owned(), kind, value, source: if set { TOPIC_CONFIG } else { DEFAULT_CONFIG } }
            });
            Ok(entries.collect())
        }
        BROKER => {
            let id = match resource.resource_name.as_str() {
                "" => call.node,
                name => name.parse().map_err(|_| ErrorCode::InvalidRequest)?,
            };
            // A broker describes itself only; another one's resource must be sent there.
            if id != call.node {
                return Err(ErrorCode::InvalidRequest);
            }
            let described = cluster.config.described(id).into_iter();
            let described = described.map(|(name, kind, value)| Entry {
                name: name.to_owned(),
                kind,
                value,
                source: STATIC_BROKER_CONFIG,
            });
            let own = kept(cluster, (BROKER, id.to_string()), DYNAMIC_BROKER_CONFIG);
            let common = kept(cluster, (BROKER, String::new()), DYNAMIC_DEFAULT_BROKER_CONFIG);
            let is_own = |entry: &Entry| own.iter().any(|mine| mine.name == entry.name);
            let common: Vec<Entry> = common.into_iter().filter(|entry| !is_own(entry)).collect();
            Ok(described.chain(own).chain(common).collect())
        }
        GROUP if cluster.config.version.at_least(4, 0) => {
            let own = kept(cluster, (GROUP, resource.resource_name.to_string()), GROUP_CONFIG);
            let entry = |&(name, kind, default): &(&str, i8, &str)| {
                let set = own.iter().find(|entry| entry.name == name);
                let value = set.map_or_else(|| default.to_owned(), |entry| entry.value.clone());
                Entry { name: name.to_owned(), kind, value, source: set.map_or(DEFAULT_CONFIG, |entry| entry.source) }
            };
            Ok(GROUP_CONFIGS.iter().map(entry).collect())
        }
        CLIENT_METRICS => {
            let set = cluster.client_metrics.set(&resource.resource_name);
            let known = [
                (INTERVAL, INT, DEFAULT_INTERVAL_MS.to_string()),
                (MATCH, LIST, String::new()),
                (METRICS, LIST, String::new()),
            ];
            let entries = known.into_iter().map(|(name, kind, default)| match set.get(name) {
                Some(value) => (name, kind, value.clone(), CLIENT_METRICS_CONFIG),
                None => (name, kind, default, DEFAULT_CONFIG),
            });
            let entry = |(name, kind, value, source): (&str, i8, String, i8)| Entry {
                name: name.to_owned(),
                kind,
                value,
                source,
            };
            Ok(entries.map(entry).collect())
        }
        _ => Err(ErrorCode::InvalidRequest),
    }
}

/// What was set of a broker or a group.
fn kept(cluster: &Cluster, key: (i8, String), source: i8) -> Vec<Entry> {
    let set = cluster.kept_configs.get(&key).into_iter().flatten();
    set.map(|(name, value)| Entry { name: name.clone(), kind: STRING, value: value.clone(), source }).collect()
}

fn described(call: &Call, entry: Entry, synonyms: bool) -> DescribeConfigsResourceResult {
    let result = DescribeConfigsResourceResult::default()
        .with_name(text(entry.name.clone()))
        .with_value(Some(text(entry.value.clone())))
        .with_config_source(entry.source)
        .with_config_type(if call.version >= 3 { entry.kind } else { 0 });
    if !synonyms {
        return result;
    }
    let synonym = DescribeConfigsSynonym::default()
        .with_name(text(entry.name))
        .with_value(Some(text(entry.value)))
        .with_source(entry.source);
    result.with_synonyms(vec![synonym])
}
