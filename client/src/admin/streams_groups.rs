//! Groups of Kafka Streams (KIP-1071). Brokers 4.1 and newer.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::BTreeMap;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::streams_group_describe::{
    Assignment, DescribedGroup, Member, StreamsGroupDescribeRequest, TaskIds,
};

use super::call::{Round, Target, asked, outcome};
use super::groups::of_group;
use super::{Admin, PerItem, owned};
use crate::error::Result;

/// A group of Kafka Streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamsGroupDescription {
    /// Kafka's name of its state.
    pub state: String,
    /// Grows when the members or the topology change.
    pub group_epoch: i32,
    /// The `group_epoch` that was last assigned.
    pub assignment_epoch: i32,
    /// Grows with the topology; `None`: there is none yet.
    pub topology_epoch: Option<i32>,
    /// The source topics of each subtopology.
    pub subtopologies: BTreeMap<String, Vec<String>>,
    /// Its members.
    pub members: Vec<StreamsGroupMember>,
}

/// A member of a streams group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamsGroupMember {
    /// Its id.
    pub member_id: String,
    /// Its epoch.
    pub member_epoch: i32,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it does.
    pub assignment: StreamsTasks,
    /// What it shall do, once others have let go of it.
    pub target_assignment: StreamsTasks,
}

/// Tasks: partitions by subtopology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamsTasks {
    /// Those it processes.
    pub active: BTreeMap<String, Vec<i32>>,
    /// Those whose state it keeps for others.
    pub standby: BTreeMap<String, Vec<i32>>,
    /// Those whose state it builds up.
    pub warmup: BTreeMap<String, Vec<i32>>,
}

impl Admin {
    /// What the coordinators know of these streams groups.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// for (group, described) in admin.describe_streams_groups(&["word-count"]).await? {
    ///     println!("{group} has {} members", described?.members.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion); when no coordinator could be asked; per group
    /// [`Error::Broker`](crate::Error::Broker).
    pub async fn describe_streams_groups(&self, groups: &[&str]) -> Result<PerItem<String, StreamsGroupDescription>> {
        let described = self.each(
            ApiKey::StreamsGroupDescribe,
            owned(groups),
            |group| Target::Group(group.clone()),
            |node, group_ids| async move {
                let request = StreamsGroupDescribeRequest { group_ids, ..Default::default() };
                let (response, at) = self.send(node, None, |_| request).await?;
                let results = response.groups.into_iter().map(|group| {
                    let (id, words) = (group.group_id.clone(), group.error_message.clone());
                    let result = outcome(group.error_code, ApiKey::StreamsGroupDescribe, of_group(&id), words, &at);
                    (id, result.map(|()| streams_group(group)))
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(described.await)
    }
}

fn streams_group(group: DescribedGroup) -> StreamsGroupDescription {
    let topology_epoch = group.topology.as_ref().map(|topology| topology.epoch);
    let subtopologies = group.topology.and_then(|topology| topology.subtopologies).unwrap_or_default();
    StreamsGroupDescription {
        state: group.group_state,
        group_epoch: group.group_epoch,
        assignment_epoch: group.assignment_epoch,
        topology_epoch,
        subtopologies: subtopologies.into_iter().map(|part| (part.subtopology_id, part.source_topics)).collect(),
        members: group.members.into_iter().map(member).collect(),
    }
}

fn member(member: Member) -> StreamsGroupMember {
    StreamsGroupMember {
        member_id: member.member_id,
        member_epoch: member.member_epoch,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment: tasks(member.assignment),
        target_assignment: tasks(member.target_assignment),
    }
}

fn tasks(assignment: Assignment) -> StreamsTasks {
    let by_part = |ids: Vec<TaskIds>| ids.into_iter().map(|id| (id.subtopology_id, id.partitions)).collect();
    StreamsTasks {
        active: by_part(assignment.active_tasks),
        standby: by_part(assignment.standby_tasks),
        warmup: by_part(assignment.warmup_tasks),
    }
}
