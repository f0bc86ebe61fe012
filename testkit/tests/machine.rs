//! Rules that take time, several nodes, or a fault: asked of the broker's machine, without sockets, in virtual time.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests need some first instant and fail by panic")]

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use ottla_testkit::{Answer, Broker, BrokerBuilder, Cluster, ErrorCode, Fault, Matcher, Outcome, Reply, Request};

const WALL_MS: i64 = 1_700_000_000_000;
const TX: &str = "tx";

struct Story {
    cluster: Cluster,
    now: Instant,
}

fn story(builder: BrokerBuilder) -> Story {
    let now = Instant::now();
    Story { cluster: builder.build(now, WALL_MS).unwrap(), now }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic() -> TopicName {
    TopicName(text("t"))
}

fn decode<R: kafka_protocol::protocol::Request>(version: i16, reply: &Reply) -> R::Response {
    let mut out = BytesMut::new();
    reply.encode(&mut out).unwrap();
    let mut body = out.freeze().slice(4..);
    let header_version = ApiKey::try_from(R::KEY).unwrap().response_header_version(version);
    ResponseHeader::decode(&mut body, header_version).unwrap();
    R::Response::decode(&mut body, version).unwrap()
}

impl Story {
    fn handle<R: kafka_protocol::protocol::Request>(&mut self, node: i32, version: i16, request: &R) -> Outcome {
        let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap();
        let request = Request::decode(frame.freeze(), self.cluster.version()).unwrap();
        self.cluster.handle(self.now, node, 1, request)
    }

    fn ask_node<R: kafka_protocol::protocol::Request>(&mut self, node: i32, version: i16, request: &R) -> R::Response {
        match self.handle(node, version, request) {
            Outcome::Reply(reply) => decode::<R>(version, &reply),
            other => panic!("no reply: {other:?}"),
        }
    }

    fn ask<R: kafka_protocol::protocol::Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.ask_node(0, version, request)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.cluster.tick(self.now);
    }

    fn init(&mut self, version: i16) -> InitProducerIdResponse {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(TX))))
            .with_transaction_timeout_ms(60_000);
        self.ask(version, &request)
    }

    fn producer(&mut self) -> (i64, i16) {
        let response = self.init(4);
        assert_eq!(response.error_code, 0);
        (response.producer_id.0, response.producer_epoch)
    }

    fn add(&mut self, (id, epoch): (i64, i16)) -> i16 {
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(TX)))
            .with_v3_and_below_producer_id(ProducerId(id))
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![
                AddPartitionsToTxnTopic::default().with_name(topic()).with_partitions(vec![0]),
            ]);
        self.ask(3, &request).results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    fn end(&mut self, version: i16, (id, epoch): (i64, i16), commit: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(TX)))
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch)
            .with_committed(commit);
        self.ask(version, &request).error_code
    }

    fn produce(&mut self, version: i16, producer: Option<(i64, i16, i32)>, transactional: bool) -> (i16, i64) {
        let request = produce(batch(producer, transactional));
        let request =
            if transactional { request.with_transactional_id(Some(TransactionalId(text(TX)))) } else { request };
        let data = &self.ask(version, &request).responses[0].partition_responses[0];
        (data.error_code, data.base_offset)
    }

    fn write_in_transaction(&mut self, version: i16, (id, epoch): (i64, i16)) -> (i16, i64) {
        self.produce(version, Some((id, epoch, 0)), true)
    }

    fn describe(&mut self) -> (String, i16, i64) {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(TX))]);
        let state = self.ask(0, &request).transaction_states.remove(0);
        (state.transaction_state.to_string(), state.producer_epoch, state.transaction_start_time_ms)
    }

    /// High watermark and last stable offset.
    fn watermarks(&mut self) -> (i64, i64) {
        let response = self.ask(12, &fetch(0).with_isolation_level(1));
        let data = &response.responses[0].partitions[0];
        (data.high_watermark, data.last_stable_offset)
    }
}

fn batch(producer: Option<(i64, i16, i32)>, transactional: bool) -> Bytes {
    let (producer_id, producer_epoch, sequence) = producer.unwrap_or((-1, -1, -1));
    let record = Record {
        transactional,
        control: false,
        partition_leader_epoch: -1,
        producer_id,
        producer_epoch,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence,
        timestamp: WALL_MS,
        key: None,
        value: Some(Bytes::from_static(b"value")),
        headers: Default::default(),
        delete_horizon: false,
    };
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut out, &[record], &options).unwrap();
    out.freeze()
}

fn produce(records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(records));
    let data = TopicProduceData::default().with_name(topic()).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_topic_data(vec![data])
}

fn fetch(offset: i64) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default().with_topic(topic()).with_partitions(vec![partition]);
    FetchRequest::default().with_session_epoch(-1).with_min_bytes(1).with_max_bytes(1 << 20).with_topics(vec![asked])
}

#[test]
fn first_protocol_transaction_is_aborted_by_the_next_sweep_after_its_timeout() {
    let mut story = story(Broker::builder().topic("t", 1).as_version("3.9"));
    let producer = story.producer();
    assert_eq!(story.add(producer), 0);
    assert_eq!(story.write_in_transaction(9, producer), (0, 0));
    assert_eq!(story.describe(), ("Ongoing".into(), producer.1, WALL_MS));
    story.pass(Duration::from_secs(60));
    assert_eq!(story.watermarks(), (1, 0));
    story.pass(Duration::from_secs(10));
    assert_eq!(story.watermarks(), (2, 2));
    assert_eq!(story.describe().0, "CompleteAbort");
    assert_eq!(story.describe().1, producer.1 + 1);
    assert_eq!(story.end(4, producer, true), 90);
    assert_eq!(story.write_in_transaction(9, producer).0, 47);
}

#[test]
fn second_protocol_client_that_comes_late_aborts_and_goes_on() {
    let mut story = story(Broker::builder().topic("t", 1));
    let (id, epoch) = story.producer();
    assert_eq!(story.write_in_transaction(12, (id, epoch)), (0, 0));
    story.pass(Duration::from_secs(75));
    assert_eq!(story.describe(), ("CompleteAbort".into(), epoch + 1, WALL_MS));
    let late = story.produce(12, Some((id, epoch, 1)), true);
    assert_eq!(late, (47, -1));
    assert_eq!(story.end(5, (id, epoch), false), 0);
    assert_eq!(story.write_in_transaction(12, (id, epoch + 1)), (0, 2));
}

#[test]
fn while_markers_are_being_written_the_end_is_concurrent_and_new_partitions_wait() {
    let mut story = story(Broker::builder().topic("t", 1).marker_delay(Duration::from_millis(30)));
    let (id, epoch) = story.producer();
    assert_eq!(story.write_in_transaction(12, (id, epoch)), (0, 0));
    assert_eq!(story.end(5, (id, epoch), true), 0);
    assert_eq!(story.describe().0, "PrepareCommit");
    assert_eq!(story.end(5, (id, epoch), true), 51);
    assert_eq!(story.write_in_transaction(12, (id, epoch + 1)).0, 51);
    assert_eq!(story.write_in_transaction(11, (id, epoch + 1)).0, 19);
    assert_eq!(story.watermarks(), (1, 0));
    story.pass(Duration::from_millis(30));
    assert_eq!(story.describe().0, "CompleteCommit");
    assert_eq!(story.watermarks(), (2, 2));
}

#[test]
fn markers_wait_for_a_leader() {
    let mut story = story(Broker::builder().nodes(2));
    let new = create_topics_request::CreatableTopic::default()
        .with_name(topic())
        .with_num_partitions(2)
        .with_replication_factor(1);
    assert_eq!(story.ask(7, &CreateTopicsRequest::default().with_topics(vec![new])).topics[0].error_code, 0);
    let find = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text(TX)]);
    let coordinator = story.ask(4, &find).coordinators[0].node_id.0;
    let other = 1 - coordinator;
    let init = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(TX))))
        .with_transaction_timeout_ms(1000);
    let producer = story.ask_node(coordinator, 4, &init).producer_id;
    // With one replica each, partition i lives on node i only.
    let mut open = produce(batch(Some((producer.0, 0, 0)), true)).with_transactional_id(init.transactional_id.clone());
    open.topic_data[0].partition_data[0].index = other;
    assert_eq!(story.ask_node(other, 12, &open).responses[0].partition_responses[0].error_code, 0);
    story.cluster.node_died(other);
    let end = EndTxnRequest::default()
        .with_transactional_id(TransactionalId(text(TX)))
        .with_producer_id(producer)
        .with_committed(true);
    assert_eq!(story.ask_node(coordinator, 5, &end).error_code, 0);
    story.pass(Duration::from_secs(1));
    assert_eq!(story.ask_node(coordinator, 5, &end).error_code, 51);
    story.cluster.node_returned(other);
    story.pass(Duration::from_secs(1));
    assert_eq!(story.ask_node(coordinator, 5, &end).error_code, 0);
}

#[test]
fn new_producer_fences_the_old_one_after_its_transaction_was_aborted() {
    for version in ["3.9", "4.1"] {
        let mut story = story(Broker::builder().topic("t", 1).as_version(version));
        let (id, epoch) = story.producer();
        assert_eq!(story.add((id, epoch)), 0);
        assert_eq!(story.write_in_transaction(9, (id, epoch)), (0, 0));
        assert_eq!(story.init(4).error_code, 51);
        let next = story.producer();
        assert_eq!(next, (id, epoch + 2), "as {version}");
        assert_eq!(story.watermarks(), (2, 2));
        assert_eq!(story.add((id, epoch)), 90);
        assert_eq!(story.write_in_transaction(9, (id, epoch)).0, 47);
    }
}

#[test]
fn unverified_partition_is_48_for_old_clients_and_120_from_produce_v11_on() {
    let mut story = story(Broker::builder().topic("t", 1));
    let producer = story.producer();
    assert_eq!(story.write_in_transaction(10, producer).0, 48);
    assert_eq!(story.write_in_transaction(11, producer).0, 120);
    assert_eq!(story.add(producer), 0);
    assert_eq!(story.write_in_transaction(11, producer), (0, 0));
}

#[test]
fn brokers_before_3_6_do_not_verify() {
    let mut story = story(Broker::builder().topic("t", 1).as_version("2.8"));
    let producer = story.producer();
    assert_eq!(story.write_in_transaction(9, producer), (0, 0));
}

#[test]
fn requests_to_another_coordinator_are_16() {
    let mut story = story(Broker::builder().nodes(2).topic("t", 1));
    let find = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text(TX)]);
    let right = story.ask(4, &find).coordinators[0].node_id.0;
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(TX))))
        .with_transaction_timeout_ms(1000);
    assert_eq!(story.ask_node(right, 4, &request).error_code, 0);
    assert_eq!(story.ask_node(1 - right, 4, &request).error_code, 16);
}

#[test]
fn too_few_in_sync_replicas_is_19_for_acks_all_only() {
    let mut story = story(Broker::builder().topic_with("t", 1, &[("min.insync.replicas", "2")]));
    assert_eq!(story.produce(9, None, false).0, 19);
    let response = story.ask(9, &produce(batch(None, false)).with_acks(1));
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    let response = story.ask(9, &produce(batch(None, false)).with_acks(2));
    assert_eq!(response.responses[0].partition_responses[0].error_code, 21);
}

#[test]
fn log_append_time_is_the_brokers_and_reported() {
    let mut story = story(Broker::builder().topic_with("t", 1, &[("message.timestamp.type", "LogAppendTime")]));
    story.pass(Duration::from_millis(1234));
    let response = story.ask(9, &produce(batch(None, false)));
    assert_eq!(response.responses[0].partition_responses[0].log_append_time_ms, WALL_MS + 1234);
    let mut records = story.ask(12, &fetch(0)).responses[0].partitions[0].records.clone().unwrap();
    let records = kafka_protocol::records::RecordBatchDecoder::decode(&mut records).unwrap().records;
    assert_eq!(records[0].timestamp_type, TimestampType::LogAppend);
}

#[test]
fn read_committed_long_poll_wakes_when_the_transaction_commits() {
    let mut story = story(Broker::builder().topic("t", 1));
    let producer = story.producer();
    assert_eq!(story.write_in_transaction(12, producer), (0, 0));
    let waiting = story.handle(0, 12, &fetch(0).with_isolation_level(1).with_max_wait_ms(5000));
    let Outcome::Park { until } = waiting else { panic!("not parked: {waiting:?}") };
    assert_eq!(until, story.now + Duration::from_secs(5));
    assert_eq!(story.cluster.poll_woken(), None);
    assert_eq!(story.end(5, producer, true), 0);
    assert_eq!(story.cluster.poll_woken(), Some(1));
    let Outcome::Reply(reply) = story.cluster.resume(story.now, 1) else { panic!("not answered") };
    let response = decode::<FetchRequest>(12, &reply);
    assert!(!response.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
}

#[test]
fn read_committed_is_never_shown_an_undecided_record() {
    let mut story = story(Broker::builder().topic("t", 1));
    let producer = story.producer();
    assert_eq!(story.produce(9, None, false), (0, 0));
    assert_eq!(story.write_in_transaction(12, producer), (0, 1));
    let data = story.ask(12, &fetch(1).with_isolation_level(1)).responses.remove(0).partitions.remove(0);
    assert_eq!((data.high_watermark, data.last_stable_offset), (2, 1));
    assert!(data.records.unwrap().is_empty());
}

#[test]
fn session_mentions_only_what_changed() {
    let mut story = story(Broker::builder().topic("t", 1));
    let first = story.ask(12, &fetch(0).with_session_epoch(0));
    assert!(first.session_id != 0 && first.responses.len() == 1);
    let next = |epoch| {
        FetchRequest::default().with_session_id(first.session_id).with_session_epoch(epoch).with_max_bytes(1 << 20)
    };
    assert!(story.ask(12, &next(1)).responses.is_empty());
    assert_eq!(story.produce(9, None, false), (0, 0));
    assert_eq!(story.ask(12, &next(2)).responses.len(), 1);
    assert_eq!(story.ask(12, &next(2)).error_code, 71);
}

#[test]
fn moved_leader_refuses_with_a_hint_and_a_newer_epoch() {
    let mut story = story(Broker::builder().nodes(2).topic("t", 1));
    let old = story.ask(12, &MetadataRequest::default().with_topics(None)).topics[0].partitions[0].clone();
    let new = 1 - old.leader_id.0;
    assert!(story.cluster.move_leader("t", 0, new));
    let response = story.ask_node(old.leader_id.0, 10, &produce(batch(None, false)));
    let data = &response.responses[0].partition_responses[0];
    assert_eq!(data.error_code, 6);
    assert_eq!((data.current_leader.leader_id.0, data.current_leader.leader_epoch), (new, old.leader_epoch + 1));
    assert_eq!(response.node_endpoints[0].node_id.0, new);
    let stale = FetchPartition::default().with_current_leader_epoch(old.leader_epoch);
    let ask = |partition| {
        let asked = FetchTopic::default().with_topic(topic()).with_partitions(vec![partition]);
        FetchRequest::default().with_session_epoch(-1).with_topics(vec![asked])
    };
    let fenced = story.ask_node(new, 12, &ask(stale.clone()));
    assert_eq!(fenced.responses[0].partitions[0].error_code, 74);
    let future = story.ask_node(new, 12, &ask(stale.with_current_leader_epoch(99)));
    assert_eq!(future.responses[0].partitions[0].error_code, 75);
}

#[test]
fn truncated_log_shows_where_it_diverges() {
    let mut story = story(Broker::builder().topic("t", 1));
    for offset in 0..3 {
        assert_eq!(story.produce(9, None, false), (0, offset));
    }
    story.cluster.truncate("t", 0, 1);
    let asked = OffsetForLeaderPartition::default().with_leader_epoch(0);
    let topics = vec![OffsetForLeaderTopic::default().with_topic(topic()).with_partitions(vec![asked])];
    let found = story.ask(4, &OffsetForLeaderEpochRequest::default().with_topics(topics));
    let found = &found.topics[0].partitions[0];
    assert_eq!((found.leader_epoch, found.end_offset), (0, 1));
    let mut request = fetch(3);
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    let data = story.ask(12, &request).responses.remove(0).partitions.remove(0);
    assert_eq!((data.diverging_epoch.epoch, data.diverging_epoch.end_offset), (0, 1));
}

#[test]
fn recreated_topic_has_a_new_id_and_the_old_one_is_unknown() {
    let mut story = story(Broker::builder().topic("t", 1));
    let id = |story: &mut Story| story.ask(12, &MetadataRequest::default().with_topics(None)).topics[0].topic_id;
    let old = id(&mut story);
    let by_id = |id| {
        let asked = FetchTopic::default().with_topic_id(id).with_partitions(vec![FetchPartition::default()]);
        FetchRequest::default().with_session_epoch(-1).with_topics(vec![asked])
    };
    assert_eq!(story.ask(13, &by_id(old)).responses[0].partitions[0].error_code, 0);
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic()]);
    assert_eq!(story.ask(5, &delete).responses[0].error_code, 0);
    let new = create_topics_request::CreatableTopic::default()
        .with_name(topic())
        .with_num_partitions(1)
        .with_replication_factor(1);
    let create = CreateTopicsRequest::default().with_topics(vec![new]);
    let created = story.ask(7, &create).topics.remove(0);
    assert_eq!(created.error_code, 0);
    assert!(created.topic_id != old && created.topic_id == id(&mut story));
    assert_eq!(story.ask(13, &by_id(old)).responses[0].partitions[0].error_code, 100);
    assert_eq!(story.ask(7, &create).topics[0].error_code, 36);
}

#[test]
fn topics_are_created_or_refused_with_kafkas_errors() {
    use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
    let mut story = story(Broker::builder().nodes(2));
    let mut create = |topic: CreatableTopic, validate_only| {
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(validate_only);
        story.ask(7, &request).topics[0].error_code
    };
    let new = |name: &str| {
        CreatableTopic::default().with_name(TopicName(text(name))).with_num_partitions(2).with_replication_factor(2)
    };
    assert_eq!(create(new("a"), true), 0);
    assert_eq!(create(new("a"), false), 0);
    assert_eq!(create(new("a"), true), 36);
    assert_eq!(create(new("b").with_num_partitions(0), false), 37);
    assert_eq!(create(new("b").with_replication_factor(3), false), 38);
    assert_eq!(create(new("no/slash"), false), 17);
    let config = CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(Some(text("soon")));
    assert_eq!(create(new("b").with_configs(vec![config]), false), 40);
    assert_eq!(create(new("b").with_num_partitions(-1).with_replication_factor(-1), false), 0);
}

#[test]
fn unknown_topic_is_created_on_the_fly_only_if_allowed() {
    let mut story = story(Broker::builder());
    let asked = metadata_request::MetadataRequestTopic::default().with_name(Some(topic()));
    let ask = MetadataRequest::default().with_topics(Some(vec![asked]));
    let mut error = |create| story.ask(12, &ask.clone().with_allow_auto_topic_creation(create)).topics[0].error_code;
    assert_eq!([error(false), error(false), error(true), error(false)], [3, 3, 3, 0]);
}

#[test]
fn rule_fails_its_topic_only_and_carries_nothing_out() {
    let mut story = story(Broker::builder().topic("t", 1).topic("u", 1));
    let matcher = Matcher::new(ApiKey::Produce).topic("t");
    let rule = story.cluster.add_rule(matcher, Fault::Fail(ErrorCode::KafkaStorageError), Some(1));
    let mut both = produce(batch(None, false));
    both.topic_data.push(both.topic_data[0].clone().with_name(TopicName(text("u"))));
    let codes = |response: ProduceResponse| {
        let topics = response.responses.into_iter();
        topics.map(|topic| topic.partition_responses[0].error_code).collect::<Vec<_>>()
    };
    assert_eq!(codes(story.ask(9, &both)), [56, 0]);
    assert_eq!(codes(story.ask(9, &both)), [0, 0]);
    assert_eq!((story.cluster.rule_hits(rule), story.watermarks()), (1, (1, 1)));
}

#[test]
fn dropped_response_was_carried_out_and_hang_up_was_not() {
    let mut story = story(Broker::builder().topic("t", 1));
    story.cluster.add_rule(Matcher::new(ApiKey::Produce), Fault::DropResponse, Some(1));
    story.cluster.add_rule(Matcher::new(ApiKey::Produce), Fault::HangUp, Some(1));
    let request = produce(batch(None, false));
    assert!(matches!(story.handle(0, 9, &request), Outcome::NoReply));
    assert_eq!(story.watermarks(), (1, 1));
    assert!(matches!(story.handle(0, 9, &request), Outcome::HangUp));
    assert_eq!(story.watermarks(), (1, 1));
}

#[test]
fn denied_api_versions_is_answered_in_version_0() {
    let mut story = story(Broker::builder());
    let deny = Fault::Fail(ErrorCode::UnsupportedVersion);
    story.cluster.add_rule(Matcher::new(ApiKey::ApiVersions), deny, Some(1));
    let request =
        ApiVersionsRequest::default().with_client_software_name(text("wire")).with_client_software_version(text("1.0"));
    let Outcome::Reply(reply) = story.handle(0, 3, &request) else { panic!("no reply") };
    let response = decode::<ApiVersionsRequest>(0, &reply);
    assert_eq!((response.error_code, response.api_keys.len()), (35, 1));
}

#[test]
fn made_up_answer_goes_out_as_it_is_and_nothing_is_carried_out() {
    let mut story = story(Broker::builder().topic("t", 1));
    let answer = Answer::new(|request: &CreateTopicsRequest| {
        let name = request.topics[0].name.clone();
        let result = create_topics_response::CreatableTopicResult::default().with_name(name).with_error_code(44);
        CreateTopicsResponse::default().with_topics(vec![result])
    });
    story.cluster.add_rule(Matcher::new(ApiKey::CreateTopics), Fault::Reply(answer), None);
    let new = create_topics_request::CreatableTopic::default().with_name(TopicName(text("new"))).with_num_partitions(1);
    let response = story.ask(7, &CreateTopicsRequest::default().with_topics(vec![new]));
    assert_eq!((response.topics[0].name.as_str(), response.topics[0].error_code), ("new", 44));
    assert_eq!(story.ask(9, &MetadataRequest::default().with_topics(None)).topics.len(), 1);
}
