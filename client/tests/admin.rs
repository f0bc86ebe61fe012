//! The admin client against the embedded broker: how calls are split, merged and tried again. `admin_real.rs` has every
//! call on real brokers.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ottla_client::{
    Admin, Client, ClientConfig, ConfigResource, ElectionType, Error, ErrorCode, GroupDescription, GroupFilter,
    IsolationLevel, MemberToRemove, NewPartitions, NewTopic, OffsetAndMetadata, OffsetSpec, Producer, ProducerConfig,
    ProducerRecord, ScramAlteration, ScramMechanism, TopicPartition, TransactionFilter,
};
use ottla_testkit::{ApiKey, Broker, ErrorCode as Code};

async fn cluster() -> (Broker, Client) {
    let broker = Broker::builder().nodes(3).topic("orders", 6).start().await.unwrap();
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.default_api_timeout = Duration::from_secs(10);
    config.retry_backoff = Duration::from_millis(5);
    config.retry_backoff_max = Duration::from_millis(20);
    let client = Client::connect(config).await.unwrap();
    (broker, client)
}

fn orders() -> Vec<TopicPartition> {
    (0..6).map(|p| TopicPartition::new("orders", p)).collect()
}

async fn write(client: &Client) {
    let producer = Producer::new(client, ProducerConfig::default()).unwrap();
    for partition in 0..6 {
        for _ in 0..=partition {
            producer.send(ProducerRecord::new("orders").partition(partition).value("v")).await.unwrap().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_batch_is_split_by_leaders_and_merged() {
    let (_broker, client) = cluster().await;
    write(&client).await;
    let admin = Admin::new(&client);
    let ends: HashMap<_, _> = orders().into_iter().map(|tp| (tp, OffsetSpec::Latest)).collect();
    let listed = admin.list_offsets(&ends, IsolationLevel::ReadUncommitted).await;
    for tp in orders() {
        assert_eq!(listed[&tp].as_ref().unwrap().offset, Some(i64::from(tp.partition) + 1), "{tp}");
    }
    let before: HashMap<_, _> = orders().into_iter().map(|tp| (tp, 1)).collect();
    let deleted = admin.delete_records(&before).await.unwrap();
    assert!(orders().iter().all(|tp| *deleted[tp].as_ref().unwrap() == 1), "{deleted:?}");
    let producers = admin.describe_producers(&orders()).await.unwrap();
    assert!(orders().iter().all(|tp| producers[tp].as_ref().unwrap().len() == 1), "{producers:?}");
}

#[tokio::test]
async fn what_a_retry_can_cure_is_asked_for_again_and_the_rest_is_not() {
    let (broker, client) = cluster().await;
    write(&client).await;
    let admin = Admin::new(&client);
    let moved = broker.on(ApiKey::ListOffsets).topic("orders").partition(2).fail(Code::NotLeaderOrFollower).times(2);
    let denied =
        broker.on(ApiKey::ListOffsets).topic("orders").partition(3).fail(Code::TopicAuthorizationFailed).always();
    let ends: HashMap<_, _> = orders().into_iter().map(|tp| (tp, OffsetSpec::Latest)).collect();
    let listed = admin.list_offsets(&ends, IsolationLevel::ReadUncommitted).await;
    assert_eq!(moved.hits(), 2);
    let refused = listed.iter().filter(|(_, result)| result.is_err()).collect::<Vec<_>>();
    let [(partition, Err(error))] = refused[..] else { panic!("{refused:?}") };
    assert_eq!((partition.partition, error.code()), (3, Some(ErrorCode::TopicAuthorizationFailed)));
    assert_eq!(denied.hits(), 1, "what cannot be cured is asked for once");
    let text = error.to_string();
    assert!(
        text.starts_with("ListOffsets v") && text.contains("of orders-3 at broker ") && text.contains("ACL"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_not_cured_in_time_says_since_when_and_what_the_last_error_was() {
    let (broker, client) = cluster().await;
    let mut config = client.config().clone();
    config.default_api_timeout = Duration::from_secs(1);
    let admin = Admin::new(&Client::connect(config).await.unwrap());
    broker.on(ApiKey::ListOffsets).topic("orders").partition(1).fail(Code::LeaderNotAvailable).always();
    let ends: HashMap<_, _> = orders().into_iter().map(|tp| (tp, OffsetSpec::Latest)).collect();
    let started = Instant::now();
    let mut listed = admin.list_offsets(&ends, IsolationLevel::ReadUncommitted).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    let error = listed.remove(&TopicPartition::new("orders", 1)).unwrap().unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }) && error.code() == Some(ErrorCode::LeaderNotAvailable), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("ListOffsets of orders-1 did not succeed within "), "{text}");
    assert!(text.contains("the last error was: ListOffsets v"), "{text}");
    assert_eq!(listed.values().filter(|result| result.is_ok()).count(), 5, "the others are not lost with it");
}

#[tokio::test]
async fn a_moved_controller_is_found_again() {
    let (broker, client) = cluster().await;
    let moved = broker.on(ApiKey::CreateTopics).fail(Code::NotController).times(2);
    let mut created = Admin::new(&client).create_topics([NewTopic::new("new", 1, 1)]).await.unwrap();
    created.remove("new").unwrap().unwrap();
    assert_eq!(moved.hits(), 2);
}

#[tokio::test]
async fn a_topic_that_the_controller_does_not_know_is_not_waited_for() {
    let (broker, client) = cluster().await;
    let admin = Admin::new(&client);
    let asked = broker.on(ApiKey::DeleteTopics).delay(Duration::ZERO).always();
    let missing = admin.delete_topics(&["missing"]).await.unwrap().remove("missing").unwrap().unwrap_err();
    assert_eq!((missing.code(), asked.hits()), (Some(ErrorCode::UnknownTopicOrPartition), 1));
    let resource = ConfigResource::Topic("missing".into());
    let missing = admin.describe_configs(&resource, None).await.unwrap_err();
    assert_eq!(missing.code(), Some(ErrorCode::UnknownTopicOrPartition));
}

#[tokio::test]
async fn a_quota_is_waited_for_unless_told_otherwise() {
    let (broker, client) = cluster().await;
    let admin = Admin::new(&client);
    let full = broker.on(ApiKey::CreateTopics).fail(Code::ThrottlingQuotaExceeded).times(2);
    admin.create_topics([NewTopic::new("patient", 1, 1)]).await.unwrap().remove("patient").unwrap().unwrap();
    assert_eq!(full.hits(), 2);
    let full = broker.on(ApiKey::CreateTopics).fail(Code::ThrottlingQuotaExceeded).always();
    let admin = admin.retry_on_quota_violation(false);
    let refused = admin.create_topics([NewTopic::new("hasty", 1, 1)]).await.unwrap().remove("hasty").unwrap();
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::ThrottlingQuotaExceeded));
    assert_eq!(full.hits(), 1);
}

#[tokio::test]
async fn a_moved_coordinator_is_found_again() {
    let (broker, client) = cluster().await;
    let admin = Admin::new(&client);
    let position = HashMap::from([(TopicPartition::new("orders", 0), OffsetAndMetadata::new(7))]);
    let commit = || async { admin.commit_offsets("g", &position).await.unwrap().remove(&orders()[0]).unwrap() };
    commit().await.unwrap();
    let old = broker.group_coordinator("g").unwrap();
    let other = client.cluster().brokers().map(|b| b.id.0).find(|id| *id != old).unwrap();
    broker.move_group_coordinator("g", other);
    commit().await.unwrap();
    assert_eq!(broker.committed("g")[&("orders".to_owned(), 0)], 7);
    broker.move_group_coordinator("g", old);
    assert_eq!(admin.all_committed_offsets("g").await.unwrap()[&orders()[0]].offset, 7);
    broker.move_group_coordinator("g", other);
    match admin.describe_groups(&["g"]).await.unwrap().remove("g").unwrap().unwrap() {
        GroupDescription::Classic(group) => assert_eq!(group.state, "Empty"),
        other => panic!("{other:?}"),
    }
    let listed = admin.list_groups(&GroupFilter::default()).await.unwrap().all().unwrap();
    assert_eq!(listed.iter().filter(|g| g.group_id == "g").count(), 1);
}

#[tokio::test]
async fn when_nobody_can_be_asked_the_call_itself_fails() {
    let (mut broker, client) = cluster().await;
    let mut config = client.config().clone();
    config.default_api_timeout = Duration::from_millis(500);
    let admin = Admin::new(&Client::connect(config).await.unwrap());
    for node in client.cluster().brokers() {
        broker.kill_node(node.id.0);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while admin.list_topics().await.is_ok() {
        assert!(Instant::now() < deadline, "the brokers are gone");
        tokio::task::yield_now().await;
    }
    let error = admin.create_topics([NewTopic::new("a", 1, 1), NewTopic::new("b", 1, 1)]).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(error.to_string().contains("did not succeed within"), "{error}");
}

#[tokio::test]
async fn an_old_broker_is_named_with_what_it_offers() {
    let broker = Broker::builder().as_version("2.1").topic("orders", 1).start().await.unwrap();
    let admin = Admin::new(&Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap());
    let error = admin.describe_producers(&[TopicPartition::new("orders", 0)]).await.unwrap_err();
    assert!(matches!(error, Error::UnsupportedVersion { .. }) && error.is_fatal(), "{error:?}");
    assert_eq!(error.code(), Some(ErrorCode::UnsupportedVersion), "as if it had answered");
    let text = error.to_string();
    assert!(text.contains("DescribeProducers is needed in version 0") && text.contains("does not have it"), "{text}");
}

#[tokio::test]
async fn topics_and_partitions_are_made_grown_described_and_deleted() {
    for version in ["1.1", "2.8", "4.1"] {
        let broker = Broker::builder().as_version(version).start().await.unwrap();
        let admin = Admin::new(&Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap());
        let wanted = [NewTopic::new("a", 2, 1), NewTopic::new("b", 1, 1).config("cleanup.policy", "compact")];
        let created = admin.create_topics(wanted).await.unwrap();
        assert!(created.len() == 2 && created.values().all(Result::is_ok), "{version}: {created:?}");
        let again = admin.create_topics([NewTopic::new("a", 2, 1)]).await.unwrap().remove("a").unwrap().unwrap_err();
        assert_eq!(again.code(), Some(ErrorCode::TopicAlreadyExists));
        admin.create_partitions([("a", NewPartitions::increase_to(4))]).await.unwrap().remove("a").unwrap().unwrap();
        let described = admin.describe_topics(&["a", "missing"]).await.unwrap();
        assert_eq!(described["a"].as_ref().unwrap().partitions.len(), 4, "{version}");
        assert!(described["missing"].is_err());
        let config = admin.describe_configs(&ConfigResource::Topic("b".into()), None).await.unwrap();
        assert_eq!(config["cleanup.policy"].value.as_deref(), Some("compact"), "{version}");
        admin.delete_topics(&["b"]).await.unwrap().remove("b").unwrap().unwrap();
        assert_eq!(admin.list_topics().await.unwrap(), ["a"]);
    }
}

#[test]
fn calls_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    fn all(admin: &Admin, partitions: &[TopicPartition], offsets: &HashMap<TopicPartition, OffsetSpec>) {
        is_send(&admin.create_topics([NewTopic::new("t", 1, 1)]));
        is_send(&admin.delete_topics(&["t"]));
        is_send(&admin.describe_topic_partitions(&["t"]));
        is_send(&admin.list_offsets(offsets, IsolationLevel::ReadCommitted));
        is_send(&admin.describe_producers(partitions));
        is_send(&admin.describe_groups(&["g"]));
        is_send(&admin.list_groups(&GroupFilter::default()));
        is_send(&admin.committed_offsets("g", partitions));
        is_send(&admin.describe_transactions(&["t"]));
        is_send(&admin.fence_producers(&["t"], Duration::ZERO));
        is_send(&admin.describe_features());
    }
    let _ = all;
}

/// Before LeaveGroup v3 (2.4) members are taken out one by one, and not by their instance ids.
#[tokio::test]
async fn old_brokers_are_told_of_each_member_by_itself() {
    use ottla_testkit::kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
    let broker = Broker::builder().as_version("2.3").start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let answer = |request: &LeaveGroupRequest| {
        let is_known = *request.group_id.0 == *"g" && ["a", "b"].contains(&&*request.member_id);
        LeaveGroupResponse::default().with_error_code(if is_known { 0 } else { ErrorCode::UnknownMemberId.code() })
    };
    let asked = broker.on(ApiKey::LeaveGroup).reply(answer).always();
    let member = |id: &str| MemberToRemove::Member(id.into());
    let instance = MemberToRemove::Instance("i".into());
    let members = [member("a"), member("gone"), instance.clone(), member("b")];
    let removed = Admin::new(&client).remove_members("g", &members, "a test").await.unwrap();
    assert!(removed[&member("a")].is_ok() && removed[&member("b")].is_ok(), "{removed:?}");
    assert_eq!(removed[&member("gone")].as_ref().unwrap_err().code(), Some(ErrorCode::UnknownMemberId));
    assert!(matches!(removed[&instance], Err(Error::UnsupportedVersion { .. })), "{removed:?}");
    assert_eq!(asked.hits(), 3);
}

/// What one round leaves open is asked for again alone, also where the first answer named the items.
#[tokio::test]
async fn items_of_calls_without_a_list_are_tried_again_too() {
    use ottla_testkit::kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
    use ottla_testkit::kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
    let (broker, client) = cluster().await;
    let admin = Admin::new(&client);
    let script = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&script);
    let answer = move |request: &ElectLeadersRequest| {
        let named = request.topic_partitions.as_ref();
        let partitions =
            named.map_or_else(|| vec![0, 1, 2], |topics| topics.iter().flat_map(|t| t.partitions.clone()).collect());
        let mut asked = asked.lock().unwrap();
        asked.push(named.is_some().then(|| partitions.clone()));
        let round = asked.len();
        let results = partitions.into_iter().map(|partition| {
            let code = match partition {
                0 => Code::PreferredLeaderNotAvailable,
                1 if round < 3 => Code::RequestTimedOut,
                _ => return PartitionResult::default().with_partition_id(partition),
            };
            PartitionResult::default().with_partition_id(partition).with_error_code(code.code())
        });
        let topic = ReplicaElectionResult::default()
            .with_topic(TopicName("orders".into()))
            .with_partition_result(results.collect());
        ElectLeadersResponse::default().with_replica_election_results(vec![topic])
    };
    broker.on(ApiKey::ElectLeaders).reply(answer).always();
    let elected = admin.elect_leaders(ElectionType::Preferred, None).await.unwrap();
    assert_eq!(*script.lock().unwrap(), [None, Some(vec![1]), Some(vec![1])], "80 is a result, 7 is not");
    assert!(elected[&orders()[1]].is_ok() && elected[&orders()[2]].is_ok(), "{elected:?}");
    let refused = elected[&orders()[0]].as_ref().unwrap_err();
    assert!(matches!(refused, Error::Broker { code: ErrorCode::PreferredLeaderNotAvailable, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_topic_that_is_just_being_made_is_described_when_it_is_there() {
    let (broker, client) = cluster().await;
    let admin = Admin::new(&client);
    let young = broker.on(ApiKey::Metadata).topic("orders").fail(Code::LeaderNotAvailable).times(2);
    let described = admin.describe_topics(&["orders", "missing"]).await.unwrap();
    assert_eq!(described["orders"].as_ref().unwrap().partitions.len(), 6);
    assert_eq!(described["missing"].as_ref().unwrap_err().code(), Some(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(young.hits(), 2);
}

/// What the other brokers list is not lost with the one that is down.
#[tokio::test]
async fn a_broker_that_is_down_hides_its_own_list_alone() {
    let (broker, client) = cluster().await;
    let mut config = client.config().clone();
    config.default_api_timeout = Duration::from_millis(500);
    let admin = Admin::new(&Client::connect(config).await.unwrap());
    let position = HashMap::from([(TopicPartition::new("orders", 0), OffsetAndMetadata::new(7))]);
    admin.commit_offsets("g", &position).await.unwrap();
    let home = broker.group_coordinator("g").unwrap();
    let other = client.cluster().brokers().map(|b| b.id).find(|id| id.0 != home).unwrap();
    broker.on(ApiKey::ListGroups).node(other.0).fail(Code::CoordinatorLoadInProgress).always();
    broker.on(ApiKey::ListTransactions).node(other.0).fail(Code::ClusterAuthorizationFailed).always();
    let groups = admin.list_groups(&GroupFilter::default()).await.unwrap();
    assert_eq!(groups.valid.iter().map(|g| g.group_id.as_str()).collect::<Vec<_>>(), ["g"]);
    assert_eq!(groups.errors.keys().collect::<Vec<_>>(), [&other]);
    assert_eq!(groups.all().unwrap_err().code(), Some(ErrorCode::CoordinatorLoadInProgress));
    let transactions = admin.list_transactions(&TransactionFilter::default()).await.unwrap();
    assert_eq!(transactions.errors[&other].code(), Some(ErrorCode::ClusterAuthorizationFailed));
}

/// One request for all users; who cannot be given a password hides nobody.
#[tokio::test]
async fn passwords_of_several_users_are_changed_together() {
    use ottla_testkit::kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
    use ottla_testkit::kafka_protocol::messages::{
        AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    };
    let (broker, client) = cluster().await;
    let admin = Admin::new(&client);
    let upsert = |user, iterations, word| ScramAlteration::upsert(user, ScramMechanism::Sha512, iterations, word);
    let script = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&script);
    let answer = move |request: &AlterUserScramCredentialsRequest| {
        let mut users: Vec<_> = request.upsertions.iter().map(|u| u.name.to_string()).collect();
        assert!(request.upsertions.iter().all(|u| u.salt.len() == 16 && u.salted_password.len() == 64));
        users.extend(request.deletions.iter().map(|d| d.name.to_string()));
        let mut asked = asked.lock().unwrap();
        asked.push(users.clone());
        let code = |user: &str| match user {
            "bob" => Code::ResourceNotFound.code(),
            "carol" if asked.len() == 1 => Code::RequestTimedOut.code(),
            _ => 0,
        };
        let result = |user: String| {
            AlterUserScramCredentialsResult::default().with_error_code(code(&user)).with_user(user.into())
        };
        let results = users.into_iter().map(result);
        AlterUserScramCredentialsResponse::default().with_results(results.collect())
    };
    broker.on(ApiKey::AlterUserScramCredentials).reply(answer).always();
    let changes = [
        upsert("alice", 4096, "a"),
        upsert("carol", 4096, "c"),
        upsert("dave", 4095, "hunter2"),
        ScramAlteration::delete("dave", ScramMechanism::Sha256),
        ScramAlteration::delete("bob", ScramMechanism::Sha512),
    ];
    assert!(!format!("{changes:?}").contains("hunter2"));
    let altered = admin.alter_scram_users(&changes).await.unwrap();
    assert_eq!(*script.lock().unwrap(), [vec!["alice", "carol", "bob"], vec!["carol"]]);
    assert!(altered.len() == 4 && altered["alice"].is_ok() && altered["carol"].is_ok(), "{altered:?}");
    assert_eq!(altered["bob"].as_ref().unwrap_err().code(), Some(ErrorCode::ResourceNotFound));
    assert!(matches!(altered["dave"], Err(Error::Misuse { .. })), "nothing of dave was sent");
}

/// Whom to ask for one of them is not to be learned: the others are not held up.
#[tokio::test]
async fn an_item_that_nobody_answers_for_fails_alone() {
    let (broker, client) = cluster().await;
    let mut config = client.config().clone();
    config.default_api_timeout = Duration::from_secs(4);
    let admin = Admin::new(&Client::connect(config).await.unwrap());
    write(&client).await;
    let (there, typo) = (TopicPartition::new("orders", 3), TopicPartition::new("oders", 0));
    let ends = HashMap::from([(there.clone(), OffsetSpec::Latest), (typo.clone(), OffsetSpec::Latest)]);
    let listed = admin.list_offsets(&ends, IsolationLevel::ReadUncommitted).await;
    assert_eq!(listed[&there].as_ref().unwrap().offset, Some(4));
    let error = listed[&typo].as_ref().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition), "{error}");
    assert_eq!(error.to_string().matches("did not succeed within").count(), 1, "{error}");

    let position = HashMap::from([(there, OffsetAndMetadata::new(7))]);
    admin.commit_offsets("here", &position).await.unwrap();
    let lost = broker.on(ApiKey::FindCoordinator).reply(
        |request: &ottla_testkit::kafka_protocol::messages::FindCoordinatorRequest| {
            use ottla_testkit::kafka_protocol::messages::FindCoordinatorResponse;
            use ottla_testkit::kafka_protocol::messages::find_coordinator_response::Coordinator;
            let lost = |key| Coordinator::default().with_key(key).with_error_code(15).with_node_id((-1).into());
            let keys = request.coordinator_keys.iter().cloned();
            FindCoordinatorResponse::default().with_coordinators(keys.map(lost).collect())
        },
    );
    let _lost = lost.always();
    let described = admin.describe_groups(&["here", "gone"]).await.unwrap();
    assert!(described["here"].is_ok(), "{described:?}");
    assert_eq!(described["gone"].as_ref().unwrap_err().code(), Some(ErrorCode::CoordinatorNotAvailable));
}

#[tokio::test]
async fn every_broker_that_there_is_now_is_asked_for_what_it_lists() {
    let mut broker = Broker::builder().nodes(3).start().await.unwrap();
    let bootstrap = broker.bootstrap();
    let left = 2;
    broker.kill_node(left);
    let client = Client::connect(ClientConfig::new(&bootstrap)).await.unwrap();
    assert_eq!(client.cluster().brokers().count(), 2);
    broker.restart_node(left).await.unwrap();
    let asked = broker.received(ApiKey::ListGroups);
    let listing = Admin::new(&client).list_groups(&GroupFilter::default()).await.unwrap();
    assert!(listing.errors.is_empty(), "{listing:?}");
    assert_eq!(broker.received(ApiKey::ListGroups) - asked, 3);
}
