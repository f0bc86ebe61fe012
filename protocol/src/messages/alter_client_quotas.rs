//! Changing quotas (API key 49).

use crate::macros::{message, request};

request!(AlterClientQuotasRequest => AlterClientQuotasResponse, AlterClientQuotas, versions 0-1, flexible 1+);

message! {
    /// Changes quotas.
    AlterClientQuotasRequest {
        entries: Vec<EntryData>;
        validate_only: bool;
    }

    EntryData {
        entity: Vec<EntityData>;
        ops: Vec<OpData>;
    }

    EntityData {
        entity_type: String;
        entity_name: Option<String> = Some(Default::default());
    }

    OpData {
        key: String;
        value: f64;
        remove: bool;
    }

    /// Which quotas were changed.
    AlterClientQuotasResponse {
        throttle_time_ms: i32;
        entries: Vec<EntryDataResult>;
    }

    EntryDataResult {
        error_code: i16;
        error_message: Option<String> = Some(Default::default());
        entity: Vec<EntityDataResult>;
    }

    EntityDataResult {
        entity_type: String;
        entity_name: Option<String> = Some(Default::default());
    }
}
