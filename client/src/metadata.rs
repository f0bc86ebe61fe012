//! What is known of the cluster: an immutable snapshot, and the machine that makes the next one from each answer.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use ottla_protocol::messages::MetadataResponse;
use ottla_protocol::messages::metadata::{MetadataResponsePartition, MetadataResponseTopic};
use ottla_protocol::{ApiKey, ErrorCode};
use uuid::Uuid;

use crate::error::{Error, Place, Remedy, remedy_of};
use crate::types::BrokerId;

/// The first version of Metadata whose leader epochs can be trusted (KAFKA-9212).
const RELIABLE_EPOCHS_FROM: i16 = 9;

/// The cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct ClusterSnapshot {
    generation: u64,
    cluster_id: Option<String>,
    controller: Option<BrokerId>,
    brokers: BTreeMap<BrokerId, Broker>,
    topics: HashMap<Arc<str>, Topic>,
    names: HashMap<Uuid, Arc<str>>,
    /// Topics whose last answer was older than what is known of them, or has a partition of which a later one says more.
    outdated: HashSet<Arc<str>>,
    /// Who gave the last answer, and in which version.
    told_by: Option<Place>,
}

/// A broker and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its number.
    pub id: BrokerId,
    /// The host it advertises.
    pub host: String,
    /// The port it advertises.
    pub port: u16,
    /// Its rack.
    pub rack: Option<String>,
}

/// A topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; `None` on brokers before 2.8.
    pub id: Option<Uuid>,
    /// What the last answer said is wrong with it.
    pub error: Option<ErrorCode>,
    /// One of Kafka's own.
    pub internal: bool,
    /// Its partitions by number.
    pub partitions: Vec<Partition>,
}

/// A partition and who serves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub index: i32,
    /// The broker to write to and read from; `None`: there is none now.
    pub leader: Option<BrokerId>,
    /// Grows with each new leader; `None`: the broker is too old to say.
    pub leader_epoch: Option<i32>,
    /// The brokers that keep a copy.
    pub replicas: Vec<BrokerId>,
    /// Those whose copy is up to date.
    pub isr: Vec<BrokerId>,
}

impl ClusterSnapshot {
    /// Grows with every snapshot.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The broker to send changes of the cluster to.
    #[must_use]
    pub fn controller(&self) -> Option<BrokerId> {
        self.controller
    }

    /// All brokers that are up.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values()
    }

    /// The broker `id`.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    /// All topics that were asked for.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// The topic `name`.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// The topics whose names `matches` takes, for a subscription by pattern; `exclude_internal`: without Kafka's own.
    pub fn topics_matching<'a>(
        &'a self,
        matches: impl Fn(&str) -> bool + 'a,
        exclude_internal: bool,
    ) -> impl Iterator<Item = &'a Topic> {
        self.topics.values().filter(move |t| t.error.is_none() && !(exclude_internal && t.internal) && matches(&t.name))
    }

    /// Whether the answer left something open that a later one may say: a partition without a leader, a topic that is
    /// being created or has gone, one of which the broker that answered knows less than we do.
    pub(crate) fn is_unsettled(&self) -> bool {
        let retriable = |code: ErrorCode| remedy_of(code) == Remedy::RefreshMetadata;
        !self.outdated.is_empty()
            || self
                .topics
                .values()
                .any(|t| t.error.is_some_and(retriable) || t.partitions.iter().any(|p| p.leader.is_none()))
    }

    /// Whether more is known than `before` of who leads: a partition that is new, or one whose leader epoch has grown. What
    /// has no epochs is told apart by its leader (`Metadata.java`, `equivalentResponseCount`).
    pub(crate) fn has_grown_since(&self, before: &Self) -> bool {
        self.topics.values().any(|topic| {
            let known = before.topics.get(&topic.name).filter(|known| known.id == topic.id);
            topic.partitions.iter().any(|partition| {
                let Some(known) = known.and_then(|topic| topic.partition(partition.index)) else { return true };
                match (partition.leader_epoch, known.leader_epoch) {
                    (Some(new), Some(old)) => new > old,
                    _ => partition.leader != known.leader,
                }
            })
        })
    }

    /// What is wrong with something, as the last answer said it.
    pub(crate) fn refusal(&self, code: ErrorCode, subject: impl ToString) -> Error {
        let error = Error::broker(code, ApiKey::Metadata, subject);
        match &self.told_by {
            Some(at) => error.at(at),
            None => error,
        }
    }

    /// The topic of an id.
    #[must_use]
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Topic> {
        self.names.get(&id).and_then(|name| self.topics.get(name))
    }

    /// A partition.
    #[must_use]
    pub fn partition(&self, topic: &str, index: i32) -> Option<&Partition> {
        self.topic(topic)?.partition(index)
    }
}

/// Finds partitions that come by topic, with one search for each run of them.
#[derive(Debug)]
pub(crate) struct TopicCursor<'a> {
    cluster: &'a ClusterSnapshot,
    last: Option<&'a Topic>,
}

impl<'a> TopicCursor<'a> {
    pub(crate) fn new(cluster: &'a ClusterSnapshot) -> Self {
        Self { cluster, last: None }
    }

    pub(crate) fn topic(&mut self, name: &str) -> Option<&'a Topic> {
        if self.last.is_none_or(|topic| *topic.name != *name) {
            self.last = self.cluster.topic(name);
        }
        self.last
    }
}

impl Topic {
    /// The partition `index`.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        let at = self.partitions.binary_search_by_key(&index, |p| p.index).ok()?;
        self.partitions.get(at)
    }
}

/// What a refresh asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Every topic: those not in the answer are gone.
    All,
    /// Some topics: the others stay as they were (KIP-526).
    Some,
}

/// A leader that a broker named in a refusal (KIP-951).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaderHint {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) leader: BrokerId,
    pub(crate) leader_epoch: i32,
    /// Where it listens, if the broker said so.
    pub(crate) endpoint: Option<(String, u16)>,
}

/// Makes snapshots from answers.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    current: Arc<ClusterSnapshot>,
    told_by: Option<Place>,
}

impl Metadata {
    pub(crate) fn current(&self) -> Arc<ClusterSnapshot> {
        Arc::clone(&self.current)
    }

    /// Takes over what the broker at `at` answered, as [`Self::update`] does.
    pub(crate) fn update_from(
        &mut self,
        at: &Place,
        asked: Asked,
        answer: MetadataResponse,
    ) -> Option<Arc<ClusterSnapshot>> {
        self.told_by = Some(at.clone());
        self.update(at.version, asked, answer)
    }

    /// Takes an answer over. `None`: it names no broker and says nothing; ask again.
    pub(crate) fn update(
        &mut self,
        version: i16,
        asked: Asked,
        answer: MetadataResponse,
    ) -> Option<Arc<ClusterSnapshot>> {
        if answer.brokers.is_empty() {
            return None;
        }
        let mut next = ClusterSnapshot { generation: self.current.generation + 1, ..(*self.current).clone() };
        next.told_by.clone_from(&self.told_by);
        next.cluster_id = answer.cluster_id.or(next.cluster_id);
        next.controller = Some(BrokerId(answer.controller_id)).filter(|id| id.0 >= 0);
        next.brokers = answer
            .brokers
            .into_iter()
            .filter_map(|b| {
                let port = u16::try_from(b.port).ok()?;
                Some((BrokerId(b.node_id), Broker { id: BrokerId(b.node_id), host: b.host, port, rack: b.rack }))
            })
            .collect();
        if asked == Asked::All {
            next.topics.clear();
            next.outdated.clear();
        }
        for topic in answer.topics {
            if let Some((topic, is_outdated)) = self.merge_topic(version, &next, topic) {
                if is_outdated {
                    next.outdated.insert(Arc::clone(&topic.name));
                } else {
                    next.outdated.remove(&topic.name);
                }
                next.topics.insert(Arc::clone(&topic.name), topic);
            }
        }
        next.names = next.topics.values().filter_map(|t| Some((t.id?, Arc::clone(&t.name)))).collect();
        self.publish(next)
    }

    /// Nobody uses these topics any more.
    pub(crate) fn forget(&mut self, topics: &[Arc<str>]) -> Arc<ClusterSnapshot> {
        let mut next = ClusterSnapshot { generation: self.current.generation + 1, ..(*self.current).clone() };
        next.topics.retain(|name, _| !topics.contains(name));
        next.names.retain(|_, name| !topics.contains(name));
        next.outdated.retain(|name| !topics.contains(name));
        self.current = Arc::new(next);
        self.current()
    }

    /// The brokers are gone: the cluster may be another one, or elsewhere. Topic ids and epochs stay, so that an older
    /// answer is still found out.
    pub(crate) fn rebootstrap(&mut self) -> Arc<ClusterSnapshot> {
        let mut next = ClusterSnapshot { generation: self.current.generation + 1, ..(*self.current).clone() };
        next.brokers.clear();
        next.controller = None;
        for partition in next.topics.values_mut().flat_map(|t| &mut t.partitions) {
            partition.leader = None;
        }
        self.current = Arc::new(next);
        self.current()
    }

    /// Takes leaders over that are newer than what is known, and where they listen. Whether any was.
    pub(crate) fn apply_hints(&mut self, hints: &[LeaderHint]) -> bool {
        let mut next = ClusterSnapshot { generation: self.current.generation + 1, ..(*self.current).clone() };
        let mut applied = false;
        for hint in hints {
            if hint.endpoint.is_none() && !next.brokers.contains_key(&hint.leader) {
                continue;
            }
            let Some(topic) = next.topics.get_mut(&hint.topic) else { continue };
            let Ok(at) = topic.partitions.binary_search_by_key(&hint.partition, |p| p.index) else { continue };
            let Some(partition) = topic.partitions.get_mut(at) else { continue };
            if partition.leader_epoch.is_none_or(|known| hint.leader_epoch > known) {
                partition.leader = Some(hint.leader);
                partition.leader_epoch = Some(hint.leader_epoch);
                applied = true;
                // An older hint may know an older address too.
                if let Some((host, port)) = &hint.endpoint {
                    let rack = next.brokers.get(&hint.leader).and_then(|b| b.rack.clone());
                    let broker = Broker { id: hint.leader, host: host.clone(), port: *port, rack };
                    next.brokers.insert(hint.leader, broker);
                }
            }
        }
        if applied {
            self.publish(next);
        }
        applied
    }

    fn publish(&mut self, next: ClusterSnapshot) -> Option<Arc<ClusterSnapshot>> {
        self.current = Arc::new(next);
        Some(self.current())
    }

    /// The topic, and whether a later answer will know more of it: this one knows less than we do, or says so.
    fn merge_topic(
        &self,
        version: i16,
        next: &ClusterSnapshot,
        answer: MetadataResponseTopic,
    ) -> Option<(Topic, bool)> {
        let id = Some(answer.topic_id).filter(|id| !id.is_nil());
        let name: Arc<str> = match answer.name {
            Some(name) => name.into(),
            None => Arc::clone(self.current.names.get(&id?)?),
        };
        let error = ErrorCode::from(answer.error_code).ok().err();
        let known = self.current.topics.get(&name);
        if error.is_some() && answer.partitions.is_empty() {
            // The partitions stay: a broker that has not heard of the topic yet is no reason to forget its leaders.
            let partitions = known.map(|t| t.partitions.clone()).unwrap_or_default();
            let id = id.or_else(|| known.and_then(|t| t.id));
            return Some((Topic { name, id, error, internal: answer.is_internal, partitions }, false));
        }
        let recreated = matches!((known.and_then(|t| t.id), id), (Some(old), Some(new)) if old != new);
        let known = known.filter(|_| !recreated);
        let mut is_outdated = false;
        let mut partitions: Vec<_> = answer
            .partitions
            .into_iter()
            .map(|p| {
                let known = known.and_then(|t| t.partition(p.partition_index));
                is_outdated |= remedy_of(p.error_code.into()) == Remedy::RefreshMetadata;
                match known.filter(|known| is_older(version, known, &p)) {
                    Some(known) => {
                        is_outdated = true;
                        known.clone()
                    }
                    None => partition(version, next, p),
                }
            })
            .collect();
        partitions.sort_by_key(|p| p.index);
        partitions.dedup_by_key(|p| p.index);
        Some((Topic { name, id, error, internal: answer.is_internal, partitions }, is_outdated))
    }
}

/// Whether a partition that fails so may name its leader (KIP-951).
pub(crate) fn is_refused_leader(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch)
}

fn epoch(version: i16, answer: &MetadataResponsePartition) -> Option<i32> {
    Some(answer.leader_epoch).filter(|epoch| version >= RELIABLE_EPOCHS_FROM && *epoch >= 0)
}

/// The epoch rule: an answer with an older epoch than the known one comes from a broker that lags behind. It is not taken,
/// and asked for again (`Metadata.java`, `updateLatestMetadata`).
fn is_older(version: i16, known: &Partition, answer: &MetadataResponsePartition) -> bool {
    matches!((epoch(version, answer), known.leader_epoch), (Some(new), Some(old)) if new < old)
}

fn partition(version: i16, next: &ClusterSnapshot, answer: MetadataResponsePartition) -> Partition {
    let ids = |ids: Vec<i32>| ids.into_iter().map(BrokerId).collect();
    Partition {
        index: answer.partition_index,
        leader: Some(BrokerId(answer.leader_id)).filter(|id| next.brokers.contains_key(id)),
        leader_epoch: epoch(version, &answer),
        replicas: ids(answer.replica_nodes),
        isr: ids(answer.isr_nodes),
    }
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
