//! What clients shall tell of their metrics, and what they told (KIP-714, `ClientMetricsManager.java`,
//! `ClientMetricsConfigs.java`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use regex_lite::Regex;
use uuid::Uuid;

use super::ErrorCode;
use super::cluster::ConnectionId;
use super::topics::Refusal;

/// Without a subscription that says otherwise.
pub(crate) const DEFAULT_INTERVAL_MS: i32 = 300_000;
pub(crate) const METRICS: &str = "metrics";
pub(crate) const INTERVAL: &str = "interval.ms";
pub(crate) const MATCH: &str = "match";
/// All metrics.
const ALL: &str = "*";
/// What a pattern may be about.
const PARAMETERS: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// One resource of type CLIENT_METRICS.
#[derive(Debug, Default)]
struct Subscription {
    set: BTreeMap<String, String>,
    metrics: Vec<String>,
    interval_ms: i32,
    matches: Vec<(String, Regex)>,
}

/// A client that asked.
#[derive(Debug)]
struct Instance {
    subscription_id: i32,
    /// Number of changes to subscriptions it has seen.
    seen: u64,
    metrics: Vec<String>,
    interval: Duration,
    asked: Option<Instant>,
    pushed: Option<Instant>,
    terminating: bool,
    last_error: Option<ErrorCode>,
}

/// The answer to GetTelemetrySubscriptions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) subscription_id: i32,
    pub(crate) metrics: Vec<String>,
    pub(crate) interval_ms: i32,
}

/// A PushTelemetry.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub(crate) instance: Uuid,
    pub(crate) subscription_id: i32,
    pub(crate) terminating: bool,
    pub(crate) compression: i8,
    pub(crate) metrics: Bytes,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) connection: ConnectionId,
    pub(crate) client_id: &'a str,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct ClientMetrics {
    /// `telemetry.max.bytes`; `None`: nothing receives metrics here.
    pub(crate) max_bytes: Option<i32>,
    subscriptions: BTreeMap<String, Subscription>,
    changes: u64,
    instances: BTreeMap<Uuid, Instance>,
    software: BTreeMap<ConnectionId, (String, String)>,
    pub(crate) pushed: Vec<Bytes>,
}

impl ClientMetrics {
    /// A client said what it is.
    pub(crate) fn named(&mut self, connection: ConnectionId, name: &str, version: &str) {
        self.software.insert(connection, (name.to_owned(), version.to_owned()));
    }

    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        self.software.remove(&connection);
    }

    /// What a subscription has set.
    pub(crate) fn set(&self, name: &str) -> BTreeMap<String, String> {
        self.subscriptions.get(name).map(|known| known.set.clone()).unwrap_or_default()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.subscriptions.keys().map(String::as_str)
    }

    /// Sets all of a subscription; nothing removes it.
    pub(crate) fn alter(
        &mut self,
        name: &str,
        set: BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err((ErrorCode::InvalidRequest, "Subscription name can't be empty".to_owned()));
        }
        let read = read(set)?;
        if validate_only {
            return Ok(());
        }
        self.changes += 1;
        if read.set.is_empty() {
            self.subscriptions.remove(name);
        } else {
            self.subscriptions.insert(name.to_owned(), read);
        }
        Ok(())
    }

    /// GetTelemetrySubscriptions.
    pub(crate) fn wanted(&mut self, now: Instant, id: Uuid, asker: Asker<'_>) -> Result<Wanted, ErrorCode> {
        let instance = self.instance(id, asker);
        let last = instance.asked.max(instance.pushed);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= instance.interval) {
            instance.asked = Some(now);
        } else if !matches!(
            instance.last_error,
            Some(ErrorCode::UnknownSubscriptionId | ErrorCode::UnsupportedCompressionType)
        ) {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        instance.last_error = None;
        Ok(Wanted {
            subscription_id: instance.subscription_id,
            metrics: instance.metrics.clone(),
            interval_ms: i32::try_from(instance.interval.as_millis()).unwrap_or(i32::MAX),
        })
    }

    /// PushTelemetry.
    pub(crate) fn push(&mut self, now: Instant, push: Push, asker: Asker<'_>) -> Result<(), ErrorCode> {
        if push.instance.is_nil() || push.instance == Uuid::from_u128(1) {
            return Err(ErrorCode::InvalidRequest);
        }
        let most = usize::try_from(self.max_bytes.unwrap_or(i32::MAX)).unwrap_or(0);
        let instance = self.instance(push.instance, asker);
        let checked = check_push(now, instance, &push, most);
        instance.last_error = checked.err();
        instance.terminating = push.terminating;
        checked?;
        if !push.metrics.is_empty() {
            self.pushed.push(push.metrics);
        }
        Ok(())
    }

    /// A client as it is known, or as the subscriptions of now make it.
    fn instance(&mut self, id: Uuid, asker: Asker<'_>) -> &mut Instance {
        let known = self.instances.remove(&id).filter(|known| known.seen == self.changes);
        let instance = known.unwrap_or_else(|| self.subscribed(id, asker));
        self.instances.entry(id).or_insert(instance)
    }

    fn subscribed(&self, id: Uuid, asker: Asker<'_>) -> Instance {
        let mut interval_ms = DEFAULT_INTERVAL_MS;
        let mut metrics = BTreeSet::new();
        for subscription in self.subscriptions.values().filter(|one| self.fits(one, id, asker)) {
            metrics.extend(subscription.metrics.iter().cloned());
            interval_ms = interval_ms.min(subscription.interval_ms);
        }
        if metrics.contains(ALL) {
            metrics = BTreeSet::from([ALL.to_owned()]);
        }
        let metrics: Vec<String> = metrics.into_iter().collect();
        Instance {
            subscription_id: subscription_id(&metrics, interval_ms, id),
            seen: self.changes,
            metrics,
            interval: Duration::from_millis(interval_ms.unsigned_abs().into()),
            asked: None,
            pushed: None,
            terminating: false,
            last_error: None,
        }
    }

    fn fits(&self, subscription: &Subscription, id: Uuid, asker: Asker<'_>) -> bool {
        let unknown = ("unknown".to_owned(), "unknown".to_owned());
        let (name, version) = self.software.get(&asker.connection).unwrap_or(&unknown);
        subscription.matches.iter().all(|(parameter, pattern)| {
            let value = match parameter.as_str() {
                "client_instance_id" => java_text(id),
                "client_id" => asker.client_id.to_owned(),
                "client_software_name" => name.clone(),
                "client_software_version" => version.clone(),
                "client_source_address" => "127.0.0.1".to_owned(),
                // The machine does not see ports.
                _ => "0".to_owned(),
            };
            pattern.is_match(&value)
        })
    }
}

fn check_push(now: Instant, instance: &mut Instance, push: &Push, most: usize) -> Result<(), ErrorCode> {
    if instance.terminating {
        return Err(ErrorCode::InvalidRequest);
    }
    // The first push after the question may come early: clients spread theirs.
    let early = instance.asked <= instance.pushed
        && instance.pushed.is_some_and(|pushed| now.saturating_duration_since(pushed) < instance.interval);
    if !early {
        instance.pushed = Some(now);
    } else if !push.terminating {
        return Err(ErrorCode::ThrottlingQuotaExceeded);
    }
    if push.subscription_id != instance.subscription_id {
        return Err(ErrorCode::UnknownSubscriptionId);
    }
    if !(0..=4).contains(&push.compression) {
        return Err(ErrorCode::UnsupportedCompressionType);
    }
    if push.metrics.len() > most { Err(ErrorCode::TelemetryTooLarge) } else { Ok(()) }
}

fn read(set: BTreeMap<String, String>) -> Result<Subscription, Refusal> {
    if let Some(name) = set.keys().find(|name| ![METRICS, INTERVAL, MATCH].contains(&name.as_str())) {
        return Err((ErrorCode::InvalidRequest, format!("Unknown client metrics configuration: {name}")));
    }
    let list = |name: &str| -> Vec<String> {
        let text = set.get(name).map_or("", String::as_str);
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let interval_ms = match set.get(INTERVAL) {
        None => DEFAULT_INTERVAL_MS,
        Some(text) => {
            let invalid = |_| (ErrorCode::InvalidConfig, format!("Invalid value {text} for configuration {INTERVAL}"));
            text.trim().parse().map_err(invalid)?
        }
    };
    if !(100..=3_600_000).contains(&interval_ms) {
        let reason = format!("Invalid value {interval_ms} for {INTERVAL}, interval must be between 100 and 3600000");
        return Err((ErrorCode::InvalidRequest, reason));
    }
    let matches = list(MATCH).iter().map(|pattern| read_pattern(pattern)).collect::<Result<_, _>>()?;
    Ok(Subscription { metrics: list(METRICS), interval_ms, matches, set })
}

fn read_pattern(text: &str) -> Result<(String, Regex), Refusal> {
    let illegal = || (ErrorCode::InvalidConfig, format!("Illegal client matching pattern: {text}"));
    let (parameter, pattern) = text.split_once('=').filter(|(_, rest)| !rest.contains('=')).ok_or_else(illegal)?;
    let parameter = parameter.trim();
    if !PARAMETERS.contains(&parameter) {
        return Err(illegal());
    }
    let regex = Regex::new(&format!("^(?:{})$", pattern.trim())).map_err(|_| illegal())?;
    Ok((parameter.to_owned(), regex))
}

/// CRC-32C of what is wanted, mixed with who is asked.
fn subscription_id(metrics: &[String], interval_ms: i32, id: Uuid) -> i32 {
    let crc = crc32c::crc32c(format!("[{}]{interval_ms}", metrics.join(", ")).as_bytes());
    let (high, low) = id.as_u64_pair();
    let mixed = high ^ low;
    (crc ^ (mixed >> 32) as u32 ^ mixed as u32) as i32
}

/// As Kafka writes ids.
fn java_text(id: Uuid) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id.as_bytes())
}

#[cfg(test)]
#[path = "client_metrics_tests.rs"]
mod tests;
