//! DescribeProducers: who writes to a partition, and whose transaction holds back its LSO.

use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};

use super::super::cluster::{Call, Cluster};
use super::super::partition::Partition;
use super::{code, text};

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|&index| {
            let name = topic.name.0.as_str();
            let led = call.fails_whole().and_then(|()| cluster.led(call.node, name, index, -1));
            PartitionResponse::default()
                .with_partition_index(index)
                .with_error_code(code(&led))
                .with_error_message(led.as_ref().err().map(|error| text(error.to_string())))
                .with_active_producers(led.map(producers).unwrap_or_default())
        });
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

fn producers(partition: &Partition) -> Vec<ProducerState> {
    let states = partition.producers.states().into_iter().map(|(id, state)| {
        ProducerState::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(i32::from(state.epoch))
            .with_last_sequence(state.last_sequence())
            .with_last_timestamp(state.last_timestamp)
            .with_coordinator_epoch(state.coordinator_epoch)
            .with_current_txn_start_offset(state.transaction_start.unwrap_or(-1))
    });
    states.collect()
}
