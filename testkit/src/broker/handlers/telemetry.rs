//! GetTelemetrySubscriptions and PushTelemetry (KIP-714).

use kafka_protocol::messages::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse, PushTelemetryRequest, PushTelemetryResponse,
};

use super::super::client_metrics::{Asker, Push};
use super::super::cluster::{Call, Cluster};
use super::{code, text};

/// zstd, lz4, gzip, snappy: Kafka's order of preference.
const COMPRESSIONS: [i8; 4] = [4, 3, 1, 2];
/// `telemetry.max.bytes`.
const MAX_BYTES: i32 = 1024 * 1024;

fn asker(call: &Call) -> Asker<'_> {
    Asker { connection: call.connection, client_id: &call.client_id }
}

pub(super) fn subscribe(
    cluster: &mut Cluster,
    call: &Call,
    request: GetTelemetrySubscriptionsRequest,
) -> GetTelemetrySubscriptionsResponse {
    let id = if request.client_instance_id.is_nil() { cluster.random_uuid() } else { request.client_instance_id };
    let wanted = call.fails_whole().and_then(|()| cluster.client_metrics.wanted(call.now, id, asker(call)));
    match wanted {
        Ok(wanted) => GetTelemetrySubscriptionsResponse::default()
            .with_client_instance_id(id)
            .with_subscription_id(wanted.subscription_id)
            .with_accepted_compression_types(COMPRESSIONS.to_vec())
            .with_push_interval_ms(wanted.interval_ms)
            .with_telemetry_max_bytes(cluster.client_metrics.max_bytes.unwrap_or(MAX_BYTES))
            .with_delta_temporality(true)
            .with_requested_metrics(wanted.metrics.into_iter().map(text).collect()),
        Err(error) => GetTelemetrySubscriptionsResponse::default().with_error_code(error.code()),
    }
}

pub(super) fn push(cluster: &mut Cluster, call: &Call, request: PushTelemetryRequest) -> PushTelemetryResponse {
    let push = Push {
        instance: request.client_instance_id,
        subscription_id: request.subscription_id,
        terminating: request.terminating,
        compression: request.compression_type,
        metrics: request.metrics,
    };
    let pushed = call.fails_whole().and_then(|()| cluster.client_metrics.push(call.now, push, asker(call)));
    PushTelemetryResponse::default().with_error_code(code(&pushed))
}
