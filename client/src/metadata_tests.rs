use super::*;
use ottla_protocol::messages::metadata::MetadataResponseBroker;

fn answer(id: Uuid, leader: i32, epoch: i32) -> MetadataResponse {
    MetadataResponse {
        brokers: (1..=3)
            .map(|n| MetadataResponseBroker { node_id: n, host: "h".into(), port: 9000 + n, ..Default::default() })
            .collect(),
        topics: vec![MetadataResponseTopic {
            name: Some("t".into()),
            topic_id: id,
            partitions: vec![MetadataResponsePartition {
                leader_id: leader,
                leader_epoch: epoch,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn leader(metadata: &Metadata) -> (Option<BrokerId>, Option<i32>) {
    let current = metadata.current();
    let partition = current.partition("t", 0).expect("the partition is known");
    (partition.leader, partition.leader_epoch)
}

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);

#[test]
fn metadata_epoch_never_goes_back_without_new_topic_id() {
    let mut metadata = Metadata::default();
    metadata.update(12, Asked::Some, answer(A, 1, 5));
    metadata.update(12, Asked::Some, answer(A, 2, 4));
    assert_eq!(leader(&metadata), (Some(BrokerId(1)), Some(5)));
    metadata.update(12, Asked::Some, answer(A, 3, 5));
    assert_eq!(leader(&metadata), (Some(BrokerId(3)), Some(5)));
    metadata.update(12, Asked::Some, answer(B, 2, 0));
    assert_eq!(leader(&metadata), (Some(BrokerId(2)), Some(0)));
}

#[test]
fn an_answer_with_an_older_epoch_is_asked_for_again() {
    let mut metadata = Metadata::default();
    let first = metadata.update(12, Asked::Some, answer(A, 1, 5)).unwrap();
    let older = metadata.update(12, Asked::Some, answer(A, 2, 4)).unwrap();
    assert!(!first.is_unsettled() && older.is_unsettled());
    assert!(!older.has_grown_since(&first), "no news: the next request waits longer");
    let other = MetadataResponse { topics: vec![], ..answer(A, 1, 5) };
    assert!(metadata.update(12, Asked::Some, other).unwrap().is_unsettled(), "it says nothing of the topic");
    assert!(!metadata.update(12, Asked::Some, answer(A, 2, 5)).unwrap().is_unsettled());
    metadata.update(12, Asked::Some, answer(A, 2, 4));
    assert!(!metadata.forget(&["t".into()]).is_unsettled(), "nobody wants to know it any more");
}

#[test]
fn epochs_of_old_versions_are_forgotten() {
    let mut metadata = Metadata::default();
    metadata.update(12, Asked::Some, answer(A, 1, 5));
    metadata.update(8, Asked::Some, answer(A, 2, 3));
    assert_eq!(leader(&metadata), (Some(BrokerId(2)), None));
}

#[test]
fn leader_hint_older_than_known_is_ignored() {
    let mut metadata = Metadata::default();
    metadata.update(12, Asked::Some, answer(A, 1, 5));
    let hint = |leader, leader_epoch| LeaderHint {
        topic: "t".into(),
        partition: 0,
        leader: BrokerId(leader),
        leader_epoch,
        endpoint: None,
    };
    assert!(!metadata.apply_hints(&[hint(2, 5)]));
    assert!(!metadata.apply_hints(&[hint(9, 6)]), "its address is not known");
    assert!(metadata.apply_hints(&[hint(2, 6)]));
    assert_eq!(leader(&metadata), (Some(BrokerId(2)), Some(6)));
}

#[test]
fn last_seen_epochs_and_topic_ids_survive_a_rebootstrap() {
    let mut metadata = Metadata::default();
    metadata.update(12, Asked::Some, answer(A, 1, 5));
    let snapshot = metadata.rebootstrap();
    assert_eq!((snapshot.brokers().count(), snapshot.topic("t").and_then(|t| t.id)), (0, Some(A)));
    assert_eq!(leader(&metadata), (None, Some(5)));
    metadata.update(12, Asked::Some, answer(A, 2, 4));
    assert_eq!(leader(&metadata), (None, Some(5)), "an older answer");
    metadata.update(12, Asked::Some, answer(B, 2, 0));
    assert_eq!(leader(&metadata), (Some(BrokerId(2)), Some(0)), "the topic of another cluster");
}

#[test]
fn an_answer_without_brokers_is_ignored() {
    let mut metadata = Metadata::default();
    metadata.update(12, Asked::Some, answer(A, 1, 5));
    assert!(metadata.update(12, Asked::All, MetadataResponse::default()).is_none());
    assert_eq!(leader(&metadata), (Some(BrokerId(1)), Some(5)));
}

#[test]
fn an_answer_is_news_when_an_epoch_has_grown() {
    let mut metadata = Metadata::default();
    let mut before = metadata.current();
    let mut is_news = |version, next: MetadataResponse| {
        let next = metadata.update(version, Asked::Some, next).unwrap();
        let is_news = next.has_grown_since(&before);
        before = next;
        is_news
    };
    assert!(is_news(12, answer(A, 1, 5)), "the topic is new");
    assert!(!is_news(12, answer(A, 1, 5)));
    assert!(!is_news(12, answer(A, 2, 5)), "another leader in the same epoch");
    assert!(!is_news(12, MetadataResponse { controller_id: 2, ..answer(A, 2, 5) }), "another controller");
    assert!(is_news(12, answer(A, 2, 6)));
    assert!(is_news(12, answer(B, 2, 0)), "the topic is another one");
    // Without epochs it is the leader that tells.
    assert!(!is_news(8, answer(B, 2, 9)));
    assert!(is_news(8, answer(B, 3, 9)));
    assert!(!is_news(8, answer(B, 3, 9)));
}

/// An error of a partition says that there is more to know, even where a leader is named.
#[test]
fn errors_of_partitions_ask_for_another_answer_when_metadata_may_be_cured() {
    // NONE, LEADER_NOT_AVAILABLE, REPLICA_NOT_AVAILABLE (of version 0), LISTENER_NOT_FOUND, TOPIC_AUTHORIZATION_FAILED.
    for (code, unsettled) in [(0, false), (5, true), (9, true), (72, true), (29, false)] {
        let mut metadata = Metadata::default();
        let mut failed = answer(A, 1, 5);
        failed.topics[0].partitions[0].error_code = code;
        assert_eq!(metadata.update(12, Asked::Some, failed).unwrap().is_unsettled(), unsettled, "{code}");
        assert_eq!(leader(&metadata), (Some(BrokerId(1)), Some(5)), "the leader counts all the same");
        assert!(!metadata.update(12, Asked::Some, answer(A, 1, 5)).unwrap().is_unsettled());
    }
}

#[test]
fn a_hint_brings_the_address_of_its_leader_and_an_old_one_does_not() {
    let mut metadata = Metadata::default();
    metadata.update(12, Asked::Some, answer(A, 1, 5));
    let hint = |partition, leader, leader_epoch, host: &str| LeaderHint {
        topic: "t".into(),
        partition,
        leader: BrokerId(leader),
        leader_epoch,
        endpoint: Some((host.to_owned(), 1)),
    };
    let hints = [hint(0, 3, 4, "old"), hint(7, 4, 9, "elsewhere"), hint(0, 9, 6, "new")];
    assert!(metadata.apply_hints(&hints));
    let current = metadata.current();
    let host = |id| current.broker(BrokerId(id)).map(|b| b.host.as_str());
    assert_eq!((host(9), host(3), host(4)), (Some("new"), Some("h"), None));
    assert_eq!(leader(&metadata), (Some(BrokerId(9)), Some(6)));
}

#[test]
fn a_leader_that_is_no_broker_is_none_and_asks_for_another_answer() {
    let mut metadata = Metadata::default();
    assert!(!metadata.update(12, Asked::Some, answer(A, 1, 5)).unwrap().is_unsettled());
    let snapshot = metadata.update(12, Asked::Some, answer(A, 9, 6)).unwrap();
    assert_eq!(leader(&metadata), (None, Some(6)));
    assert!(snapshot.is_unsettled());
}

#[test]
fn topic_errors_stay_until_the_next_answer_and_only_some_ask_for_it() {
    for (code, unsettled) in [(17, false), (29, false), (3, true), (5, true)] {
        let mut metadata = Metadata::default();
        metadata.update(12, Asked::Some, answer(A, 1, 5));
        let mut failed = answer(A, 1, 5);
        failed.topics[0].error_code = code;
        failed.topics[0].partitions.clear();
        let snapshot = metadata.update(12, Asked::Some, failed).unwrap();
        assert_eq!(snapshot.topic("t").and_then(|t| t.error).map(ErrorCode::code), Some(code));
        assert_eq!(snapshot.is_unsettled(), unsettled, "{code}");
        let snapshot = metadata.update(12, Asked::Some, answer(A, 1, 5)).unwrap();
        assert_eq!(snapshot.topic("t").and_then(|t| t.error), None);
    }
}

#[test]
fn a_pattern_takes_names_without_kafkas_own_and_without_broken_ones() {
    let mut metadata = Metadata::default();
    let mut many = answer(A, 1, 5);
    let topic = many.topics[0].clone();
    let named = |name: &str, internal, error_code| MetadataResponseTopic {
        name: Some(name.into()),
        topic_id: Uuid::nil(),
        is_internal: internal,
        error_code,
        ..topic.clone()
    };
    many.topics = vec![named("a1", false, 0), named("a2", true, 0), named("a3", false, 29), named("b", false, 0)];
    let snapshot = metadata.update(12, Asked::All, many).unwrap();
    let names = |internal| {
        let mut names: Vec<_> = snapshot.topics_matching(|n| n.starts_with('a'), internal).map(|t| &*t.name).collect();
        names.sort_unstable();
        names.join(",")
    };
    assert_eq!((names(true).as_str(), names(false).as_str()), ("a1", "a1,a2"));
}

#[test]
fn a_partial_answer_keeps_the_other_topics_and_a_full_one_drops_them() {
    let mut metadata = Metadata::default();
    metadata.update(12, Asked::Some, answer(A, 1, 5));
    let other = MetadataResponse { topics: vec![], ..answer(A, 1, 5) };
    metadata.update(12, Asked::Some, other.clone());
    assert!(metadata.current().topic("t").is_some());
    metadata.update(12, Asked::All, other);
    assert!(metadata.current().topic("t").is_none());
}
