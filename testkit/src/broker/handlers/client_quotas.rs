//! DescribeClientQuotas and AlterClientQuotas.

use std::collections::BTreeSet;

use kafka_protocol::messages::alter_client_quotas_response::{EntityData as AlteredEntity, EntryData as Altered};
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use super::super::ErrorCode;
use super::super::client_quotas::{Entity, read_filter};
use super::super::cluster::{Call, Cluster};
use super::super::topics::Refusal;
use super::text;

pub(super) fn describe(
    cluster: &mut Cluster,
    call: &Call,
    request: DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    let components = request.components.iter();
    let filter = may(call).and_then(|()| {
        read_filter(components.map(|one| (one.entity_type.as_str(), one.match_type, one._match.as_deref())))
    });
    let filter = match filter {
        Ok(filter) => filter,
        Err((error, reason)) => {
            return DescribeClientQuotasResponse::default()
                .with_error_code(error.code())
                .with_error_message(Some(text(reason)))
                .with_entries(None);
        }
    };
    let entries = cluster.client_quotas.describe(&filter, request.strict).map(|(entity, quotas)| {
        let names = entity.iter().map(|(kind, name)| {
            EntityData::default().with_entity_type(text(kind.clone())).with_entity_name(name.clone().map(text))
        });
        let values =
            quotas.iter().map(|(key, value)| ValueData::default().with_key(text(key.clone())).with_value(*value));
        EntryData::default().with_entity(names.collect()).with_values(values.collect())
    });
    let entries = entries.collect();
    DescribeClientQuotasResponse::default().with_error_message(None).with_entries(Some(entries))
}

fn may(call: &Call) -> Result<(), Refusal> {
    call.fails_whole().and_then(|()| call.may_cluster()).map_err(|error| (error, error.to_string()))
}

pub(super) fn alter(
    cluster: &mut Cluster,
    call: &Call,
    request: AlterClientQuotasRequest,
) -> AlterClientQuotasResponse {
    let mut seen: BTreeSet<Entity> = BTreeSet::new();
    let entries = request.entries.into_iter().map(|entry| {
        let named = entry.entity.iter();
        let entity: Entity = named
            .map(|part| (part.entity_type.to_string(), part.entity_name.as_ref().map(ToString::to_string)))
            .collect();
        let changes: Vec<_> =
            entry.ops.iter().map(|op| (op.key.to_string(), (!op.remove).then_some(op.value))).collect();
        let done = may(call).and_then(|()| {
            if !seen.insert(entity.clone()) {
                return Err((ErrorCode::InvalidRequest, "Ignoring duplicate entity.".to_owned()));
            }
            cluster.client_quotas.alter(&entity, &changes, request.validate_only)
        });
        let names = entity
            .into_iter()
            .map(|(kind, name)| AlteredEntity::default().with_entity_type(text(kind)).with_entity_name(name.map(text)));
        let altered = Altered::default().with_error_message(None).with_entity(names.collect());
        match done {
            Ok(()) => altered,
            Err((error, reason)) => altered.with_error_code(error.code()).with_error_message(Some(text(reason))),
        }
    });
    AlterClientQuotasResponse::default().with_entries(entries.collect())
}
