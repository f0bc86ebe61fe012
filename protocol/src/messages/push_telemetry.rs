//! Telemetry (API key 72).
use bytes::Bytes;
use uuid::Uuid;

use crate::macros::{message, request};

request!(PushTelemetryRequest => PushTelemetryResponse, PushTelemetry, versions 0-0, flexible 0+);

message! {
    /// Sends a client's metrics to the cluster.
    PushTelemetryRequest {
        client_instance_id: Uuid;
        subscription_id: i32;
        terminating: bool;
        compression_type: i8;
        metrics: Bytes;
    }

    /// Whether they were taken.
    PushTelemetryResponse {
        throttle_time_ms: i32;
        error_code: i16;
    }
}
