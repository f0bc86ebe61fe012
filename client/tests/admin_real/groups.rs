//! Groups of every kind, without members.

use std::collections::HashMap;
use std::time::Duration;

use ottla_client::*;

use crate::{World, code, tp, unsupported};
pub(crate) async fn group_offsets(w: &World) {
    w.topic("positions", 2).await;
    let positions = HashMap::from([
        (tp("positions", 0), OffsetAndMetadata::new(7)),
        (tp("positions", 1), OffsetAndMetadata { metadata: "mine".into(), ..OffsetAndMetadata::new(8) }),
    ]);
    // The first one makes the topic of offsets, which takes a while.
    let mut committed = w.admin.commit_offsets("positions-group", &positions).await.unwrap();
    committed.remove(&tp("positions", 0)).unwrap().unwrap();
    committed.remove(&tp("positions", 1)).unwrap().unwrap();
    let short = {
        let mut config = ClientConfig::new(&w.client.config().bootstrap_servers.join(","));
        config.default_api_timeout = Duration::from_secs(2);
        Admin::new(&Client::connect(config).await.unwrap())
    };
    // A topic may be missing because a broker has not heard of it yet: it is asked for until the time is up.
    let missing = HashMap::from([(tp("missing", 0), OffsetAndMetadata::new(1))]);
    let mut committed = short.commit_offsets("positions-group", &missing).await.unwrap();
    let missing = committed.remove(&tp("missing", 0)).unwrap().unwrap_err();
    assert!(missing.to_string().starts_with("OffsetCommit of missing-0 did not succeed within "), "{missing}");
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

pub(crate) async fn groups(w: &World) {
    let listed = w.admin.list_groups(&GroupFilter::default()).await.unwrap().all().unwrap();
    let group = listed.iter().find(|g| g.group_id == "positions-group").unwrap();
    assert_eq!(group.state.as_deref(), Some("Empty"));
    let filter = GroupFilter { states: vec!["Stable".into()], ..GroupFilter::default() };
    assert!(w.admin.list_groups(&filter).await.unwrap().all().unwrap().iter().all(|g| g.group_id != "positions-group"));
    let typed = GroupFilter { types: vec!["classic".into()], ..GroupFilter::default() };
    match w.admin.list_groups(&typed).await.and_then(Listing::all) {
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

pub(crate) async fn share_groups(w: &World) {
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

pub(crate) async fn streams_groups(w: &World) {
    if !w.is_new {
        return unsupported(w.admin.describe_streams_groups(&["s"]).await);
    }
    let mut described = w.admin.describe_streams_groups(&["no-such-group"]).await.unwrap();
    assert_eq!(code(described.remove("no-such-group").unwrap()), ErrorCode::GroupIdNotFound);
}
