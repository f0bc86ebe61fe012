//! Transaction markers (API key 27).

use crate::macros::{message, request};

request!(WriteTxnMarkersRequest => WriteTxnMarkersResponse, WriteTxnMarkers, versions 0-2, flexible 1+);

message! {
    /// Writes the end markers of transactions into partitions.
    WriteTxnMarkersRequest {
        markers: Vec<WritableTxnMarker>;
    }

    WritableTxnMarker {
        producer_id: i64;
        producer_epoch: i16;
        transaction_result: bool;
        topics: Vec<WritableTxnMarkerTopic>;
        coordinator_epoch: i32;
        transaction_version: i8, @ 2+, ignorable;
    }

    WritableTxnMarkerTopic {
        name: String;
        partition_indexes: Vec<i32>;
    }

    /// Which markers were written.
    WriteTxnMarkersResponse {
        markers: Vec<WritableTxnMarkerResult>;
    }

    WritableTxnMarkerResult {
        producer_id: i64;
        topics: Vec<WritableTxnMarkerTopicResult>;
    }

    WritableTxnMarkerTopicResult {
        name: String;
        partitions: Vec<WritableTxnMarkerPartitionResult>;
    }

    WritableTxnMarkerPartitionResult {
        partition_index: i32;
        error_code: i16;
    }
}
