//! A broker with two disks: a replica moves from one to the other.
use std::collections::HashMap;

use ottla_client::*;
use ottla_testkit::kafka::Kafka;

use crate::{World, tp};

pub(crate) async fn a_replica_moves_to_the_other_disk(version: &str) {
    let both = ["/data/log", "/data/other"];
    let kafka = Kafka::builder().version(version).property("log.dirs", &both.join(",")).start().await.unwrap();
    let w = World::new(&kafka, None).await;
    w.topic("t", 1).await;
    w.write(&tp("t", 0), 50).await;
    let broker = w.ids[0];
    let homes = async || -> HashMap<String, ReplicaOnDisk> {
        let dirs = w.admin.describe_log_dirs(&[broker]).await.unwrap().remove(&broker).unwrap().unwrap();
        assert_eq!(dirs.len(), 2);
        let replica = |dir: LogDir| dir.replicas.get(&tp("t", 0)).copied();
        dirs.into_iter().filter_map(|(path, dir)| Some((path, replica(dir.unwrap())?))).collect()
    };
    let before = homes().await;
    let (from, replica) = before.iter().next().unwrap();
    assert!(before.len() == 1 && replica.size > 0 && !replica.is_future, "{before:?}");
    let to = both.into_iter().find(|path| path != from).unwrap();
    let moving = Replica { topic_partition: tp("t", 0), broker };
    let paths = HashMap::from([(moving.clone(), to.to_owned())]);
    w.admin.alter_replica_log_dirs(&paths).await.unwrap().remove(&moving).unwrap().unwrap();
    let after = w
        .eventually("it has moved", || async {
            let homes = homes().await;
            (homes.len() == 1 && homes.contains_key(to)).then_some(homes)
        })
        .await;
    assert_eq!((after[to].size, after[to].is_future), (replica.size, false));
    w.write(&tp("t", 0), 1).await;
}
