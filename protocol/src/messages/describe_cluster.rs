//! The cluster's nodes (API key 60).

use crate::macros::{message, request};

request!(DescribeClusterRequest => DescribeClusterResponse, DescribeCluster, versions 0-2, flexible 0+);

message! {
    /// Asks for the brokers or controllers of the cluster.
    DescribeClusterRequest {
        include_cluster_authorized_operations: bool;
        endpoint_type: i8 = 1, @ 1+;
        include_fenced_brokers: bool, @ 2+;
    }

    /// The nodes of the cluster.
    DescribeClusterResponse {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<String>;
        endpoint_type: i8 = 1, @ 1+;
        cluster_id: String;
        controller_id: i32 = -1;
        brokers: Vec<DescribeClusterBroker>;
        cluster_authorized_operations: i32 = -2147483648;
    }

    DescribeClusterBroker {
        broker_id: i32;
        host: String;
        port: i32;
        rack: Option<String>;
        is_fenced: bool, @ 2+;
    }
}
