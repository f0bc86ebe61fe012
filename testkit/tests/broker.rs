//! The embedded broker over sockets, asked by a client that shares no code with Ottla's.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests measure, wait, and fail by panic")]

mod wire;

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Record, RecordBatchDecoder};
use ottla_testkit::{Broker, ErrorCode, GroupMigration};
use wire::{Client, batch};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

fn produce_to(name: &str, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic(name)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic])
}

/// Error code and base offset.
async fn produce(client: &mut Client, version: i16, request: &ProduceRequest) -> (i16, i64) {
    let response = client.call(version, request).await;
    let data = &response.responses[0].partition_responses[0];
    (data.error_code, data.base_offset)
}

fn fetch_from(name: &str, partition: i32, offset: i64) -> FetchRequest {
    let data =
        FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic(name)).with_partitions(vec![data]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

fn values(records: Option<Bytes>) -> Vec<(i64, String)> {
    let mut bytes = records.unwrap_or_default();
    let sets = RecordBatchDecoder::decode_all(&mut bytes).unwrap();
    let records = sets.into_iter().flat_map(|set| set.records);
    let data = records.filter(|record: &Record| !record.control);
    data.map(|record| (record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap())).collect()
}

async fn one_node() -> (Broker, Client) {
    one_node_as("4.1").await
}

async fn one_node_as(version: &str) -> (Broker, Client) {
    let broker = Broker::builder().topic("t", 2).as_version(version).start().await.unwrap();
    let client = Client::connect(&broker.bootstrap()).await;
    (broker, client)
}

async fn initialize(client: &mut Client, version: i16, id: &str) -> (i64, i16) {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(id))))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let response = client.call(version, &request).await;
    assert_eq!(response.error_code, 0);
    (response.producer_id.0, response.producer_epoch)
}

async fn end(client: &mut Client, version: i16, id: &str, producer: (i64, i16), commit: bool) -> EndTxnResponse {
    let request = EndTxnRequest::default()
        .with_transactional_id(TransactionalId(text(id)))
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_committed(commit);
    client.call(version, &request).await
}

#[tokio::test]
async fn starts_within_milliseconds_and_stops_when_dropped() {
    let started = Instant::now();
    let broker = Broker::builder().nodes(3).topic("t", 6).start().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1));
    let addresses: Vec<String> = broker.bootstrap().split(',').map(str::to_owned).collect();
    assert_eq!(addresses.len(), 3);
    let mut client = Client::connect(&addresses[2]).await;
    let metadata = client.call(12, &MetadataRequest::default().with_topics(None)).await;
    assert_eq!(metadata.brokers.len(), 3);
    assert_eq!(metadata.topics[0].partitions.len(), 6);
    drop(broker);
    assert!(client.receive_raw().await.is_none());
}

#[tokio::test]
async fn unknown_api_versions_version_gets_a_v0_body_with_error_35() {
    let (_broker, mut client) = one_node().await;
    let mut frame = vec![0, 18, 0, 99, 0, 0, 0, 7];
    frame.extend_from_slice(&[0xff; 20]);
    client.send_raw(&frame).await;
    let (correlation_id, response) = client.receive::<ApiVersionsRequest>(0).await;
    assert_eq!((correlation_id, response.error_code), (7, 35));
    assert_eq!(response.api_keys.iter().map(|key| key.api_key).collect::<Vec<_>>(), [18]);
    let request =
        ApiVersionsRequest::default().with_client_software_name(text("wire")).with_client_software_version(text("1.0"));
    let response = client.call(4, &request).await;
    let features: Vec<_> =
        response.finalized_features.iter().map(|one| (one.name.as_str(), one.max_version_level)).collect();
    assert_eq!(features, [("group.version", 1), ("metadata.version", 27), ("transaction.version", 2)]);
}

#[tokio::test]
async fn no_transaction_feature_before_4_0() {
    let (_broker, mut client) = one_node_as("3.9").await;
    let request =
        ApiVersionsRequest::default().with_client_software_name(text("wire")).with_client_software_version(text("1.0"));
    let response = client.call(4, &request).await;
    let names: Vec<_> = response.finalized_features.iter().map(|one| one.name.as_str()).collect();
    assert_eq!((names, response.finalized_features_epoch), (vec!["metadata.version"], 1));
    let (_broker, mut client) = one_node_as("2.8").await;
    let response = client.call(3, &request).await;
    assert!(response.finalized_features.is_empty() && response.finalized_features_epoch == -1);
}

#[tokio::test]
async fn hostile_frames_cost_their_connection_only() {
    let (broker, mut client) = one_node().await;
    client.send_raw(&[0, 0, 0, 9, 0, 0, 0, 1, 0, 0]).await;
    assert!(client.receive_raw().await.is_none());
    let mut again = Client::connect(&broker.bootstrap()).await;
    assert_eq!(again.call(12, &MetadataRequest::default().with_topics(None)).await.brokers.len(), 1);
}

#[tokio::test]
async fn produced_records_are_fetched_with_their_offsets() {
    let (_broker, mut client) = one_node().await;
    assert_eq!(produce(&mut client, 9, &produce_to("t", 0, batch(&["a", "b"], None, false))).await, (0, 0));
    assert_eq!(produce(&mut client, 9, &produce_to("t", 0, batch(&["c"], None, false))).await, (0, 2));
    let response = client.call(12, &fetch_from("t", 0, 1)).await;
    let data = &response.responses[0].partitions[0];
    assert_eq!((data.error_code, data.high_watermark, data.last_stable_offset), (0, 3, 3));
    let seen = values(data.records.clone());
    assert_eq!(seen, [(0, "a".into()), (1, "b".into()), (2, "c".into())]);
}

#[tokio::test]
async fn long_poll_ends_when_records_arrive() {
    let (broker, mut client) = one_node().await;
    let started = Instant::now();
    client.send(12, &fetch_from("t", 0, 0).with_max_wait_ms(8_000)).await;
    let mut other = Client::connect(&broker.bootstrap()).await;
    produce(&mut other, 9, &produce_to("t", 0, batch(&["late"], None, false))).await;
    let (_, response) = client.receive::<FetchRequest>(12).await;
    assert_eq!(values(response.responses[0].partitions[0].records.clone()), [(0, "late".into())]);
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn long_poll_ends_empty_after_max_wait() {
    let (_broker, mut client) = one_node().await;
    let started = Instant::now();
    let response = client.call(12, &fetch_from("t", 0, 0).with_max_wait_ms(50)).await;
    assert!(values(response.responses[0].partitions[0].records.clone()).is_empty());
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn idempotent_duplicate_is_answered_with_its_first_offset() {
    let (_broker, mut client) = one_node().await;
    let producer = client.call(4, &InitProducerIdRequest::default().with_transactional_id(None)).await.producer_id.0;
    let request = |sequence| produce_to("t", 0, batch(&["x"], Some((producer, 0, sequence)), false));
    assert_eq!(produce(&mut client, 9, &request(0)).await, (0, 0));
    assert_eq!(produce(&mut client, 9, &request(1)).await, (0, 1));
    assert_eq!(produce(&mut client, 9, &request(0)).await, (0, 0));
    assert_eq!(produce(&mut client, 9, &request(3)).await, (45, -1));
}

/// Committed and aborted records of one transactional id, by the second protocol.
#[tokio::test]
async fn second_protocol_transaction_round_trip() {
    let (_broker, mut client) = one_node().await;
    let (id, epoch) = initialize(&mut client, 5, "tx").await;
    let open = |value: &'static str, epoch| {
        produce_to("t", 0, batch(&[value], Some((id, epoch, 0)), true))
            .with_transactional_id(Some(TransactionalId(text("tx"))))
    };
    assert_eq!(produce(&mut client, 12, &open("dropped", epoch)).await, (0, 0));
    let committed = fetch_from("t", 0, 0).with_isolation_level(1);
    let hidden = client.call(12, &committed).await;
    let data = &hidden.responses[0].partitions[0];
    assert_eq!((data.last_stable_offset, data.high_watermark), (0, 1));
    assert!(values(data.records.clone()).is_empty());
    let aborted = end(&mut client, 5, "tx", (id, epoch), false).await;
    assert_eq!((aborted.error_code, aborted.producer_epoch), (0, epoch + 1));
    assert_eq!(produce(&mut client, 12, &open("kept", epoch + 1)).await, (0, 2));
    assert_eq!(end(&mut client, 5, "tx", (id, epoch + 1), true).await.error_code, 0);
    let response = client.call(12, &committed).await;
    let data = &response.responses[0].partitions[0];
    assert_eq!((data.last_stable_offset, data.high_watermark), (4, 4));
    assert_eq!(values(data.records.clone()), [(0, "dropped".into()), (2, "kept".into())]);
    let aborted = data.aborted_transactions.as_ref().unwrap();
    assert_eq!((aborted[0].producer_id.0, aborted[0].first_offset, aborted.len()), (id, 0, 1));
    assert_eq!(produce(&mut client, 12, &open("late", epoch)).await.0, 47);
}

/// The same by the first protocol, with offsets.
#[tokio::test]
async fn first_protocol_transaction_with_offsets_round_trip() {
    use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
    use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
    use kafka_protocol::messages::txn_offset_commit_request::{
        TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    };
    let (broker, mut client) = one_node_as("3.9").await;
    let (id, epoch) = initialize(&mut client, 4, "tx").await;
    let open = produce_to("t", 1, batch(&["v"], Some((id, epoch, 0)), true))
        .with_transactional_id(Some(TransactionalId(text("tx"))));
    assert_eq!(produce(&mut client, 9, &open).await.0, 48, "not added yet");
    let added = AddPartitionsToTxnTopic::default().with_name(topic("t")).with_partitions(vec![1]);
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(text("tx")))
        .with_v3_and_below_producer_id(ProducerId(id))
        .with_v3_and_below_producer_epoch(epoch)
        .with_v3_and_below_topics(vec![added]);
    let result = client.call(3, &add).await.results_by_topic_v3_and_below;
    assert_eq!(result[0].results_by_partition[0].partition_error_code, 0);
    assert_eq!(produce(&mut client, 9, &open).await, (0, 0));
    let offsets = AddOffsetsToTxnRequest::default()
        .with_transactional_id(TransactionalId(text("tx")))
        .with_producer_id(ProducerId(id))
        .with_producer_epoch(epoch)
        .with_group_id(GroupId(text("g")));
    assert_eq!(client.call(3, &offsets).await.error_code, 0);
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(7);
    let commit = TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(text("tx")))
        .with_group_id(GroupId(text("g")))
        .with_producer_id(ProducerId(id))
        .with_producer_epoch(epoch)
        .with_generation_id(-1)
        .with_topics(vec![
            TxnOffsetCommitRequestTopic::default().with_name(topic("t")).with_partitions(vec![partition]),
        ]);
    assert_eq!(client.call(3, &commit).await.topics[0].partitions[0].error_code, 0);
    let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text("g"))).with_topics(Some(vec![
        OffsetFetchRequestTopics::default().with_name(topic("t")).with_partition_indexes(vec![0]),
    ]));
    let stable = OffsetFetchRequest::default().with_require_stable(true).with_groups(vec![group]);
    let pending = client.call(8, &stable).await;
    assert_eq!(pending.groups[0].topics[0].partitions[0].error_code, 88);
    assert_eq!(end(&mut client, 3, "tx", (id, epoch), true).await.error_code, 0);
    let decided = client.call(8, &stable).await;
    let found = &decided.groups[0].topics[0].partitions[0];
    assert_eq!((found.error_code, found.committed_offset), (0, 7));
    assert_eq!(broker.transaction_state("tx"), Some("CompleteCommit"));
}

#[tokio::test]
async fn killed_leader_is_replaced_and_the_old_one_refuses() {
    let mut broker = Broker::builder().nodes(3).topic("t", 1).start().await.unwrap();
    let old = broker.leader("t", 0).unwrap();
    let other = (old + 1) % 3;
    let mut client = Client::connect(&broker.address(other).unwrap()).await;
    let request = produce_to("t", 0, batch(&["x"], None, false));
    assert_eq!(produce(&mut client, 9, &request).await.0, 6);
    broker.kill_node(old);
    assert_eq!(broker.leader("t", 0), Some(other));
    assert_eq!(produce(&mut client, 9, &request).await, (0, 0));
    assert!(tokio::net::TcpStream::connect(broker.address(old).unwrap()).await.is_err());
    broker.restart_node(old).await.unwrap();
    let mut back = Client::connect(&broker.address(old).unwrap()).await;
    assert_eq!(produce(&mut back, 9, &request).await.0, 6);
}

#[tokio::test]
async fn paused_node_answers_after_it_resumes() {
    let (broker, mut client) = one_node().await;
    broker.pause_node(0);
    client.send(12, &MetadataRequest::default().with_topics(None)).await;
    let silent = tokio::time::timeout(Duration::from_millis(50), client.receive_raw()).await;
    assert!(silent.is_err());
    broker.resume_node(0);
    assert!(client.receive_raw().await.is_some());
}

#[tokio::test]
async fn rules_fail_delay_and_hang_up() {
    let (broker, mut client) = one_node().await;
    let request = produce_to("t", 0, batch(&["x"], None, false));
    let rule = broker.on(ApiKey::Produce).topic("t").fail(ErrorCode::NotLeaderOrFollower).times(2);
    assert_eq!(produce(&mut client, 9, &request).await.0, 6);
    assert_eq!(produce(&mut client, 9, &request).await.0, 6);
    assert_eq!((rule.hits(), broker.offsets("t", 0)), (2, Some((0, 0))));
    let started = Instant::now();
    let _ = broker.on(ApiKey::Produce).delay(Duration::from_millis(50));
    assert_eq!(produce(&mut client, 9, &request).await, (0, 0));
    assert!(started.elapsed() >= Duration::from_millis(50));
    let _ = broker.on(ApiKey::Produce).hang_up_after();
    client.send(9, &request).await;
    assert!(client.receive_raw().await.is_none());
    assert_eq!(broker.offsets("t", 0), Some((0, 2)));
}

#[tokio::test]
async fn replies_to_pipelined_requests_come_in_order() {
    let (_broker, mut client) = one_node().await;
    let request = produce_to("t", 0, batch(&["x"], None, false));
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.push(client.send(9, &request).await);
    }
    for (index, sent) in sent.into_iter().enumerate() {
        let (received, response) = client.receive::<ProduceRequest>(9).await;
        assert_eq!((received, response.responses[0].partition_responses[0].base_offset), (sent, index as i64));
    }
}

#[tokio::test]
async fn acks_0_has_no_reply() {
    let (broker, mut client) = one_node().await;
    client.send(9, &produce_to("t", 0, batch(&["x"], None, false)).with_acks(0)).await;
    let metadata = client.call(12, &MetadataRequest::default().with_topics(None)).await;
    assert_eq!(metadata.error_code, 0);
    assert_eq!(broker.offsets("t", 0), Some((0, 1)));
}

/// Joins as a consumer with this member id; sends only.
async fn join(client: &mut Client, member_id: &str) {
    use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"meta"));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    client.send(9, &request).await;
}

async fn joined(client: &mut Client) -> JoinGroupResponse {
    client.receive::<JoinGroupRequest>(9).await.1
}

fn sync(member_id: &str, generation: i32, assigned: &[(&str, &'static [u8])]) -> SyncGroupRequest {
    use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
    let assignments = assigned.iter().map(|&(id, bytes)| {
        SyncGroupRequestAssignment::default().with_member_id(text(id)).with_assignment(Bytes::from_static(bytes))
    });
    SyncGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id(generation)
        .with_member_id(text(member_id))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(assignments.collect())
}

#[tokio::test]
async fn two_members_share_a_classic_group() {
    let (broker, mut a) = one_node().await;
    let mut b = Client::connect(&broker.bootstrap()).await;
    let mut ids = Vec::new();
    for client in [&mut a, &mut b] {
        join(client, "").await;
        let response = joined(client).await;
        assert_eq!(response.error_code, 79);
        ids.push(response.member_id.to_string());
    }
    join(&mut a, &ids[0]).await;
    join(&mut b, &ids[1]).await;
    let (first, second) = (joined(&mut a).await, joined(&mut b).await);
    assert_eq!((first.error_code, first.generation_id), (0, 1));
    assert_eq!((second.error_code, second.generation_id), (0, 1));
    assert_eq!(first.members.len() + second.members.len(), 2, "one of them leads and sees both");
    // Which join arrived first is open: two sockets have no order.
    if second.leader.as_str() == ids[1] {
        std::mem::swap(&mut a, &mut b);
        ids.swap(0, 1);
    }
    b.send(5, &sync(&ids[1], 1, &[])).await;
    let assigned: [(&str, &[u8]); 2] = [(&ids[0], b"A"), (&ids[1], b"B")];
    assert_eq!(a.call(5, &sync(&ids[0], 1, &assigned)).await.assignment, Bytes::from_static(b"A"));
    assert_eq!(b.receive::<SyncGroupRequest>(5).await.1.assignment, Bytes::from_static(b"B"));
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text(&ids[1]))
        .with_generation_id(1);
    assert_eq!(b.call(4, &heartbeat).await.error_code, 0);
    let describe = DescribeGroupsRequest::default().with_groups(vec![GroupId(text("g"))]);
    let described = a.call(5, &describe).await.groups.remove(0);
    assert_eq!((described.group_state.as_str(), described.members.len()), ("Stable", 2));
}

#[tokio::test]
async fn full_group_refuses_by_81() {
    let broker = Broker::builder().topic("t", 1).group_max_size(1).start().await.unwrap();
    let (mut a, mut b) = (Client::connect(&broker.bootstrap()).await, Client::connect(&broker.bootstrap()).await);
    join(&mut a, "").await;
    let id = joined(&mut a).await.member_id.to_string();
    join(&mut a, &id).await;
    assert_eq!(joined(&mut a).await.error_code, 0);
    join(&mut b, "").await;
    let refused = joined(&mut b).await;
    assert_eq!((refused.error_code, refused.member_id.as_str()), (81, ""));
    join(&mut a, &id).await;
    assert_eq!(joined(&mut a).await.error_code, 0, "who is in stays in");
}

#[tokio::test]
async fn groups_do_not_mix_where_migration_is_disabled() {
    let broker = Broker::builder().topic("t", 1).group_migration(GroupMigration::Disabled).start().await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let beat = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text("AAAAAAAAAAAAAAAAAAAAAQ"))
        .with_member_epoch(0)
        .with_rebalance_timeout_ms(10_000)
        .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
        .with_topic_partitions(Some(Vec::new()));
    assert_eq!(client.call(1, &beat).await.error_code, 0);
    join(&mut client, "").await;
    assert_eq!(joined(&mut client).await.error_code, 23);

    let broker = Broker::builder().topic("t", 1).group_migration(GroupMigration::Downgrade).start().await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    join(&mut client, "").await;
    let id = joined(&mut client).await.member_id.to_string();
    join(&mut client, &id).await;
    assert_eq!(joined(&mut client).await.error_code, 0);
    assert_eq!(client.call(1, &beat).await.error_code, 69);
}
