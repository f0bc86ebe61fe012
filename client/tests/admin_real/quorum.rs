//! A cluster whose first node alone votes: voters that come and go, a reassignment that cannot end, an election that loses
//! records, a controller that is gone for good.
use std::collections::HashMap;
use std::time::Duration;

use ottla_client::*;
use ottla_testkit::kafka::Kafka;

use crate::{World, code, tp};

pub(crate) async fn voters_partitions_and_controllers_come_and_go() {
    let kafka = Kafka::builder().nodes(3).dynamic_quorum().start().await.unwrap();
    let w = &World::new(&kafka, None).await;
    voters(w, &kafka).await;
    lonely_partitions(w, &kafka).await;
    a_controller_that_is_gone(w).await;
}

async fn voters(w: &World, kafka: &Kafka) {
    let observer = w
        .eventually("the third controller follows", || async {
            let quorum = w.admin.describe_quorum().await.unwrap();
            assert!(quorum.voters.iter().all(|voter| voter.id == BrokerId(1)), "{quorum:?}");
            quorum.observers.into_iter().find(|o| o.id == BrokerId(3) && o.last_caught_up.is_some())
        })
        .await;
    let address = kafka.node(3).unwrap().controller_address();
    let (host, port) = address.rsplit_once(':').unwrap();
    let endpoint = VoterEndpoint { listener: "CONTROLLER".into(), host: host.to_owned(), port: port.parse().unwrap() };
    let add = || w.admin.add_raft_voter(BrokerId(3), observer.directory_id, std::slice::from_ref(&endpoint));
    let are = |count: usize| async move {
        w.eventually("the voters are others", || async {
            (w.admin.describe_quorum().await.unwrap().voters.len() == count).then_some(())
        })
        .await;
    };
    add().await.unwrap();
    are(2).await;
    assert_eq!(code(add().await), ErrorCode::DuplicateVoter);
    let remove = || w.admin.remove_raft_voter(BrokerId(3), observer.directory_id);
    remove().await.unwrap();
    are(1).await;
    assert_eq!(code(remove().await), ErrorCode::VoterNotFound);
}

async fn reassign(w: &World, partition: &TopicPartition, replicas: Option<&[i32]>) -> Result<()> {
    let replicas = replicas.map(|ids| ids.iter().copied().map(BrokerId).collect());
    let moved = w.admin.alter_partition_reassignments(&HashMap::from([(partition.clone(), replicas)])).await;
    moved.unwrap().remove(partition).unwrap()
}

async fn is(w: &World, partition: &TopicPartition, what: &str, condition: impl Fn(&Partition) -> bool) {
    let topic = &*partition.topic;
    w.eventually(what, || async {
        let described = w.admin.describe_topics(&[topic]).await.unwrap().remove(topic)?.ok()?;
        described.partition(0).filter(|p| condition(p)).map(drop)
    })
    .await;
}

/// A partition that shall move to a node that is down stays where it is; one whose last leader is gone gets another.
async fn lonely_partitions(w: &World, kafka: &Kafka) {
    let (stuck, lonely) = (&tp("stuck", 0), &tp("lonely", 0));
    let topic = |tp: &TopicPartition| NewTopic::new(&tp.topic, 1, 1).config("min.insync.replicas", "1");
    let created = w.admin.create_topics([topic(stuck), topic(lonely)]).await.unwrap();
    assert!(created.values().all(Result::is_ok), "{created:?}");
    reassign(w, stuck, Some(&[1])).await.unwrap();
    reassign(w, lonely, Some(&[2, 3])).await.unwrap();
    is(w, stuck, "it is alone on 1", |p| p.replicas == [BrokerId(1)]).await;
    is(w, lonely, "it has moved", |p| p.replicas == [BrokerId(2), BrokerId(3)] && p.isr.len() == 2).await;
    kafka.node(3).unwrap().stop().await.unwrap();
    is(w, lonely, "2 leads alone", |p| p.leader == Some(BrokerId(2)) && p.isr == [BrokerId(2)]).await;
    a_reassignment_that_cannot_end(w, stuck).await;

    w.write(lonely, 1).await;
    kafka.node(2).unwrap().stop().await.unwrap();
    is(w, lonely, "nobody leads", |p| p.leader.is_none()).await;
    let node = kafka.node(3).unwrap();
    node.restart().await.unwrap();
    node.wait_ready(Duration::from_secs(120)).await.unwrap();
    let elect = async |election| {
        let elected = w.admin.elect_leaders(election, Some(std::slice::from_ref(lonely))).await;
        elected.unwrap().remove(lonely).unwrap()
    };
    assert_eq!(code(elect(ElectionType::Preferred).await), ErrorCode::PreferredLeaderNotAvailable);
    elect(ElectionType::Unclean).await.unwrap();
    is(w, lonely, "3 leads", |p| p.leader == Some(BrokerId(3))).await;
}

async fn a_reassignment_that_cannot_end(w: &World, stuck: &TopicPartition) {
    reassign(w, stuck, Some(&[3])).await.unwrap();
    let moving = w.admin.list_partition_reassignments(None).await.unwrap();
    let (adding, removing) = (&moving[stuck].adding[..], &moving[stuck].removing[..]);
    assert_eq!((adding, removing, moving.len()), (&[BrokerId(3)][..], &[BrokerId(1)][..], 1), "{moving:?}");
    reassign(w, stuck, None).await.unwrap();
    w.eventually("nothing moves", || async {
        w.admin.list_partition_reassignments(None).await.unwrap().is_empty().then_some(())
    })
    .await;
    is(w, stuck, "it is where it was", |p| p.replicas == [BrokerId(1)]).await;
    assert_eq!(code(reassign(w, stuck, None).await), ErrorCode::NoReassignmentInProgress);
}

async fn a_controller_that_is_gone(w: &World) {
    w.admin.unregister_controller(BrokerId(2)).await.unwrap();
    assert_eq!(code(w.admin.unregister_controller(BrokerId(2)).await), ErrorCode::ControllerIdNotRegistered);
}
