//! Topics: creation, deletion, look-up.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::ErrorCode;
use super::cluster::Cluster;
use super::config::TopicConfig;
use super::partition::Partition;

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) config: TopicConfig,
}

impl Topic {
    pub(crate) fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, index: i32) -> Option<&mut Partition> {
        self.partitions.get_mut(usize::try_from(index).ok()?)
    }
}

/// What a new topic shall be. `None` takes the broker's default.
#[derive(Debug, Default, Clone)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    pub(crate) partitions: Option<i32>,
    pub(crate) replication: Option<i16>,
    /// Replicas per partition, instead of a number.
    pub(crate) assignment: Option<Vec<Vec<i32>>>,
    pub(crate) configs: BTreeMap<String, String>,
}

/// An error with a sentence for the client.
pub(crate) type Refusal = (ErrorCode, String);

/// Most partitions one topic may be created with here.
const MAX_PARTITIONS: i32 = 100_000;

/// Kafka's rule for topic names (`Topic.java`).
pub(crate) fn is_valid_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !matches!(name, "" | "." | "..") && name.len() <= 249 && name.bytes().all(legal)
}

impl Cluster {
    pub(crate) fn partition(&self, topic: &str, index: i32) -> Option<&Partition> {
        self.topics.get(topic)?.partition(index)
    }

    pub(crate) fn partition_mut(&mut self, topic: &str, index: i32) -> Option<&mut Partition> {
        self.topics.get_mut(topic)?.partition_mut(index)
    }

    /// The partition if `node` leads it: what most requests need.
    pub(crate) fn led(&self, node: i32, topic: &str, index: i32, epoch: i32) -> Result<&Partition, ErrorCode> {
        let partition = self.partition(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        partition.check_leader(node, epoch)?;
        Ok(partition)
    }

    /// The topic's name, for requests that name it by id.
    pub(crate) fn topic_name(&self, name: &str, id: Uuid) -> Result<String, ErrorCode> {
        if id.is_nil() {
            return Ok(name.to_owned());
        }
        self.topic_ids.get(&id).cloned().ok_or(ErrorCode::UnknownTopicId)
    }

    /// Creates a topic, or only checks whether it could be; returns its id and shape.
    pub(crate) fn create_topic(&mut self, new: &NewTopic, validate_only: bool) -> Result<(Uuid, i32, i16), Refusal> {
        if !is_valid_name(&new.name) {
            return Err((ErrorCode::InvalidTopicException, format!("Topic name {:?} is illegal", new.name)));
        }
        if self.topics.contains_key(&new.name) {
            return Err((ErrorCode::TopicAlreadyExists, format!("Topic '{}' already exists.", new.name)));
        }
        // Names that differ in these only would share the names of their metrics.
        let unified = |name: &str| name.replace('.', "_");
        let may_collide = new.name.contains(['.', '_']);
        let other = self.topics.keys().find(|known| may_collide && unified(known) == unified(&new.name));
        if let Some(other) = other {
            let reason = format!("Topic '{}' collides with existing topic: {other}", new.name);
            return Err((ErrorCode::InvalidTopicException, reason));
        }
        let config =
            TopicConfig::new(new.configs.clone(), &self.config).map_err(|reason| (ErrorCode::InvalidConfig, reason))?;
        let replicas = self.assign(new)?;
        let shape = (replicas.len() as i32, replicas.first().map_or(0, Vec::len) as i16);
        if validate_only {
            return Ok((Uuid::nil(), shape.0, shape.1));
        }
        let rules = self.sequence_rules();
        let partitions =
            (0..).zip(replicas).map(|(index, replicas)| Partition::new(index, replicas, rules)).collect::<Vec<_>>();
        let id = self.random_uuid();
        self.topics.insert(new.name.clone(), Topic { id, partitions, config });
        self.topic_ids.insert(id, new.name.clone());
        self.settle_leaders(&new.name);
        Ok((id, shape.0, shape.1))
    }

    /// Replicas of each partition, leaders spread over the nodes.
    fn assign(&self, new: &NewTopic) -> Result<Vec<Vec<i32>>, Refusal> {
        if let Some(assignment) = &new.assignment {
            return self.check_assignment(assignment);
        }
        let count = new.partitions.unwrap_or(self.config.default_partitions);
        if !(1..=MAX_PARTITIONS).contains(&count) {
            let reason = format!("Number of partitions was set to an invalid value {count}.");
            return Err((ErrorCode::InvalidPartitions, reason));
        }
        let replication = new.replication.unwrap_or(self.config.default_replication);
        self.spread(0, count, replication)
    }

    /// Replicas for partitions `from..to`.
    pub(crate) fn spread(&self, from: i32, to: i32, replication: i16) -> Result<Vec<Vec<i32>>, Refusal> {
        let nodes = self.config.nodes;
        if replication < 1 || i32::from(replication) > nodes {
            let reason = format!("Unable to replicate the partition {replication} time(s): there are {nodes} brokers.");
            return Err((ErrorCode::InvalidReplicationFactor, reason));
        }
        let replicas = |partition: i32| (0..i32::from(replication)).map(|step| (partition + step) % nodes).collect();
        Ok((from..to).map(replicas).collect())
    }

    fn check_assignment(&self, assignment: &[Vec<i32>]) -> Result<Vec<Vec<i32>>, Refusal> {
        let size = assignment.first().map_or(0, Vec::len);
        let known = |replicas: &Vec<i32>| replicas.iter().all(|id| (0..self.config.nodes).contains(id));
        let distinct = |replicas: &Vec<i32>| (1..replicas.len()).all(|at| !replicas[..at].contains(&replicas[at]));
        let valid = |replicas: &Vec<i32>| replicas.len() == size && known(replicas) && distinct(replicas);
        if size == 0 || !assignment.iter().all(valid) {
            return Err((ErrorCode::InvalidReplicaAssignment, "Replica assignment is invalid.".to_owned()));
        }
        Ok(assignment.to_vec())
    }

    /// Deletes a topic and wakes whoever waits for it.
    pub(crate) fn delete_topic(&mut self, name: &str) -> Result<Uuid, ErrorCode> {
        let count = self.topics.get(name).ok_or(ErrorCode::UnknownTopicOrPartition)?.partitions.len();
        for index in 0..count {
            self.wake(name, index as i32);
        }
        let topic = self.topics.remove(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.topic_ids.remove(&topic.id);
        self.offsets.delete_topic(name);
        Ok(topic.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_are_checked_like_kafkas() {
        assert!(is_valid_name("a.b_c-D9") && is_valid_name(&"x".repeat(249)));
        for name in ["", ".", "..", "a b", "ä", "a/b"] {
            assert!(!is_valid_name(name), "{name:?}");
        }
        assert!(!is_valid_name(&"x".repeat(250)));
    }
}
