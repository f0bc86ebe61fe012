//! Keeping up with the cluster: metadata is asked for when it is old, when something is amiss, and when a topic is new; and
//! when the cluster cannot be found any more, its bootstrap servers are asked again.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_protocol::messages::metadata::MetadataRequestTopic;
use ottla_protocol::messages::{MetadataRequest, MetadataResponse};
use ottla_protocol::{ApiKey, ErrorCode};

use super::controllers::{is_controller, no_broker};
use super::{Inner, lock};
use crate::clock;
use crate::config::Endpoints;
use crate::error::{Error, Place, Result};
use crate::metadata::Asked;
use crate::network::Lane;
use crate::network::connection::Connection;
use crate::network::least_loaded::{Standing, in_turn, is_out_of_reach, least_loaded};
use crate::network::pool::{bootstrap_id, pause};
use crate::types::BrokerId;

/// The task that finds the cluster, and refreshes metadata when it is asked to, and when it grows old.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut rng = fastrand::Rng::new();
    let mut asked = 0;
    tokio::select! {
        biased;
        () = inner.closed.cancelled() => return,
        () = inner.bootstrap() => {}
    }
    loop {
        tokio::select! {
            biased;
            () = inner.closed.cancelled() => return,
            () = inner.refresh_due(asked, &mut rng) => {}
        }
        inner.forget_idle_topics();
        asked = lock(&inner.wanted).begun();
        let begun = clock::now();
        let refreshed = tokio::select! {
            biased;
            () = inner.closed.cancelled() => return,
            refreshed = inner.refresh_once() => refreshed,
        };
        match refreshed {
            Ok(news) => {
                if lock(&inner.pace).is_failing() {
                    tracing::info!("metadata can be refreshed again");
                }
                lock(&inner.pace).answered(clock::now(), news);
                *lock(&inner.last_error) = None;
            }
            Err(error) => {
                if lock(&inner.pace).failed(begun, clock::now()) {
                    tracing::warn!(%error, "metadata cannot be refreshed");
                }
                *lock(&inner.last_error) = Some(error);
                inner.rebootstrap_if_overdue();
            }
        }
    }
}

impl Inner {
    /// A connection to any broker, the least busy one that there is; else to a known broker, else to a bootstrap server.
    pub(super) async fn any_connection(&self) -> Result<Connection> {
        let mut rng = fastrand::Rng::new();
        let mut refusals = Vec::new();
        if let Some(connection) = self.any_known(&mut refusals, &mut rng).await? {
            return Ok(connection);
        }
        for server in in_turn(&self.pool.standings(self.bootstrap_servers()), &mut rng) {
            if let Some(connection) = self.at_any_address(server, &mut refusals).await? {
                return Ok(connection);
            }
        }
        Err(self.unreachable(&refusals))
    }

    /// A connection to a known broker; each is tried once. Leaves all of them when none is connected and all are backing off
    /// (KIP-899). `None`: no broker is known.
    async fn any_known(&self, refusals: &mut Vec<String>, rng: &mut fastrand::Rng) -> Result<Option<Connection>> {
        let mut tried = Vec::new();
        loop {
            let brokers: Vec<_> = self.changes.borrow().brokers().map(|b| b.id).collect();
            // A bootstrap server that is still connected is as good as any.
            let mut open = self.pool.standings(brokers.iter().copied().chain(self.bootstrap_servers()));
            open.retain(|(_, standing)| matches!(standing, Standing::Ready { muted: false, .. }));
            if let Some(open) = least_loaded(&open, rng).and_then(|broker| self.pool.ready(broker, Lane::General)) {
                return Ok(Some(open));
            }
            let mut known = self.pool.standings(brokers);
            if known.is_empty() {
                return Ok(None);
            }
            // One that was tried just now is no hope for this call, however short its pause.
            for (broker, standing) in &mut known {
                if let Standing::CanConnect { reached } = *standing
                    && tried.contains(broker)
                {
                    *standing = Standing::BackingOff { reached };
                }
            }
            if is_out_of_reach(&known) && self.config.may_rebootstrap() {
                self.rebootstrap("no known broker is connected, and all are backing off");
                return Ok(None);
            }
            known.retain(|(broker, _)| !tried.contains(broker));
            let Some(broker) = least_loaded(&known, rng) else {
                for error in known.iter().filter_map(|(broker, _)| self.pool.last_error(*broker)) {
                    // What is to be told alone is not one reason among others: who refuses us can be reached.
                    refusals.push(refusal(&error).filter(|_| !error.is_fatal()).ok_or(error)?);
                }
                return Err(self.unreachable(refusals));
            };
            tried.push(broker);
            if let Some(connection) = self.at_any_address(broker, refusals).await? {
                return Ok(Some(connection));
            }
        }
    }

    fn bootstrap_servers(&self) -> impl Iterator<Item = BrokerId> {
        (0..self.config.bootstrap_servers.len()).map(bootstrap_id)
    }

    fn unreachable(&self, refusals: &[String]) -> Error {
        let (node, nodes) = match self.config.endpoints {
            Endpoints::Brokers => ("broker", "brokers"),
            Endpoints::Controllers => ("controller", "controllers"),
        };
        Error::Connect {
            broker: format!("the cluster at {}", self.config.bootstrap_servers.join(",")),
            phase: "bootstrap",
            reason: format!(
                "none of its {nodes} can be reached: {}; check that {} names a running {node}'s host and port, and that \
                 security.protocol matches the listener",
                refusals.join(", "),
                self.config.endpoints.key()
            ),
        }
    }

    /// Tries a broker at every address of its name.
    async fn at_any_address(&self, broker: BrokerId, refusals: &mut Vec<String>) -> Result<Option<Connection>> {
        loop {
            let error = match self.pool.connection(broker, Lane::General).await {
                Ok(connection) => return Ok(Some(connection)),
                Err(error) => error,
            };
            if error.code() == Some(ErrorCode::RebootstrapRequired) {
                refusals.extend(refusal(&error));
                self.rebootstrap_as_told(&error);
                return Ok(None);
            }
            match refusal(&error).filter(|_| !error.is_fatal()) {
                Some(refusal) => refusals.push(refusal),
                None => return Err(error),
            }
            if !self.pool.has_untried(broker) {
                return Ok(None);
            }
        }
    }

    /// A broker said that it is not the one it is taken for, or not of that cluster (KIP-1242).
    pub(super) fn rebootstrap_as_told(&self, error: &Error) {
        let is_told = error.code() == Some(ErrorCode::RebootstrapRequired);
        // Where none is known it has begun again already.
        if is_told && self.config.may_rebootstrap() && self.changes.borrow().brokers().next().is_some() {
            self.rebootstrap("a broker is another one than it should be (REBOOTSTRAP_REQUIRED)");
        }
    }

    /// Forgets the brokers, and has the bootstrap servers looked up again.
    pub(super) fn rebootstrap(&self, why: &str) {
        tracing::warn!(why, "beginning again with the bootstrap servers");
        let mut metadata = lock(&self.metadata);
        self.pool.rebootstrap();
        self.changes.send_replace(metadata.rebootstrap());
        drop(metadata);
        lock(&self.coordinators).clear();
    }

    /// Asks for metadata once and publishes the answer. Whether a leader epoch grew.
    pub(super) async fn refresh_once(&self) -> Result<bool> {
        let connection = self.any_connection().await?;
        if self.config.endpoints == Endpoints::Controllers {
            return self.refresh_controllers(&connection).await;
        }
        if is_controller(&connection) {
            return Err(no_broker(Some(&connection), ApiKey::Metadata, "the cluster"));
        }
        let version = connection.choose::<MetadataRequest>(None)?;
        let mut news = false;
        for (asked, request) in self.metadata_requests(version) {
            let response = connection.send(&request, version)?.await?;
            news |= self.take_metadata(asked, response, &connection.place(version))?;
        }
        Ok(news)
    }

    /// Publishes an answer. Whether a leader epoch grew.
    pub(super) fn take_metadata(&self, asked: Asked, response: MetadataResponse, at: &Place) -> Result<bool> {
        if response.error_code == ErrorCode::RebootstrapRequired.code() {
            if self.config.may_rebootstrap() {
                self.rebootstrap("the cluster asks for it (REBOOTSTRAP_REQUIRED)");
            }
            let error = Error::broker(ErrorCode::RebootstrapRequired, ApiKey::Metadata, "the cluster");
            return Err(error.at(at));
        }
        let mut metadata = lock(&self.metadata);
        let before = metadata.current();
        match metadata.update_from(at, asked, response) {
            Some(snapshot) => {
                let news = snapshot.has_grown_since(&before);
                self.publish(snapshot);
                Ok(news)
            }
            None => {
                let error = Error::broker(ErrorCode::BrokerNotAvailable, ApiKey::Metadata, "the cluster");
                Err(error.at(at))
            }
        }
    }

    /// Topics that no record was sent to for `metadata.max.idle.ms` are forgotten, unless somebody watches all.
    fn forget_idle_topics(&self) {
        let idle = lock(&self.wanted).take_idle(clock::now(), self.config.metadata_max_idle);
        if !idle.is_empty() && self.want_all.load(Ordering::Relaxed) == 0 {
            let snapshot = lock(&self.metadata).forget(&idle);
            self.changes.send_replace(snapshot);
        }
    }

    /// What to ask for: all topics, when somebody watches them; else those that are wanted.
    /// Those that are created if they are not there have a request of their own, which says so for all that it names.
    fn metadata_requests(&self, version: i16) -> Vec<(Asked, MetadataRequest)> {
        let wanted = lock(&self.wanted);
        let current = self.changes.borrow();
        let is_unknown = |name: &str| current.topic(name).is_none_or(|t| t.error.is_some());
        // Before version 4 nobody is asked whether topics may be created.
        let (create, others): (Vec<_>, Vec<_>) =
            wanted.topics().partition(|(name, may_create)| *may_create && version >= 4 && is_unknown(name));
        let watches_all = self.want_all.load(Ordering::Relaxed) > 0;
        let mut requests = Vec::new();
        if !create.is_empty() {
            requests.push((Asked::Some, request(Some(create), true)));
        }
        if watches_all {
            // Version 0 has no null: an empty list is all topics there.
            requests.push((Asked::All, request((version == 0).then(Vec::new), version < 4)));
        } else if requests.is_empty() || !others.is_empty() {
            requests.push((Asked::Some, request(Some(others), version < 4)));
        }
        requests
    }

    /// Why metadata cannot be had, if it cannot.
    pub(super) fn refresh_failure(&self) -> Option<Error> {
        let failing = lock(&self.pace).is_failing();
        if failing { lock(&self.last_error).clone() } else { None }
    }

    /// Begins again with the bootstrap servers when nothing has helped for long.
    fn rebootstrap_if_overdue(&self) {
        let trigger = self.config.metadata_recovery_rebootstrap_trigger;
        let overdue = lock(&self.pace).is_overdue(clock::now(), trigger);
        if overdue && self.config.may_rebootstrap() {
            self.rebootstrap("no metadata could be had for metadata.recovery.rebootstrap.trigger.ms");
        }
    }

    /// Waits until metadata is asked for or has grown old, and until it may be asked for. A topic that nobody asked for
    /// before is asked for at once.
    async fn refresh_due(&self, asked: u64, rng: &mut fastrand::Rng) {
        let (not_before, failing) = {
            let pace = lock(&self.pace);
            (pace.not_before(self.config.retry(), rng), pace.is_failing())
        };
        if !failing && !self.changes.borrow().is_unsettled() {
            tokio::select! {
                biased;
                () = self.refresh.notified() => {}
                () = pause(self.config.metadata_max_age) => lock(&self.pace).grown_old(),
            }
        }
        let Some(not_before) = not_before else { return };
        while lock(&self.wanted).begun() == asked || failing {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(not_before.into()) => return,
                () = self.refresh.notified() => {}
            }
        }
    }
}

/// A failed attempt among others; `None`: it has to be told alone.
fn refusal(error: &Error) -> Option<String> {
    match error {
        // Without the advice, which the text that holds them all has.
        Error::Connect { broker, reason, .. } => Some(match broker.strip_suffix(')') {
            Some(numbered) => format!("{numbered}: {reason})"),
            None => format!("{broker} ({reason})"),
        }),
        Error::Broker { .. } => Some(error.to_string()),
        _ => None,
    }
}

fn request(topics: Option<Vec<(&Arc<str>, bool)>>, allow_auto_topic_creation: bool) -> MetadataRequest {
    let topic =
        |(name, _): (&Arc<str>, bool)| MetadataRequestTopic { name: Some(name.to_string()), ..Default::default() };
    let topics = topics.map(|topics| topics.into_iter().map(topic).collect());
    MetadataRequest { topics, allow_auto_topic_creation, ..Default::default() }
}
