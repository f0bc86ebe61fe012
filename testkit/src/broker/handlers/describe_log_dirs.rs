//! DescribeLogDirs: how large the logs are.

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};

use super::super::cluster::{Call, Cluster};
use super::{code, text};

/// Everything is in memory; clients want a directory all the same.
pub(super) const DIRECTORY: &str = "/ottla";

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let wants = |name: &str, index: i32| {
        request.topics.as_ref().is_none_or(|topics| {
            topics.iter().any(|topic| topic.topic.0.as_str() == name && topic.partitions.contains(&index))
        })
    };
    let topics = cluster.topics.iter().map(|(name, topic)| {
        let mine = topic.partitions.iter().filter(|one| one.replicas.contains(&call.node) && wants(name, one.index));
        let sizes = mine.map(|partition| {
            let size = i64::try_from(partition.log.size()).unwrap_or(i64::MAX);
            DescribeLogDirsPartition::default().with_partition_index(partition.index).with_partition_size(size)
        });
        DescribeLogDirsTopic::default().with_name(TopicName(text(name.clone()))).with_partitions(sizes.collect())
    });
    let topics = topics.filter(|topic| !topic.partitions.is_empty()).collect();
    let result = DescribeLogDirsResult::default().with_log_dir(text(DIRECTORY)).with_topics(topics);
    let failed = code(&call.fails_whole());
    if call.version >= 3 && failed != 0 {
        return DescribeLogDirsResponse::default().with_error_code(failed);
    }
    DescribeLogDirsResponse::default().with_results(vec![result.with_error_code(failed)])
}
