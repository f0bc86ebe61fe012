//! The disks of brokers.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use ottla_protocol::messages::describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsTopic};

use super::call::{Round, Target, asked, outcome};
use super::{Admin, PerItem, indexes};
use crate::error::Result;
use crate::types::{BrokerId, TopicPartition};

/// A directory of a broker's `log.dirs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogDir {
    /// The size of its disk in bytes. Brokers 3.3 and newer.
    pub total_bytes: Option<i64>,
    /// What is free. Brokers 3.3 and newer.
    pub usable_bytes: Option<i64>,
    /// It gets no new replicas. Brokers 4.3 and newer.
    pub is_cordoned: bool,
    /// The replicas in it.
    pub replicas: HashMap<TopicPartition, ReplicaOnDisk>,
}

/// A replica in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaOnDisk {
    /// Its size in bytes.
    pub size: i64,
    /// How many records it is behind.
    pub offset_lag: i64,
    /// It is being copied here from another directory.
    pub is_future: bool,
}

/// A copy of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    /// Of which partition.
    pub topic_partition: TopicPartition,
    /// On which broker.
    pub broker: BrokerId,
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on broker {}", self.topic_partition, self.broker)
    }
}

/// Directories by their paths.
type LogDirs = PerItem<String, LogDir>;

impl Admin {
    /// The directories of these brokers and what is in them: by broker, then by path.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::BrokerId;
    ///
    /// for (broker, dirs) in admin.describe_log_dirs(&[BrokerId(1)]).await? {
    ///     for (path, dir) in dirs? {
    ///         println!("{path} of broker {broker} has {} replicas", dir?.replicas.len());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When no broker could be asked; per broker and per directory [`Error::Broker`](crate::Error::Broker), such as
    /// `KAFKA_STORAGE_ERROR`.
    pub async fn describe_log_dirs(&self, brokers: &[BrokerId]) -> Result<PerItem<BrokerId, LogDirs>> {
        let api = ApiKey::DescribeLogDirs;
        let described = self.each(
            api,
            brokers.to_vec(),
            |broker| Target::Broker(*broker),
            |node, brokers| async move {
                let request = DescribeLogDirsRequest { topics: None };
                let (response, at) = self.send(node, None, |_| request).await?;
                outcome(response.error_code, api, "its log directories", None, &at)?;
                let dirs = response.results.into_iter().map(|dir| {
                    let described = LogDir {
                        total_bytes: Some(dir.total_bytes).filter(|bytes| *bytes >= 0),
                        usable_bytes: Some(dir.usable_bytes).filter(|bytes| *bytes >= 0),
                        is_cordoned: dir.is_cordoned,
                        replicas: replicas(dir.topics),
                    };
                    let result = outcome(dir.error_code, api, &dir.log_dir, None, &at);
                    (dir.log_dir, result.map(|()| described))
                });
                let dirs: LogDirs = dirs.collect();
                Ok(Round::new(response.throttle_time_ms, brokers.into_iter().map(|broker| (broker, Ok(dirs.clone())))))
            },
        );
        asked(described.await)
    }

    /// Begins to move replicas to other directories of their brokers.
    ///
    /// # Errors
    /// When no broker could be asked; per replica [`Error::Broker`](crate::Error::Broker), such as `LOG_DIR_NOT_FOUND`.
    pub async fn alter_replica_log_dirs(&self, paths: &HashMap<Replica, String>) -> Result<PerItem<Replica, ()>> {
        let api = ApiKey::AlterReplicaLogDirs;
        let altered = self.each(
            api,
            paths.keys().cloned(),
            |replica| Target::Broker(replica.broker),
            |node, replicas| async move {
                let mut by_path: BTreeMap<&String, Vec<TopicPartition>> = BTreeMap::new();
                for replica in &replicas {
                    if let Some(path) = paths.get(replica) {
                        by_path.entry(path).or_default().push(replica.topic_partition.clone());
                    }
                }
                let dirs = by_path.into_iter().map(|(path, partitions)| {
                    let topics = indexes(&partitions).into_iter();
                    let topics = topics.map(|(name, partitions)| AlterReplicaLogDirTopic { name, partitions });
                    AlterReplicaLogDir { path: path.clone(), topics: topics.collect() }
                });
                let request = AlterReplicaLogDirsRequest { dirs: dirs.collect() };
                let (response, at) = self.send(node, None, |_| request).await?;
                let broker = node.unwrap_or(BrokerId(-1));
                let mut results = Vec::new();
                for topic in response.results {
                    let name: Arc<str> = topic.topic_name.into();
                    for partition in topic.partitions {
                        let topic_partition = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                        let replica = Replica { topic_partition, broker };
                        let result = outcome(partition.error_code, api, &replica, None, &at);
                        results.push((replica, result));
                    }
                }
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(altered.await)
    }
}

fn replicas(topics: Vec<DescribeLogDirsTopic>) -> HashMap<TopicPartition, ReplicaOnDisk> {
    let mut replicas = HashMap::new();
    for topic in topics {
        let name: Arc<str> = topic.name.into();
        for p in topic.partitions {
            let replica =
                ReplicaOnDisk { size: p.partition_size, offset_lag: p.offset_lag, is_future: p.is_future_key };
            replicas.insert(TopicPartition::new(Arc::clone(&name), p.partition_index), replica);
        }
    }
    replicas
}
