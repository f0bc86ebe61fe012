//! Brokers and controllers.

use std::collections::HashMap;

use ottla_client::*;

use crate::{World, code, tp, unsupported};
pub(crate) async fn log_dirs(w: &World) {
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

pub(crate) async fn cluster(w: &World) {
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

pub(crate) async fn features(w: &World) {
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
    transaction_version(w).await;
}

/// Down to the first protocol of transactions and up to the second again.
async fn transaction_version(w: &World) {
    let name = "transaction.version";
    let set = async |level, how| {
        let updated = w.admin.update_features(&HashMap::from([(name.to_owned(), (level, how))])).await.unwrap();
        updated.into_values().next().unwrap()
    };
    let is_at = async |level| {
        w.eventually("the level is known", || async {
            let features = w.admin.describe_features().await.unwrap();
            (features.finalized[name].max_version_level == level).then_some(())
        })
        .await;
    };
    assert_eq!(code(set(1, FeatureUpgrade::Upgrade).await), ErrorCode::InvalidUpdateVersion, "that is down");
    set(1, FeatureUpgrade::SafeDowngrade).await.unwrap();
    is_at(1).await;
    set(2, FeatureUpgrade::Upgrade).await.unwrap();
    is_at(2).await;
}

pub(crate) async fn elections(w: &World) {
    w.topic("elections", 1).await;
    let wanted = [tp("elections", 0), tp("missing", 0)];
    let mut results = w.admin.elect_leaders(ElectionType::Preferred, Some(&wanted)).await.unwrap();
    assert_eq!(code(results.remove(&tp("elections", 0)).unwrap()), ErrorCode::ElectionNotNeeded);
    assert_eq!(code(results.remove(&tp("missing", 0)).unwrap()), ErrorCode::UnknownTopicOrPartition);
    let unclean = w.admin.elect_leaders(ElectionType::Unclean, Some(&wanted[..1])).await.unwrap();
    assert_eq!(unclean[&wanted[0]].as_ref().unwrap_err().code(), Some(ErrorCode::ElectionNotNeeded));
    w.admin.elect_leaders(ElectionType::Preferred, None).await.unwrap();
}

pub(crate) async fn reassignments(w: &World) {
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

pub(crate) async fn brokers(w: &World) {
    if !w.is_new {
        unsupported(w.admin.unregister_controller(BrokerId(99)).await);
        return unsupported(w.admin.unregister_broker(BrokerId(99)).await);
    }
    let refused = code(w.admin.unregister_broker(BrokerId(99)).await);
    assert_eq!(refused, ErrorCode::BrokerIdNotRegistered);
    let refused = code(w.admin.unregister_controller(BrokerId(99)).await);
    assert_eq!(refused, ErrorCode::ControllerIdNotRegistered);
}

pub(crate) async fn raft_voters(w: &World) {
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
