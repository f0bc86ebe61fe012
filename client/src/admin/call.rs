//! How every admin call is made: to whom, how often, and what becomes of items that fail alone.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ottla_protocol::{ApiKey, ErrorCode, Request};

use super::{Admin, Listing, PerItem};
use crate::client::{CoordinatorKind, no_broker};
use crate::clock;
use crate::error::{Error, Place, Remedy, Result};
use crate::network::Lane;
use crate::network::connection::Connection;
use crate::network::pool::pause;
use crate::types::{BrokerId, TopicPartition, millis};

/// Requests of one call under way at the same time.
const CONCURRENCY: usize = 16;
/// Look-ups of targets under way at the same time.
const LOOK_UPS: usize = 64;
/// How long the first attempt waits to learn whom it has to ask; each further one waits twice as long, up to the most. What
/// is known by then is asked for, the rest the next time.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST_PATIENCE: Duration = Duration::from_secs(8);

/// Who has to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Any broker: it knows the answer, or passes the question on.
    Any,
    /// The controller.
    Controller,
    /// The coordinator of a group.
    Group(String),
    /// The coordinator of a transactional id.
    Transaction(String),
    /// The leader of a partition.
    Leader(TopicPartition),
    /// This broker.
    Broker(BrokerId),
}

/// A broker; none: any.
pub(super) type Node = Option<BrokerId>;

/// What one request says of its items.
#[derive(Debug)]
pub(super) struct Round<K, V> {
    pub(super) results: Vec<(K, Result<V>)>,
    /// How long the broker asks to wait before the next such request.
    pub(super) throttle: Duration,
}

impl<K, V> Round<K, V> {
    pub(super) fn new(throttle_time_ms: i32, results: impl IntoIterator<Item = (K, Result<V>)>) -> Self {
        Self { results: results.into_iter().collect(), throttle: millis(throttle_time_ms) }
    }
}

/// A time for a broker.
pub(super) fn wire_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// An error when nobody could be asked at all: then every item has the same story.
pub(super) fn asked<K: Eq + Hash, V>(results: PerItem<K, V>) -> Result<PerItem<K, V>> {
    // That a broker has no such request was seen without asking it.
    let is_answer = |error: &Error| error.code().is_some() && !matches!(error, Error::UnsupportedVersion { .. });
    let is_refusal = |result: &Result<V>| result.as_ref().err().is_none_or(is_answer);
    if results.values().any(is_refusal) {
        return Ok(results);
    }
    match results.into_values().next() {
        Some(Err(error)) => Err(error),
        _ => Ok(PerItem::new()),
    }
}

/// What a code means for an item.
pub(super) fn outcome(code: i16, api: ApiKey, subject: impl ToString, words: Option<String>, at: &Place) -> Result<()> {
    match ErrorCode::from(code) {
        ErrorCode::None => Ok(()),
        code => Err(Error::broker(code, api, subject).at(at).message(words)),
    }
}

impl Admin {
    /// Sends one request to one broker.
    pub(super) async fn send<R: Request>(
        &self,
        node: Node,
        cap: Option<i16>,
        build: impl FnOnce(i16) -> R,
    ) -> Result<(R::Response, Place)> {
        let connection = self.connection(node).await?;
        let version = self.choose::<R>(&connection, cap)?;
        let response = connection.send(&build(version), version)?.await?;
        Ok((response, connection.place(version)))
    }

    /// The newest version both sides speak. Controllers do not have every API.
    pub(super) fn choose<R: Request>(&self, connection: &Connection, cap: Option<i16>) -> Result<i16> {
        let is_theirs = connection.api_versions().range(R::API_KEY).is_some();
        if self.client.is_of_controllers() && !is_theirs {
            return Err(no_broker(Some(connection), R::API_KEY, "what was asked for"));
        }
        connection.choose::<R>(cap)
    }

    pub(super) async fn connection(&self, node: Node) -> Result<Connection> {
        match node {
            Some(broker) => self.client.connection(broker, Lane::General).await,
            None => self.client.any_connection().await,
        }
    }

    /// The broker that the target is now.
    pub(super) async fn node(&self, target: &Target, deadline: Instant) -> Result<Node> {
        let client = &self.client;
        client.found_by(deadline, "finding the cluster").await?;
        let of_controllers = client.is_of_controllers();
        match target {
            Target::Any if !of_controllers => Ok(None),
            Target::Broker(broker) => Ok(Some(*broker)),
            // As Java: of controllers the one that is active.
            Target::Any | Target::Controller => match client.cluster().controller() {
                Some(controller) => Ok(Some(controller)),
                None => {
                    let reason = "nobody has named it: check that a majority of the controllers runs".to_owned();
                    Err(Error::Connect { broker: "the controller".to_owned(), phase: "metadata", reason })
                }
            },
            Target::Group(id) | Target::Transaction(id) if of_controllers => {
                Err(no_broker(None, ApiKey::FindCoordinator, id))
            }
            Target::Leader(partition) if of_controllers => Err(no_broker(None, ApiKey::Metadata, partition)),
            // Once: the call itself tries again.
            Target::Group(group) => client.coordinator(CoordinatorKind::Group, group, 0, deadline).await.map(Some),
            Target::Transaction(id) => {
                client.coordinator(CoordinatorKind::Transaction, id, 0, deadline).await.map(Some)
            }
            Target::Leader(partition) => self.leader(partition, deadline).await.map(Some),
        }
    }

    pub(super) async fn leader(&self, topic_partition: &TopicPartition, deadline: Instant) -> Result<BrokerId> {
        let known =
            self.client.cluster().partition(&topic_partition.topic, topic_partition.partition).and_then(|p| p.leader);
        if let Some(leader) = known {
            return Ok(leader);
        }
        let topic = self.client.topic(&topic_partition.topic, deadline).await?;
        let missing = |code| self.client.cluster().refusal(code, topic_partition);
        let partition =
            topic.partition(topic_partition.partition).ok_or_else(|| missing(ErrorCode::UnknownTopicOrPartition))?;
        partition.leader.ok_or_else(|| missing(ErrorCode::LeaderNotAvailable))
    }

    /// Forgets what an error has shown to be out of date.
    fn heed(&self, target: &Target, error: &Error) {
        let remedy = error.remedy();
        if !matches!(remedy, Remedy::RefreshMetadata | Remedy::FindCoordinator) {
            return;
        }
        match target {
            Target::Group(group) => self.client.forget_coordinator(CoordinatorKind::Group, group),
            Target::Transaction(id) => self.client.forget_coordinator(CoordinatorKind::Transaction, id),
            _ => self.client.refresh_metadata(),
        }
    }

    /// Whether it is worth another try.
    fn may_cure(&self, target: &Target, error: &Error) -> bool {
        let may = match error.code() {
            Some(ErrorCode::ThrottlingQuotaExceeded) => self.retry_on_quota_violation,
            // A leader, or a coordinator that is to store a position, may not have heard of the topic yet. The controller
            // knows which topics there are.
            Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) => {
                matches!(target, Target::Leader(_) | Target::Group(_))
            }
            _ => true,
        };
        may && error.remedy() != Remedy::GiveUp && !self.client.is_not_found()
    }

    /// A call with one result: again until it is there, fails for good, or `default.api.timeout.ms` has passed.
    pub(super) async fn once<T, F>(&self, what: &str, target: Target, attempt: impl Fn(Node) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.once_by(self.client.api_deadline(), what, target, attempt).await
    }

    async fn once_by<T, F>(
        &self,
        deadline: Instant,
        what: &str,
        target: Target,
        attempt: impl Fn(Node) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let (target, attempt) = (&target, &attempt);
        self.client
            .retrying(self.retries, what, deadline, || async move {
                let result = match self.node(target, deadline).await {
                    Ok(node) => attempt(node).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = &result {
                    self.heed(target, error);
                }
                result
            })
            .await
    }

    /// A call to every broker there is now: what they list, and which of them could not be asked.
    pub(super) async fn everywhere<T, F>(&self, what: &str, attempt: impl Fn(Node) -> F) -> Result<Listing<T>>
    where
        F: Future<Output = Result<Vec<T>>>,
    {
        // One that has come since metadata was last asked for lists too.
        let deadline = self.client.api_deadline();
        let cluster = self.client.refreshed(self.retries, deadline).await?;
        let attempt = &attempt;
        let call = |broker: BrokerId| {
            let what = format!("{what} of broker {broker}");
            async move { (broker, self.once_by(deadline, &what, Target::Broker(broker), attempt).await) }
        };
        let calls: Vec<_> = cluster.brokers().map(|broker| call(broker.id)).collect();
        let answers = futures_util::stream::iter(calls).buffer_unordered(CONCURRENCY).collect().await;
        Listing::of(answers)
    }

    /// A call about these items, or about all that the first answer names, of one target. What another try may cure is asked
    /// for again until `default.api.timeout.ms` has passed.
    pub(super) async fn some_or_all<K, V, F>(
        &self,
        api: ApiKey,
        items: Option<Vec<K>>,
        target: Target,
        attempt: impl Fn(Node, Option<Vec<K>>) -> F,
    ) -> Result<PerItem<K, V>>
    where
        K: Clone + Eq + Hash + Display,
        F: Future<Output = Result<Round<K, V>>>,
    {
        let deadline = self.client.api_deadline();
        let (mut open, mut results) = (Vec::new(), PerItem::new());
        match items {
            Some(items) => open = items,
            None => {
                let all = self.once(&api.to_string(), target.clone(), |node| attempt(node, None)).await?;
                for (item, result) in all.results {
                    match result {
                        Err(error) if self.may_cure(&target, &error) => open.push(item),
                        result => {
                            results.insert(item, result);
                        }
                    }
                }
            }
        }
        let named = |node, items| attempt(node, Some(items));
        results.extend(self.each_until(deadline, api, open, |_| target.clone(), named).await);
        asked(results)
    }

    /// A call with a result for each item: they are split by their targets, each broker is asked once, and those that
    /// another try may cure are asked for again until `default.api.timeout.ms` has passed.
    pub(super) async fn each<K, V, F>(
        &self,
        api: ApiKey,
        items: impl IntoIterator<Item = K>,
        target_of: impl Fn(&K) -> Target,
        attempt: impl Fn(Node, Vec<K>) -> F,
    ) -> PerItem<K, V>
    where
        K: Clone + Eq + Hash + Display,
        F: Future<Output = Result<Round<K, V>>>,
    {
        self.each_until(self.client.api_deadline(), api, items, target_of, attempt).await
    }

    async fn each_until<K, V, F>(
        &self,
        deadline: Instant,
        api: ApiKey,
        items: impl IntoIterator<Item = K>,
        target_of: impl Fn(&K) -> Target,
        attempt: impl Fn(Node, Vec<K>) -> F,
    ) -> PerItem<K, V>
    where
        K: Clone + Eq + Hash + Display,
        F: Future<Output = Result<Round<K, V>>>,
    {
        let started = clock::now();
        let mut rng = fastrand::Rng::new();
        let mut results = PerItem::new();
        let mut open: Vec<K> = Vec::new();
        let mut earlier: HashMap<K, Error> = HashMap::new();
        for item in items {
            if !open.contains(&item) {
                open.push(item);
            }
        }
        for failures in 0.. {
            let now = clock::now();
            let until = now + patience(failures, failures >= self.retries, deadline.saturating_duration_since(now));
            let open_now = std::mem::take(&mut open);
            let (answers, throttle) = self.round(api, open_now, &target_of, &attempt, (until, deadline)).await;
            let mut failed = Vec::new();
            for (item, result) in answers {
                match result {
                    Err(error) if self.may_cure(&target_of(&item), &error) => failed.push((item, error)),
                    result => {
                        results.insert(item, result);
                    }
                }
            }
            if failed.is_empty() || failures >= self.retries {
                results.extend(failed.into_iter().map(|(item, error)| (item, Err(error))));
                break;
            }
            let delay = self.client.config().retry().delay(failures, &mut rng).max(throttle);
            if clock::now() + delay >= deadline {
                results.extend(failed.into_iter().map(|(item, last)| {
                    // That there was no time left for the last attempt says less than what the one before met.
                    let last = match earlier.remove(&item) {
                        Some(earlier) if matches!(last, Error::Timeout { .. }) => earlier,
                        _ => last,
                    };
                    let last = match last {
                        Error::Timeout { last: Some(met), .. } => *met,
                        last => last,
                    };
                    let what = format!("{api} of {item}");
                    (item, Err(Error::Timeout { what, after: clock::since(started), last: Some(Box::new(last)) }))
                }));
                break;
            }
            for (item, error) in failed {
                self.heed(&target_of(&item), &error);
                open.push(item.clone());
                earlier.insert(item, error);
            }
            pause(delay).await;
        }
        results
    }

    /// One attempt for every item. Whoever has to be asked is looked up until `until`: an item for which that is not known
    /// by then fails alone.
    pub(super) async fn round<K, V, F>(
        &self,
        api: ApiKey,
        items: Vec<K>,
        target_of: &impl Fn(&K) -> Target,
        attempt: &impl Fn(Node, Vec<K>) -> F,
        (until, deadline): (Instant, Instant),
    ) -> (Vec<(K, Result<V>)>, Duration)
    where
        K: Clone + Eq + Hash + Display,
        F: Future<Output = Result<Round<K, V>>>,
    {
        let mut results: Vec<(K, Result<V>)> = Vec::new();
        // In the order of the items: simulations shall be repeatable.
        let mut by_node: Vec<(Node, Vec<K>)> = Vec::new();
        let targets = items.into_iter().map(|item| async {
            let node = self.node(&target_of(&item), until).await;
            (item, node)
        });
        // Collected first: a closure that borrows cannot be a stream's in a future that is `Send`.
        let targets: Vec<_> = targets.collect();
        let mut targets = futures_util::stream::iter(targets).buffered(LOOK_UPS);
        while let Some((item, node)) = targets.next().await {
            match node {
                Ok(node) => match by_node.iter_mut().find(|(known, _)| *known == node) {
                    Some((_, items)) => items.push(item),
                    None => by_node.push((node, vec![item])),
                },
                Err(error) => results.push((item, Err(error))),
            }
        }
        let requests = by_node.into_iter().map(|(node, items)| {
            let answer = attempt(node, items.clone());
            async move { (items, tokio::time::timeout_at(deadline.into(), answer).await) }
        });
        let requests: Vec<_> = requests.collect();
        let mut answers = futures_util::stream::iter(requests).buffer_unordered(CONCURRENCY);
        let mut longest = Duration::ZERO;
        while let Some((items, answer)) = answers.next().await {
            let mut answered: HashMap<K, Result<V>> = HashMap::new();
            let missing = match answer {
                Ok(Ok(round)) => {
                    longest = longest.max(round.throttle);
                    answered.extend(round.results);
                    None
                }
                Ok(Err(error)) => Some(error),
                Err(_) => Some(self.late(api)),
            };
            results.extend(items.into_iter().map(|item| {
                let result = answered.remove(&item);
                let result = result.unwrap_or_else(|| Err(missing.clone().unwrap_or_else(|| left_out(api, &item))));
                (item, result)
            }));
        }
        (results, longest)
    }

    fn late(&self, api: ApiKey) -> Error {
        let after = self.client.config().default_api_timeout;
        Error::Timeout { what: format!("an answer to {api}"), after, last: None }
    }

    /// How long the broker may take (`timeout_ms` of requests).
    pub(super) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.client.config().request_timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

/// How long an attempt looks up whom to ask, when so much time is left in all: never all of it, as the items that are known
/// need some too. There is no other attempt to leave anything to after the last.
fn patience(failures: u32, is_last: bool, left: Duration) -> Duration {
    if is_last { left / 2 } else { (left / 2).min(MOST_PATIENCE).min(PATIENCE * (1 << failures.min(8))) }
}

fn left_out(api: ApiKey, item: &impl Display) -> Error {
    Error::broker(ErrorCode::UnknownServerError, api, item).message(Some("the answer leaves it out".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_known_is_asked_before_the_time_for_looking_up_the_others_is_over() {
        let seconds = |failures, is_last, left| patience(failures, is_last, Duration::from_secs(left)).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 90].map(|failures| seconds(failures, false, 60)), [1, 2, 4, 8, 8, 8]);
        assert_eq!((seconds(5, false, 10), seconds(0, false, 1)), (5, 0));
        assert_eq!((seconds(0, true, 60), seconds(7, true, 10)), (30, 5));
    }
}
