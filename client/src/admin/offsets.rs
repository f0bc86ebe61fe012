//! Offsets in the log.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ottla_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_protocol::{ApiKey, Request, VersionRange};

use super::call::{Node, Round, Target, outcome};
use super::{Admin, PerItem, by_topic};
use crate::clock;
use crate::error::{Error, Place, Result};
use crate::types::{IsolationLevel, TopicPartition};

/// Which offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first one.
    Earliest,
    /// The end: the next one to be written, or with `read_committed` the first that is not decided.
    Latest,
    /// The first whose time is not before this, in milliseconds since the Unix epoch. Brokers 0.10.1 and newer.
    Timestamp(i64),
    /// The one with the largest time. Brokers 3.0 and newer.
    MaxTimestamp,
    /// The first one that is on the broker's own disk (KIP-405). Brokers 3.4 and newer.
    EarliestLocal,
    /// The last one that is in tiered storage. Brokers 3.9 and newer.
    LatestTiered,
    /// The first one that still has to go to tiered storage (KIP-1023). Brokers 4.2 and newer.
    EarliestPendingUpload,
}

impl OffsetSpec {
    /// The first version of ListOffsets that knows it. Version 0 looks for times among segments, not records.
    fn known_since(self) -> i16 {
        match self {
            Self::Earliest | Self::Latest => 0,
            Self::Timestamp(_) => 1,
            Self::MaxTimestamp => 7,
            Self::EarliestLocal => 8,
            Self::LatestTiered => 9,
            Self::EarliestPendingUpload => 11,
        }
    }

    fn code(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            Self::Timestamp(time) => time.max(0),
            Self::MaxTimestamp => -3,
            Self::EarliestLocal => -4,
            Self::LatestTiered => -5,
            Self::EarliestPendingUpload => -6,
        }
    }
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; `None`: no record is so young.
    pub offset: Option<i64>,
    /// Its time, where it was looked up by time.
    pub timestamp: Option<i64>,
    /// The epoch it was written in.
    pub leader_epoch: Option<i32>,
}

impl Admin {
    /// Looks offsets up at the leaders of the partitions.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::{IsolationLevel, OffsetSpec, TopicPartition};
    ///
    /// let partition = TopicPartition::new("orders", 0);
    /// let ends = admin.list_offsets(&[(partition, OffsetSpec::Latest)].into(), IsolationLevel::ReadCommitted).await;
    /// println!("{ends:?}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_offsets(
        &self,
        specs: &HashMap<TopicPartition, OffsetSpec>,
        isolation_level: IsolationLevel,
    ) -> PerItem<TopicPartition, ListedOffset> {
        self.each(ApiKey::ListOffsets, specs.keys().cloned(), leader_of, |node, partitions| {
            self.list_offsets_at(node, partitions, specs, isolation_level)
        })
        .await
    }

    /// One attempt for each.
    pub(crate) async fn list_offsets_once(
        &self,
        specs: &HashMap<TopicPartition, OffsetSpec>,
        isolation_level: IsolationLevel,
        deadline: Instant,
    ) -> PerItem<TopicPartition, ListedOffset> {
        let attempt = |node, partitions| self.list_offsets_at(node, partitions, specs, isolation_level);
        let mut partitions: Vec<_> = specs.keys().cloned().collect();
        // The order of a hash map is another one each time; simulations shall be repeatable.
        partitions.sort();
        // The leaders are known: nobody is waited for.
        let whole = (clock::now(), deadline);
        self.round(ApiKey::ListOffsets, partitions, &leader_of, &attempt, whole).await.0.into_iter().collect()
    }

    async fn list_offsets_at(
        &self,
        node: Node,
        partitions: Vec<TopicPartition>,
        specs: &HashMap<TopicPartition, OffsetSpec>,
        isolation_level: IsolationLevel,
    ) -> Result<Round<TopicPartition, ListedOffset>> {
        let spec = |tp: &TopicPartition| specs.get(tp).copied().unwrap_or(OffsetSpec::Latest);
        let wanted = |tp: &TopicPartition| ListOffsetsPartition {
            partition_index: tp.partition,
            timestamp: spec(tp).code(),
            ..Default::default()
        };
        // A broker that does not know a special time would look for records of that time.
        let known = |version: i16| partitions.iter().filter(move |tp| spec(tp).known_since() <= version);
        let (response, at) = self
            .send(node, None, |version| {
                let topics = by_topic(known(version).map(|tp| (tp, wanted(tp))));
                let topics = topics.into_iter().map(|(name, partitions)| ListOffsetsTopic { name, partitions });
                // Before version 2 there are no transactions, and everything is committed.
                let isolation_level = if version < 2 { 0 } else { isolation_level.code() };
                ListOffsetsRequest { replica_id: -1, isolation_level, topics: topics.collect(), ..Default::default() }
            })
            .await?;
        let mut found: Vec<_> = partitions
            .iter()
            .filter(|tp| spec(tp).known_since() > at.version)
            .map(|tp| (tp.clone(), Err(unknown(spec(tp), &at))))
            .collect();
        for topic in response.topics {
            let name: Arc<str> = topic.name.into();
            for partition in topic.partitions {
                let tp = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                let result = outcome(partition.error_code, ApiKey::ListOffsets, &tp, None, &at);
                found.push((tp, result.map(|()| listed(&partition))));
            }
        }
        Ok(Round::new(response.throttle_time_ms, found))
    }
}

fn unknown(spec: OffsetSpec, at: &Place) -> Error {
    Error::UnsupportedVersion {
        api: ApiKey::ListOffsets,
        ours: VersionRange { min: spec.known_since(), max: ListOffsetsRequest::MAX_VERSION },
        theirs: Some(VersionRange { min: 0, max: at.version }),
        broker: at.name(),
    }
}

fn leader_of(partition: &TopicPartition) -> Target {
    Target::Leader(partition.clone())
}

fn listed(partition: &ListOffsetsPartitionResponse) -> ListedOffset {
    // Version 0 answers with a list.
    let offset = partition.old_style_offsets.first().copied().unwrap_or(partition.offset);
    ListedOffset {
        offset: Some(offset).filter(|offset| *offset >= 0),
        timestamp: Some(partition.timestamp).filter(|time| *time >= 0),
        leader_epoch: Some(partition.leader_epoch).filter(|epoch| *epoch >= 0),
    }
}
