//! What Java's clients and real brokers of every era said to each other (tests/captured): each frame is read and written
//! back byte for byte, and what was produced, consumed and agreed on is what the programs were told.
#[path = "common/hex.rs"]
mod hex;

use std::path::Path;

use bytes::Bytes;
use hex::hex;
use ottla_protocol::ApiKey;
use ottla_protocol::compression::Compression;
use ottla_protocol::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use ottla_protocol::messages::*;
use ottla_protocol::record::{RecordBatch, Records, is_message_set, take_message_set};

/// The frames of one file, in order.
struct Captured {
    requests: Vec<(i16, AnyRequest)>,
    responses: Vec<(i16, AnyResponse)>,
}

impl Captured {
    /// Every frame, having checked that it is written as it was read.
    fn load(broker: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/captured/{broker}.txt"));
        let text = std::fs::read_to_string(path).expect("the file is there");
        let mut captured = Self { requests: Vec::new(), responses: Vec::new() };
        for block in text.split("\n\n").skip(1) {
            let (title, digits) = block.trim_start_matches(|c| c != '<' && c != '>').split_once('\n').expect("a block");
            let mut words = title.split(' ');
            let direction = words.next().expect("a direction");
            let mut number = || words.next().expect("a number").parse::<i16>().expect("a number");
            let (key, version) = (number(), number());
            let bytes = Bytes::from(hex(digits));
            let written = if direction == ">" {
                let (header, request) = AnyRequest::decode_frame(bytes.clone()).expect(title);
                assert_eq!((header.api_key, header.api_version), (key, version));
                let client = header.client_id.as_deref();
                let written = request.encode_frame(version, header.correlation_id, client).expect(title);
                captured.requests.push((version, request));
                written
            } else {
                let api = ApiKey::try_from(key).expect("a known API");
                let (header, response) = AnyResponse::decode_frame(api, version, bytes.clone()).expect(title);
                let written = response.encode_frame(version, header.correlation_id).expect(title);
                captured.responses.push((version, response));
                written
            };
            assert_eq!(written.to_bytes().slice(4..), bytes, "{broker}: {title}");
        }
        captured
    }
}

/// What `pick` says of the messages that it is for.
macro_rules! all {
    ($messages:expr, $kind:path) => {
        $messages
            .iter()
            .filter_map(|(version, m)| if let $kind(m) = m { Some((*version, m)) } else { None })
            .collect::<Vec<_>>()
    };
}

type Seen = (i64, Option<String>, Option<String>, Vec<(String, String)>);

/// The records in the order they lie in, and the codecs of their batches.
fn records(records: &Records) -> (Vec<Compression>, Vec<Seen>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (mut codecs, mut seen) = (Vec::new(), Vec::new());
    let mut rest = records.clone().into_bytes();
    while !rest.is_empty() {
        let batch = if is_message_set(&rest) {
            take_message_set(&mut rest, true, 1 << 20).expect("a message set").expect("a whole one")
        } else {
            let batch = RecordBatch::split_from(&mut rest).expect("a batch").expect("a whole one");
            batch.verify_crc().expect("the checksum is right");
            batch
        };
        codecs.push(batch.compression().expect("a known codec"));
        for record in batch.decompress(1 << 20).expect("it can be decompressed").records() {
            let record = record.expect("a record");
            let headers = record.headers().map(|header| {
                let header = header.expect("a header");
                (header.key.to_owned(), text(header.value.expect("a value")))
            });
            seen.push((record.offset, record.key.map(text), record.value.map(text), headers.collect()));
        }
    }
    (codecs, seen)
}

fn plain(offset: i64, key: &str, value: &str) -> Seen {
    (offset, Some(key.into()), Some(value.into()), vec![])
}

fn produced(captured: &Captured) -> Vec<(Vec<Compression>, Vec<Seen>)> {
    let all = all!(captured.requests, AnyRequest::Produce);
    let partitions = all.iter().flat_map(|(_, request)| &request.topic_data).flat_map(|topic| &topic.partition_data);
    partitions.map(|partition| records(partition.records.as_ref().expect("records"))).collect()
}

fn fetched(captured: &Captured) -> Vec<Seen> {
    let all = all!(captured.responses, AnyResponse::Fetch);
    let partitions = all.iter().flat_map(|(_, response)| &response.responses).flat_map(|topic| &topic.partitions);
    partitions.flat_map(|partition| records(partition.records.as_ref().expect("records")).1).collect()
}

fn hello_world() -> Vec<Seen> {
    vec![plain(0, "k1", "hello"), plain(1, "k2", "world")]
}

/// The group's topics and, of its only member, the partitions.
fn agreed(captured: &Captured) -> (Vec<String>, Vec<(String, Vec<i32>)>) {
    let joined = all!(captured.responses, AnyResponse::JoinGroup);
    let member = &joined.first().expect("a response").1.members[0];
    let subscription = ConsumerProtocolSubscription::from_bytes(member.metadata.clone()).expect("a subscription");
    let synced = all!(captured.responses, AnyResponse::SyncGroup);
    let assignment = synced.first().expect("a response").1.assignment.clone();
    let sent = &all!(captured.requests, AnyRequest::SyncGroup).first().expect("a request").1.assignments;
    assert_eq!(sent.iter().map(|one| &one.assignment).collect::<Vec<_>>(), [&assignment]);
    let assignment = ConsumerProtocolAssignment::from_bytes(assignment).expect("an assignment");
    let assigned = assignment.assigned_partitions.into_iter().map(|topic| (topic.topic, topic.partitions));
    (subscription.topics, assigned.collect())
}

fn golden() -> (Vec<String>, Vec<(String, Vec<i32>)>) {
    (vec!["golden".into()], vec![("golden".into(), vec![0])])
}

/// The only broker of the cluster, in the version asked for.
fn broker(captured: &Captured, expected_version: i16, port: i32) {
    let all = all!(captured.responses, AnyResponse::Metadata);
    let (version, response) = all.first().expect("a response");
    assert_eq!(*version, expected_version);
    let brokers: Vec<_> = response.brokers.iter().map(|b| (b.node_id, b.host.as_str(), b.port)).collect();
    assert_eq!(brokers, [(1, "127.0.0.1", port)]);
    assert_eq!(response.controller_id, 1);
}

#[test]
fn kafka_0_10_0_speaks_message_sets_and_classic_groups() {
    let captured = Captured::load("0.10.0.1");
    broker(&captured, 1, 31092);
    // What a set of magic 1 held is read without compression.
    let mut produced = produced(&captured).into_iter().map(|(_, records)| records).collect::<Vec<_>>();
    produced.sort_by_key(Vec::len);
    assert_eq!(produced, [vec![plain(0, "k3", "plain")], hello_world()]);
    assert_eq!(fetched(&captured), [hello_world(), vec![plain(2, "k3", "plain")]].concat());
    assert_eq!(agreed(&captured), golden());
    let committed = all!(captured.requests, AnyRequest::OffsetCommit)[0].1.topics[0].partitions[0].committed_offset;
    assert_eq!(committed, 3);
}

#[test]
fn kafka_0_11_has_record_batches_and_producer_ids() {
    let captured = Captured::load("0.11.0.3");
    broker(&captured, 4, 31192);
    assert_eq!(produced(&captured), [(vec![Compression::Snappy], hello_world())]);
    assert_eq!(fetched(&captured), hello_world());
    assert_eq!(agreed(&captured), golden());
    let (_, given) = all!(captured.responses, AnyResponse::InitProducerId)[0];
    let Some(records) =
        all!(captured.requests, AnyRequest::Produce)[0].1.topic_data[0].partition_data[0].records.clone()
    else {
        panic!("no records")
    };
    let batch = RecordBatch::split_from(&mut records.into_bytes()).expect("a batch").expect("a whole one");
    assert_eq!((batch.producer_id(), batch.producer_epoch()), (given.producer_id, given.producer_epoch));
    assert_eq!(batch.base_sequence(), 0);
    let produce =
        |(_, response): &(i16, &ApiVersionsResponse)| response.api_keys.iter().find(|api| api.api_key == 0).cloned();
    let produce = all!(captured.responses, AnyResponse::ApiVersions).iter().find_map(produce).expect("Produce");
    assert_eq!((produce.min_version, produce.max_version), (0, 3));
}

#[test]
fn kafka_1_1_reads_lz4_and_has_fetch_sessions() {
    let captured = Captured::load("1.1.1");
    broker(&captured, 5, 31292);
    assert_eq!(produced(&captured), [(vec![Compression::Lz4], hello_world())]);
    assert_eq!(fetched(&captured), hello_world());
    assert!(
        all!(captured.responses, AnyResponse::Fetch)
            .iter()
            .all(|(version, response)| *version == 7 && response.error_code == 0)
    );
}

#[test]
fn kafka_2_8_has_flexible_versions_and_transactions() {
    let captured = Captured::load("2.8.2");
    broker(&captured, 11, 31392);
    let mut produced = produced(&captured);
    produced.sort_by_key(|(codecs, _)| codecs[0].code());
    assert_eq!(produced, [(vec![Compression::None], hello_world()), (vec![Compression::Zstd], hello_world())]);
    assert_eq!(agreed(&captured), golden());
    // A version that the broker does not know is answered in version 0, with the versions that it knows of this API.
    let asked: Vec<_> = all!(captured.requests, AnyRequest::ApiVersions).iter().map(|(version, _)| *version).collect();
    assert_eq!(asked, [3, 4]);
    let (version, refused) = all!(captured.responses, AnyResponse::ApiVersions)[1];
    assert_eq!((version, refused.error_code), (0, 35));
    assert_eq!(refused.api_keys.iter().map(|api| (api.api_key, api.max_version)).collect::<Vec<_>>(), [(18, 3)]);

    let (_, given) = all!(captured.responses, AnyResponse::InitProducerId)[0];
    let (_, ended) = all!(captured.requests, AnyRequest::EndTxn)[0];
    assert_eq!((ended.transactional_id.as_str(), ended.committed), ("golden-txn", true));
    assert_eq!((ended.producer_id, ended.producer_epoch), (given.producer_id, given.producer_epoch));
    let (_, added) = all!(captured.requests, AnyRequest::AddPartitionsToTxn)[0];
    assert_eq!(
        (added.v3_and_below_topics[0].name.as_str(), &added.v3_and_below_topics[0].partitions[..]),
        ("copied", &[0][..])
    );
    let (_, offsets) = all!(captured.requests, AnyRequest::TxnOffsetCommit)[0];
    assert_eq!((offsets.group_id.as_str(), offsets.topics[0].partitions[0].committed_offset), ("copier", 2));
    assert!(all!(captured.responses, AnyResponse::EndTxn).iter().all(|(_, response)| response.error_code == 0));
}

#[test]
fn kafka_4_4_has_topic_ids_and_the_new_group_protocol() {
    let captured = Captured::load("4.4.0");
    broker(&captured, 13, 31492);
    let record = |offset, key: &str, value: &str, header: (&str, &str)| {
        (offset, Some(key.into()), Some(value.into()), vec![(header.0.into(), header.1.into())])
    };
    let expected: Vec<Seen> = vec![record(0, "k1", "hello", ("h1", "v1")), record(1, "k2", "world", ("h2", "v2"))];
    let mut produced = produced(&captured);
    produced.sort_by_key(|(codecs, _)| codecs[0].code());
    // The transaction copies keys and values, and no headers.
    assert_eq!(produced, [(vec![Compression::None], hello_world()), (vec![Compression::Zstd], expected.clone())]);
    assert_eq!(fetched(&captured), expected);

    let all_metadata = all!(captured.responses, AnyResponse::Metadata);
    let topics = all_metadata.iter().flat_map(|(_, response)| &response.topics);
    let ids: Vec<_> =
        topics.filter(|topic| topic.name.as_deref() == Some("golden")).map(|topic| topic.topic_id).collect();
    assert!(!ids.is_empty() && !ids[0].is_nil());
    let fetched_ids = all!(captured.responses, AnyResponse::Fetch)[0].1.responses.iter().map(|topic| topic.topic_id);
    assert_eq!(fetched_ids.collect::<Vec<_>>(), [ids[0]]);

    let beats = all!(captured.requests, AnyRequest::ConsumerGroupHeartbeat);
    assert_eq!(beats[0].1.member_epoch, 0);
    assert_eq!(beats[0].1.subscribed_topic_names, Some(vec!["golden".to_owned()]));
    let answers = all!(captured.responses, AnyResponse::ConsumerGroupHeartbeat);
    assert_eq!(beats[1].1.member_epoch, answers[0].1.member_epoch);
    let assignment = answers.iter().find_map(|(_, response)| response.assignment.as_ref()).expect("an assignment");
    let assigned: Vec<_> =
        assignment.topic_partitions.iter().map(|topic| (topic.topic_id, &topic.partitions[..])).collect();
    assert_eq!(assigned, [(ids[0], &[0][..])]);

    // Transactions of KIP-890: the end gives the next epoch.
    let (version, ended) = all!(captured.responses, AnyResponse::EndTxn)[0];
    let (_, end) = all!(captured.requests, AnyRequest::EndTxn)[0];
    assert_eq!((version, ended.error_code), (5, 0));
    assert_eq!((ended.producer_id, ended.producer_epoch), (end.producer_id, end.producer_epoch + 1));
    let (version, offsets) = all!(captured.requests, AnyRequest::TxnOffsetCommit)[0];
    assert_eq!((version, offsets.topics[0].partitions[0].committed_offset), (5, 2));
}
