//! What an administrator does about a broker that is down: elections, and taking it off the list.
use std::time::{Duration, Instant};

use ottla_client::*;
use ottla_testkit::kafka::Kafka;

use crate::{World, code, tp};

/// The preferred leader goes, cannot be elected, is taken off the list, comes back, and is elected.
pub(crate) async fn a_preferred_leader_goes_and_comes_back(w: &World, kafka: &Kafka) {
    let created = w.admin.create_topics([NewTopic::new("led", 1, 3)]).await.unwrap().remove("led");
    created.unwrap().unwrap();
    w.client.topic("led", Instant::now() + Duration::from_secs(30)).await.unwrap();
    let partition = tp("led", 0);
    let led = async || w.admin.describe_topics(&["led"]).await.unwrap().remove("led")?.ok()?.partition(0).cloned();
    let preferred = w.eventually("the topic is described", led).await.replicas[0];
    let elect = async || {
        let wanted = std::slice::from_ref(&partition);
        w.admin.elect_leaders(ElectionType::Preferred, Some(wanted)).await.unwrap().remove(&partition).unwrap()
    };
    let node = kafka.node(preferred.0).unwrap();
    node.stop().await.unwrap();
    w.eventually("another leads", || async {
        led().await.filter(|p| p.leader.is_some_and(|leader| leader != preferred)).map(drop)
    })
    .await;
    assert_eq!(code(elect().await), ErrorCode::PreferredLeaderNotAvailable);

    let listed = async || {
        let cluster = w.admin.describe_cluster(true).await.unwrap();
        cluster.brokers.into_iter().find(|b| b.broker.id == preferred).map(|b| b.is_fenced)
    };
    w.eventually("it is fenced", || async { (listed().await == Some(true)).then_some(()) }).await;
    w.admin.unregister_broker(preferred).await.unwrap();
    w.eventually("it is off the list", || async { listed().await.is_none().then_some(()) }).await;
    assert_eq!(code(w.admin.unregister_broker(preferred).await), ErrorCode::BrokerIdNotRegistered);

    node.restart().await.unwrap();
    node.wait_ready(Duration::from_secs(120)).await.unwrap();
    w.eventually("it is in sync again", || async { led().await.filter(|p| p.isr.len() == 3).map(drop) }).await;
    w.eventually("it is on the list again", || async { (listed().await == Some(false)).then_some(()) }).await;
    let leader = w.eventually("the topic is described", led).await.leader;
    assert_ne!(leader, Some(preferred), "nobody elects it by itself so soon");
    elect().await.unwrap();
    w.eventually("it leads again", || async { led().await.filter(|p| p.leader == Some(preferred)).map(drop) }).await;
    assert_eq!(code(elect().await), ErrorCode::ElectionNotNeeded);
}
