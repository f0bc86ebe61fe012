//! What the enumerator asks the cluster.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use ottla_client::{Admin, ErrorCode, IsolationLevel, OffsetSpec, Topic, TopicPartition};

use super::discovery::Listing;
use super::offsets::{Answers, Questions};
use super::settings::Subscription;
use crate::error::Error;

/// How soon a topic that does not exist is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Why partitions were not listed.
pub(crate) enum ListError {
    /// Another attempt may help.
    Failed(Error),
    /// It does not.
    Fatal(Error),
}

/// Lists the partitions of what is subscribed. `wait_until`: a subscribed topic has to exist by then; `None`: it may
/// come later. Topics that are `known` from a checkpoint may be gone (R23, R39).
pub(crate) async fn list_partitions(
    admin: Admin,
    subscription: Subscription,
    known: HashSet<String>,
    wait_until: Option<Instant>,
) -> Result<Listing, ListError> {
    loop {
        let (listing, missing) = list_once(&admin, &subscription).await?;
        let missing: Vec<_> = missing.into_iter().filter(|topic| !known.contains(topic)).collect();
        let Some(first) = missing.first() else { return Ok(listing) };
        let Some(deadline) = wait_until else {
            tracing::warn!("no partitions of {} are there yet", missing.join(", "));
            return Ok(listing);
        };
        if Instant::now() >= deadline {
            let reason = format!("could not fetch partitions of {first}; does it exist?");
            return Err(ListError::Fatal(Error::Source { reason }));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The partitions, and what is subscribed and not there.
async fn list_once(admin: &Admin, subscription: &Subscription) -> Result<(Listing, Vec<String>), ListError> {
    let failed = |error| ListError::Failed(Error::client("listing the partitions")(error));
    let topics = match subscription {
        Subscription::Topics(topics) => topics.clone(),
        Subscription::Pattern { .. } => {
            let mut topics = admin.list_topics().await.map_err(failed)?;
            topics.retain(|topic| subscription.matches(topic));
            topics
        }
    };
    let mut missing = Vec::new();
    if let (Subscription::Pattern { text, .. }, true) = (subscription, topics.is_empty()) {
        missing.push(format!("topics that match {text}"));
    }
    let names: Vec<_> = topics.iter().map(String::as_str).collect();
    let mut listing = Listing::new();
    if names.is_empty() {
        return Ok((listing, missing));
    }
    for (name, described) in admin.describe_topics(&names).await.map_err(failed)? {
        match described {
            Ok(topic) => listing.extend(partitions(&topic)),
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => missing.push(name),
            Err(error) if error.is_retriable() => return Err(failed(error)),
            Err(error) => return Err(ListError::Fatal(Error::client("listing the partitions")(error))),
        }
    }
    if matches!(subscription, Subscription::Pattern { .. }) && !listing.is_empty() {
        missing.clear();
    }
    missing.sort_unstable();
    Ok((listing, missing))
}

fn partitions(topic: &Topic) -> impl Iterator<Item = (TopicPartition, Option<uuid::Uuid>)> {
    topic.partitions.iter().map(|partition| (TopicPartition::new(topic.name.clone(), partition.index), topic.id))
}

/// Asks what is needed to resolve positions. With what could not be found out comes one of the reasons.
pub(crate) async fn ask(
    admin: Admin,
    group: Option<String>,
    isolation: IsolationLevel,
    questions: Questions,
) -> (Answers, Option<Error>) {
    let mut asker = Asker { admin, isolation, failure: None };
    let mut answers = Answers::default();
    if let (Some(group), false) = (group, questions.committed.is_empty()) {
        answers.committed = asker.committed(&group, &questions.committed).await;
    }
    answers.starts = asker.offsets(&questions.starts, OffsetSpec::Earliest).await;
    // Before the times, so that nothing appended in between is passed over (R17).
    answers.ends = asker.offsets(&questions.ends, OffsetSpec::Latest).await;
    for (time, partitions) in &questions.times {
        let found = asker.list(partitions, OffsetSpec::Timestamp(*time)).await;
        answers.times.extend(found.into_iter().map(|(partition, offset)| ((partition, *time), offset)));
    }
    (answers, asker.failure)
}

/// The start and the end of a partition's log.
pub(crate) async fn log_range(
    admin: Admin,
    isolation: IsolationLevel,
    partition: TopicPartition,
) -> Result<(i64, i64), Error> {
    let mut asker = Asker { admin, isolation, failure: None };
    let partitions = [partition];
    let start = asker.offsets(&partitions, OffsetSpec::Earliest).await;
    let end = asker.offsets(&partitions, OffsetSpec::Latest).await;
    let [partition] = &partitions;
    match (start.get(partition), end.get(partition)) {
        (Some(start), Some(end)) => Ok((*start, *end)),
        _ => Err(asker.failure.unwrap_or_else(|| Error::Source {
            reason: format!("the log start and end of {partition} could not be looked up"),
        })),
    }
}

struct Asker {
    admin: Admin,
    isolation: IsolationLevel,
    failure: Option<Error>,
}

impl Asker {
    async fn committed(
        &mut self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> HashMap<TopicPartition, Option<ottla_client::OffsetAndMetadata>> {
        let context = format!("looking up the offsets of group {group}");
        match self.admin.committed_offsets(group, partitions).await {
            Ok(found) => self.keep(&context, found),
            Err(error) => {
                self.failure = Some(Error::client(context)(error));
                HashMap::new()
            }
        }
    }

    async fn list(&mut self, partitions: &[TopicPartition], spec: OffsetSpec) -> HashMap<TopicPartition, Option<i64>> {
        if partitions.is_empty() {
            return HashMap::new();
        }
        let specs = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
        let listed = self.admin.list_offsets(&specs, self.isolation).await;
        let found = self.keep("looking up offsets", listed);
        found.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect()
    }

    async fn offsets(&mut self, partitions: &[TopicPartition], spec: OffsetSpec) -> HashMap<TopicPartition, i64> {
        let listed = self.list(partitions, spec).await;
        listed.into_iter().filter_map(|(partition, offset)| Some((partition, offset?))).collect()
    }

    fn keep<V>(
        &mut self,
        context: &str,
        found: HashMap<TopicPartition, ottla_client::Result<V>>,
    ) -> HashMap<TopicPartition, V> {
        let mut kept = HashMap::with_capacity(found.len());
        for (partition, result) in found {
            match result {
                Ok(value) => {
                    kept.insert(partition, value);
                }
                Err(error) => self.failure = Some(Error::client(format!("{context}, {partition}"))(error)),
            }
        }
        kept
    }
}
