//! Frames written out by hand from Kafka's protocol guide and message schemas, of every era of the protocol: what is
//! read from them, and that the same bytes are written. Lengths in front of the frames are left out. Frames that real
//! brokers and Java's clients have sent are in captured.rs.
#[path = "common/hex.rs"]
mod hex;

use bytes::Bytes;
use hex::hex;
use ottla_protocol::compression::Compression;
use ottla_protocol::consumer_protocol::ConsumerProtocolSubscription;
use ottla_protocol::messages::api_versions::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use ottla_protocol::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitionsResult,
};
use ottla_protocol::messages::fetch::{
    AbortedTransaction, FetchPartition, FetchTopic, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use ottla_protocol::messages::join_group::JoinGroupRequestProtocol;
use ottla_protocol::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData, TopicProduceResponse,
};
use ottla_protocol::messages::*;
use ottla_protocol::record::{MessageMagic, MessageSetBuilder, RecordBatch};
use ottla_protocol::{ApiKey, RequestHeader};

/// `text` is the request, from its header on.
fn request(text: &str, version: i16, correlation_id: i32, client_id: Option<&str>, expected: AnyRequest) {
    let bytes = hex(text);
    let (header, request) = AnyRequest::decode_frame(bytes.clone().into()).expect("a valid request");
    let api_key = expected.api_key().code();
    let client = client_id.map(str::to_owned);
    assert_eq!(header, RequestHeader { api_key, api_version: version, correlation_id, client_id: client });
    assert_eq!(request, expected);
    let frame = expected.encode_frame(version, correlation_id, client_id).expect("the version can carry it").to_bytes();
    assert_eq!(frame[..4], (bytes.len() as u32).to_be_bytes());
    assert_eq!(frame[4..], bytes);
}

/// `text` is the response, from its header on.
fn response(text: &str, version: i16, correlation_id: i32, expected: AnyResponse) {
    let bytes = hex(text);
    let api = expected.api_key();
    let (header, response) = AnyResponse::decode_frame(api, version, bytes.clone().into()).expect("a valid response");
    assert_eq!(header.correlation_id, correlation_id);
    assert_eq!(response, expected);
    assert_eq!(
        expected.encode_frame(version, correlation_id).expect("the version can carry it").to_bytes()[4..],
        bytes
    );
}

// The era of Kafka 0.8 to 0.10: no transactions, message sets.

#[test]
fn metadata_0_asks_for_all_topics_with_an_empty_list() {
    request(
        "0003 0000 00000001 0002 6d65  // Metadata, version 0, correlation id 1, client id: me
         00000000                      // no topics: all",
        0,
        1,
        Some("me"),
        AnyRequest::Metadata(MetadataRequest { topics: Some(vec![]), ..Default::default() }),
    );
}

#[test]
fn metadata_1_asks_for_all_topics_with_null() {
    request(
        "0003 0001 00000001 ffff       // Metadata, version 1, correlation id 1, no client id
         ffffffff                      // null: all",
        1,
        1,
        None,
        AnyRequest::Metadata(MetadataRequest { topics: None, ..Default::default() }),
    );
}

#[test]
fn metadata_0_answers_with_leaders() {
    let partition = MetadataResponsePartition {
        partition_index: 2,
        leader_id: 1,
        replica_nodes: vec![1, 3],
        isr_nodes: vec![1],
        ..Default::default()
    };
    let topic = MetadataResponseTopic { name: Some("t".into()), partitions: vec![partition], ..Default::default() };
    response(
        "00000001                                  // correlation id
         00000001 00000001 0004 6b2e6578 00002384  // one broker: id 1, k.ex, port 9092
         00000001 0000 0001 74                     // one topic, no error: t
         00000001 0000 00000002 00000001           // one partition, no error: 2, led by 1
         00000002 00000001 00000003                // replicas 1 and 3
         00000001 00000001                         // in sync: 1",
        0,
        1,
        AnyResponse::Metadata(MetadataResponse {
            brokers: vec![MetadataResponseBroker { node_id: 1, host: "k.ex".into(), port: 9092, rack: None }],
            topics: vec![topic],
            ..Default::default()
        }),
    );
}

#[test]
fn produce_2_carries_a_message_set_of_magic_1() {
    let set = "
        0000000000000000 00000018         // offset 0, 24 bytes
        7fdc1dec                          // CRC-32 of what follows
        01 00 0000000000000005            // magic 1, no codec, timestamp 5
        0000 0001 6b 0000 0001 76         // key k, value v";
    let mut built = MessageSetBuilder::with_capacity(MessageMagic::V1, 100);
    built.append(5, Some(b"k"), Some(b"v")).expect("it is short");
    let records = built.finish(Compression::None, None).expect("no codec");
    assert_eq!(records.clone().into_bytes(), hex(set));
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(records) }];
    request(
        &format!(
            "0000 0002 00000007 0002 6d65  // Produce, version 2, correlation id 7, client id: me
             ffff 00007530                 // all replicas, 30 s
             00000001 0001 74              // one topic: t
             00000001 00000000 00000024    // one partition: 0, 36 bytes {set}"
        ),
        2,
        7,
        Some("me"),
        AnyRequest::Produce(ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData { name: "t".into(), partition_data, ..Default::default() }],
            ..Default::default()
        }),
    );
}

#[test]
fn fetch_2_asks_without_sessions_or_isolation() {
    let partition =
        FetchPartition { partition: 3, fetch_offset: 9, partition_max_bytes: 1 << 20, ..Default::default() };
    request(
        "0001 0002 00000002 ffff                      // Fetch, version 2, correlation id 2, no client id
         ffffffff 000001f4 00000001                   // no replica, at most 500 ms, at least 1 byte
         00000001 0001 74                             // one topic: t
         00000001 00000003 0000000000000009 00100000  // one partition: 3, from 9, at most 1 MiB",
        2,
        2,
        None,
        AnyRequest::Fetch(FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            topics: vec![FetchTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() }],
            ..Default::default()
        }),
    );
}

#[test]
fn join_group_0_carries_a_subscription() {
    let subscription = ConsumerProtocolSubscription { topics: vec!["t".into()], ..Default::default() };
    let metadata = subscription.to_version(0).expect("it is short");
    request(
        "000b 0000 00000003 ffff                // JoinGroup, version 0, correlation id 3, no client id
         0001 67 00002710 0000 0008 636f6e73756d6572  // group g, session 10 s, a new member, protocol type consumer
         00000001 0005 72616e6765               // one protocol: range
         0000000d 0000 00000001 0001 74 ffffffff  // subscription version 0: t, no user data",
        0,
        3,
        None,
        AnyRequest::JoinGroup(JoinGroupRequest {
            group_id: "g".into(),
            session_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata }],
            ..Default::default()
        }),
    );
}

// The era of Kafka 0.10.1 to 2.3: ApiVersions, SASL, transactions, sessions.

#[test]
fn api_versions_0_is_a_header_alone_and_answers_with_a_table() {
    let empty = AnyRequest::ApiVersions(ApiVersionsRequest::default());
    request("0012 0000 00000000 0002 6d65", 0, 0, Some("me"), empty);
    let api = |api_key, min_version, max_version| ApiVersion { api_key, min_version, max_version };
    response(
        "00000000 0000             // correlation id 0, no error
         00000002                  // two APIs
         0000 0000 0002            // Produce 0 to 2
         0012 0000 0000            // ApiVersions 0",
        0,
        0,
        AnyResponse::ApiVersions(ApiVersionsResponse {
            api_keys: vec![api(0, 0, 2), api(18, 0, 0)],
            ..Default::default()
        }),
    );
}

#[test]
fn sasl_handshake_1_names_a_mechanism() {
    request(
        "0011 0001 00000001 ffff 0005 504c41494e // SaslHandshake, version 1: PLAIN",
        1,
        1,
        None,
        AnyRequest::SaslHandshake(SaslHandshakeRequest { mechanism: "PLAIN".into() }),
    );
    response(
        "00000001 0021 00000001 000d 534352414d2d5348412d323536 // error 33, the broker has SCRAM-SHA-256",
        1,
        1,
        AnyResponse::SaslHandshake(SaslHandshakeResponse { error_code: 33, mechanisms: vec!["SCRAM-SHA-256".into()] }),
    );
}

#[test]
fn fetch_4_lists_aborted_transactions() {
    let partition = PartitionData {
        partition_index: 3,
        high_watermark: 20,
        last_stable_offset: 10,
        aborted_transactions: Some(vec![AbortedTransaction { producer_id: 4000, first_offset: 5 }]),
        records: Some(Bytes::from_static(&[0xab, 0xcd]).into()),
        ..Default::default()
    };
    response(
        "00000002 00000000                                           // correlation id 2, no throttling
         00000001 0001 74 00000001                                   // one topic: t, one partition
         00000003 0000 0000000000000014 000000000000000a             // 3, no error, high watermark 20, stable to 10
         00000001 0000000000000fa0 0000000000000005                  // producer 4000 aborted from 5 on
         00000002 abcd                                               // records",
        4,
        2,
        AnyResponse::Fetch(FetchResponse {
            responses: vec![FetchableTopicResponse {
                topic: "t".into(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        }),
    );
}

#[test]
fn init_producer_id_1_gets_an_id() {
    request(
        "0016 0001 00000004 ffff 0002 7478 0000ea60 // InitProducerId, version 1: tx, 60 s",
        1,
        4,
        None,
        AnyRequest::InitProducerId(InitProducerIdRequest {
            transactional_id: Some("tx".into()),
            transaction_timeout_ms: 60_000,
            ..Default::default()
        }),
    );
    response(
        "00000004 00000000 0000 0000000000000fa0 0003 // no throttling, no error, id 4000, epoch 3",
        1,
        4,
        AnyResponse::InitProducerId(InitProducerIdResponse {
            producer_id: 4000,
            producer_epoch: 3,
            ..Default::default()
        }),
    );
}

// The era of Kafka 2.4 and later: compact lengths, tagged fields, topic ids.

#[test]
fn api_versions_3_names_the_client_and_answers_with_features() {
    request(
        "0012 0003 00000001 0002 6d65 00   // flexible header: the client id keeps its long length, then no tags
         06 6f74746c61 04 302e31 00        // ottla, 0.1, no tags",
        3,
        1,
        Some("me"),
        AnyRequest::ApiVersions(ApiVersionsRequest {
            client_software_name: "ottla".into(),
            client_software_version: "0.1".into(),
            ..Default::default()
        }),
    );
    let feature = || "transaction.version".to_owned();
    response(
        "00000001 0000                     // correlation id 1 and no tags: the header is never flexible; no error
         02 0000 0000 000d 00              // one API: Produce 0 to 13
         00000000                          // no throttling
         03                                // three tags
         00 1a 02 14 7472616e73616374696f6e2e76657273696f6e 0000 0002 00 // 0: supports transaction.version 0 to 2
         01 08 0000000000000007            // 1: epoch 7 of the finalized features
         02 1a 02 14 7472616e73616374696f6e2e76657273696f6e 0002 0001 00 // 2: finalized transaction.version 2, from 1",
        3,
        1,
        AnyResponse::ApiVersions(ApiVersionsResponse {
            api_keys: vec![ApiVersion { api_key: 0, min_version: 0, max_version: 13 }],
            supported_features: vec![SupportedFeatureKey { name: feature(), min_version: 0, max_version: 2 }],
            finalized_features_epoch: 7,
            finalized_features: vec![FinalizedFeatureKey {
                name: feature(),
                max_version_level: 2,
                min_version_level: 1,
            }],
            ..Default::default()
        }),
    );
}

const ID: &str = "00112233445566778899aabbccddeeff";

#[test]
fn metadata_12_asks_by_id() {
    let id = uuid::Uuid::from_slice(&hex(ID)).expect("16 bytes");
    request(
        &format!(
            "0003 000c 00000001 ffff 00        // Metadata, version 12
             02 {ID} 00 00                     // one topic: an id and a null name
             01 00 00                          // may be created, no authorized operations, no tags"
        ),
        12,
        1,
        None,
        AnyRequest::Metadata(MetadataRequest {
            topics: Some(vec![MetadataRequestTopic { topic_id: id, name: None }]),
            ..Default::default()
        }),
    );
}

#[test]
fn produce_9_answers_with_compact_lengths() {
    let partition = PartitionProduceResponse {
        index: 1,
        error_code: 87,
        base_offset: -1,
        log_start_offset: 0,
        error_message: Some("no".into()),
        ..Default::default()
    };
    response(
        "00000007 00                                               // correlation id 7, no tags
         02 02 74 02                                               // one topic: t, one partition
         00000001 0057 ffffffffffffffff ffffffffffffffff           // 1, error 87, no offset, no append time
         0000000000000000 01 03 6e6f 00                            // log start 0, no record errors, message: no
         00 00000000 00                                            // no tags, no throttling, no tags",
        9,
        7,
        AnyResponse::Produce(ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: "t".into(),
                partition_responses: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        }),
    );
}

#[test]
fn produce_13_names_topics_by_id_and_carries_a_batch_of_magic_2() {
    // From Kafka's protocol guide: a batch with one record, without key.
    let batch = "
        0000000000000000 0000003b ffffffff 02 // offset 0, 59 bytes, no leader epoch, magic 2
        91955564                              // CRC-32C of what follows
        0000 00000000                         // no codec, last offset delta 0
        0000000000000005 0000000000000005     // first and latest timestamp 5
        ffffffffffffffff ffff ffffffff        // no producer id, epoch and sequence
        00000001                              // one record
        12 00 00 00 01 06 616263 00           // 9 bytes: no attributes, deltas 0 and 0, no key, abc, no headers";
    let mut records = Bytes::from(hex(batch));
    let id = uuid::Uuid::from_slice(&hex(ID)).expect("16 bytes");
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(records.clone().into()) }];
    request(
        &format!(
            "0000 000d 00000007 ffff 00        // Produce, version 13
             00 ffff 00007530                  // no transactional id, all replicas, 30 s
             02 {ID} 02 00000000 48 {batch}    // one topic, one partition, 71 bytes
             00 00 00                          // no tags"
        ),
        13,
        7,
        None,
        AnyRequest::Produce(ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData { topic_id: id, partition_data, ..Default::default() }],
            ..Default::default()
        }),
    );
    let batch = RecordBatch::split_from(&mut records).expect("a batch").expect("a whole one");
    batch.verify_crc().expect("the checksum is right");
    let decoded = batch.decompress(100).expect("no codec");
    let record = decoded.records().next().expect("a record").expect("a good one");
    assert_eq!((record.timestamp, record.key, record.value), (5, None, Some(&b"abc"[..])));
}

#[test]
fn fetch_12_tags_the_leader() {
    let partition = PartitionData {
        error_code: 6,
        high_watermark: -1,
        last_stable_offset: -1,
        current_leader: LeaderIdAndEpoch { leader_id: 2, leader_epoch: 9 },
        aborted_transactions: None,
        records: None,
        ..Default::default()
    };
    response(
        "00000002 00                                               // correlation id 2, no tags
         00000000 0000 00000005                                    // no throttling, no error, session 5
         02 02 74 02                                               // one topic: t, one partition
         00000000 0006 ffffffffffffffff ffffffffffffffff ffffffffffffffff // 0, error 6, no offsets
         00 ffffffff 00                                            // null list of aborted, no replica, null records
         01 01 09 00000002 00000009 00                             // one tag, 1: leader 2, epoch 9, no tags
         00 00                                                     // no tags",
        12,
        2,
        AnyResponse::Fetch(FetchResponse {
            session_id: 5,
            responses: vec![FetchableTopicResponse {
                topic: "t".into(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        }),
    );
}

#[test]
fn consumer_group_heartbeat_0_has_a_nullable_struct() {
    let heartbeat = ConsumerGroupHeartbeatResponse {
        member_id: Some("m".into()),
        member_epoch: 3,
        heartbeat_interval_ms: 5000,
        ..Default::default()
    };
    response(
        "00000001 00 00000000 0000 00 02 6d 00000003 00001388  // no throttling, error or message; m, epoch 3, 5 s
         ff 00                                                // no change of the assignment, no tags",
        0,
        1,
        AnyResponse::ConsumerGroupHeartbeat(heartbeat.clone()),
    );
    let topic_id = uuid::Uuid::from_slice(&hex(ID)).expect("16 bytes");
    let topic_partitions = vec![TopicPartitionsResult { topic_id, partitions: vec![4] }];
    response(
        &format!(
            "00000001 00 00000000 0000 00 02 6d 00000003 00001388
             01 02 {ID} 02 00000004 00 00 00                   // an assignment: one topic, partition 4"
        ),
        0,
        1,
        AnyResponse::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse {
            assignment: Some(Assignment { topic_partitions }),
            ..heartbeat
        }),
    );
}

#[test]
fn heartbeat_4_is_the_first_flexible_one() {
    assert_eq!(ApiKey::Heartbeat.flexible_from(), 4);
    let heartbeat = || {
        AnyRequest::Heartbeat(HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 2,
            member_id: "m".into(),
            ..Default::default()
        })
    };
    request("000c 0003 00000001 ffff 0001 67 00000002 0001 6d ffff", 3, 1, None, heartbeat());
    request("000c 0004 00000001 ffff 00 02 67 00000002 02 6d 00 00", 4, 1, None, heartbeat());
}
