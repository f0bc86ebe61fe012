//! An admin client that talks to the controllers (KIP-919).
use std::collections::HashMap;

use ottla_client::*;
use ottla_testkit::kafka::Kafka;

use crate::{World, code, tp};

/// What Java's client sends to brokers alone, and controllers do as well.
async fn change(admin: &Admin) {
    let name = "by-controller";
    admin.create_topics([NewTopic::new(name, 1, 1)]).await.unwrap().remove(name).unwrap().unwrap();
    let more = admin.create_partitions([(name, NewPartitions::increase_to(2))]).await.unwrap();
    more[name].as_ref().unwrap();
    let partition = tp(name, 1);
    let elected = admin.elect_leaders(ElectionType::Preferred, Some(std::slice::from_ref(&partition))).await.unwrap();
    assert_eq!(elected[&partition].as_ref().unwrap_err().code(), Some(ErrorCode::ElectionNotNeeded));
    admin.delete_topics(&[name]).await.unwrap().remove(name).unwrap().unwrap();
    let user = QuotaEntity::new("user", Some("by-controller"));
    let limit = |value| HashMap::from([(user.clone(), vec![("producer_byte_rate".to_owned(), value)])]);
    for value in [Some(1e6), None] {
        admin.alter_quotas(&limit(value)).await.unwrap().remove(&user).unwrap().unwrap();
    }
    admin.upsert_scram_user(name, ScramMechanism::Sha256, 4096, "hunter2").await.unwrap();
    admin.delete_scram_user(name, ScramMechanism::Sha256).await.unwrap();
    assert_eq!(code(admin.unregister_broker(BrokerId(99)).await), ErrorCode::BrokerIdNotRegistered);
}

/// What controllers answer, what they do not, and what brokers say to who takes them for controllers.
pub(crate) async fn controllers(w: &World, kafka: &Kafka) {
    let connect = |controllers: &str| {
        let mut config = AdminConfig::default();
        config.bootstrap_controllers = controllers.split(',').map(str::to_owned).collect();
        Admin::connect(ClientConfig::default(), config)
    };
    let admin = connect(&kafka.controllers()).await.unwrap();
    let cluster = admin.describe_cluster(false).await.unwrap();
    assert_eq!(Some(cluster.cluster_id.as_str()), w.client.cluster().cluster_id());
    let mut addresses: Vec<_> =
        cluster.brokers.iter().map(|node| format!("{}:{}", node.broker.host, node.broker.port)).collect();
    addresses.sort();
    let mut expected: Vec<_> = kafka.nodes().iter().map(|node| node.controller_address()).collect();
    expected.sort();
    assert_eq!(addresses, expected);
    let quorum = admin.describe_quorum().await.unwrap();
    assert_eq!(Some(quorum.leader), cluster.controller);
    assert!(admin.describe_features().await.unwrap().finalized.contains_key("metadata.version"));
    admin.describe_acls(&AclFilter::default()).await.unwrap();
    let config = admin.describe_configs(&ConfigResource::Broker(quorum.leader), None).await.unwrap();
    assert!(config.contains_key("controller.quorum.voters"), "{config:?}");
    let bytes = vec![("message.max.bytes".to_owned(), ConfigOp::Set("1048588".to_owned()))];
    let changes = HashMap::from([(ConfigResource::BrokerDefault, bytes)]);
    admin.incremental_alter_configs(&changes).await.unwrap().remove(&ConfigResource::BrokerDefault).unwrap().unwrap();
    let threads = || vec![("log.cleaner.threads".to_owned(), ConfigOp::Set("2".to_owned()))];
    let of_each = w.ids.iter().map(|id| (ConfigResource::Broker(*id), threads())).collect();
    let changed = admin.incremental_alter_configs(&of_each).await.unwrap();
    assert!(changed.len() == 3 && changed.values().all(Result::is_ok), "{changed:?}");
    let moving = admin.list_partition_reassignments(None).await.unwrap();
    assert!(moving.is_empty(), "{moving:?}");
    change(&admin).await;

    let unsupported = ErrorCode::UnsupportedEndpointType;
    assert_eq!(code(admin.list_topics().await), unsupported);
    assert_eq!(code(admin.list_groups(&GroupFilter::default()).await), unsupported);
    assert_eq!(code(admin.describe_producers(&[tp("t", 0)]).await.unwrap().remove(&tp("t", 0)).unwrap()), unsupported);

    let broker = kafka.bootstrap();
    assert_eq!(code(connect(&broker).await), ErrorCode::MismatchedEndpointType);
    let text = Client::connect(ClientConfig::new(&kafka.controllers())).await.unwrap_err().to_string();
    assert!(text.contains("let bootstrap.servers name listeners of brokers"), "{text}");
}
