//! Finds partitions, resolves where to begin, and deals them to subtasks.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_client::{Admin, Client, TopicPartition};

use super::discovery::{Listing, PartitionDiscovery, Unresolved};
use super::enumerator_state::KafkaEnumeratorState;
use super::lookup::{self, ListError};
use super::offsets::{Answers, Questions, Wanted};
use super::settings::SourceSettings;
use super::split::PartitionSplit;
use crate::contract::{CheckpointId, Discovery, Enumerator};
use crate::error::{Error, Result};

/// How soon what failed is tried again where nothing else says when.
const RETRY: Duration = Duration::from_millis(500);

/// The enumerator of a [`KafkaSource`](super::KafkaSource).
pub struct KafkaEnumerator {
    client: Client,
    settings: Arc<SourceSettings>,
    discovery: PartitionDiscovery,
    /// What the next call does, and not before when.
    next: Step,
    not_before: Option<Instant>,
    opened: Instant,
    running: Running,
    told_unused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    List,
    Resolve,
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What was begun is kept when a call is dropped half way, so that many short calls come as far as a long one.
enum Running {
    Nothing,
    Listing(Work<Result<Listing, ListError>>),
    Resolving(Open, Work<(Answers, Option<Error>)>),
}

/// What was asked about: partitions to begin with, and restored ones that have no end yet.
#[derive(Default)]
struct Open {
    unresolved: Vec<(TopicPartition, Unresolved)>,
    endless: Vec<TopicPartition>,
}

impl KafkaEnumerator {
    pub(crate) fn new(client: Client, settings: Arc<SourceSettings>, discovery: PartitionDiscovery) -> Self {
        Self {
            client,
            settings,
            discovery,
            next: Step::List,
            not_before: None,
            opened: Instant::now(),
            running: Running::Nothing,
            told_unused: false,
        }
    }

    /// How many partitions were removed so far.
    #[must_use]
    pub fn removed_partitions(&self) -> u64 {
        self.discovery.removed()
    }

    async fn list(&mut self) -> Result<Discovery<PartitionSplit>> {
        if matches!(self.running, Running::Nothing) {
            self.running = Running::Listing(Box::pin(self.listing()));
        }
        let Running::Listing(work) = &mut self.running else { return Ok(Discovery::default()) };
        let listed = work.await;
        self.running = Running::Nothing;
        match listed {
            Ok(listing) => Ok(self.take_listing(&listing)),
            Err(ListError::Fatal(error)) => Err(error),
            Err(ListError::Failed(error)) => {
                let Some(interval) = self.settings.discovery_interval else { return Err(error) };
                self.discovery.fail(error)?;
                self.not_before = Some(Instant::now() + interval);
                Ok(Discovery::default())
            }
        }
    }

    fn listing(&self) -> impl Future<Output = Result<Listing, ListError>> + Send + 'static {
        let admin = Admin::new(&self.client);
        let known: HashSet<String> = self.discovery.topics().into_iter().map(str::to_owned).collect();
        let wait_until = match self.settings.discovery_interval {
            None => Some(self.opened + self.settings.topic_wait),
            Some(_) => None,
        };
        lookup::list_partitions(admin, self.settings.subscription.clone(), known, wait_until)
    }

    /// What is gone is told by itself: a partition that comes back at once is dealt by the next call, so that no order
    /// of telling can mix them up.
    fn take_listing(&mut self, listing: &Listing) -> Discovery<PartitionSplit> {
        let retired = self.discovery.observe(listing);
        self.warn_of_unused();
        (self.next, self.not_before) = (Step::Resolve, None);
        Discovery { retired, ..Discovery::default() }
    }

    fn warn_of_unused(&mut self) {
        if std::mem::replace(&mut self.told_unused, true) {
            return;
        }
        let unused = self.settings.start.unused(|partition| self.discovery.knows(partition));
        if !unused.is_empty() {
            let names: Vec<_> = unused.iter().map(ToString::to_string).collect();
            tracing::warn!("start offsets are given for partitions that are not read: {}", names.join(", "));
        }
    }

    async fn resolve(&mut self) -> Result<Discovery<PartitionSplit>> {
        if matches!(self.running, Running::Nothing) {
            let open = Open {
                unresolved: self.discovery.unresolved().map(|(tp, unresolved)| (tp.clone(), *unresolved)).collect(),
                endless: self.discovery.endless().cloned().collect(),
            };
            let questions = self.questions(&open);
            let isolation = self.settings.consumer.isolation_level;
            let group = self.settings.group_id.clone();
            let asking = lookup::ask(Admin::new(&self.client), group, isolation, questions);
            self.running = Running::Resolving(open, Box::pin(asking));
        }
        let Running::Resolving(open, work) = &mut self.running else { return Ok(Discovery::default()) };
        let (answers, failure) = work.await;
        let open = std::mem::take(open);
        self.running = Running::Nothing;
        for (partition, unresolved) in &open.unresolved {
            if let Some(split) = self.split(partition, unresolved, &answers)? {
                self.discovery.resolved(split);
            }
        }
        for partition in &open.endless {
            let Some(stop) = self.stop(partition) else { continue };
            if let Some((offset, _)) = answers.resolve(partition, stop, self.settings.on_out_of_range)? {
                self.discovery.ends_at(partition, offset);
            }
        }
        self.deal(failure)
    }

    fn wanted(&self, partition: &TopicPartition, unresolved: &Unresolved) -> (Wanted, Option<Wanted>) {
        (Wanted::start(partition, &self.settings.start, unresolved.is_first), self.stop(partition))
    }

    fn stop(&self, partition: &TopicPartition) -> Option<Wanted> {
        self.settings.stop.as_ref().map(|stop| Wanted::stop(partition, stop))
    }

    fn questions(&self, open: &Open) -> Questions {
        let mut questions = Questions::default();
        for (partition, unresolved) in &open.unresolved {
            let (start, stop) = self.wanted(partition, unresolved);
            for wanted in std::iter::once(start).chain(stop) {
                questions.add(partition, wanted, self.settings.on_out_of_range);
            }
        }
        for partition in &open.endless {
            if let Some(wanted) = self.stop(partition) {
                questions.add(partition, wanted, self.settings.on_out_of_range);
            }
        }
        questions
    }

    fn split(
        &self,
        partition: &TopicPartition,
        unresolved: &Unresolved,
        answers: &Answers,
    ) -> Result<Option<PartitionSplit>> {
        let policy = self.settings.on_out_of_range;
        let (start, stop) = self.wanted(partition, unresolved);
        let Some((offset, leader_epoch)) = answers.resolve(partition, start, policy)? else { return Ok(None) };
        let mut split = PartitionSplit::new(partition.clone(), offset);
        split.leader_epoch = leader_epoch;
        if let Some(stop) = stop {
            let Some((offset, _)) = answers.resolve(partition, stop, policy)? else { return Ok(None) };
            split.stop = Some(offset);
        }
        Ok(Some(split))
    }

    fn deal(&mut self, failure: Option<Error>) -> Result<Discovery<PartitionSplit>> {
        let now = Instant::now();
        let assigned = self.discovery.assign();
        let left = self.discovery.unresolved().count() + self.discovery.endless().count();
        if left > 0 {
            let unknown =
                || Error::Source { reason: format!("the offsets of {left} partitions could not be looked up") };
            let failure = failure.unwrap_or_else(unknown);
            match self.settings.discovery_interval {
                // Listed again first: what could not be resolved may be gone.
                Some(interval) => {
                    tracing::warn!(error = %failure, "{left} partitions wait for the next discovery");
                    (self.next, self.not_before) = (Step::List, Some(now + interval));
                }
                None => {
                    self.discovery.fail(failure)?;
                    self.not_before = Some(now + RETRY);
                }
            }
            return Ok(Discovery { assigned, ..Discovery::default() });
        }
        self.next = Step::List;
        self.not_before = self.settings.discovery_interval.map(|interval| now + interval);
        Ok(Discovery { assigned, retired: Vec::new(), exhausted: self.settings.discovery_interval.is_none() })
    }
}

impl Enumerator for KafkaEnumerator {
    type Split = PartitionSplit;
    type State = KafkaEnumeratorState;

    async fn discover(&mut self) -> Result<Discovery<PartitionSplit>> {
        if let Some(at) = self.not_before {
            tokio::time::sleep_until(at.into()).await;
        }
        if self.next == Step::List {
            let listed = self.list().await?;
            if self.next == Step::List || !listed.retired.is_empty() {
                return Ok(listed);
            }
        }
        self.resolve().await
    }

    fn snapshot(&mut self, _id: CheckpointId) -> KafkaEnumeratorState {
        self.discovery.snapshot()
    }
}

impl std::fmt::Debug for KafkaEnumerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaEnumerator").field("discovery", &self.discovery).finish_non_exhaustive()
    }
}
