//! Looking at quotas (API key 48).

use crate::macros::{message, request};

request!(DescribeClientQuotasRequest => DescribeClientQuotasResponse, DescribeClientQuotas, versions 0-1, flexible 1+);

message! {
    /// Asks for the quotas that match a filter.
    DescribeClientQuotasRequest {
        components: Vec<ComponentData>;
        strict: bool;
    }

    ComponentData {
        entity_type: String;
        match_type: i8;
        r#match: Option<String> = Some(Default::default());
    }

    /// The quotas found.
    DescribeClientQuotasResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        entries: Option<Vec<EntryData>> = Some(Default::default());
    }

    EntryData {
        entity: Vec<EntityData>;
        values: Vec<ValueData>;
    }

    EntityData {
        entity_type: String;
        entity_name: Option<String> = Some(Default::default());
    }

    ValueData {
        key: String;
        value: f64;
    }
}
