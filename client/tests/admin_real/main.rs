//! Every admin call on real brokers: 4.4.0 with three nodes, and 2.8.2. `scripts/test --only admin` runs them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod access;
mod brokers;
mod configs;
mod controllers;
mod disks;
mod groups;
mod members;
mod outages;
mod quorum;
mod streams_member;
mod tokens;
mod topics;
mod transactions;

use std::time::{Duration, Instant};

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
        .property("group.streams.initial.rebalance.delay.ms", "0")
        .security(security())
        .start()
        .await
        .unwrap();
    let world = World::new(&kafka, Some(kafka.bootstrap_of(Listener::SaslPlaintext))).await;
    all_subjects(&world).await;
    controllers::controllers(&world, &kafka).await;
    let world = &world;
    let kafka = &kafka;
    members::live_members(world, kafka).await;
    timed("live_share_member", members::live_share_member(world, kafka)).await;
    timed("live_streams_member", members::live_streams_member(world, kafka)).await;
    outages::a_preferred_leader_goes_and_comes_back(world, kafka).await;
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
    let world = World::new(&kafka, None).await;
    all_subjects(&world).await;
    members::live_members(&world, &kafka).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_moves_to_the_other_disk_of_4_4_0() {
    disks::a_replica_moves_to_the_other_disk("4.4.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_moves_to_the_other_disk_of_2_8_2() {
    disks::a_replica_moves_to_the_other_disk("2.8.2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_partitions_and_controllers_of_4_4_0_come_and_go() {
    quorum::voters_partitions_and_controllers_come_and_go().await;
}

async fn timed(subject: &str, test: impl Future<Output = ()>) {
    let started = Instant::now();
    test.await;
    println!("{subject} took {:?}", started.elapsed());
}

macro_rules! subjects {
    ($world:ident: $($file:ident: $($subject:ident)*;)*) => {$($(
        timed(stringify!($subject), $file::$subject($world)).await;
    )*)*};
}

async fn all_subjects(world: &World) {
    subjects!(world:
        topics: topics partitions records offsets;
        groups: group_offsets groups share_groups streams_groups;
        transactions: transactions hanging_transactions;
        access: acls scram quotas;
        configs: configs;
        brokers: log_dirs cluster features elections reassignments brokers raft_voters;
        tokens: delegation_tokens;
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
    /// `sasl`: where 4.4.0 lets one log in.
    async fn new(kafka: &Kafka, sasl: Option<String>) -> Self {
        let client = Client::connect(ClientConfig::new(&kafka.bootstrap())).await.unwrap();
        let admin = Admin::new(&client);
        let ids = client.cluster().brokers().map(|b| b.id).collect();
        Self { admin, client, ids, is_new: sasl.is_some(), sasl }
    }

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

    /// Until the condition holds. Whatever a broker keeps from the log of the cluster is asked for so: each call may go to
    /// another broker, and one may lag behind the rest.
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
