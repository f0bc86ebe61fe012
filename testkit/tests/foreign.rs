//! What the test suites of librdkafka and franz-go rely on, asked over sockets.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read the clock and fail by panic")]

mod wire;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, Record};
use ottla_testkit::Broker;
use wire::{Client, encoded, record};

fn topic(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

/// A batch of records with these keys and timestamps.
fn records(records: &[(Option<&str>, i64)]) -> Bytes {
    let record = |(index, &(key, timestamp)): (usize, &(Option<&str>, i64))| Record {
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::from_static(b"v")),
        ..record(index, timestamp)
    };
    encoded(&records.iter().enumerate().map(record).collect::<Vec<_>>(), Compression::None)
}

async fn produce(client: &mut Client, version: i16, records: Bytes) -> PartitionProduceResponse {
    let data = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic("t")).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(1).with_timeout_ms(1000).with_topic_data(vec![topic]);
    client.call(version, &request).await.responses[0].partition_responses[0].clone()
}

#[tokio::test]
async fn a_refused_batch_names_the_records_to_blame() {
    let config = [("cleanup.policy", "compact"), ("message.timestamp.after.max.ms", "1000")];
    let broker = Broker::builder().as_version("3.9").topic_with("t", 1, &config).start().await.unwrap();
    let mut client = Client::connect(&broker.address(0).unwrap()).await;
    let blamed = |answer: &PartitionProduceResponse| {
        let indices = answer.record_errors.iter().map(|record| record.batch_index).collect::<Vec<_>>();
        (answer.error_code, indices)
    };
    let keyless = records(&[(Some("a"), 0), (None, 0), (Some("b"), 0), (None, 0)]);
    let answer = produce(&mut client, 8, keyless.clone()).await;
    assert_eq!(blamed(&answer), (87, vec![1, 3]), "INVALID_RECORD");
    let reason = answer.record_errors[0].batch_index_error_message.clone().unwrap();
    assert_eq!(reason.as_str(), "Compacted topic cannot accept message without key in topic partition t-0.");
    let late = records(&[(Some("a"), 0), (Some("b"), i64::MAX / 2)]);
    assert_eq!(blamed(&produce(&mut client, 9, late).await), (32, vec![1]), "INVALID_TIMESTAMP");
    assert_eq!(blamed(&produce(&mut client, 7, keyless).await), (87, vec![]), "no field for it before v8");
    assert_eq!(blamed(&produce(&mut client, 8, records(&[(Some("a"), 0)])).await), (0, vec![]));
}

/// `ottla-broker` as its users start it; ends with its value.
struct Program(std::process::Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The program with these options on free ports, and the first address it says clients may come to.
fn program(options: &[&str]) -> (Program, String) {
    use std::io::BufRead;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ottla-broker"));
    let child = command.args(["--port", "0"]).args(options).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut program = Program(child);
    let mut line = String::new();
    std::io::BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("ready: ").unwrap().split(',').next().unwrap().to_owned();
    (program, address)
}

async fn metadata(client: &mut Client) -> metadata_response::MetadataResponseTopic {
    let asked = metadata_request::MetadataRequestTopic::default().with_name(Some(topic("new")));
    let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(true);
    client.call(4, &request).await.topics[0].clone()
}

#[tokio::test]
async fn program_creates_topics_as_its_options_say() {
    let (_program, address) = program(&["--partitions", "4"]);
    let mut client = Client::connect(&address).await;
    metadata(&mut client).await;
    assert_eq!(metadata(&mut client).await.partitions.len(), 4);
    let (_program, address) = program(&["--auto-create-topics=false"]);
    let mut client = Client::connect(&address).await;
    for _ in 0..2 {
        assert_eq!(metadata(&mut client).await.error_code, 3, "UNKNOWN_TOPIC_OR_PARTITION");
    }
}

#[tokio::test]
async fn who_is_in_no_generation_commits_for_a_group_without_members() {
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let mut client = Client::connect(&broker.address(0).unwrap()).await;
    // A KIP-848 consumer has its member id before it joins.
    let commit = |name, member: &'static str, generation| {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
        let committed = OffsetCommitRequestTopic::default().with_name(topic(name)).with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_member_id(StrBytes::from_static_str(member))
            .with_generation_id_or_member_epoch(generation)
            .with_topics(vec![committed])
    };
    let mut committed = async |name, member, generation| {
        client.call(9, &commit(name, member, generation)).await.topics[0].partitions[0].error_code
    };
    assert_eq!(committed("t", "m", 1).await, 69, "GROUP_ID_NOT_FOUND");
    assert_eq!(committed("t", "m", -1).await, 0);
    assert_eq!(committed("t", "m", 1).await, 25, "UNKNOWN_MEMBER_ID");
    // The partition is looked for first.
    assert_eq!(committed("nowhere", "m", 1).await, 3, "UNKNOWN_TOPIC_OR_PARTITION");
    assert_eq!(broker.committed("g").len(), 1);
}

async fn change(client: &mut Client, kind: i8, name: &'static str, operation: i8, config: [&'static str; 2]) -> i16 {
    use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let [config, value] = config.map(StrBytes::from_static_str);
    let change = AlterableConfig::default().with_name(config).with_config_operation(operation).with_value(Some(value));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_static_str(name))
        .with_configs(vec![change]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    client.call(1, &request).await.responses[0].error_code
}

/// Value and source of a config.
async fn config(client: &mut Client, kind: i8, name: &'static str, config: &'static str) -> Option<(String, i8)> {
    let resource = describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_static_str(name))
        .with_configuration_keys(Some(vec![StrBytes::from_static_str(config)]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let response = client.call(4, &request).await;
    let found = response.results[0].configs.first()?;
    Some((found.value.as_ref().unwrap().to_string(), found.config_source))
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
const SET: i8 = 0;
const APPEND: i8 = 2;

#[tokio::test]
async fn configs_of_brokers_and_groups_are_kept() {
    let broker = Broker::builder().nodes(2).start().await.unwrap();
    let mut client = Client::connect(&broker.address(1).unwrap()).await;
    let relogin = "sasl.kerberos.min.time.before.relogin";
    assert_eq!(change(&mut client, BROKER, "1", SET, [relogin, "58000"]).await, 0);
    assert_eq!(config(&mut client, BROKER, "1", relogin).await, Some(("58000".to_owned(), 2)));
    assert_eq!(change(&mut client, BROKER, "0", SET, [relogin, "58000"]).await, 42, "another broker's");
    assert_eq!(change(&mut client, BROKER, "1", SET, ["num.partitions", "7"]).await, 42, "would change nothing");
    let timeout = "consumer.session.timeout.ms";
    assert_eq!(config(&mut client, GROUP, "g", timeout).await, Some(("45000".to_owned(), 5)));
    assert_eq!(change(&mut client, GROUP, "g", SET, [timeout, "50000"]).await, 0);
    assert_eq!(config(&mut client, GROUP, "g", timeout).await, Some(("50000".to_owned(), 8)));
    assert_eq!(change(&mut client, GROUP, "g", SET, ["no.such.config", "1"]).await, 40);
    let old = Broker::builder().as_version("3.9").start().await.unwrap();
    let mut client = Client::connect(&old.address(0).unwrap()).await;
    assert_eq!(change(&mut client, GROUP, "g", SET, [timeout, "50000"]).await, 42, "groups have no configs yet");
}

#[tokio::test]
async fn lists_are_appended_to_their_defaults() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let mut client = Client::connect(&broker.address(0).unwrap()).await;
    assert_eq!(change(&mut client, TOPIC, "t", APPEND, ["cleanup.policy", "compact"]).await, 0);
    assert_eq!(config(&mut client, TOPIC, "t", "cleanup.policy").await, Some(("delete,compact".to_owned(), 1)));
}

#[tokio::test]
async fn configs_that_kafka_4_removed_are_known_before_it() {
    for (version, error) in [("3.9", 0), ("4.0", 40)] {
        let broker = Broker::builder().as_version(version).topic("t", 1).start().await.unwrap();
        let mut client = Client::connect(&broker.address(0).unwrap()).await;
        let done = change(&mut client, TOPIC, "t", SET, ["message.format.version", "0.10.0.0"]).await;
        assert_eq!(done, error, "{version}");
    }
}

#[test]
fn program_says_in_a_line_what_is_wrong_with_its_options() {
    let refused = |options: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_ottla-broker")).args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (options, reason) in [
        (&["--nodes", "0"][..], "--nodes 0: not a positive number"),
        (&["--partitions=no"], "--partitions no: not a positive number"),
        (&["--port"], "--port needs a value"),
        (&["--ports", "1"], "unknown option --ports"),
    ] {
        assert_eq!(refused(options), format!("ottla-broker: {reason}; --help lists the options\n"));
    }
}

#[tokio::test]
async fn broker_says_how_long_a_sasl_session_lasts() {
    for (lifetime, said) in [(None, "0"), (Some(10_000), "10000")] {
        let builder = Broker::builder();
        let builder = match lifetime {
            Some(millis) => builder.sasl_session_lifetime(std::time::Duration::from_millis(millis)),
            None => builder,
        };
        let broker = builder.start().await.unwrap();
        let mut client = Client::connect(&broker.address(0).unwrap()).await;
        let found = config(&mut client, BROKER, "0", "connections.max.reauth.ms").await;
        assert_eq!(found, Some((said.to_owned(), 4)));
    }
}
