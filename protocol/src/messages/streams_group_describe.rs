//! Looking at groups of Kafka Streams (API key 89).
use crate::macros::{message, request};

request!(StreamsGroupDescribeRequest => StreamsGroupDescribeResponse, StreamsGroupDescribe, versions 0-1, flexible 0+);

message! {
    /// Asks for the state, the topology and the members of streams groups.
    StreamsGroupDescribeRequest {
        group_ids: Vec<String>;
        include_authorized_operations: bool;
        include_topology_description: bool, @ 1+;
    }

    /// The groups described.
    StreamsGroupDescribeResponse {
        throttle_time_ms: i32;
        groups: Vec<DescribedGroup>;
    }

    DescribedGroup {
        error_code: i16;
        error_message: Option<String>;
        group_id: String;
        group_state: String;
        group_epoch: i32;
        assignment_epoch: i32;
        topology: Option<Topology>;
        members: Vec<Member>;
        authorized_operations: i32 = -2147483648;
        topology_description: Option<TopologyDescription>, @ 1+;
        topology_description_status: i8, @ 1+;
        assignor_name: Option<String>, @ 1+, ignorable;
    }

    Topology {
        epoch: i32;
        subtopologies: Option<Vec<Subtopology>>;
    }

    Subtopology {
        subtopology_id: String;
        source_topics: Vec<String>;
        repartition_sink_topics: Vec<String>;
        state_changelog_topics: Vec<TopicInfo>;
        repartition_source_topics: Vec<TopicInfo>;
    }

    Member {
        member_id: String;
        member_epoch: i32;
        instance_id: Option<String>;
        rack_id: Option<String>;
        client_id: String;
        client_host: String;
        topology_epoch: i32;
        process_id: String;
        user_endpoint: Option<Endpoint>;
        client_tags: Vec<KeyValue>;
        task_offsets: Vec<TaskOffset>;
        task_end_offsets: Vec<TaskOffset>;
        assignment: Assignment;
        target_assignment: Assignment;
        is_classic: bool;
    }

    Endpoint {
        host: String;
        port: u16;
    }

    TaskOffset {
        subtopology_id: String;
        partition: i32;
        offset: i64;
    }

    Assignment {
        active_tasks: Vec<TaskIds>;
        standby_tasks: Vec<TaskIds>;
        warmup_tasks: Vec<TaskIds>;
    }

    TaskIds {
        subtopology_id: String;
        partitions: Vec<i32>;
    }

    KeyValue {
        key: String;
        value: String;
    }

    TopicInfo {
        name: String;
        partitions: i32;
        replication_factor: i16;
        topic_configs: Vec<KeyValue>;
    }

    TopologyDescription {
        subtopologies: Vec<TopologyDescriptionSubtopology>, @ 1+;
        global_stores: Vec<TopologyDescriptionGlobalStore>, @ 1+;
    }

    TopologyDescriptionSubtopology {
        subtopology_id: String, @ 1+;
        nodes: Vec<TopologyDescriptionNode>, @ 1+;
    }

    TopologyDescriptionNode {
        name: String, @ 1+;
        node_type: i8, @ 1+;
        source_topics: Vec<String>, @ 1+;
        sink_topic: Option<String>, @ 1+;
        stores: Vec<String>, @ 1+;
        successors: Vec<String>, @ 1+;
    }

    TopologyDescriptionGlobalStore {
        source: TopologyDescriptionNode, @ 1+;
        processor: TopologyDescriptionNode, @ 1+;
    }
}
