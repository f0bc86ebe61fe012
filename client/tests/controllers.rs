//! An admin client that talks to controllers (KIP-919), here scripted: `admin_real` has real ones.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::time::Duration;

use ottla_client::{
    AclBinding, AclOperation, AclPermission, AclResourceType, Admin, AdminConfig, BrokerId, Client, ClientConfig,
    ConfigOp, ConfigResource, Error, ErrorCode, GroupFilter, NewTopic, PatternType, Result, TopicPartition,
};
use ottla_testkit::kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use ottla_testkit::kafka_protocol::messages::{BrokerId as NodeId, DescribeClusterRequest, DescribeClusterResponse};
use ottla_testkit::kafka_protocol::protocol::StrBytes;
use ottla_testkit::{ApiKey, Broker, ErrorCode as Code};

async fn admin(controllers: &Broker) -> Result<Admin> {
    let mut config = AdminConfig::default();
    config.bootstrap_controllers = controllers.bootstrap().split(',').map(str::to_owned).collect();
    let mut client = ClientConfig::default();
    client.default_api_timeout = Duration::from_secs(5);
    client.retry_backoff = Duration::from_millis(5);
    Admin::connect(client, config).await
}

/// The nodes answer as controllers, of which `active` is active.
fn as_controllers(broker: &Broker, active: i32) {
    let nodes: Vec<_> = broker.bootstrap().split(',').map(str::to_owned).collect();
    broker
        .on(ApiKey::DescribeCluster)
        .reply(move |request: &DescribeClusterRequest| {
            if request.endpoint_type != 2 {
                return DescribeClusterResponse::default().with_error_code(Code::MismatchedEndpointType.code());
            }
            let nodes = (0..).zip(&nodes).map(|(id, address)| {
                let (host, port) = address.rsplit_once(':').unwrap();
                DescribeClusterBroker::default()
                    .with_broker_id(NodeId(id))
                    .with_host(StrBytes::from_string(host.to_owned()))
                    .with_port(port.parse().unwrap())
            });
            DescribeClusterResponse::default()
                .with_endpoint_type(2)
                .with_cluster_id(StrBytes::from_static_str("c"))
                .with_controller_id(NodeId(active))
                .with_brokers(nodes.collect())
        })
        .always();
}

#[tokio::test]
async fn controllers_are_asked_and_the_active_one_decides() {
    let broker = Broker::builder().nodes(3).start().await.unwrap();
    as_controllers(&broker, 2);
    let admin = admin(&broker).await.unwrap();
    let cluster = admin.describe_cluster(false).await.unwrap();
    assert_eq!((cluster.controller, cluster.brokers.len()), (Some(BrokerId(2)), 3));
    let at_active = broker.on(ApiKey::CreateAcls).node(2).delay(Duration::ZERO).always();
    let at_others = [0, 1].map(|id| broker.on(ApiKey::CreateAcls).node(id).delay(Duration::ZERO).always());
    let rule = AclBinding {
        resource_type: AclResourceType::Topic,
        resource_name: "t".into(),
        pattern_type: PatternType::Literal,
        principal: "User:a".into(),
        host: "*".into(),
        operation: AclOperation::Read,
        permission: AclPermission::Allow,
    };
    admin.create_acls(&[rule]).await.unwrap();
    assert_eq!((at_active.hits(), at_others.map(|rule| rule.hits())), (1, [0, 0]));

    // What is a broker's too: it may be none of the controllers.
    let at_active = broker.on(ApiKey::IncrementalAlterConfigs).node(2).delay(Duration::ZERO).always();
    let change = || vec![("log.cleaner.threads".to_owned(), ConfigOp::Set("2".to_owned()))];
    let changes = [0, 7].map(|id| (ConfigResource::Broker(BrokerId(id)), change())).into();
    let changed = admin.incremental_alter_configs(&changes).await.unwrap();
    assert_eq!((changed.len(), at_active.hits()), (2, 1), "{changed:?}");
}

#[tokio::test]
async fn what_only_brokers_answer_is_refused_at_once() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    as_controllers(&broker, 0);
    let admin = admin(&broker).await.unwrap();
    let partition = TopicPartition::new("t", 0);
    let refused = [
        admin.describe_groups(&["g"]).await.unwrap().remove("g").unwrap().unwrap_err(),
        admin.end_marker(&partition, 0, 1).await.unwrap_err(),
        admin.describe_transactions(&["x"]).await.remove("x").unwrap().unwrap_err(),
        admin
            .describe_producers(std::slice::from_ref(&partition))
            .await
            .unwrap()
            .remove(&partition)
            .unwrap()
            .unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.code(), Some(ErrorCode::UnsupportedEndpointType), "{error}");
        assert!(error.to_string().contains("let bootstrap.servers name listeners of brokers"), "{error}");
    }
}

#[tokio::test]
async fn a_broker_among_bootstrap_controllers_is_told_apart() {
    let broker = Broker::builder().start().await.unwrap();
    let error = admin(&broker).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::MismatchedEndpointType), "{error}");
    assert!(error.to_string().contains("bootstrap.controllers of an Admin those of controllers"), "{error}");
    let old = Broker::builder().as_version("3.5").start().await.unwrap();
    let error = admin(&old).await.unwrap_err();
    assert!(matches!(error, Error::UnsupportedVersion { .. }), "{error}");
}

/// `retries`: the error of the last attempt, not that time has passed.
#[tokio::test]
async fn a_call_is_tried_again_so_many_times() {
    let broker = Broker::builder().start().await.unwrap();
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.retry_backoff = Duration::from_millis(5);
    let admin = Admin::new(&Client::connect(config.clone()).await.unwrap()).retries(2);
    let busy = broker.on(ApiKey::CreateTopics).fail(Code::RequestTimedOut).always();
    let error = admin.create_topics([NewTopic::new("t", 1, 1)]).await.unwrap().remove("t").unwrap().unwrap_err();
    assert!(matches!(error, Error::Broker { code: ErrorCode::RequestTimedOut, .. }), "{error:?}");
    assert_eq!(busy.hits(), 3);
    let lost = broker.on(ApiKey::FindCoordinator).fail(Code::CoordinatorNotAvailable).always();
    let error = admin.describe_transactions(&["x"]).await.remove("x").unwrap().unwrap_err();
    assert!(matches!(error, Error::Broker { code: ErrorCode::CoordinatorNotAvailable, .. }), "{error:?}");
    assert_eq!(lost.hits(), 3);
    lost.remove();
    let busy = broker.on(ApiKey::ListGroups).fail(Code::CoordinatorLoadInProgress).always();
    let mut own = AdminConfig::default();
    own.retries = 1;
    let admin = Admin::connect(config, own).await.unwrap();
    admin.list_groups(&GroupFilter::default()).await.unwrap_err();
    assert_eq!(busy.hits(), 2);
}
