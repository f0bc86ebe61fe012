//! What administrators ask about the cluster: quotas, features, the quorum, log dirs, clients' metrics, delegation
//! tokens; asked over sockets.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read the clock and fail by panic")]

mod wire;

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ottla_testkit::Broker;
use wire::Client;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

async fn started(version: &str) -> (Broker, Client) {
    let broker = Broker::builder().nodes(2).topic("t", 2).as_version(version).start().await.unwrap();
    let client = Client::connect(&broker.address(0).unwrap()).await;
    (broker, client)
}

async fn set_quota(client: &mut Client, kind: &str, name: Option<&str>, key: &str, value: Option<f64>) -> i16 {
    use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
    let entity = EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text));
    let op = OpData::default().with_key(text(key)).with_value(value.unwrap_or_default()).with_remove(value.is_none());
    let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
    let request = AlterClientQuotasRequest::default().with_entries(vec![entry.clone()]);
    let trial = request.clone().with_validate_only(true);
    let tried = client.call(1, &trial).await.entries[0].error_code;
    let set = client.call(1, &request).await.entries[0].error_code;
    assert_eq!(tried, set, "a trial says what would be");
    set
}

async fn quotas(client: &mut Client, kind: &str, how: i8, name: Option<&str>) -> Result<Vec<(String, f64)>, i16> {
    use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
    let component =
        ComponentData::default().with_entity_type(text(kind)).with_match_type(how).with_match(name.map(text));
    let response = client.call(1, &DescribeClientQuotasRequest::default().with_components(vec![component])).await;
    let Some(entries) = response.entries else { return Err(response.error_code) };
    let named = |entry: &describe_client_quotas_response::EntryData| {
        let name = entry.entity[0].entity_name.as_deref().unwrap_or("<default>").to_owned();
        (name, entry.values[0].value)
    };
    Ok(entries.iter().map(named).collect())
}

#[tokio::test]
async fn quotas_are_set_found_by_name_default_and_kind_and_removed() {
    let (_broker, mut client) = started("4.1").await;
    assert_eq!(set_quota(&mut client, "user", Some("alice"), "producer_byte_rate", Some(1024.0)).await, 0);
    assert_eq!(set_quota(&mut client, "user", None, "consumer_byte_rate", Some(2048.0)).await, 0);
    assert_eq!(set_quota(&mut client, "user", None, "no.such", Some(1.0)).await, 42);
    let alice = ("alice".to_owned(), 1024.0);
    let default = ("<default>".to_owned(), 2048.0);
    assert_eq!(quotas(&mut client, "user", 0, Some("alice")).await, Ok(vec![alice.clone()]));
    assert_eq!(quotas(&mut client, "user", 1, None).await, Ok(vec![default.clone()]));
    assert_eq!(quotas(&mut client, "user", 2, None).await, Ok(vec![default, alice]));
    assert_eq!(quotas(&mut client, "client-id", 2, None).await, Ok(vec![]));
    assert_eq!(quotas(&mut client, "group", 2, None).await, Err(35));
    assert_eq!(set_quota(&mut client, "user", Some("alice"), "producer_byte_rate", None).await, 0);
    assert_eq!(quotas(&mut client, "user", 0, Some("alice")).await, Ok(vec![]));
}

async fn finalized(client: &mut Client) -> Vec<(String, i16)> {
    let request =
        ApiVersionsRequest::default().with_client_software_name(text("wire")).with_client_software_version(text("1"));
    let response = client.call(3, &request).await;
    response.finalized_features.iter().map(|one| (one.name.to_string(), one.max_version_level)).collect()
}

async fn update(client: &mut Client, name: &str, level: i16, how: i8, trial: bool) -> i16 {
    use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
    let key = FeatureUpdateKey::default().with_feature(text(name)).with_max_version_level(level).with_upgrade_type(how);
    let request = UpdateFeaturesRequest::default().with_feature_updates(vec![key]).with_validate_only(trial);
    client.call(2, &request).await.error_code
}

#[tokio::test]
async fn features_are_changed_with_effect() {
    let (_broker, mut client) = started("4.0").await;
    let level = |name: &str, level| (name.to_owned(), level);
    let formatted = [level("group.version", 1), level("metadata.version", 25), level("transaction.version", 2)];
    assert_eq!(finalized(&mut client).await, formatted);
    assert_eq!(update(&mut client, "transaction.version", 1, 1, false).await, 95, "not by an upgrade");
    assert_eq!(update(&mut client, "transaction.version", 1, 2, true).await, 0);
    assert_eq!(finalized(&mut client).await, formatted, "it was a trial");
    assert_eq!(update(&mut client, "group.version", 0, 2, false).await, 0);
    let beat = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text("m"))
        .with_rebalance_timeout_ms(1000)
        .with_topic_partitions(Some(Vec::new()))
        .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]));
    assert_eq!(client.call(1, &beat).await.error_code, 35, "the group protocol is off");
    assert_eq!(update(&mut client, "group.version", 1, 1, false).await, 0);
    let code = client.call(1, &beat).await.error_code;
    assert!(matches!(code, 0 | 16), "{code}: only the coordinator may be another");
}

#[tokio::test]
async fn first_transaction_protocol_is_back_after_a_downgrade() {
    let broker = Broker::builder().topic("t", 1).as_version("4.0").start().await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(update(&mut client, "transaction.version", 1, 2, false).await, 0);
    let id = || TransactionalId(text("x"));
    let init = InitProducerIdRequest::default().with_transactional_id(Some(id())).with_transaction_timeout_ms(60_000);
    let producer = client.call(5, &init).await;
    let partition = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
        .with_name(TopicName(text("t")))
        .with_partitions(vec![0]);
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id())
        .with_v3_and_below_producer_id(producer.producer_id)
        .with_v3_and_below_producer_epoch(producer.producer_epoch)
        .with_v3_and_below_topics(vec![partition]);
    assert_eq!(
        client.call(3, &add).await.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code,
        0
    );
    let end = EndTxnRequest::default()
        .with_transactional_id(id())
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.producer_epoch)
        .with_committed(true);
    assert_eq!(client.call(4, &end).await.error_code, 0);
    // The second protocol would have bumped the epoch.
    let described = DescribeTransactionsRequest::default().with_transactional_ids(vec![id()]);
    let state = &client.call(0, &described).await.transaction_states[0];
    assert_eq!((state.transaction_state.as_str(), state.producer_epoch), ("CompleteCommit", producer.producer_epoch));
}

#[tokio::test]
async fn quorum_is_described_and_its_voters_are_fixed() {
    use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
    let (_broker, mut client) = started("4.1").await;
    let ask = |name: &str| {
        let topic =
            TopicData::default().with_topic_name(TopicName(text(name))).with_partitions(vec![PartitionData::default()]);
        DescribeQuorumRequest::default().with_topics(vec![topic])
    };
    let described = client.call(2, &ask("__cluster_metadata")).await;
    let quorum = &described.topics[0].partitions[0];
    assert_eq!((quorum.error_code, quorum.leader_id, quorum.current_voters.len()), (0, BrokerId(0), 2));
    assert!(quorum.current_voters.iter().all(|voter| voter.log_end_offset <= quorum.high_watermark));
    assert_eq!(described.nodes.len(), 2);
    assert_eq!(client.call(2, &ask("t")).await.topics[0].partitions[0].error_code, 3);
    let voter = AddRaftVoterRequest::default().with_voter_id(7).with_cluster_id(None);
    assert_eq!(client.call(0, &voter).await.error_code, 35);
    let other = AddRaftVoterRequest::default().with_voter_id(7).with_cluster_id(Some(text("other")));
    assert_eq!(client.call(0, &other).await.error_code, 104);
    assert_eq!(client.call(0, &RemoveRaftVoterRequest::default().with_cluster_id(None)).await.error_code, 35);
    let unregister = |id| UnregisterBrokerRequest::default().with_broker_id(BrokerId(id));
    assert_eq!(client.call(0, &unregister(9)).await.error_code, 102);
    assert_eq!(client.call(0, &unregister(1)).await.error_code, 0);
}

#[tokio::test]
async fn replicas_move_only_to_the_one_log_dir_there_is() {
    use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    let (_broker, mut client) = started("4.1").await;
    let described = client.call(4, &DescribeLogDirsRequest::default().with_topics(None)).await;
    let directory = described.results[0].log_dir.clone();
    let mut ask = async |path: &str, name: &str| {
        let topic = AlterReplicaLogDirTopic::default().with_name(TopicName(text(name))).with_partitions(vec![0]);
        let dir = AlterReplicaLogDir::default().with_path(text(path)).with_topics(vec![topic]);
        let request = AlterReplicaLogDirsRequest::default().with_dirs(vec![dir]);
        client.call(2, &request).await.results[0].partitions[0].error_code
    };
    assert_eq!(ask(&directory, "t").await, 0);
    assert_eq!(ask("/elsewhere", "t").await, 57);
    assert_eq!(ask(&directory, "missing").await, 3);
}

async fn subscribe(client: &mut Client, name: &str, configs: &[(&str, &str)]) -> i16 {
    use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let set =
        |&(name, value): &(&str, &str)| AlterableConfig::default().with_name(text(name)).with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(16)
        .with_resource_name(text(name))
        .with_configs(configs.iter().map(set).collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    client.call(1, &request).await.responses[0].error_code
}

#[tokio::test]
async fn metrics_are_pushed_by_the_subscription_that_was_set() {
    let broker = Broker::builder().telemetry(100).start().await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(subscribe(&mut client, "s", &[("metrics", "*"), ("interval.ms", "100")]).await, 0);
    assert_eq!(subscribe(&mut client, "s", &[("interval.ms", "1")]).await, 42);
    let told = client.call(0, &GetTelemetrySubscriptionsRequest::default()).await;
    assert_eq!((told.error_code, told.push_interval_ms, told.telemetry_max_bytes), (0, 100, 100));
    assert_eq!((told.requested_metrics, told.accepted_compression_types), (vec![text("*")], vec![4, 3, 1, 2]));
    let push = PushTelemetryRequest::default()
        .with_client_instance_id(told.client_instance_id)
        .with_subscription_id(told.subscription_id)
        .with_metrics(Bytes::from_static(b"some"));
    assert_eq!(client.call(0, &push).await.error_code, 0);
    assert_eq!(client.call(0, &push).await.error_code, 89, "before its time");
    assert_eq!(broker.pushed_metrics(), [Bytes::from_static(b"some")]);
    let old = push.clone().with_subscription_id(told.subscription_id ^ 1).with_terminating(true);
    assert_eq!(client.call(0, &old).await.error_code, 117);
    let instance = uuid::Uuid::from_u128(77);
    let told = client.call(0, &GetTelemetrySubscriptionsRequest::default().with_client_instance_id(instance)).await;
    let large = push
        .with_client_instance_id(instance)
        .with_subscription_id(told.subscription_id)
        .with_metrics(Bytes::from(vec![0; 101]));
    assert_eq!(client.call(0, &large).await.error_code, 118);
    let named = client.call(0, &ListConfigResourcesRequest::default()).await.config_resources;
    assert_eq!(named.iter().map(|one| one.resource_name.as_str()).collect::<Vec<_>>(), ["s"]);
}

#[tokio::test]
async fn telemetry_is_offered_only_where_somebody_listens() {
    let offers = async |broker: &Broker| {
        let mut client = Client::connect(&broker.bootstrap()).await;
        let keys = client.call(2, &ApiVersionsRequest::default()).await.api_keys;
        keys.iter().any(|key| key.api_key == 71)
    };
    assert!(!offers(&Broker::builder().start().await.unwrap()).await);
    assert!(offers(&Broker::builder().telemetry(1).start().await.unwrap()).await);
}

#[tokio::test]
async fn resources_with_configs_are_listed_by_type() {
    let (_broker, mut client) = started("4.1").await;
    let mut ask = async |kinds: &[i8]| {
        let request = ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
        let response = client.call(1, &request).await;
        (response.error_code, response.config_resources.len())
    };
    assert_eq!(ask(&[2]).await, (0, 1));
    assert_eq!(ask(&[4]).await, (0, 2));
    assert_eq!(ask(&[]).await, (0, 5), "a topic, two brokers, their loggers");
    assert_eq!(ask(&[3]).await, (35, 0));
}

async fn login(broker: &Broker) -> Client {
    let mut client = Client::connect(&broker.bootstrap()).await;
    let handshake = SaslHandshakeRequest::default().with_mechanism(text("PLAIN"));
    assert_eq!(client.call(1, &handshake).await.error_code, 0);
    let token = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(b"\0alice\0secret"));
    assert_eq!(client.call(2, &token).await.error_code, 0);
    client
}

#[tokio::test]
async fn tokens_are_created_described_renewed_and_expired() {
    let broker = Broker::builder().sasl_user("alice", "secret").delegation_tokens("key").start().await.unwrap();
    let mut client = login(&broker).await;
    let lifetime = Duration::from_secs(60).as_millis() as i64;
    let create = CreateDelegationTokenRequest::default().with_max_lifetime_ms(lifetime);
    let token = client.call(3, &create).await;
    assert_eq!((token.error_code, token.principal_name.as_str(), token.hmac.len()), (0, "alice", 64));
    assert_eq!(token.max_timestamp_ms - token.issue_timestamp_ms, lifetime);
    let described = client.call(3, &DescribeDelegationTokenRequest::default().with_owners(None)).await.tokens;
    assert_eq!((described.len(), &described[0].token_id), (1, &token.token_id));
    let none = DescribeDelegationTokenRequest::default().with_owners(Some(Vec::new()));
    assert_eq!(client.call(3, &none).await.tokens.len(), 0, "nobody's");
    let renew = |hmac: &Bytes| RenewDelegationTokenRequest::default().with_hmac(hmac.clone()).with_renew_period_ms(-1);
    let renewed = client.call(2, &renew(&token.hmac)).await;
    assert_eq!((renewed.error_code, renewed.expiry_timestamp_ms), (0, token.max_timestamp_ms));
    assert_eq!(client.call(2, &renew(&Bytes::from_static(b"no"))).await.error_code, 62);
    let expire = ExpireDelegationTokenRequest::default().with_hmac(token.hmac.clone()).with_expiry_time_period_ms(-1);
    assert_eq!(client.call(2, &expire).await.error_code, 0);
    assert_eq!(client.call(2, &renew(&token.hmac)).await.error_code, 62);
}

#[tokio::test]
async fn tokens_are_off_without_a_secret_and_not_for_strangers() {
    let create = CreateDelegationTokenRequest::default().with_max_lifetime_ms(-1);
    let broker = Broker::builder().sasl_user("alice", "secret").start().await.unwrap();
    assert_eq!(login(&broker).await.call(3, &create).await.error_code, 61);
    let broker = Broker::builder().delegation_tokens("key").start().await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(client.call(3, &create).await.error_code, 64);
}
