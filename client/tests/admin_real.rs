//! Every admin call on real brokers: 4.4.0 with three nodes, and 2.8.2. `scripts/test --only admin` runs them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ottla_client::*;
use ottla_testkit::CertificateAuthority;
use ottla_testkit::kafka::{Kafka, Listener, Security};

/// Everything that a subject's test needs.
struct World {
    admin: Admin,
    client: Client,
    /// The brokers.
    ids: Vec<BrokerId>,
    /// 4.4.0, and not 2.8.2.
    is_new: bool,
    /// Where to log in as `User:admin`; the listeners of 2.8.2 have no SASL in this test.
    sasl: Option<String>,
}

fn security() -> Security {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let certificate = authority.server(&["localhost", "127.0.0.1"]).unwrap();
    Security::new(&authority, &certificate).user("admin", "secret")
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_4_4_0_three_nodes() {
    let kafka = Kafka::builder()
        .nodes(3)
        .heap("384m")
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("allow.everyone.if.no.acl.found", "true")
        .property("super.users", "User:ANONYMOUS;User:admin")
        .security(security())
        .start()
        .await
        .unwrap();
    all_subjects(&kafka, Some(kafka.bootstrap_of(Listener::SaslPlaintext))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_2_8_2() {
    let kafka = Kafka::builder()
        .version("2.8.2")
        .property("authorizer.class.name", "kafka.security.authorizer.AclAuthorizer")
        .property("allow.everyone.if.no.acl.found", "true")
        .property("super.users", "User:ANONYMOUS")
        .property("delegation.token.master.key", "a key")
        .start()
        .await
        .unwrap();
    all_subjects(&kafka, None).await;
}

macro_rules! subjects {
    ($world:ident: $($subject:ident)*) => {$(
        let started = Instant::now();
        $subject(&$world).await;
        println!("{} took {:?}", stringify!($subject), started.elapsed());
    )*};
}

async fn all_subjects(kafka: &Kafka, sasl: Option<String>) {
    let client = Client::connect(ClientConfig::new(&kafka.bootstrap())).await.unwrap();
    let admin = Admin::new(&client);
    let ids = client.cluster().brokers().map(|b| b.id).collect();
    let world = World { admin, client, ids, is_new: sasl.is_some(), sasl };
    subjects!(world:
        topics partitions records offsets group_offsets groups share_groups transactions hanging_transactions acls scram
        quotas configs log_dirs cluster features elections reassignments delegation_tokens brokers
        raft_voters streams_groups
    );
}

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// The code of a failure.
#[track_caller]
fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    let error = result.unwrap_err();
    error.code().unwrap_or_else(|| panic!("{error}"))
}

#[track_caller]
fn unsupported<T: std::fmt::Debug>(result: Result<T>) {
    match result {
        Err(Error::UnsupportedVersion { .. }) => {}
        other => panic!("{other:?}"),
    }
}

impl World {
    async fn topic(&self, name: &str, partitions: i32) {
        let created = self.admin.create_topics([NewTopic::new(name, partitions, 1)]).await.unwrap().remove(name);
        created.unwrap().unwrap();
        self.client.topic(name, Instant::now() + Duration::from_secs(30)).await.unwrap();
    }

    async fn write(&self, partition: &TopicPartition, count: usize) {
        let producer = Producer::new(&self.client, ProducerConfig::default()).unwrap();
        for _ in 0..count {
            let record = ProducerRecord::new(&partition.topic).partition(partition.partition).value("v");
            producer.send(record).await.unwrap().await.unwrap();
        }
    }

    /// Until the condition holds.
    async fn eventually<T, F: Future<Output = Option<T>>>(&self, what: &str, attempt: impl Fn() -> F) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            assert!(Instant::now() < deadline, "{what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn topics(w: &World) {
    let checked = w.admin.clone().validate_only(true);
    checked.create_topics([NewTopic::new("not-made", 1, 1)]).await.unwrap().remove("not-made").unwrap().unwrap();
    let mut assigned = NewTopic::new("assigned", 0, 0).config("retention.ms", "123456");
    assigned.assignments = vec![vec![w.ids[0].0]];
    let wanted = [
        NewTopic::new("topics-a", 3, 1),
        NewTopic::new("topics-b", -1, -1),
        assigned,
        NewTopic::new("bad name", 1, 1),
        NewTopic::new("too-many", 1, 99),
    ];
    let mut created = w.admin.create_topics(wanted).await.unwrap();
    for name in ["topics-a", "topics-b", "assigned"] {
        created.remove(name).unwrap().unwrap();
    }
    assert_eq!(code(created.remove("bad name").unwrap()), ErrorCode::InvalidTopicException);
    let error = created.remove("too-many").unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidReplicationFactor));
    let text = error.to_string();
    assert!(text.starts_with("CreateTopics v") && text.contains(" of too-many at broker "), "{text}");
    assert!(text.contains("(the broker says: "), "{text}");
    let again = w.admin.create_topics([NewTopic::new("topics-a", 3, 1)]).await.unwrap().remove("topics-a").unwrap();
    assert_eq!(code(again), ErrorCode::TopicAlreadyExists);

    w.client.topic("topics-a", Instant::now() + Duration::from_secs(30)).await.unwrap();
    let names = w.admin.list_topics().await.unwrap();
    assert!(names.contains(&"topics-a".to_owned()) && !names.contains(&"not-made".to_owned()), "{names:?}");
    let mut described = w.admin.describe_topics(&["topics-a", "missing"]).await.unwrap();
    let topic = described.remove("topics-a").unwrap().unwrap();
    assert_eq!(topic.partitions.len(), 3);
    assert_eq!(code(described.remove("missing").unwrap()), ErrorCode::UnknownTopicOrPartition);
    assert!(!w.admin.list_topics().await.unwrap().contains(&"missing".to_owned()), "asking does not create");

    if w.is_new {
        let mut described = w.admin.describe_topic_partitions(&["topics-a", "assigned", "missing"]).await.unwrap();
        let details = described.remove("topics-a").unwrap().unwrap();
        assert_eq!((Some(details.id), details.partitions.len()), (topic.id, 3));
        assert!(details.partitions.iter().all(|p| p.leader.is_some() && p.isr == p.replicas));
        assert_eq!(code(described.remove("missing").unwrap()), ErrorCode::UnknownTopicOrPartition);
    } else {
        unsupported(w.admin.describe_topic_partitions(&["topics-a"]).await);
    }
    let mut deleted = w.admin.delete_topics(&["topics-b", "missing"]).await.unwrap();
    deleted.remove("topics-b").unwrap().unwrap();
    assert_eq!(code(deleted.remove("missing").unwrap()), ErrorCode::UnknownTopicOrPartition);
    let id = topic.id.unwrap();
    w.admin.delete_topics_by_id(&[id]).await.unwrap().remove(&id).unwrap().unwrap();
    w.eventually("topics-a is gone", || async {
        let names = w.admin.list_topics().await.unwrap();
        (!names.iter().any(|name| name.starts_with("topics-"))).then_some(())
    })
    .await;
}

async fn partitions(w: &World) {
    w.topic("partitions", 1).await;
    let grow = |name, total| (name, NewPartitions::increase_to(total));
    let checked = w.admin.clone().validate_only(true);
    checked.create_partitions([grow("partitions", 9)]).await.unwrap().remove("partitions").unwrap().unwrap();
    let mut results = w.admin.create_partitions([grow("partitions", 3), grow("missing", 2)]).await.unwrap();
    results.remove("partitions").unwrap().unwrap();
    assert_eq!(code(results.remove("missing").unwrap()), ErrorCode::UnknownTopicOrPartition);
    let fewer = w.admin.create_partitions([grow("partitions", 2)]).await.unwrap().remove("partitions").unwrap();
    assert_eq!(code(fewer), ErrorCode::InvalidPartitions);
    w.eventually("three partitions", || async {
        let mut described = w.admin.describe_topics(&["partitions"]).await.unwrap();
        (described.remove("partitions")?.ok()?.partitions.len() == 3).then_some(())
    })
    .await;
}

async fn records(w: &World) {
    w.topic("records", 2).await;
    w.write(&tp("records", 0), 5).await;
    let before = HashMap::from([(tp("records", 0), 3), (tp("records", 1), 7)]);
    let mut deleted = w.admin.delete_records(&before).await.unwrap();
    assert_eq!(deleted.remove(&tp("records", 0)).unwrap().unwrap(), 3);
    assert_eq!(code(deleted.remove(&tp("records", 1)).unwrap()), ErrorCode::OffsetOutOfRange);
    let all = HashMap::from([(tp("records", 0), -1)]);
    assert_eq!(w.admin.delete_records(&all).await.unwrap().remove(&tp("records", 0)).unwrap().unwrap(), 5);
}

async fn offsets(w: &World) {
    w.topic("offsets", 3).await;
    for partition in 0..3 {
        w.write(&tp("offsets", partition), 2).await;
    }
    let mut specs: HashMap<_, _> = (0..3).map(|p| (tp("offsets", p), OffsetSpec::Latest)).collect();
    specs.insert(tp("offsets", 0), OffsetSpec::Timestamp(0));
    let mut listed = w.admin.list_offsets(&specs, IsolationLevel::ReadUncommitted).await;
    assert_eq!(listed.remove(&tp("offsets", 0)).unwrap().unwrap().offset, Some(0));
    assert_eq!(listed.remove(&tp("offsets", 1)).unwrap().unwrap().offset, Some(2));
    assert_eq!(listed.remove(&tp("offsets", 2)).unwrap().unwrap().offset, Some(2));
    let future = HashMap::from([(tp("offsets", 0), OffsetSpec::Timestamp(i64::MAX))]);
    let none = w.admin.list_offsets(&future, IsolationLevel::ReadUncommitted).await.remove(&tp("offsets", 0)).unwrap();
    assert_eq!(none.unwrap().offset, None);
    if w.is_new {
        let newest = HashMap::from([(tp("offsets", 1), OffsetSpec::MaxTimestamp)]);
        let found = w.admin.list_offsets(&newest, IsolationLevel::ReadUncommitted).await.remove(&tp("offsets", 1));
        assert_eq!(found.unwrap().unwrap().offset, Some(1));
    }
}

async fn group_offsets(w: &World) {
    w.topic("positions", 2).await;
    let positions = HashMap::from([
        (tp("positions", 0), OffsetAndMetadata::new(7)),
        (tp("positions", 1), OffsetAndMetadata { metadata: "mine".into(), ..OffsetAndMetadata::new(8) }),
        (tp("missing", 0), OffsetAndMetadata::new(1)),
    ]);
    let short = {
        let mut config = ClientConfig::new(&w.client.config().bootstrap_servers.join(","));
        config.default_api_timeout = Duration::from_secs(2);
        Admin::new(&Client::connect(config).await.unwrap())
    };
    let mut committed = short.commit_offsets("positions-group", &positions).await.unwrap();
    committed.remove(&tp("positions", 0)).unwrap().unwrap();
    committed.remove(&tp("positions", 1)).unwrap().unwrap();
    // A topic may be missing because a broker has not heard of it yet: it is asked for until the time is up.
    let missing = committed.remove(&tp("missing", 0)).unwrap().unwrap_err();
    assert!(missing.to_string().starts_with("OffsetCommit of missing-0 did not succeed within 1."), "{missing}");
    assert_eq!(missing.code(), Some(ErrorCode::UnknownTopicOrPartition));

    let all = w.admin.all_committed_offsets("positions-group").await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((all[&tp("positions", 1)].offset, all[&tp("positions", 1)].metadata.as_str()), (8, "mine"));
    let asked = [tp("positions", 0), tp("positions", 5)];
    let mut some = w.admin.committed_offsets("positions-group", &asked).await.unwrap();
    assert_eq!(some.remove(&tp("positions", 0)).unwrap().unwrap().map(|p| p.offset), Some(7));
    assert_eq!(some.remove(&tp("positions", 5)).unwrap().unwrap(), None);

    let deleted = w.admin.delete_group_offsets("positions-group", &[tp("positions", 0)]).await.unwrap();
    assert!(deleted[&tp("positions", 0)].is_ok(), "{deleted:?}");
    assert_eq!(w.admin.all_committed_offsets("positions-group").await.unwrap().len(), 1);
}

async fn groups(w: &World) {
    let listed = w.admin.list_groups(&GroupFilter::default()).await.unwrap();
    let group = listed.iter().find(|g| g.group_id == "positions-group").unwrap();
    assert_eq!(group.state.as_deref(), Some("Empty"));
    let filter = GroupFilter { states: vec!["Stable".into()], ..GroupFilter::default() };
    assert!(w.admin.list_groups(&filter).await.unwrap().iter().all(|g| g.group_id != "positions-group"));
    let typed = GroupFilter { types: vec!["classic".into()], ..GroupFilter::default() };
    match w.admin.list_groups(&typed).await {
        Ok(listed) => assert!(w.is_new && listed.iter().any(|g| g.group_id == "positions-group"), "{listed:?}"),
        Err(error) => assert!(!w.is_new, "{error}"),
    }
    let mut described = w.admin.describe_groups(&["positions-group", "no-such-group"]).await.unwrap();
    match described.remove("positions-group").unwrap().unwrap() {
        GroupDescription::Classic(group) => assert_eq!((group.state.as_str(), group.members.len()), ("Empty", 0)),
        other => panic!("{other:?}"),
    }
    match described.remove("no-such-group").unwrap() {
        Ok(GroupDescription::Classic(group)) => assert!(!w.is_new && group.state == "Dead", "{group:?}"),
        other => assert_eq!(code(other), ErrorCode::GroupIdNotFound),
    }
    let members = [MemberToRemove::Member("m".into()), MemberToRemove::Instance("i".into())];
    let removed = w.admin.remove_members("positions-group", &members, "a test").await.unwrap();
    for (member, result) in removed {
        assert_eq!(code(result), ErrorCode::UnknownMemberId, "{member}");
    }
    let mut deleted = w.admin.delete_groups(&["positions-group", "no-such-group"]).await.unwrap();
    deleted.remove("positions-group").unwrap().unwrap();
    assert_eq!(code(deleted.remove("no-such-group").unwrap()), ErrorCode::GroupIdNotFound);
}

async fn share_groups(w: &World) {
    if !w.is_new {
        unsupported(w.admin.describe_share_groups(&["s"]).await);
        unsupported(w.admin.share_group_offsets("s", None).await);
        unsupported(w.admin.delete_share_group_offsets("s", &["t"]).await);
        return unsupported(w.admin.alter_share_group_offsets("s", &HashMap::from([(tp("t", 0), 1)])).await);
    }
    let mut described = w.admin.describe_share_groups(&["no-such-group"]).await.unwrap();
    assert_eq!(code(described.remove("no-such-group").unwrap()), ErrorCode::GroupIdNotFound);
    w.topic("shared", 1).await;
    w.write(&tp("shared", 0), 5).await;
    // Moving a group that does not exist makes it.
    let altered = w.admin.alter_share_group_offsets("sharers", &HashMap::from([(tp("shared", 0), 3)])).await.unwrap();
    assert!(altered[&tp("shared", 0)].is_ok(), "{altered:?}");
    let mut described = w.admin.describe_share_groups(&["sharers"]).await.unwrap();
    let group = described.remove("sharers").unwrap().unwrap();
    assert_eq!((group.state.as_str(), group.members.len()), ("Empty", 0));
    let mut offsets = w.admin.share_group_offsets("sharers", Some(&[tp("shared", 0)])).await.unwrap();
    assert_eq!(offsets.remove(&tp("shared", 0)).unwrap().unwrap().start_offset, Some(3));
    assert_eq!(w.admin.share_group_offsets("sharers", None).await.unwrap().len(), 1);
    let deleted = w.admin.delete_share_group_offsets("sharers", &["shared"]).await.unwrap();
    assert!(deleted["shared"].is_ok(), "{deleted:?}");
    assert!(w.admin.share_group_offsets("sharers", None).await.unwrap().is_empty());
    w.admin.delete_groups(&["sharers"]).await.unwrap().remove("sharers").unwrap().unwrap();
}

async fn writer(w: &World, id: &str) -> TransactionalProducer {
    let mut config = ProducerConfig::default();
    config.transactional_id = Some(id.to_owned());
    let producer = TransactionalProducer::new(&w.client, config).unwrap();
    producer.init().await.unwrap();
    producer
}

async fn transactions(w: &World) {
    w.topic("transactions", 1).await;
    let producer = writer(w, "tx-1").await;
    producer.begin_transaction().unwrap();
    producer.send(ProducerRecord::new("transactions").value("v")).await.unwrap().await.unwrap();
    if w.is_new {
        let listed = w.admin.list_transactions(&["Ongoing"]).await.unwrap();
        assert!(listed.iter().any(|t| t.transactional_id == "tx-1" && t.state == "Ongoing"), "{listed:?}");
        let mut described = w.admin.describe_transactions(&["tx-1", "tx-missing"]).await;
        let open = described.remove("tx-1").unwrap().unwrap();
        assert_eq!((open.state.as_str(), &open.partitions[..]), ("Ongoing", &[tp("transactions", 0)][..]));
        assert_eq!(code(described.remove("tx-missing").unwrap()), ErrorCode::TransactionalIdNotFound);
    } else {
        unsupported(w.admin.list_transactions(&[]).await);
        unsupported(w.admin.describe_transactions(&["tx-1"]).await.remove("tx-1").unwrap());
    }
    let fenced = w.admin.fence_producers(&["tx-1"], Duration::from_secs(60)).await.remove("tx-1").unwrap().unwrap();
    assert!(fenced.epoch > 0, "{fenced:?}");
    assert!(producer.commit_transaction().await.is_err(), "it is fenced");
    w.admin.force_terminate_transaction("tx-2").await.unwrap();
}

async fn hanging_transactions(w: &World) {
    w.topic("hanging", 1).await;
    let partition = tp("hanging", 0);
    let producer = writer(w, "tx-hanging").await;
    producer.begin_transaction().unwrap();
    producer.send(ProducerRecord::new("hanging").value("v")).await.unwrap().await.unwrap();
    let described = w.admin.describe_producers(std::slice::from_ref(&partition)).await;
    let state = described.unwrap().remove(&partition).unwrap().unwrap().remove(0);
    assert_eq!(state.current_transaction_start, Some(0));
    assert!(state.last_sequence == Some(0) && state.last_timestamp.is_some());
    let mut wrong = AbortTransaction::of(partition.clone(), &state);
    wrong.producer_epoch -= 1;
    if wrong.producer_epoch >= 0 {
        assert_eq!(code(w.admin.abort_transaction(&wrong).await), ErrorCode::InvalidProducerEpoch);
    }
    w.admin.abort_transaction(&AbortTransaction::of(partition.clone(), &state)).await.unwrap();
    let described = w.admin.describe_producers(std::slice::from_ref(&partition)).await;
    let state = described.unwrap().remove(&partition).unwrap().unwrap().remove(0);
    assert_eq!(state.current_transaction_start, None);
}

fn rule(name: &str, operation: AclOperation) -> AclBinding {
    AclBinding {
        resource_type: AclResourceType::Topic,
        resource_name: name.into(),
        pattern_type: PatternType::Prefixed,
        principal: "User:alice".into(),
        host: "*".into(),
        operation,
        permission: AclPermission::Allow,
    }
}

async fn acls(w: &World) {
    let rules = [rule("acl-a", AclOperation::Read), rule("acl-b", AclOperation::Write)];
    let bad = AclBinding { principal: "alice".into(), ..rule("acl-c", AclOperation::Read) };
    let mut created = w.admin.create_acls(&[rules[0].clone(), rules[1].clone(), bad.clone()]).await.unwrap();
    for rule in &rules {
        created.remove(rule).unwrap().unwrap();
    }
    assert!(code(created.remove(&bad).unwrap()) != ErrorCode::None);
    let filter = AclFilter { principal: Some("User:alice".into()), ..AclFilter::default() };
    let described = w
        .eventually("both rules are there", || async {
            let described = w.admin.describe_acls(&filter).await.unwrap();
            (described.len() == 2).then_some(described)
        })
        .await;
    assert!(rules.iter().all(|rule| described.contains(rule)), "{described:?}");
    let none = AclFilter { principal: Some("User:bob".into()), ..AclFilter::default() };
    let mut deleted = w.admin.delete_acls(&[filter.clone(), none.clone()]).await.unwrap();
    assert_eq!(deleted.remove(&filter).unwrap().unwrap().into_iter().map(Result::unwrap).count(), 2);
    assert!(deleted.remove(&none).unwrap().unwrap().is_empty());
    w.eventually("the rules are gone", || async {
        w.admin.describe_acls(&AclFilter::default()).await.unwrap().is_empty().then_some(())
    })
    .await;
}

async fn scram(w: &World) {
    let admin = &w.admin;
    admin.upsert_scram_user("alice", ScramMechanism::Sha512, 8192, "hunter2").await.unwrap();
    admin.upsert_scram_user("alice", ScramMechanism::Sha256, 4096, "hunter2").await.unwrap();
    let mut described = w
        .eventually("alice has two passwords", || async {
            let described = admin.describe_scram_users(&["alice", "bob"]).await.unwrap();
            described["alice"].as_ref().is_ok_and(|found| found.len() == 2).then_some(described)
        })
        .await;
    let mut found = described.remove("alice").unwrap().unwrap();
    found.sort_by_key(|c| c.iterations);
    assert_eq!((found[1].mechanism, found[1].iterations), (ScramMechanism::Sha512, 8192));
    assert_eq!(code(described.remove("bob").unwrap()), ErrorCode::ResourceNotFound);
    assert!(admin.describe_scram_users(&[]).await.unwrap().contains_key("alice"));
    admin.delete_scram_user("alice", ScramMechanism::Sha512).await.unwrap();
    assert_eq!(code(admin.delete_scram_user("bob", ScramMechanism::Sha512).await), ErrorCode::ResourceNotFound);
    let few = admin.upsert_scram_user("alice", ScramMechanism::Sha512, 4095, "hunter2").await.unwrap_err();
    assert!(few.to_string().contains("4096 to 16384 iterations") && !few.to_string().contains("hunter2"), "{few}");
}

async fn quotas(w: &World) {
    let alice = QuotaEntity::new("user", Some("alice"));
    let other = QuotaEntity::new("user", None).and("client-id", Some("shop"));
    let limit = |value| vec![("producer_byte_rate".to_owned(), value)];
    let bad = QuotaEntity::new("planet", Some("mars"));
    let wanted = HashMap::from([(alice.clone(), limit(Some(1e6))), (other.clone(), limit(Some(2e6)))]);
    for (entity, result) in w.admin.alter_quotas(&wanted).await.unwrap() {
        result.unwrap_or_else(|error| panic!("{entity}: {error}"));
    }
    let refused = w.admin.alter_quotas(&HashMap::from([(bad.clone(), limit(Some(1.0)))])).await;
    assert_eq!(code(refused.map(|mut r| r.remove(&bad).unwrap()).and_then(|r| r)), ErrorCode::InvalidRequest);
    let filter = QuotaFilter { components: vec![("user".into(), QuotaMatch::Exact("alice".into()))], strict: true };
    w.eventually("alice has a limit", || async {
        let found = w.admin.describe_quotas(&filter).await.unwrap();
        (found.get(&alice)?.get("producer_byte_rate") == Some(&1e6)).then_some(())
    })
    .await;
    assert!(w.admin.describe_quotas(&QuotaFilter::default()).await.unwrap().contains_key(&other));
    w.admin.alter_quotas(&HashMap::from([(alice.clone(), limit(None)), (other, limit(None))])).await.unwrap();
    w.eventually("alice has no limit", || async {
        w.admin.describe_quotas(&filter).await.unwrap().is_empty().then_some(())
    })
    .await;
}

async fn configs(w: &World) {
    w.topic("configs", 1).await;
    let topic = ConfigResource::Topic("configs".into());
    let broker = ConfigResource::Broker(w.ids[0]);
    let missing = ConfigResource::Topic("missing".into());
    let set = |key: &str, value: &str| (key.to_owned(), ConfigOp::Set(value.to_owned()));
    let changes = HashMap::from([
        (topic.clone(), vec![set("retention.ms", "86400000"), set("cleanup.policy", "compact")]),
        (broker.clone(), vec![set("log.cleaner.threads", "1")]),
        (missing.clone(), vec![set("retention.ms", "1")]),
    ]);
    let mut altered = w.admin.incremental_alter_configs(&changes).await.unwrap();
    altered.remove(&topic).unwrap().unwrap();
    altered.remove(&broker).unwrap().unwrap();
    assert_eq!(code(altered.remove(&missing).unwrap()), ErrorCode::UnknownTopicOrPartition);
    let added =
        HashMap::from([(topic.clone(), vec![("cleanup.policy".to_owned(), ConfigOp::Append("delete".into()))])]);
    w.admin.incremental_alter_configs(&added).await.unwrap().remove(&topic).unwrap().unwrap();
    w.eventually("the topic has its settings", || async {
        let config = w.admin.describe_configs(&topic, Some(&["retention.ms", "cleanup.policy"])).await.unwrap();
        assert_eq!(config.len(), 2);
        let is = |key: &str, value: &str| config[key].value.as_deref() == Some(value);
        (is("retention.ms", "86400000")
            && is("cleanup.policy", "compact,delete")
            && config["retention.ms"].source == ConfigSource::Topic)
            .then_some(())
    })
    .await;
    let mut described = w.admin.describe_configs_of(&[topic.clone(), broker.clone(), missing.clone()]).await.unwrap();
    assert!(described.remove(&topic).unwrap().unwrap().len() > 20);
    let of_broker = described.remove(&broker).unwrap().unwrap();
    assert!(of_broker["broker.id"].is_read_only || of_broker["node.id"].is_read_only);
    assert_eq!(code(described.remove(&missing).unwrap()), ErrorCode::UnknownTopicOrPartition);
    let bad = HashMap::from([(topic.clone(), vec![set("retention.ms", "soon")])]);
    let refused = w.admin.incremental_alter_configs(&bad).await.unwrap().remove(&topic).unwrap();
    // 2.8 has no code of its own for it.
    let wanted = if w.is_new { ErrorCode::InvalidConfig } else { ErrorCode::InvalidRequest };
    assert_eq!(code(refused), wanted);
    let log = ConfigResource::BrokerLogger(w.ids[0]);
    assert!(!w.admin.describe_configs(&log, None).await.unwrap().is_empty());
    if w.is_new {
        let listed = w.admin.list_config_resources().await.unwrap();
        assert!(listed.contains(&topic), "{listed:?}");
    } else {
        unsupported(w.admin.list_config_resources().await);
    }
    // The old call replaces everything.
    let whole = HashMap::from([(topic.clone(), HashMap::from([("retention.ms".to_owned(), "1000".to_owned())]))]);
    match w.admin.alter_configs(&whole).await.and_then(|mut altered| altered.remove(&topic).unwrap()) {
        Ok(()) => {}
        Err(error) => panic!("{error}"),
    }
    w.eventually("the old call has replaced the configuration", || async {
        let config = w.admin.describe_configs(&topic, Some(&["retention.ms", "cleanup.policy"])).await.unwrap();
        let is = |key: &str, value: &str| config[key].value.as_deref() == Some(value);
        (is("retention.ms", "1000") && is("cleanup.policy", "delete")).then_some(())
    })
    .await;
}

async fn log_dirs(w: &World) {
    w.topic("on-disk", 1).await;
    w.write(&tp("on-disk", 0), 3).await;
    let described = w.admin.describe_log_dirs(&w.ids).await.unwrap();
    assert_eq!(described.len(), w.ids.len());
    let mut home = None;
    for (broker, dirs) in described {
        for (path, dir) in dirs.unwrap() {
            let dir = dir.unwrap();
            assert_eq!(dir.total_bytes.is_some(), w.is_new);
            if let Some(replica) = dir.replicas.get(&tp("on-disk", 0)) {
                assert!(replica.size > 0 && !replica.is_future, "{replica:?}");
                home = Some((broker, path));
            }
        }
    }
    let (broker, path) = home.expect("the topic is somewhere");
    let replica = Replica { topic_partition: tp("on-disk", 0), broker };
    let stays = HashMap::from([(replica.clone(), path)]);
    w.admin.alter_replica_log_dirs(&stays).await.unwrap().remove(&replica).unwrap().unwrap();
    let nowhere = HashMap::from([(replica.clone(), "/nowhere".to_owned())]);
    let refused = w.admin.alter_replica_log_dirs(&nowhere).await.unwrap().remove(&replica).unwrap();
    assert_eq!(code(refused), ErrorCode::LogDirNotFound);
}

async fn cluster(w: &World) {
    let cluster = w.admin.describe_cluster(false).await.unwrap();
    assert_eq!(Some(cluster.cluster_id.as_str()), w.client.cluster().cluster_id());
    assert_eq!(cluster.brokers.len(), w.ids.len());
    assert!(cluster.controller.is_some_and(|c| w.ids.contains(&c)));
    if w.is_new {
        assert!(w.admin.describe_cluster(true).await.unwrap().brokers.iter().all(|b| !b.is_fenced));
        let quorum = w.admin.describe_quorum().await.unwrap();
        assert_eq!(quorum.voters.len(), 3);
        assert!(quorum.high_watermark > 0 && quorum.voters.iter().any(|v| v.id == quorum.leader), "{quorum:?}");
    } else {
        unsupported(w.admin.describe_quorum().await);
    }
}

async fn features(w: &World) {
    let features = w.admin.describe_features().await.unwrap();
    if !w.is_new {
        assert!(features.finalized.is_empty());
        return;
    }
    let (_, most) = features.supported["transaction.version"];
    assert!(most >= 2 && features.epoch.is_some() && features.finalized.contains_key("metadata.version"));
    let level = features.finalized["metadata.version"].max_version_level;
    let to = |level| HashMap::from([("metadata.version".to_owned(), (level, FeatureUpgrade::Upgrade))]);
    let checked = w.admin.clone().validate_only(true);
    assert!(checked.update_features(&to(level)).await.unwrap().remove("metadata.version").is_some());
    let refused = w.admin.update_features(&to(level + 100)).await.unwrap().remove("metadata.version").unwrap();
    assert_eq!(code(refused), ErrorCode::InvalidUpdateVersion);
}

async fn elections(w: &World) {
    w.topic("elections", 1).await;
    let wanted = [tp("elections", 0), tp("missing", 0)];
    let mut results = w.admin.elect_leaders(ElectionType::Preferred, Some(&wanted)).await.unwrap();
    assert_eq!(code(results.remove(&tp("elections", 0)).unwrap()), ErrorCode::ElectionNotNeeded);
    assert_eq!(code(results.remove(&tp("missing", 0)).unwrap()), ErrorCode::UnknownTopicOrPartition);
    let unclean = w.admin.elect_leaders(ElectionType::Unclean, Some(&wanted[..1])).await.unwrap();
    assert_eq!(unclean[&wanted[0]].as_ref().unwrap_err().code(), Some(ErrorCode::ElectionNotNeeded));
    w.admin.elect_leaders(ElectionType::Preferred, None).await.unwrap();
}

async fn reassignments(w: &World) {
    w.topic("moving", 1).await;
    let partition = tp("moving", 0);
    let to = |replicas: Option<Vec<BrokerId>>| HashMap::from([(partition.clone(), replicas)]);
    let cancel = w.admin.alter_partition_reassignments(&to(None)).await.unwrap().remove(&partition).unwrap();
    assert_eq!(code(cancel), ErrorCode::NoReassignmentInProgress);
    let unknown = w.admin.alter_partition_reassignments(&to(Some(vec![BrokerId(99)]))).await.unwrap();
    assert_eq!(unknown[&partition].as_ref().unwrap_err().code(), Some(ErrorCode::InvalidReplicaAssignment));
    let everywhere = w.ids.clone();
    let moved = w.admin.alter_partition_reassignments(&to(Some(everywhere))).await.unwrap().remove(&partition);
    moved.unwrap().unwrap();
    w.eventually("the partition is everywhere", || async {
        let moving = w.admin.list_partition_reassignments(Some(std::slice::from_ref(&partition))).await.unwrap();
        let mut described = w.admin.describe_topics(&["moving"]).await.unwrap();
        let isr = described.remove("moving")?.ok()?.partition(0)?.isr.len();
        (moving.is_empty() && isr == w.ids.len()).then_some(())
    })
    .await;
    assert!(w.admin.list_partition_reassignments(None).await.unwrap().is_empty());
}

async fn delegation_tokens(w: &World) {
    // Over a connection without authentication there are none.
    let made = w.admin.create_delegation_token(&["User:bob"], Some(Duration::from_secs(3600)), None).await;
    assert_eq!(code(made), ErrorCode::DelegationTokenRequestNotAllowed);

    let Some(sasl) = &w.sasl else {
        let renewed = w.admin.renew_delegation_token(b"none", Duration::from_secs(60)).await;
        assert_eq!(code(renewed), ErrorCode::DelegationTokenRequestNotAllowed);
        let expired = w.admin.expire_delegation_token(b"none", None).await;
        assert_eq!(code(expired), ErrorCode::DelegationTokenRequestNotAllowed);
        let described = w.admin.describe_delegation_tokens(None).await;
        return assert_eq!(code(described), ErrorCode::DelegationTokenRequestNotAllowed);
    };

    let config = |mechanism: &str, user: &str, password: &str, token: bool| {
        let jaas = format!("Module required username=\"{user}\" password=\"{password}\" tokenauth=\"{token}\";");
        ClientConfig::from_properties([
            ("bootstrap.servers", sasl.as_str()),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", mechanism),
            ("sasl.jaas.config", &jaas),
        ])
        .unwrap()
    };
    let admin = Admin::new(&Client::connect(config("PLAIN", "admin", "secret", false)).await.unwrap());
    let hour = Duration::from_secs(3600);
    let token = admin.create_delegation_token(&["User:bob"], Some(hour), None).await.unwrap();
    assert_eq!((token.owner.as_str(), &token.renewers[..]), ("User:admin", &["User:bob".to_owned()][..]));
    assert!(token.max_lifetime_at - token.issued_at <= 3_600_000);
    let described = w
        .eventually("the token is known", || async {
            let described = admin.describe_delegation_tokens(None).await.unwrap();
            described.into_iter().find(|t| t.token_id == token.token_id)
        })
        .await;
    assert_eq!(described, token);
    let mine = admin.describe_delegation_tokens(Some(&["User:carol"])).await.unwrap();
    assert!(mine.is_empty(), "carol neither owns one nor may renew one: {mine:?}");
    let until = admin.renew_delegation_token(token.hmac(), Duration::from_secs(60)).await.unwrap();
    assert!(until < token.max_lifetime_at);

    // It logs in, and cannot beget others.
    let by_token = w
        .eventually("the token logs in", || async {
            let password = BASE64.encode(token.hmac());
            Client::connect(config("SCRAM-SHA-256", &token.token_id, &password, true)).await.ok()
        })
        .await;
    let by_token = Admin::new(&by_token);
    assert!(by_token.describe_cluster(false).await.is_ok());
    let another = by_token.create_delegation_token(&[], None, None).await;
    assert_eq!(code(another), ErrorCode::DelegationTokenRequestNotAllowed);

    admin.expire_delegation_token(token.hmac(), None).await.unwrap();
    w.eventually("the token is gone", || async {
        admin.describe_delegation_tokens(None).await.unwrap().is_empty().then_some(())
    })
    .await;
    let gone = admin.renew_delegation_token(token.hmac(), hour).await;
    assert_eq!(code(gone), ErrorCode::DelegationTokenNotFound);
    let bad = admin.describe_delegation_tokens(Some(&["bob"])).await.unwrap_err();
    assert!(bad.to_string().contains("User:name"), "{bad}");
}

async fn brokers(w: &World) {
    if !w.is_new {
        unsupported(w.admin.unregister_controller(BrokerId(99)).await);
        return unsupported(w.admin.unregister_broker(BrokerId(99)).await);
    }
    let refused = code(w.admin.unregister_broker(BrokerId(99)).await);
    assert_eq!(refused, ErrorCode::BrokerIdNotRegistered);
    let refused = code(w.admin.unregister_controller(BrokerId(99)).await);
    assert_eq!(refused, ErrorCode::ControllerIdNotRegistered);
}

async fn raft_voters(w: &World) {
    let endpoint = VoterEndpoint { listener: "CONTROLLER".into(), host: "localhost".into(), port: 1 };
    if !w.is_new {
        unsupported(w.admin.remove_raft_voter(BrokerId(99), uuid::Uuid::from_u128(1)).await);
        return unsupported(w.admin.add_raft_voter(BrokerId(99), uuid::Uuid::from_u128(1), &[endpoint]).await);
    }
    // The voters of this cluster are in its files: they cannot be changed.
    let refused = code(w.admin.add_raft_voter(BrokerId(99), uuid::Uuid::from_u128(1), &[endpoint]).await);
    assert_eq!(refused, ErrorCode::UnsupportedVersion);
    let refused = code(w.admin.remove_raft_voter(BrokerId(99), uuid::Uuid::from_u128(1)).await);
    assert_eq!(refused, ErrorCode::UnsupportedVersion);
}

async fn streams_groups(w: &World) {
    if !w.is_new {
        return unsupported(w.admin.describe_streams_groups(&["s"]).await);
    }
    let mut described = w.admin.describe_streams_groups(&["no-such-group"]).await.unwrap();
    assert_eq!(code(described.remove("no-such-group").unwrap()), ErrorCode::GroupIdNotFound);
}
