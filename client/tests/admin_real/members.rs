//! Groups with members that live: Kafka's own consumer.
use std::collections::HashMap;

use ottla_client::*;
use ottla_testkit::kafka::{Kafka, RunningTool, Tool};

use crate::{World, code, streams_member, tp};

async fn member(kafka: &Kafka, group: &str, protocol: &str) -> RunningTool {
    let bootstrap = kafka.bootstrap();
    let args =
        ["--bootstrap-server", &bootstrap, "--topic", "lived", "--group-id", group, "--group-protocol", protocol];
    Tool::new("VerifiableConsumer").args(args).spawn().await.unwrap()
}

/// A member is described with what it reads, keeps its group from being deleted, and can be removed.
pub(crate) async fn live_members(w: &World, kafka: &Kafka) {
    w.topic("lived", 2).await;
    w.write(&tp("lived", 0), 10).await;
    let protocols = if w.is_new { &["classic", "consumer"][..] } else { &["classic"] };
    for protocol in protocols {
        let group = format!("live-{protocol}");
        let tool = member(kafka, &group, protocol).await;
        let live = w
            .eventually("the member is described", || async {
                match w.admin.describe_groups(&[&group]).await.unwrap().remove(&group)? {
                    Ok(GroupDescription::Classic(g)) if g.state == "Stable" && *protocol == "classic" => {
                        (!g.members.is_empty()).then_some((g.members, None))
                    }
                    Ok(GroupDescription::Consumer(g)) if *protocol == "consumer" => {
                        let reads = g.members.iter().any(|m| m.assignment.len() == 2);
                        reads.then_some((g.members, Some((g.group_epoch, g.assignment_epoch, g.assignor))))
                    }
                    _ => None,
                }
            })
            .await;
        let (members, epochs) = live;
        let [member] = &members[..] else { panic!("{members:?}") };
        assert!(!member.member_id.is_empty() && !member.client_id.is_empty() && !member.host.is_empty(), "{member:?}");
        match epochs {
            None => {
                assert!(!member.assignment_bytes.is_empty() && member.member_epoch.is_none(), "{member:?}");
            }
            Some((group_epoch, assignment_epoch, assignor)) => {
                assert!(group_epoch > 0 && group_epoch == assignment_epoch && assignor == "uniform", "{assignor}");
                assert_eq!(member.member_epoch, Some(group_epoch));
                assert_eq!(member.subscribed_topics, ["lived"]);
                let mut reads = member.assignment.clone();
                reads.sort();
                assert_eq!(reads, [tp("lived", 0), tp("lived", 1)]);
            }
        }
        is_protected(w, &group).await;
        if epochs_are_none(&members) {
            let wanted = MemberToRemove::Member(member.member_id.clone());
            let removed = w.admin.remove_members(&group, std::slice::from_ref(&wanted), "a test").await.unwrap();
            removed.into_values().next().unwrap().unwrap();
        }
        let stopped = tool.stop().await.unwrap();
        assert!(stopped.stdout.contains("shutdown_complete"), "{}", stopped.tail());
        w.eventually("the group can be deleted", || async {
            w.admin.delete_groups(&[&group]).await.unwrap().remove(&group).unwrap().ok()
        })
        .await;
    }
}

/// Only a classic member can be removed from outside.
fn epochs_are_none(members: &[GroupMember]) -> bool {
    members.iter().all(|member| member.member_epoch.is_none())
}

/// A group whose member lives is neither deleted nor moved.
async fn is_protected(w: &World, group: &str) {
    let deleted = w.admin.delete_groups(&[group]).await.unwrap().remove(group).unwrap();
    assert_eq!(code(deleted), ErrorCode::NonEmptyGroup);
    let partition = tp("lived", 0);
    let offsets = w.admin.delete_group_offsets(group, std::slice::from_ref(&partition)).await.unwrap();
    assert_eq!(offsets[&partition].as_ref().unwrap_err().code(), Some(ErrorCode::GroupSubscribedToTopic));
    let to = HashMap::from([(partition.clone(), OffsetAndMetadata::new(3))]);
    let moved = w.admin.commit_offsets(group, &to).await.unwrap().remove(&partition).unwrap();
    assert_eq!(code(moved), ErrorCode::UnknownMemberId);
}

/// A member of a share group is described with what it reads, and keeps its group from being moved and deleted.
pub(crate) async fn live_share_member(w: &World, kafka: &Kafka) {
    let group = "live-share";
    let bootstrap = kafka.bootstrap();
    let args = ["--bootstrap-server", &bootstrap, "--topic", "lived", "--group-id", group];
    let tool = Tool::new("VerifiableShareConsumer").args(args).spawn().await.unwrap();
    let described = w
        .eventually("the member is described", || async {
            let group = w.admin.describe_share_groups(&[group]).await.unwrap().remove(group)?.ok()?;
            group.members.iter().any(|member| member.assignment.len() == 2).then_some(group)
        })
        .await;
    assert_eq!((described.state.as_str(), described.members.len()), ("Stable", 1));
    assert!(
        described.group_epoch > 0 && described.assignment_epoch > 0 && described.assignor == "simple",
        "{described:?}"
    );
    let member = &described.members[0];
    assert!(member.member_epoch > 0 && !member.client_id.is_empty() && !member.host.is_empty(), "{member:?}");
    assert_eq!(member.subscribed_topics, ["lived"]);
    let partition = tp("lived", 0);
    let moved = w.admin.alter_share_group_offsets(group, &HashMap::from([(partition.clone(), 0)])).await.unwrap();
    assert_eq!(moved[&partition].as_ref().unwrap_err().code(), Some(ErrorCode::NonEmptyGroup));
    let forgotten = w.admin.delete_share_group_offsets(group, &["lived"]).await.unwrap();
    assert_eq!(forgotten["lived"].as_ref().unwrap_err().code(), Some(ErrorCode::NonEmptyGroup));
    let stopped = tool.stop().await.unwrap();
    assert!(stopped.stdout.contains("shutdown_complete"), "{}", stopped.tail());
    w.eventually("the group can be deleted", || async {
        w.admin.delete_groups(&[group]).await.unwrap().remove(group).unwrap().ok()
    })
    .await;
}

/// A member of a streams group is described with its tasks.
pub(crate) async fn live_streams_member(w: &World, kafka: &Kafka) {
    let group = "live-streams";
    let beat = async |epoch| {
        w.eventually("the coordinator takes the heartbeat", || async {
            for node in kafka.nodes() {
                match streams_member::beat(&node.address(), group, epoch, "lived").await {
                    0 => return Some(()),
                    // Not the coordinator, or not yet.
                    14..=16 => {}
                    code => panic!("{code}"),
                }
            }
            None
        })
        .await;
    };
    let described = w
        .eventually("the member has tasks", || async {
            beat(0).await;
            let group = w.admin.describe_streams_groups(&[group]).await.unwrap().remove(group)?.ok()?;
            let member = group.members.first()?;
            (!member.assignment.active.is_empty()).then_some(group)
        })
        .await;
    assert_eq!((described.topology_epoch, described.members.len()), (Some(1), 1), "{described:?}");
    assert_eq!(described.subtopologies["part-0"], ["lived"]);
    let member = &described.members[0];
    assert_eq!((member.member_id.as_str(), member.client_id.as_str()), ("member-1", "s"));
    assert!(member.member_epoch > 0 && !member.host.is_empty() && member.group_instance_id.is_none(), "{member:?}");
    let tasks = |tasks: &StreamsTasks| {
        let mut partitions = tasks.active["part-0"].clone();
        partitions.sort_unstable();
        (partitions, tasks.standby.len(), tasks.warmup.len())
    };
    assert_eq!(tasks(&member.assignment), (vec![0, 1], 0, 0));
    assert_eq!(tasks(&member.target_assignment), (vec![0, 1], 0, 0));
    let deleted = w.admin.delete_groups(&[group]).await.unwrap().remove(group).unwrap();
    assert_eq!(code(deleted), ErrorCode::NonEmptyGroup);
    beat(-1).await;
    w.eventually("the group can be deleted", || async {
        w.admin.delete_groups(&[group]).await.unwrap().remove(group).unwrap().ok()
    })
    .await;
}
