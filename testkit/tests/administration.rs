//! What administrators ask: groups, configs, elections, reassignments, compaction, SCRAM users; asked over sockets.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read the clock and fail by panic")]

mod wire;

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, Record, RecordBatchDecoder};
use ottla_testkit::Broker;
use wire::{Client, batch, encoded, record};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

fn group() -> GroupId {
    GroupId(text("g"))
}

async fn started(nodes: i32) -> (Broker, Client) {
    let broker = Broker::builder().nodes(nodes).topic("t", 2).start().await.unwrap();
    let client = Client::connect(&broker.address(0).unwrap()).await;
    (broker, client)
}

async fn commit(client: &mut Client, name: &str) -> i16 {
    use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
    let committed = OffsetCommitRequestTopic::default().with_name(topic(name)).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![committed]);
    client.call(8, &request).await.topics[0].partitions[0].error_code
}

async fn delete_group(client: &mut Client) -> i16 {
    client.call(2, &DeleteGroupsRequest::default().with_groups_names(vec![group()])).await.results[0].error_code
}

fn heartbeat(epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text("m"))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(1000)
        .with_topic_partitions(Some(Vec::new()))
        .with_subscribed_topic_names(Some(vec![topic("t")]))
}

#[tokio::test]
async fn only_groups_without_members_are_deleted() {
    let (broker, mut client) = started(1).await;
    assert_eq!(delete_group(&mut client).await, 69, "unknown");
    assert_eq!(commit(&mut client, "t").await, 0);
    assert_eq!(client.call(1, &heartbeat(0)).await.error_code, 0);
    assert_eq!(delete_group(&mut client).await, 68, "a member");
    client.call(1, &heartbeat(-1)).await;
    assert_eq!(delete_group(&mut client).await, 0);
    assert!(broker.committed("g").is_empty());
}

#[tokio::test]
async fn offsets_of_a_topic_somebody_reads_are_kept() {
    use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
    let (broker, mut client) = started(1).await;
    let partition = OffsetDeleteRequestPartition::default();
    let asked = OffsetDeleteRequestTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![asked]);
    assert_eq!(client.call(0, &request).await.error_code, 69);
    assert_eq!(commit(&mut client, "t").await, 0);
    client.call(1, &heartbeat(0)).await;
    assert_eq!(client.call(0, &request).await.topics[0].partitions[0].error_code, 86);
    client.call(1, &heartbeat(-1)).await;
    assert_eq!(client.call(0, &request).await.topics[0].partitions[0].error_code, 0);
    assert!(broker.committed("g").is_empty());
}

async fn configured(client: &mut Client, name: &str) -> Option<String> {
    use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
    let resource = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text("t"));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource.with_configuration_keys(None)]);
    let described = client.call(4, &request).await;
    let config = described.results[0].configs.iter().find(|config| config.name.as_str() == name)?;
    config.value.as_ref().map(ToString::to_string)
}

#[tokio::test]
async fn topic_configs_change_one_by_one() {
    use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let (_broker, mut client) = started(1).await;
    let change = |operation, name, value: Option<&str>| {
        let config = AlterableConfig::default().with_name(text(name)).with_config_operation(operation);
        let configs = vec![config.with_value(value.map(text))];
        let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("t"));
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource.with_configs(configs)])
    };
    for (operation, value, code, then) in [
        (0, Some("compact"), 0, "compact"),
        (2, Some("delete"), 0, "compact,delete"),
        (3, Some("compact"), 0, "delete"),
        (0, Some("shred"), 40, "delete"),
        (0, None, 42, "delete"),
        (1, None, 0, "delete"),
    ] {
        let request = change(operation, "cleanup.policy", value);
        assert_eq!(client.call(1, &request).await.responses[0].error_code, code);
        assert_eq!(configured(&mut client, "cleanup.policy").await.as_deref(), Some(then));
    }
    assert_eq!(client.call(1, &change(0, "no.such", Some("1"))).await.responses[0].error_code, 40);
}

#[tokio::test]
async fn preferred_election_gives_a_moved_leader_back() {
    let (broker, mut client) = started(3).await;
    let first = broker.leader("t", 0).unwrap();
    let elect = || {
        let partitions =
            elect_leaders_request::TopicPartitions::default().with_topic(topic("t")).with_partitions(vec![0]);
        ElectLeadersRequest::default().with_topic_partitions(Some(vec![partitions]))
    };
    let told = client.call(2, &elect()).await;
    assert_eq!(told.replica_election_results[0].partition_result[0].error_code, 84, "not needed");
    assert!(broker.move_leader("t", 0, (first + 1) % 3));
    let told = client.call(2, &elect()).await;
    assert_eq!(told.replica_election_results[0].partition_result[0].error_code, 0);
    assert_eq!(broker.leader("t", 0), Some(first));
}

#[tokio::test]
async fn reassigned_partition_is_led_by_its_new_replicas() {
    use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    let (broker, mut client) = started(3).await;
    let mut ask = async |replicas: Option<Vec<i32>>| {
        let replicas = replicas.map(|ids| ids.into_iter().map(BrokerId).collect());
        let partition = ReassignablePartition::default().with_replicas(replicas);
        let reassigned = ReassignableTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
        let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![reassigned]);
        client.call(0, &request).await.responses[0].partitions[0].error_code
    };
    assert_eq!(ask(Some(vec![2, 1])).await, 0);
    assert_eq!(broker.leader("t", 0), Some(2));
    assert_eq!(ask(Some(vec![1, 1])).await, 39);
    assert_eq!(ask(Some(vec![9])).await, 39);
    assert_eq!(ask(None).await, 85, "nothing to cancel");
}

#[tokio::test]
async fn topics_are_described_page_by_page() {
    let (_broker, mut client) = started(1).await;
    let request = DescribeTopicPartitionsRequest::default().with_response_partition_limit(1).with_cursor(None);
    let first = client.call(0, &request).await;
    assert_eq!(first.topics[0].partitions.iter().map(|one| one.partition_index).collect::<Vec<_>>(), [0]);
    let partition = &first.topics[0].partitions[0];
    assert_eq!((&partition.eligible_leader_replicas, &partition.last_known_elr), (&Some(vec![]), &Some(vec![])));
    let next = first.next_cursor.unwrap();
    let cursor = describe_topic_partitions_request::Cursor::default()
        .with_topic_name(next.topic_name)
        .with_partition_index(next.partition_index);
    let second = client.call(0, &request.with_cursor(Some(cursor))).await;
    assert_eq!(second.topics[0].partitions.iter().map(|one| one.partition_index).collect::<Vec<_>>(), [1]);
    assert!(second.next_cursor.is_none());
}

#[tokio::test]
async fn marker_by_hand_ends_a_hanging_transaction() {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
    let (_broker, mut client) = started(1).await;
    let init = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("tx"))))
        .with_transaction_timeout_ms(60_000);
    let producer = client.call(5, &init).await;
    let records = batch(&["v"], Some((producer.producer_id.0, producer.producer_epoch, 0)), true);
    let data = PartitionProduceData::default().with_records(Some(records));
    let produced = TopicProduceData::default().with_name(topic("t")).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_transactional_id(Some(TransactionalId(text("tx"))))
        .with_topic_data(vec![produced]);
    assert_eq!(client.call(12, &request).await.responses[0].partition_responses[0].error_code, 0);
    assert_eq!(last_stable_offset(&mut client).await, 0);
    let topics = vec![WritableTxnMarkerTopic::default().with_name(topic("t")).with_partition_indexes(vec![0])];
    let marker = WritableTxnMarker::default()
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.producer_epoch)
        .with_topics(topics);
    let written = client.call(1, &WriteTxnMarkersRequest::default().with_markers(vec![marker])).await;
    assert_eq!(written.markers[0].topics[0].partitions[0].error_code, 0);
    assert_eq!(last_stable_offset(&mut client).await, 2);
}

fn fetch(offset: i64) -> FetchRequest {
    use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default().with_topic(topic("t")).with_partitions(vec![partition]);
    FetchRequest::default().with_max_bytes(1 << 20).with_session_epoch(-1).with_topics(vec![asked])
}

async fn last_stable_offset(client: &mut Client) -> i64 {
    let response = client.call(12, &fetch(0).with_isolation_level(1)).await;
    response.responses[0].partitions[0].last_stable_offset
}

/// A batch of (key, value).
fn keyed(records: &[(&'static str, &'static str)]) -> Bytes {
    compressed(records, Compression::None)
}

/// The records' timestamps are 1 ms apart.
fn compressed(records: &[(&'static str, &'static str)], compression: Compression) -> Bytes {
    let record = |(index, &(key, value)): (usize, &(&'static str, &'static str))| Record {
        key: Some(Bytes::from_static(key.as_bytes())),
        value: Some(Bytes::from_static(value.as_bytes())),
        ..record(index, 1_700_000_000_000 + index as i64)
    };
    encoded(&records.iter().enumerate().map(record).collect::<Vec<_>>(), compression)
}

async fn produce(client: &mut Client, records: Bytes) -> i16 {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    let data = PartitionProduceData::default().with_records(Some(records));
    let produced = TopicProduceData::default().with_name(topic("t")).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![produced]);
    client.call(9, &request).await.responses[0].partition_responses[0].error_code
}

#[tokio::test]
async fn compaction_keeps_the_newest_record_of_each_key_and_all_offsets() {
    let broker = Broker::builder().topic_with("t", 1, &[("cleanup.policy", "compact")]).start().await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(produce(&mut client, batch(&["no key"], None, false)).await, 87);
    for records in [&[("a", "1"), ("b", "1")][..], &[("a", "2"), ("c", "1")], &[("b", "2")], &[("c", "2")]] {
        assert_eq!(produce(&mut client, keyed(records)).await, 0);
    }
    broker.compact("t", 0);
    assert_eq!(broker.offsets("t", 0), Some((0, 6)));
    let response = client.call(12, &fetch(0)).await;
    let mut bytes = response.responses[0].partitions[0].records.clone().unwrap();
    let records = RecordBatchDecoder::decode_all(&mut bytes).unwrap().into_iter().flat_map(|set| set.records);
    let found: Vec<_> = records.map(|record| (record.offset, record.key.unwrap(), record.value.unwrap())).collect();
    let expected = [(2, "a", "2"), (4, "b", "2"), (5, "c", "2")];
    assert_eq!(found, expected.map(|(offset, key, value)| (offset, Bytes::from(key), Bytes::from(value))));
}

const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

#[tokio::test]
async fn compressed_batches_are_compacted_and_stay_compressed() {
    for codec in CODECS {
        let broker = Broker::builder().topic_with("t", 1, &[("cleanup.policy", "compact")]).start().await.unwrap();
        let mut client = Client::connect(&broker.bootstrap()).await;
        for records in [&[("a", "1"), ("b", "1")][..], &[("a", "2"), ("c", "1")], &[("c", "2")]] {
            assert_eq!(produce(&mut client, compressed(records, codec)).await, 0);
        }
        let keyless = batch_without_key(codec);
        assert_eq!(produce(&mut client, keyless).await, 87, "{codec:?}");
        broker.compact("t", 0);
        let response = client.call(12, &fetch(0)).await;
        let mut bytes = response.responses[0].partitions[0].records.clone().unwrap();
        let sets = RecordBatchDecoder::decode_all(&mut bytes).unwrap();
        assert!(sets.iter().all(|set| set.compression == codec), "{codec:?}");
        let records = sets.into_iter().flat_map(|set| set.records);
        let found: Vec<_> = records.map(|record| (record.offset, record.value.unwrap())).collect();
        let expected = [(1, "1"), (2, "2"), (4, "2")];
        assert_eq!(found, expected.map(|(offset, value)| (offset, Bytes::from(value))), "{codec:?}");
    }
}

fn batch_without_key(codec: Compression) -> Bytes {
    let without_key = Record { value: Some(Bytes::from_static(b"v")), ..record(0, 1_700_000_000_000) };
    encoded(&[without_key], codec)
}

#[tokio::test]
async fn times_are_found_inside_of_compressed_batches() {
    use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    for codec in CODECS {
        let (_broker, mut client) = started(1).await;
        let records: Vec<_> = (0..10).map(|_| ("k", "v")).collect();
        assert_eq!(produce(&mut client, compressed(&records, codec)).await, 0);
        assert_eq!(produce(&mut client, compressed(&records[..3], codec)).await, 0);
        for (timestamp, found) in
            [(1_700_000_000_004, 4), (0, 0), (1_700_000_000_009, 9), (1_700_000_000_010, -1), (-3, 9)]
        {
            let asked = ListOffsetsPartition::default().with_timestamp(timestamp);
            let topics = vec![ListOffsetsTopic::default().with_name(topic("t")).with_partitions(vec![asked])];
            let answer = client.call(7, &ListOffsetsRequest::default().with_topics(topics)).await;
            assert_eq!(answer.topics[0].partitions[0].offset, found, "{codec:?} {timestamp}");
        }
    }
}

#[tokio::test]
async fn readers_are_sent_to_the_replica_of_their_rack() {
    let broker = Broker::builder().nodes(3).racks(&["a", "b", "c"]).topic("t", 1).start().await.unwrap();
    let leader = broker.leader("t", 0).unwrap();
    assert_eq!(leader, 0);
    let mut client = Client::connect(&broker.address(0).unwrap()).await;
    assert_eq!(produce(&mut client, batch(&["v"], None, false)).await, 0);
    let near = fetch(0).with_rack_id(text("c"));
    let sent = client.call(12, &near).await;
    let partition = &sent.responses[0].partitions[0];
    assert_eq!((partition.preferred_read_replica, partition.records.as_ref().map(Bytes::len)), (BrokerId(2), Some(0)));
    let mut follower = Client::connect(&broker.address(2).unwrap()).await;
    let read = follower.call(12, &near).await;
    assert!(read.responses[0].partitions[0].records.as_ref().is_some_and(|records| !records.is_empty()));
    let stays = client.call(12, &fetch(0).with_rack_id(text("a"))).await;
    assert!(stays.responses[0].partitions[0].records.as_ref().is_some_and(|records| !records.is_empty()));
    broker.prefer_replica("t", 0, Some(1));
    let sent = client.call(12, &fetch(0)).await;
    assert_eq!(sent.responses[0].partitions[0].preferred_read_replica, BrokerId(1));
}

#[tokio::test]
async fn scram_users_are_set_listed_and_removed() {
    use kafka_protocol::messages::alter_user_scram_credentials_request::{
        ScramCredentialDeletion, ScramCredentialUpsertion,
    };
    let (_broker, mut client) = started(1).await;
    let upsert = |iterations| {
        let one = ScramCredentialUpsertion::default()
            .with_name(text("alice"))
            .with_mechanism(1)
            .with_iterations(iterations)
            .with_salt(Bytes::from_static(b"salt"))
            .with_salted_password(Bytes::from_static(b"salted"));
        AlterUserScramCredentialsRequest::default().with_upsertions(vec![one])
    };
    assert_eq!(client.call(0, &upsert(1)).await.results[0].error_code, 93);
    assert_eq!(client.call(0, &upsert(8192)).await.results[0].error_code, 0);
    let all = DescribeUserScramCredentialsRequest::default().with_users(None);
    let listed = client.call(0, &all).await.results;
    let info = &listed[0].credential_infos[0];
    assert_eq!((listed[0].user.as_str(), info.mechanism, info.iterations), ("alice", 1, 8192));
    let deletion = ScramCredentialDeletion::default().with_name(text("alice")).with_mechanism(1);
    let delete = AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion]);
    assert_eq!(client.call(0, &delete).await.results[0].error_code, 0);
    assert_eq!(client.call(0, &delete).await.results[0].error_code, 91);
    assert_eq!(client.call(0, &all).await.results, []);
}
