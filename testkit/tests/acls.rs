//! ACLs that clients make, asked over sockets; what librdkafka's and franz-go's suites do with them.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read the clock and fail by panic")]

mod wire;

use create_acls_request::AclCreation;
use delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ottla_testkit::Broker;
use wire::{Client, batch};

const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const ANY: i8 = 1;
const ALL: i8 = 2;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

async fn started(authorizer: bool) -> (Broker, Client) {
    let broker = Broker::builder().topic("t", 1).authorizer(authorizer).as_version("3.9").start().await.unwrap();
    let client = Client::connect(&broker.address(0).unwrap()).await;
    (broker, client)
}

fn acl(name: &'static str, pattern: i8, user: &'static str, operation: i8, permission: i8) -> AclCreation {
    AclCreation::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(name))
        .with_resource_pattern_type(pattern)
        .with_principal(text(user))
        .with_host(text("*"))
        .with_operation(operation)
        .with_permission_type(permission)
}

async fn create(client: &mut Client, acls: Vec<AclCreation>) -> Vec<i16> {
    let response = client.call(3, &CreateAclsRequest::default().with_creations(acls)).await;
    response.results.iter().map(|result| result.error_code).collect()
}

/// Resources and how many ACLs each has.
async fn described(client: &mut Client, user: Option<&'static str>) -> Vec<(String, i8, usize)> {
    let request = DescribeAclsRequest::default()
        .with_resource_type_filter(ANY)
        .with_pattern_type_filter(ANY)
        .with_resource_name_filter(None)
        .with_principal_filter(user.map(text))
        .with_host_filter(None)
        .with_operation(ANY)
        .with_permission_type(ANY);
    let response = client.call(3, &request).await;
    assert_eq!(response.error_code, 0);
    let resources = response.resources.iter();
    resources.map(|one| (one.resource_name.to_string(), one.pattern_type, one.acls.len())).collect()
}

async fn produce(client: &mut Client) -> i16 {
    let data = PartitionProduceData::default().with_records(Some(batch(&["v"], None, false)));
    let topic = TopicProduceData::default().with_name(TopicName(text("t"))).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(1).with_timeout_ms(1000).with_topic_data(vec![topic]);
    client.call(9, &request).await.responses[0].partition_responses[0].error_code
}

#[tokio::test]
async fn without_an_authorizer_acls_are_refused() {
    let (_broker, mut client) = started(false).await;
    assert_eq!(create(&mut client, vec![acl("t", LITERAL, "User:*", READ, ALLOW)]).await, [54]);
}

#[tokio::test]
async fn acls_are_kept_described_and_deleted() {
    let (_broker, mut client) = started(true).await;
    let acls = vec![
        acl("t", PREFIXED, "User:a", READ, ALLOW),
        acl("t", LITERAL, "User:b", WRITE, ALLOW),
        acl("t", LITERAL, "User:b", READ, ALLOW),
        acl("t", LITERAL, "nobody", READ, ALLOW),
        acl("t", ANY, "User:a", READ, ALLOW),
    ];
    assert_eq!(create(&mut client, acls).await, [0, 0, 0, 42, 42]);
    let all = [("t".to_owned(), PREFIXED, 1), ("t".to_owned(), LITERAL, 2)];
    assert_eq!(described(&mut client, None).await, all);
    assert_eq!(described(&mut client, Some("User:b")).await, all[1..]);
    let filter = DeleteAclsFilter::default()
        .with_resource_type_filter(TOPIC)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(READ)
        .with_permission_type(ANY);
    let response = client.call(3, &DeleteAclsRequest::default().with_filters(vec![filter])).await;
    let deleted = response.filter_results[0].matching_acls.iter().map(|acl| acl.principal.to_string());
    assert_eq!(deleted.collect::<Vec<_>>(), ["User:a", "User:b"]);
    assert_eq!(described(&mut client, None).await, [("t".to_owned(), LITERAL, 1)]);
}

#[tokio::test]
async fn acls_hold_and_clients_are_told_what_they_may() {
    let (_broker, mut client) = started(true).await;
    let asked = metadata_request::MetadataRequestTopic::default().with_name(Some(TopicName(text("t"))));
    let request =
        MetadataRequest::default().with_topics(Some(vec![asked])).with_include_topic_authorized_operations(true);
    let operations = client.call(12, &request).await.topics[0].topic_authorized_operations;
    assert_eq!(operations, 0b1101_1111_1000 & !(1 << 9), "all eight that a topic knows");
    let cluster = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
    assert_eq!(client.call(0, &cluster).await.cluster_authorized_operations.count_ones(), 7);
    let unasked = client.call(0, &DescribeClusterRequest::default()).await;
    assert_eq!(unasked.cluster_authorized_operations, i32::MIN);

    assert_eq!(produce(&mut client).await, 0);
    assert_eq!(create(&mut client, vec![acl("t", LITERAL, "User:*", READ, ALLOW)]).await, [0]);
    assert_eq!(produce(&mut client).await, 29, "TOPIC_AUTHORIZATION_FAILED");
    let operations = client.call(12, &request).await.topics[0].topic_authorized_operations;
    assert_eq!(operations, 1 << READ | 1 << 8, "to read is to describe");
    assert_eq!(create(&mut client, vec![acl("t", LITERAL, "User:ANONYMOUS", ALL, DENY)]).await, [0]);
    assert_eq!(client.call(12, &request).await.topics[0].error_code, 29);
}

#[tokio::test]
async fn member_that_subscribes_to_a_topic_it_may_not_see_is_refused() {
    let broker = Broker::builder().topic("t", 1).topic("secret", 1).authorizer(true).start().await.unwrap();
    let mut client = Client::connect(&broker.address(0).unwrap()).await;
    assert_eq!(create(&mut client, vec![acl("secret", LITERAL, "User:*", ALL, DENY)]).await, [0]);
    let beat = |names: &[&'static str]| {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_member_id(text("m"))
            .with_rebalance_timeout_ms(1000)
            .with_topic_partitions(Some(Vec::new()))
            .with_subscribed_topic_names(Some(names.iter().map(|name| TopicName(text(name))).collect()))
    };
    assert_eq!(client.call(1, &beat(&["t", "secret"])).await.error_code, 29, "TOPIC_AUTHORIZATION_FAILED");
    assert_eq!(client.call(1, &beat(&["t"])).await.error_code, 0);
}
