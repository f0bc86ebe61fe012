//! Quotas of users, clients and addresses (KIP-546). Brokers 2.6 and newer.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::alter_client_quotas::{AlterClientQuotasRequest, EntityData, EntryData, OpData};
use ottla_protocol::messages::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};

use super::call::{Round, Target, asked, outcome};
use super::{Admin, PerItem};
use crate::error::Result;

/// Whose quota: names by their types, `user`, `client-id` and `ip`; `None` is the default of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct QuotaEntity(pub BTreeMap<String, Option<String>>);

impl QuotaEntity {
    /// The entity of one type and name.
    #[must_use]
    pub fn new(entity_type: &str, name: Option<&str>) -> Self {
        Self::default().and(entity_type, name)
    }

    /// With another type and name, such as a client of a user.
    #[must_use]
    pub fn and(mut self, entity_type: &str, name: Option<&str>) -> Self {
        self.0.insert(entity_type.to_owned(), name.map(str::to_owned));
        self
    }
}

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.iter().map(|(kind, name)| format!("{kind} {}", name.as_deref().unwrap_or("(default)")));
        f.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}

/// Which names of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaMatch {
    /// This one.
    Exact(String),
    /// The default.
    Default,
    /// Any.
    Any,
}

/// Which quotas to describe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaFilter {
    /// The types and names that an entity must have; empty: all entities.
    pub components: Vec<(String, QuotaMatch)>,
    /// It must have no others.
    pub strict: bool,
}

impl Admin {
    /// The quotas that fit: by entity, the limits by their names.
    ///
    /// # Errors
    /// When no broker could be asked; [`Error::Broker`](crate::Error::Broker).
    pub async fn describe_quotas(&self, filter: &QuotaFilter) -> Result<HashMap<QuotaEntity, HashMap<String, f64>>> {
        let components = filter.components.iter().map(|(entity_type, name)| {
            let (match_type, r#match) = match name {
                QuotaMatch::Exact(name) => (0, Some(name.clone())),
                QuotaMatch::Default => (1, None),
                QuotaMatch::Any => (2, None),
            };
            ComponentData { entity_type: entity_type.clone(), match_type, r#match }
        });
        let request = &DescribeClientQuotasRequest { components: components.collect(), strict: filter.strict };
        self.once("DescribeClientQuotas", Target::Any, |node| async move {
            let (response, at) = self.send(node, None, |_| request.clone()).await?;
            outcome(response.error_code, ApiKey::DescribeClientQuotas, "quotas", response.error_message, &at)?;
            let quotas = response.entries.unwrap_or_default().into_iter().map(|entry| {
                let entity = entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name));
                let limits = entry.values.into_iter().map(|limit| (limit.key, limit.value));
                (QuotaEntity(entity.collect()), limits.collect())
            });
            Ok(quotas.collect())
        })
        .await
    }

    /// Sets limits by their names, or removes them (`None`).
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::QuotaEntity;
    ///
    /// let shop = QuotaEntity::new("client-id", Some("shop"));
    /// admin.alter_quotas(&[(shop, vec![("producer_byte_rate".to_owned(), Some(1e6))])].into()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the controller could not be asked; per entity [`Error::Broker`](crate::Error::Broker).
    pub async fn alter_quotas(
        &self,
        quotas: &HashMap<QuotaEntity, Vec<(String, Option<f64>)>>,
    ) -> Result<PerItem<QuotaEntity, ()>> {
        let altered = self.each(
            ApiKey::AlterClientQuotas,
            quotas.keys().cloned(),
            |_| Target::Controller,
            |node, entities| async move {
                let entries = entities.iter().map(|entity| EntryData {
                    entity: parts(entity),
                    ops: quotas.get(entity).into_iter().flatten().map(operation).collect(),
                });
                let request =
                    AlterClientQuotasRequest { entries: entries.collect(), validate_only: self.validate_only };
                let (response, at) = self.send(node, None, |_| request).await?;
                let results = response.entries.into_iter().map(|entry| {
                    let entity = entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name));
                    let entity = QuotaEntity(entity.collect());
                    let api = ApiKey::AlterClientQuotas;
                    let result = outcome(entry.error_code, api, &entity, entry.error_message, &at);
                    (entity, result)
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(altered.await)
    }
}

fn parts(entity: &QuotaEntity) -> Vec<EntityData> {
    let part =
        |(kind, name): (&String, &Option<String>)| EntityData { entity_type: kind.clone(), entity_name: name.clone() };
    entity.0.iter().map(part).collect()
}

fn operation((key, value): &(String, Option<f64>)) -> OpData {
    OpData { key: key.clone(), value: value.unwrap_or_default(), remove: value.is_none() }
}
