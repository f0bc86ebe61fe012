//! ElectLeaders: preferred and unclean elections.

use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::text;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: ElectLeadersRequest) -> ElectLeadersResponse {
    if let Err(error) = call.fails_whole() {
        return ElectLeadersResponse::default().with_error_code(error.code());
    }
    let everything = request.topic_partitions.is_none();
    let asked: Vec<(String, Vec<i32>)> = match request.topic_partitions {
        Some(topics) => topics.into_iter().map(|topic| (topic.topic.0.to_string(), topic.partitions)).collect(),
        None => {
            let all = cluster.topics.iter();
            all.map(|(name, topic)| (name.clone(), (0..topic.partitions.len() as i32).collect())).collect()
        }
    };
    let unclean = request.election_type == 1;
    let results = asked.into_iter().map(|(name, partitions)| {
        let elected = partitions.into_iter().map(|index| (index, cluster.elect(&name, index, unclean)));
        // Who asks for everything is told only of what was done or failed.
        let told = elected.filter(|(_, result)| !everything || *result != Err(ErrorCode::ElectionNotNeeded));
        let results = told.map(|(index, result)| {
            let told = PartitionResult::default().with_partition_id(index).with_error_message(None);
            match result {
                Ok(()) => told,
                Err(error) => told.with_error_code(error.code()).with_error_message(Some(text(error.to_string()))),
            }
        });
        let results = results.collect();
        ReplicaElectionResult::default().with_topic(TopicName(text(name))).with_partition_result(results)
    });
    ElectLeadersResponse::default().with_replica_election_results(results.collect())
}
