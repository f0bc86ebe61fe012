//! WriteTxnMarkers: end markers by hand, as an administrator aborts a hanging transaction (KIP-664).

use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::super::ErrorCode;
use super::super::batch::Marker;
use super::super::cluster::{Call, Cluster};
use super::super::offsets::OFFSETS_TOPIC;
use super::code;

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
    let results = request.markers.iter().map(|marker| {
        let topics = marker.topics.iter().map(|topic| {
            let name = topic.name.0.as_str();
            let partitions = topic.partition_indexes.iter().map(|&index| {
                let written = write(cluster, call, marker, name, index);
                WritableTxnMarkerPartitionResult::default().with_partition_index(index).with_error_code(code(&written))
            });
            let partitions = partitions.collect();
            WritableTxnMarkerTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
        });
        let topics = topics.collect();
        WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics)
    });
    WriteTxnMarkersResponse::default().with_markers(results.collect())
}

fn write(
    cluster: &mut Cluster,
    call: &Call,
    asked: &WritableTxnMarker,
    name: &str,
    index: i32,
) -> Result<(), ErrorCode> {
    call.may_cluster()?;
    call.fails(name, index)?;
    let marker = Marker {
        producer_id: asked.producer_id.0,
        producer_epoch: asked.producer_epoch,
        coordinator_epoch: asked.coordinator_epoch,
        commit: asked.transaction_result,
    };
    if name == OFFSETS_TOPIC {
        cluster.offsets.end_transaction(index, marker.producer_id, marker.commit);
        return Ok(());
    }
    cluster.led(call.node, name, index, -1)?;
    let timestamp = cluster.wall_ms(call.now);
    let partition = cluster.partition_mut(name, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    partition.end_transaction(marker, false, timestamp)?;
    cluster.wake(name, index);
    Ok(())
}
