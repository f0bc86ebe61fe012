//! Which API versions, and which rules, a Kafka version has.

use std::fmt;
use std::str::FromStr;

use kafka_protocol::messages::ApiKey;

/// A Kafka version the broker can play, `0.11` to `4.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KafkaVersion {
    major: u16,
    minor: u16,
}

impl KafkaVersion {
    /// The newest version the broker plays: 4.1.
    pub const NEWEST: Self = Self::new(4, 1);
    const OLDEST: Self = Self::new(0, 11);

    pub(crate) const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    pub(crate) fn at_least(self, major: u16, minor: u16) -> bool {
        self >= Self::new(major, minor)
    }

    /// Finalized level of the feature `transaction.version`; `None` before 4.0.
    pub(crate) fn transaction_version(self) -> Option<i16> {
        self.at_least(4, 0).then_some(2)
    }

    /// Finalized level of the feature `group.version`: the consumer group protocol (KIP-848); `None` before 4.0.
    pub(crate) fn group_version(self) -> Option<i16> {
        self.at_least(4, 0).then_some(1)
    }

    /// Lowest and highest level of the feature `metadata.version`; `None` before KRaft's 3.3.
    pub(crate) fn metadata_version(self) -> Option<(i16, i16)> {
        let most = match (self.major, self.minor) {
            (3, 3) => 7,
            (3, 4) => 8,
            (3, 5) => 11,
            (3, 6) => 14,
            (3, 7) => 19,
            (3, 8) => 20,
            (3, 9) => 21,
            (4, 0) => 25,
            _ if self.at_least(4, 1) => 27,
            _ => return None,
        };
        Some((if self.at_least(4, 0) { 7 } else { 1 }, most))
    }

    /// What ApiVersions lists for `api`; `None` if this version of Kafka does not have it.
    pub(crate) fn listed(self, api: ApiKey) -> Option<(i16, i16)> {
        let row = TABLE.iter().find(|row| row.api == api)?;
        let (_, max) = row.max.iter().rev().find(|&&((major, minor), _)| self.at_least(major, minor))?;
        let max = (*max).min(api.valid_versions().max);
        let codec_min = api.valid_versions().min;
        if max < codec_min {
            return None;
        }
        // Kafka 4 removed old versions, but still lists Produce 0-2 for librdkafka's sake (KAFKA-18659).
        let min = if self.at_least(4, 0) && api != ApiKey::Produce { codec_min } else { 0 };
        Some((min, max))
    }

    /// Lowest and highest version of `api` that is accepted; `None` if this Kafka does not have it. What ApiVersions
    /// lists may begin lower, as with a real broker: nothing below what the broker's codec reads is accepted.
    pub fn accepted(self, api: ApiKey) -> Option<(i16, i16)> {
        self.listed(api).map(|(min, max)| (min.max(api.valid_versions().min), max))
    }

    /// Every API this version of Kafka has.
    pub(crate) fn apis(self) -> impl Iterator<Item = (ApiKey, i16, i16)> {
        TABLE.iter().filter_map(move |row| self.listed(row.api).map(|(min, max)| (row.api, min, max)))
    }
}

impl fmt::Display for KafkaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for KafkaVersion {
    type Err = String;

    /// `major.minor` with anything after it ignored: `3.9`, `4.1.0`, `0.11.0.3`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.').map(str::parse::<u16>);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
            return Err(format!("{text:?} is not a Kafka version such as 3.9"));
        };
        let version = Self::new(major, minor);
        if (Self::OLDEST..=Self::NEWEST).contains(&version) {
            Ok(version)
        } else {
            Err(format!("the embedded broker plays Kafka {} to {}, not {version}", Self::OLDEST, Self::NEWEST))
        }
    }
}

struct Row {
    api: ApiKey,
    /// Kafka version from which on the highest request version is this.
    max: &'static [((u16, u16), i16)],
}

const fn row(api: ApiKey, max: &'static [((u16, u16), i16)]) -> Row {
    Row { api, max }
}

/// From the history of Kafka's message schemas; a version they mark as unstable is not listed. An API is listed only
/// when the broker answers it.
const TABLE: &[Row] = &[
    row(
        ApiKey::Produce,
        &[
            ((0, 11), 3),
            ((1, 0), 5),
            ((2, 0), 6),
            ((2, 1), 7),
            ((2, 4), 8),
            ((2, 8), 9),
            ((3, 7), 10),
            ((3, 8), 11),
            ((4, 0), 12),
            ((4, 1), 13),
        ],
    ),
    row(
        ApiKey::Fetch,
        &[
            ((0, 11), 5),
            ((1, 0), 6),
            ((1, 1), 7),
            ((2, 0), 8),
            ((2, 1), 10),
            ((2, 3), 11),
            ((2, 7), 12),
            ((3, 1), 13),
            ((3, 5), 15),
            ((3, 7), 16),
            ((3, 9), 17),
            ((4, 1), 18),
        ],
    ),
    row(
        ApiKey::ListOffsets,
        &[
            ((0, 11), 2),
            ((2, 0), 3),
            ((2, 1), 4),
            ((2, 2), 5),
            ((2, 8), 6),
            ((3, 0), 7),
            ((3, 5), 8),
            ((3, 9), 9),
            ((4, 0), 10),
        ],
    ),
    row(
        ApiKey::Metadata,
        &[
            ((0, 11), 4),
            ((1, 0), 5),
            ((2, 0), 6),
            ((2, 1), 7),
            ((2, 3), 8),
            ((2, 4), 9),
            ((2, 8), 11),
            ((3, 1), 12),
            ((4, 0), 13),
        ],
    ),
    row(ApiKey::OffsetCommit, &[((0, 11), 3), ((2, 0), 4), ((2, 1), 6), ((2, 3), 7), ((2, 4), 8), ((3, 7), 9)]),
    row(
        ApiKey::OffsetFetch,
        &[((0, 11), 3), ((2, 0), 4), ((2, 1), 5), ((2, 4), 6), ((2, 5), 7), ((3, 0), 8), ((3, 7), 9)],
    ),
    row(ApiKey::FindCoordinator, &[((0, 11), 1), ((2, 0), 2), ((2, 4), 3), ((3, 0), 4), ((3, 8), 5), ((3, 9), 6)]),
    row(
        ApiKey::JoinGroup,
        &[((0, 11), 2), ((2, 0), 3), ((2, 2), 4), ((2, 3), 5), ((2, 4), 6), ((2, 5), 7), ((3, 2), 9)],
    ),
    row(ApiKey::Heartbeat, &[((0, 11), 1), ((2, 0), 2), ((2, 3), 3), ((2, 4), 4)]),
    row(ApiKey::LeaveGroup, &[((0, 11), 1), ((2, 0), 2), ((2, 4), 4), ((3, 2), 5)]),
    row(ApiKey::SyncGroup, &[((0, 11), 1), ((2, 0), 2), ((2, 3), 3), ((2, 4), 4), ((2, 5), 5)]),
    row(ApiKey::DescribeGroups, &[((0, 11), 1), ((2, 0), 2), ((2, 3), 3), ((2, 4), 5), ((4, 0), 6)]),
    row(ApiKey::ListGroups, &[((0, 11), 1), ((2, 0), 2), ((2, 4), 3), ((2, 6), 4), ((3, 8), 5)]),
    row(ApiKey::ApiVersions, &[((0, 11), 1), ((2, 0), 2), ((2, 4), 3), ((3, 9), 4)]),
    row(ApiKey::CreateTopics, &[((0, 11), 2), ((2, 0), 3), ((2, 4), 5), ((2, 7), 6), ((2, 8), 7)]),
    row(ApiKey::DeleteTopics, &[((0, 11), 1), ((2, 0), 2), ((2, 1), 3), ((2, 4), 4), ((2, 7), 5), ((2, 8), 6)]),
    row(ApiKey::DeleteRecords, &[((0, 11), 0), ((2, 0), 1), ((2, 5), 2)]),
    row(ApiKey::InitProducerId, &[((0, 11), 0), ((2, 0), 1), ((2, 4), 2), ((2, 5), 3), ((2, 7), 4), ((3, 8), 5)]),
    row(ApiKey::OffsetForLeaderEpoch, &[((0, 11), 0), ((2, 0), 1), ((2, 1), 2), ((2, 3), 3), ((2, 8), 4)]),
    row(ApiKey::AddPartitionsToTxn, &[((0, 11), 0), ((2, 0), 1), ((2, 7), 2), ((2, 8), 3), ((3, 6), 4), ((3, 8), 5)]),
    row(ApiKey::AddOffsetsToTxn, &[((0, 11), 0), ((2, 0), 1), ((2, 7), 2), ((2, 8), 3), ((3, 8), 4)]),
    row(ApiKey::EndTxn, &[((0, 11), 0), ((2, 0), 1), ((2, 7), 2), ((2, 8), 3), ((3, 8), 4), ((4, 0), 5)]),
    row(ApiKey::TxnOffsetCommit, &[((0, 11), 0), ((2, 0), 1), ((2, 1), 2), ((2, 5), 3), ((3, 8), 4), ((4, 0), 5)]),
    row(ApiKey::DescribeConfigs, &[((0, 11), 0), ((1, 1), 1), ((2, 0), 2), ((2, 6), 3), ((2, 8), 4)]),
    row(ApiKey::CreatePartitions, &[((1, 0), 0), ((2, 0), 1), ((2, 5), 2), ((2, 7), 3)]),
    row(ApiKey::DescribeCluster, &[((2, 8), 0), ((3, 7), 1), ((4, 0), 2)]),
    row(ApiKey::DescribeProducers, &[((2, 8), 0)]),
    row(ApiKey::DescribeTransactions, &[((3, 0), 0)]),
    row(ApiKey::ConsumerGroupHeartbeat, &[((3, 7), 0), ((4, 0), 1)]),
    row(ApiKey::ConsumerGroupDescribe, &[((3, 8), 0), ((4, 0), 1)]),
    row(ApiKey::SaslHandshake, &[((0, 11), 0), ((1, 0), 1)]),
    row(ApiKey::SaslAuthenticate, &[((1, 0), 0), ((2, 2), 1), ((2, 5), 2)]),
    row(ApiKey::DeleteGroups, &[((1, 1), 0), ((2, 0), 1), ((2, 4), 2)]),
    row(ApiKey::OffsetDelete, &[((2, 4), 0)]),
    row(ApiKey::AlterConfigs, &[((0, 11), 0), ((2, 0), 1), ((2, 8), 2)]),
    row(ApiKey::IncrementalAlterConfigs, &[((2, 3), 0), ((2, 4), 1)]),
    row(ApiKey::WriteTxnMarkers, &[((0, 11), 0), ((2, 8), 1)]),
    row(ApiKey::DescribeTopicPartitions, &[((3, 8), 0)]),
    row(ApiKey::ElectLeaders, &[((2, 2), 0), ((2, 4), 2)]),
    row(ApiKey::AlterPartitionReassignments, &[((2, 4), 0), ((4, 1), 1)]),
    row(ApiKey::ListPartitionReassignments, &[((2, 4), 0)]),
    row(ApiKey::DescribeLogDirs, &[((1, 0), 0), ((2, 0), 1), ((2, 6), 2), ((3, 2), 3), ((3, 3), 4)]),
    row(ApiKey::DescribeAcls, &[((0, 11), 0), ((2, 0), 1), ((2, 5), 2), ((3, 3), 3)]),
    row(ApiKey::CreateAcls, &[((0, 11), 0), ((2, 0), 1), ((2, 5), 2), ((3, 3), 3)]),
    row(ApiKey::DeleteAcls, &[((0, 11), 0), ((2, 0), 1), ((2, 5), 2), ((3, 3), 3)]),
    row(ApiKey::DescribeUserScramCredentials, &[((2, 7), 0)]),
    row(ApiKey::AlterUserScramCredentials, &[((2, 7), 0)]),
    row(ApiKey::ListTransactions, &[((3, 0), 0), ((3, 8), 1), ((4, 1), 2)]),
    row(ApiKey::AlterReplicaLogDirs, &[((1, 0), 0), ((2, 0), 1), ((2, 8), 2)]),
    row(ApiKey::CreateDelegationToken, &[((1, 1), 0), ((2, 0), 1), ((2, 4), 2), ((3, 3), 3)]),
    row(ApiKey::RenewDelegationToken, &[((1, 1), 0), ((2, 0), 1), ((2, 5), 2)]),
    row(ApiKey::ExpireDelegationToken, &[((1, 1), 0), ((2, 0), 1), ((2, 5), 2)]),
    row(ApiKey::DescribeDelegationToken, &[((1, 1), 0), ((2, 0), 1), ((2, 5), 2), ((3, 3), 3)]),
    row(ApiKey::DescribeClientQuotas, &[((2, 6), 0), ((2, 8), 1)]),
    row(ApiKey::AlterClientQuotas, &[((2, 6), 0), ((2, 8), 1)]),
    row(ApiKey::DescribeQuorum, &[((3, 3), 1), ((3, 9), 2)]),
    row(ApiKey::UpdateFeatures, &[((2, 7), 0), ((3, 3), 1), ((4, 0), 2)]),
    row(ApiKey::UnregisterBroker, &[((2, 8), 0)]),
    row(ApiKey::GetTelemetrySubscriptions, &[((3, 7), 0)]),
    row(ApiKey::PushTelemetry, &[((3, 7), 0)]),
    row(ApiKey::ListConfigResources, &[((3, 7), 0), ((4, 1), 1)]),
    row(ApiKey::AddRaftVoter, &[((3, 9), 0)]),
    row(ApiKey::RemoveRaftVoter, &[((3, 9), 0)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn max(version: &str, api: ApiKey) -> Option<i16> {
        version.parse::<KafkaVersion>().unwrap().listed(api).map(|(_, max)| max)
    }

    /// Columns of the ApiVersions answers of released brokers.
    #[test]
    fn highest_versions_follow_kafkas_history() {
        let rows = [
            (ApiKey::Produce, [Some(3), Some(5), Some(7), Some(9), Some(11), Some(12), Some(13)]),
            (ApiKey::Fetch, [Some(5), Some(7), Some(10), Some(12), Some(17), Some(17), Some(18)]),
            (ApiKey::Metadata, [Some(4), Some(5), Some(7), Some(11), Some(12), Some(13), Some(13)]),
            (ApiKey::FindCoordinator, [Some(1), Some(1), Some(2), Some(3), Some(6), Some(6), Some(6)]),
            (ApiKey::InitProducerId, [Some(0), Some(0), Some(1), Some(4), Some(5), Some(5), Some(5)]),
            (ApiKey::AddPartitionsToTxn, [Some(0), Some(0), Some(1), Some(3), Some(5), Some(5), Some(5)]),
            (ApiKey::EndTxn, [Some(0), Some(0), Some(1), Some(3), Some(4), Some(5), Some(5)]),
            (ApiKey::TxnOffsetCommit, [Some(0), Some(0), Some(2), Some(3), Some(4), Some(5), Some(5)]),
            (ApiKey::DescribeTransactions, [None, None, None, None, Some(0), Some(0), Some(0)]),
        ];
        for (api, expected) in rows {
            let versions = ["0.11", "1.1", "2.1", "2.8", "3.9", "4.0", "4.1"];
            assert_eq!(versions.map(|version| max(version, api)), expected, "{api:?}");
        }
    }

    #[test]
    fn kafka_4_lists_produce_from_0_but_accepts_it_from_3() {
        assert_eq!(KafkaVersion::NEWEST.listed(ApiKey::Produce), Some((0, 13)));
        assert_eq!(KafkaVersion::NEWEST.accepted(ApiKey::Produce), Some((3, 13)));
        assert_eq!(KafkaVersion::NEWEST.listed(ApiKey::Fetch), Some((4, 18)));
    }

    #[test]
    fn second_transaction_protocol_is_finalized_from_4_0_on() {
        assert_eq!(KafkaVersion::new(3, 9).transaction_version(), None);
        assert_eq!(KafkaVersion::new(4, 0).transaction_version(), Some(2));
    }

    #[test]
    fn versions_are_read_from_text() {
        assert_eq!("0.11.0.3".parse(), Ok(KafkaVersion::new(0, 11)));
        assert!("4.2".parse::<KafkaVersion>().is_err() && "0.10.2".parse::<KafkaVersion>().is_err());
        assert!("new".parse::<KafkaVersion>().is_err());
    }
}
