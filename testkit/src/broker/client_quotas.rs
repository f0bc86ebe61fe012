//! Client quotas as administrators set them (`ClientQuotaControlManager.java`, `ClientQuotasImage.java`, KIP-546). They
//! are kept and told, and slow nobody down: [`throttle`](super::Broker::throttle) does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::ErrorCode;
use super::topics::Refusal;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// Names by entity type; `None` is the type's default.
pub(crate) type Entity = BTreeMap<String, Option<String>>;

/// What a quota's value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Long,
    Double,
}

/// How one entity type is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    /// This name, or the default.
    Name(Option<String>),
    /// Any name.
    Any,
}

/// All quotas.
#[derive(Debug, Default)]
pub(crate) struct ClientQuotas {
    entities: BTreeMap<Entity, BTreeMap<String, f64>>,
}

fn invalid<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err((ErrorCode::InvalidRequest, reason.into()))
}

impl ClientQuotas {
    /// Sets (`Some`) and removes (`None`) quotas of one entity: all of them or, on an error, none.
    pub(crate) fn alter(
        &mut self,
        entity: &Entity,
        changes: &[(String, Option<f64>)],
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let mut seen = BTreeSet::new();
        if let Some((key, _)) = changes.iter().find(|(key, _)| !seen.insert(key)) {
            return invalid(format!("Duplicate quota key {key}."));
        }
        let known = keys_of(entity)?;
        for (key, value) in changes {
            // What is removed need not exist, nor be a quota at all.
            if let Some(value) = value {
                check(known, key, *value)?;
            }
        }
        if validate_only {
            return Ok(());
        }
        let quotas = self.entities.entry(entity.clone()).or_default();
        for (key, value) in changes {
            match value {
                Some(value) => quotas.insert(key.clone(), *value),
                None => quotas.remove(key),
            };
        }
        if quotas.is_empty() {
            self.entities.remove(entity);
        }
        Ok(())
    }

    /// The entities a filter names; `strict`: those that have no other type than the filter.
    pub(crate) fn describe<'a>(
        &'a self,
        filter: &'a BTreeMap<String, Match>,
        strict: bool,
    ) -> impl Iterator<Item = (&'a Entity, &'a BTreeMap<String, f64>)> {
        self.entities.iter().filter(move |(entity, _)| {
            let fits = |(kind, wanted): (&String, &Match)| match (entity.get(kind), wanted) {
                (None, _) => false,
                (Some(_), Match::Any) => true,
                (Some(name), Match::Name(wanted)) => name == wanted,
            };
            (!strict || entity.len() == filter.len()) && filter.iter().all(fits)
        })
    }
}

/// Reads a filter of (entity type, kind of match, name).
pub(crate) fn read_filter<'a>(
    components: impl Iterator<Item = (&'a str, i8, Option<&'a str>)>,
) -> Result<BTreeMap<String, Match>, Refusal> {
    let mut filter = BTreeMap::new();
    for (kind, how, name) in components {
        if kind.is_empty() {
            return invalid("Invalid empty entity type.");
        }
        if filter.contains_key(kind) {
            return invalid(format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        if !matches!(kind, USER | CLIENT_ID | IP) {
            return Err((ErrorCode::UnsupportedVersion, format!("Unsupported entity type {kind}.")));
        }
        let wanted = match (how, name) {
            (0, Some(name)) => Match::Name(Some(name.to_owned())),
            (1, None) => Match::Name(None),
            (2, None) => Match::Any,
            (0, None) => return invalid("An exact match needs a name."),
            (1 | 2, Some(_)) => return invalid("Only an exact match has a name."),
            (other, _) => return invalid(format!("Unknown match type {other}.")),
        };
        filter.insert(kind.to_owned(), wanted);
    }
    if filter.contains_key(IP) && filter.len() > 1 {
        return invalid("An IP filter component cannot be used with those of user or client id.");
    }
    Ok(filter)
}

/// Checks the combination of entity types; returns the quotas it may have.
fn keys_of(entity: &Entity) -> Result<&'static [(&'static str, Kind)], Refusal> {
    if entity.is_empty() {
        return invalid("Invalid empty client quota entity.");
    }
    if let Some(kind) = entity.keys().find(|kind| !matches!(kind.as_str(), USER | CLIENT_ID | IP)) {
        return invalid(format!("Unhandled client quota entity type: {kind}."));
    }
    let Some(ip) = entity.get(IP) else {
        return Ok(&[
            ("producer_byte_rate", Kind::Long),
            ("consumer_byte_rate", Kind::Long),
            ("request_percentage", Kind::Double),
            ("controller_mutation_rate", Kind::Double),
        ]);
    };
    if entity.len() > 1 {
        return invalid("An IP entity cannot be combined with user or client id.");
    }
    // Kafka asks the resolver; a machine knows no names but this one.
    if let Some(ip) = ip.as_deref().filter(|ip| *ip != "localhost" && ip.parse::<IpAddr>().is_err()) {
        return invalid(format!("{ip} is not a valid IP or resolvable host."));
    }
    Ok(&[("connection_creation_rate", Kind::Int)])
}

fn check(known: &[(&str, Kind)], key: &str, value: f64) -> Result<(), Refusal> {
    let Some((_, kind)) = known.iter().find(|(name, _)| *name == key) else {
        return invalid(format!("Invalid configuration key {key}."));
    };
    if value <= 0.0 {
        return invalid(format!("Quota {key} must be greater than 0."));
    }
    let most = match kind {
        Kind::Int => f64::from(i32::MAX),
        Kind::Long => i64::MAX as f64,
        Kind::Double => return Ok(()),
    };
    if value > most {
        return invalid(format!("Proposed value for {key} is too large."));
    }
    if (value % 1.0).abs() > 1e-6 { invalid(format!("{key} cannot be a fractional value.")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(parts: &[(&str, Option<&str>)]) -> Entity {
        parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))).collect()
    }

    fn set(quotas: &mut ClientQuotas, parts: &[(&str, Option<&str>)], key: &str, value: f64) -> Option<ErrorCode> {
        quotas.alter(&entity(parts), &[(key.to_owned(), Some(value))], false).err().map(|(error, _)| error)
    }

    fn found(quotas: &ClientQuotas, components: &[(&str, i8, Option<&str>)], strict: bool) -> usize {
        quotas.describe(&read_filter(components.iter().copied()).unwrap(), strict).count()
    }

    #[test]
    fn exact_default_and_any_find_what_they_name() {
        let mut quotas = ClientQuotas::default();
        let all: [&[(&str, Option<&str>)]; 4] = [
            &[("user", Some("a"))],
            &[("user", None)],
            &[("user", Some("a")), ("client-id", Some("c"))],
            &[("client-id", Some("c"))],
        ];
        for parts in all {
            assert_eq!(set(&mut quotas, parts, "producer_byte_rate", 1.0), None);
        }
        assert_eq!(found(&quotas, &[("user", 0, Some("a"))], false), 2);
        assert_eq!(found(&quotas, &[("user", 0, Some("a"))], true), 1);
        assert_eq!(found(&quotas, &[("user", 1, None)], false), 1);
        assert_eq!(found(&quotas, &[("user", 2, None)], false), 3);
        assert_eq!(found(&quotas, &[("user", 2, None), ("client-id", 2, None)], true), 1);
        assert_eq!(found(&quotas, &[], false), 4);
        assert_eq!(found(&quotas, &[], true), 0);
    }

    #[test]
    fn values_and_keys_are_checked_by_the_kind_of_entity() {
        let mut quotas = ClientQuotas::default();
        let refused = Some(ErrorCode::InvalidRequest);
        let user: &[_] = &[("user", Some("a"))];
        assert_eq!(set(&mut quotas, user, "producer_byte_rate", 1.5), refused, "no fractions");
        assert_eq!(set(&mut quotas, user, "producer_byte_rate", 0.0), refused);
        assert_eq!(set(&mut quotas, user, "request_percentage", 1.5), None);
        assert_eq!(set(&mut quotas, user, "connection_creation_rate", 1.0), refused);
        assert_eq!(set(&mut quotas, &[("ip", Some("10.0.0.1"))], "connection_creation_rate", 5.0), None);
        assert_eq!(set(&mut quotas, &[("ip", None)], "connection_creation_rate", 3e9), refused);
        assert_eq!(set(&mut quotas, &[("ip", Some("no such"))], "connection_creation_rate", 5.0), refused);
        assert_eq!(set(&mut quotas, &[("ip", None), ("user", None)], "connection_creation_rate", 5.0), refused);
        assert_eq!(set(&mut quotas, &[("group", None)], "producer_byte_rate", 5.0), refused);
        assert_eq!(set(&mut quotas, &[], "producer_byte_rate", 5.0), refused);
    }

    #[test]
    fn removing_the_last_quota_removes_the_entity() {
        let mut quotas = ClientQuotas::default();
        set(&mut quotas, &[("user", None)], "producer_byte_rate", 5.0);
        let remove = |key: &str| vec![(key.to_owned(), None)];
        assert_eq!(quotas.alter(&entity(&[("user", None)]), &remove("no such"), false), Ok(()));
        assert_eq!(found(&quotas, &[], false), 1);
        assert_eq!(quotas.alter(&entity(&[("user", None)]), &remove("producer_byte_rate"), true), Ok(()));
        assert_eq!(found(&quotas, &[], false), 1, "it was a trial only");
        assert_eq!(quotas.alter(&entity(&[("user", None)]), &remove("producer_byte_rate"), false), Ok(()));
        assert_eq!(found(&quotas, &[], false), 0);
    }

    #[test]
    fn bad_filters_are_refused() {
        let refused = |components: &[(&str, i8, Option<&str>)]| {
            read_filter(components.iter().copied()).err().map(|(error, _)| error)
        };
        let invalid = Some(ErrorCode::InvalidRequest);
        assert_eq!(refused(&[("", 2, None)]), invalid);
        assert_eq!(refused(&[("user", 2, None), ("user", 1, None)]), invalid);
        assert_eq!(refused(&[("group", 2, None)]), Some(ErrorCode::UnsupportedVersion));
        assert_eq!(refused(&[("user", 0, None)]), invalid);
        assert_eq!(refused(&[("user", 1, Some("a"))]), invalid);
        assert_eq!(refused(&[("user", 3, None)]), invalid);
        assert_eq!(refused(&[("ip", 2, None), ("user", 2, None)]), invalid);
    }
}
