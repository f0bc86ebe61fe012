//! Telemetry subscriptions (API key 71).
use uuid::Uuid;

use crate::macros::{message, request};

request!(GetTelemetrySubscriptionsRequest => GetTelemetrySubscriptionsResponse, GetTelemetrySubscriptions, versions 0-0, flexible 0+);

message! {
    /// Asks which metrics the cluster wants from this client.
    GetTelemetrySubscriptionsRequest {
        client_instance_id: Uuid;
    }

    /// The metrics wanted.
    GetTelemetrySubscriptionsResponse {
        throttle_time_ms: i32;
        error_code: i16;
        client_instance_id: Uuid;
        subscription_id: i32;
        accepted_compression_types: Vec<i8>;
        push_interval_ms: i32;
        telemetry_max_bytes: i32;
        delta_temporality: bool;
        requested_metrics: Vec<String>;
    }
}
