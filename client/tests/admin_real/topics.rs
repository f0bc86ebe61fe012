//! Topics, partitions and what is in them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ottla_client::*;

use crate::{World, code, tp, unsupported};
pub(crate) async fn topics(w: &World) {
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
    let names = w
        .eventually("topics-a is listed", || async {
            w.admin.list_topics().await.ok().filter(|names| names.contains(&"topics-a".to_owned()))
        })
        .await;
    assert!(!names.contains(&"not-made".to_owned()), "{names:?}");
    let (topic, mut described) = w
        .eventually("topics-a is described", || async {
            let mut described = w.admin.describe_topics(&["topics-a", "missing"]).await.unwrap();
            Some((described.remove("topics-a")?.ok()?, described))
        })
        .await;
    assert_eq!(topic.partitions.len(), 3);
    assert_eq!(code(described.remove("missing").unwrap()), ErrorCode::UnknownTopicOrPartition);
    assert!(!w.admin.list_topics().await.unwrap().contains(&"missing".to_owned()), "asking does not create");

    if w.is_new {
        let (details, mut described) = w
            .eventually("topics-a is described by pages", || async {
                let asked = ["topics-a", "assigned", "missing"];
                let mut described = w.admin.describe_topic_partitions(&asked).await.unwrap();
                Some((described.remove("topics-a")?.ok()?, described))
            })
            .await;
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

pub(crate) async fn partitions(w: &World) {
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

pub(crate) async fn records(w: &World) {
    w.topic("records", 2).await;
    w.write(&tp("records", 0), 5).await;
    let before = HashMap::from([(tp("records", 0), 3), (tp("records", 1), 7)]);
    let mut deleted = w.admin.delete_records(&before).await.unwrap();
    assert_eq!(deleted.remove(&tp("records", 0)).unwrap().unwrap(), 3);
    assert_eq!(code(deleted.remove(&tp("records", 1)).unwrap()), ErrorCode::OffsetOutOfRange);
    let all = HashMap::from([(tp("records", 0), -1)]);
    assert_eq!(w.admin.delete_records(&all).await.unwrap().remove(&tp("records", 0)).unwrap().unwrap(), 5);
}

pub(crate) async fn offsets(w: &World) {
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
        // Without tiered storage: the log begins on the broker's disk, and nothing is in the other place or on its way.
        for (spec, offset) in [
            (OffsetSpec::EarliestLocal, Some(0)),
            (OffsetSpec::LatestTiered, None),
            (OffsetSpec::EarliestPendingUpload, None),
        ] {
            let asked = HashMap::from([(tp("offsets", 1), spec)]);
            let found = w.admin.list_offsets(&asked, IsolationLevel::ReadUncommitted).await.remove(&tp("offsets", 1));
            assert_eq!(found.unwrap().unwrap().offset, offset, "{spec:?}");
        }
    } else {
        let newer = HashMap::from([(tp("offsets", 1), OffsetSpec::EarliestPendingUpload)]);
        let refused = w.admin.list_offsets(&newer, IsolationLevel::ReadUncommitted).await.remove(&tp("offsets", 1));
        unsupported(refused.unwrap());
    }
}
