//! ListConfigResources: what has configs. Version 0 is ListClientMetricsResources by an older name.

use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::config::{BROKER, GROUP, TOPIC};
use super::text;

const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const KNOWN: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let kinds = match (call.version, request.resource_types.as_slice()) {
        (0, _) => vec![CLIENT_METRICS],
        (_, []) => KNOWN.to_vec(),
        (_, asked) => asked.to_vec(),
    };
    let known = kinds.iter().all(|kind| KNOWN.contains(kind));
    let admitted = call.fails_whole().and_then(|()| call.may_cluster());
    let admitted = admitted.and(if known { Ok(()) } else { Err(ErrorCode::UnsupportedVersion) });
    if let Err(error) = admitted {
        return ListConfigResourcesResponse::default().with_error_code(error.code());
    }
    let resources = kinds.into_iter().flat_map(|kind| {
        let names = names(cluster, kind);
        names.into_iter().map(move |name| {
            let resource = ConfigResource::default().with_resource_name(text(name));
            if call.version >= 1 { resource.with_resource_type(kind) } else { resource }
        })
    });
    ListConfigResourcesResponse::default().with_config_resources(resources.collect())
}

fn names(cluster: &Cluster, kind: i8) -> Vec<String> {
    match kind {
        TOPIC => cluster.topics.keys().cloned().collect(),
        BROKER | BROKER_LOGGER => cluster.alive().map(|node| node.id.to_string()).collect(),
        CLIENT_METRICS => cluster.client_metrics.names().map(str::to_owned).collect(),
        GROUP => {
            let kept = cluster.kept_configs.iter().filter(|((kind, _), set)| *kind == GROUP && !set.is_empty());
            kept.map(|((_, name), _)| name.clone()).collect()
        }
        _ => Vec::new(),
    }
}
