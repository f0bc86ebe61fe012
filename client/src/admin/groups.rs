//! Groups of consumers and their members.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use bytes::Bytes;
use ottla_protocol::messages::consumer_group_describe::{self as consumer, ConsumerGroupDescribeRequest};
use ottla_protocol::messages::delete_groups::DeleteGroupsRequest;
use ottla_protocol::messages::describe_groups::{self as classic, DescribeGroupsRequest};
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::list_groups::ListGroupsRequest;
use ottla_protocol::{ApiKey, ErrorCode, Request, VersionRange};

use super::call::{Round, Target, asked, outcome};
use super::{Admin, Listing, PerItem, owned};
use crate::error::{Error, Result};
use crate::network::connection::Connection;
use crate::types::TopicPartition;

/// The first version of LeaveGroup with many members.
const LEAVE_TOGETHER_FROM: i16 = 3;

/// Which groups to list; everything empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Kafka's names of states, such as `Stable` and `Empty`. Brokers 2.6 and newer.
    pub states: Vec<String>,
    /// Kafka's names of types: `classic`, `consumer`, `share`, `streams`. Brokers 3.8 and newer.
    pub types: Vec<String>,
}

/// A group that a broker coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupListing {
    /// Its name.
    pub group_id: String,
    /// What its members are: `consumer`, `connect`, `share`.
    pub protocol_type: String,
    /// Kafka's name of its state, where the broker tells.
    pub state: Option<String>,
    /// Kafka's name of its type, where the broker tells.
    pub group_type: Option<String>,
}

/// What a coordinator knows of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupDescription {
    /// A member assigns (JoinGroup).
    Classic(ClassicGroupDescription),
    /// The coordinator assigns (KIP-848).
    Consumer(ConsumerGroupDescription),
}

/// A classic group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassicGroupDescription {
    /// Kafka's name of its state; `Dead`: there is no such group.
    pub state: String,
    /// What its members are: `consumer`, `connect`.
    pub protocol_type: String,
    /// The assignor that the members have agreed on.
    pub protocol: String,
    /// Its members. Their assignment is in [`GroupMember::assignment_bytes`].
    pub members: Vec<GroupMember>,
}

/// A group of the new protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerGroupDescription {
    /// Kafka's name of its state.
    pub state: String,
    /// Grows when the members or their subscriptions change.
    pub group_epoch: i32,
    /// The `group_epoch` that was last assigned.
    pub assignment_epoch: i32,
    /// The coordinator's assignor.
    pub assignor: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group. What its protocol does not have is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it reads.
    pub assignment: Vec<TopicPartition>,
    /// What it shall read, once others have let go of it.
    pub target_assignment: Vec<TopicPartition>,
    /// The topics that it wants.
    pub subscribed_topics: Vec<String>,
    /// Its epoch in a group of the new protocol.
    pub member_epoch: Option<i32>,
    /// The bytes that the assignor gave it, in a classic group.
    pub assignment_bytes: Bytes,
}

/// A member to remove from its group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MemberToRemove {
    /// By its member id.
    Member(String),
    /// A static member by its `group.instance.id`. Brokers 2.4 and newer.
    Instance(String),
}

impl std::fmt::Display for MemberToRemove {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Member(id) => write!(f, "member {id}"),
            Self::Instance(id) => write!(f, "instance {id}"),
        }
    }
}

impl Admin {
    /// The groups of the whole cluster. A broker that is down is asked until `default.api.timeout.ms` has passed, and its
    /// groups are missing then.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::GroupFilter;
    ///
    /// for group in admin.list_groups(&GroupFilter::default()).await?.all()? {
    ///     println!("{} is {:?}", group.group_id, group.state);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When no broker has answered, as where all are too old for the filter; per broker in [`Listing::errors`].
    pub async fn list_groups(&self, filter: &GroupFilter) -> Result<Listing<GroupListing>> {
        self.everywhere("ListGroups", |node| async move {
            let request =
                ListGroupsRequest { states_filter: filter.states.clone(), types_filter: filter.types.clone() };
            let (response, at) = self.send(node, None, |_| request).await?;
            outcome(response.error_code, ApiKey::ListGroups, "all groups", None, &at)?;
            let listed = response.groups.into_iter().map(|group| GroupListing {
                group_id: group.group_id,
                protocol_type: group.protocol_type,
                state: Some(group.group_state).filter(|state| !state.is_empty()),
                group_type: Some(group.group_type).filter(|group_type| !group_type.is_empty()),
            });
            Ok(listed.collect())
        })
        .await
    }

    /// What the coordinators know of these groups of consumers, of either protocol.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// for (group, described) in admin.describe_groups(&["shop"]).await? {
    ///     println!("{group}: {:?}", described?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When no coordinator could be asked; per group [`Error::Broker`], `GROUP_ID_NOT_FOUND` on brokers 3.9 and newer.
    pub async fn describe_groups(&self, groups: &[&str]) -> Result<PerItem<String, GroupDescription>> {
        let mut described = self.describe_consumer_groups(groups).await;
        let is_other = |result: &Result<_>| match result {
            // The broker does not know the new protocol, or the group is not of it.
            Err(Error::UnsupportedVersion { .. }) => true,
            Err(error) => error.code() == Some(ErrorCode::GroupIdNotFound),
            Ok(_) => false,
        };
        let others: Vec<String> =
            described.iter().filter(|(_, result)| is_other(result)).map(|(group, _)| group.clone()).collect();
        described.extend(self.describe_classic_groups(others).await);
        asked(described)
    }

    async fn describe_consumer_groups(&self, groups: &[&str]) -> PerItem<String, GroupDescription> {
        self.each(
            ApiKey::ConsumerGroupDescribe,
            owned(groups),
            |group| Target::Group(group.clone()),
            |node, group_ids| async move {
                let request = ConsumerGroupDescribeRequest { group_ids, ..Default::default() };
                let (response, at) = self.send(node, None, |_| request).await?;
                let results = response.groups.into_iter().map(|group| {
                    let id = group.group_id.clone();
                    let words = group.error_message.clone();
                    let result = outcome(group.error_code, ApiKey::ConsumerGroupDescribe, of_group(&id), words, &at);
                    (id, result.map(|()| GroupDescription::Consumer(consumer_group(group))))
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        )
        .await
    }

    async fn describe_classic_groups(&self, groups: Vec<String>) -> PerItem<String, GroupDescription> {
        self.each(
            ApiKey::DescribeGroups,
            groups,
            |group| Target::Group(group.clone()),
            |node, groups| async move {
                let request = DescribeGroupsRequest { groups, ..Default::default() };
                let (response, at) = self.send(node, None, |_| request).await?;
                let results = response.groups.into_iter().map(|group| {
                    let id = group.group_id.clone();
                    let words = group.error_message.clone();
                    let result = outcome(group.error_code, ApiKey::DescribeGroups, of_group(&id), words, &at);
                    (id, result.map(|()| GroupDescription::Classic(classic_group(group))))
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        )
        .await
    }

    /// Deletes groups with all their offsets. They must not have members.
    ///
    /// # Errors
    /// When no coordinator could be asked; per group [`Error::Broker`], such as `NON_EMPTY_GROUP`.
    pub async fn delete_groups(&self, groups: &[&str]) -> Result<PerItem<String, ()>> {
        let deleted = self.each(
            ApiKey::DeleteGroups,
            owned(groups),
            |group| Target::Group(group.clone()),
            |node, groups_names| async move {
                let (response, at) = self.send(node, None, |_| DeleteGroupsRequest { groups_names }).await?;
                let results = response.results.into_iter().map(|group| {
                    let (code, words) = (group.error_code, group.error_message);
                    let result = outcome(code, ApiKey::DeleteGroups, of_group(&group.group_id), words, &at);
                    (group.group_id, result)
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(deleted.await)
    }

    /// Removes members from a classic group; their partitions go to the others. A member that runs joins again.
    ///
    /// # Errors
    /// When the coordinator could not be asked; per member [`Error::Broker`], such as `UNKNOWN_MEMBER_ID`. Brokers before
    /// 2.4 remove no members by their instance ids: [`Error::UnsupportedVersion`].
    pub async fn remove_members(
        &self,
        group: &str,
        members: &[MemberToRemove],
        reason: &str,
    ) -> Result<PerItem<MemberToRemove, ()>> {
        let removed = self.each(
            ApiKey::LeaveGroup,
            members.to_vec(),
            |_| Target::Group(group.to_owned()),
            |node, members| async move {
                let connection = self.connection(node).await?;
                let version = self.choose::<LeaveGroupRequest>(&connection, None)?;
                if version < LEAVE_TOGETHER_FROM {
                    return Ok(Round::new(0, leave_alone(&connection, version, group, members).await));
                }
                let identities = members.iter().map(|member| identity(member, reason)).collect();
                let request =
                    LeaveGroupRequest { group_id: group.to_owned(), members: identities, ..Default::default() };
                let response = connection.send(&request, version)?.await?;
                let at = connection.place(version);
                outcome(response.error_code, ApiKey::LeaveGroup, of_group(group), None, &at)?;
                let results = response.members.into_iter().map(|answer| {
                    let member = match answer.group_instance_id.filter(|_| answer.member_id.is_empty()) {
                        Some(instance) => MemberToRemove::Instance(instance),
                        None => MemberToRemove::Member(answer.member_id),
                    };
                    let subject = format!("{member} of group {group}");
                    let result = outcome(answer.error_code, ApiKey::LeaveGroup, subject, None, &at);
                    (member, result)
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(removed.await)
    }
}

pub(super) fn of_group(group: &str) -> String {
    format!("group {group}")
}

/// Before version 3 of LeaveGroup a member is taken out by itself, and only by its own id (KIP-345).
async fn leave_alone(
    connection: &Connection,
    version: i16,
    group: &str,
    members: Vec<MemberToRemove>,
) -> Vec<(MemberToRemove, Result<()>)> {
    let at = connection.place(version);
    let leave = async |member: &MemberToRemove| {
        let MemberToRemove::Member(id) = member else {
            let ours = VersionRange { min: LEAVE_TOGETHER_FROM, max: LeaveGroupRequest::MAX_VERSION };
            let (api, theirs) = (ApiKey::LeaveGroup, connection.api_versions().range(ApiKey::LeaveGroup));
            return Err(Error::UnsupportedVersion { api, ours, theirs, broker: at.name() });
        };
        let request = LeaveGroupRequest { group_id: group.to_owned(), member_id: id.clone(), ..Default::default() };
        let response = connection.send(&request, version)?.await?;
        outcome(response.error_code, ApiKey::LeaveGroup, format!("{member} of group {group}"), None, &at)
    };
    let mut results = Vec::with_capacity(members.len());
    for member in members {
        let result = leave(&member).await;
        results.push((member, result));
    }
    results
}

fn identity(member: &MemberToRemove, reason: &str) -> MemberIdentity {
    let reason = Some(reason.to_owned());
    match member {
        MemberToRemove::Member(id) => MemberIdentity { member_id: id.clone(), group_instance_id: None, reason },
        MemberToRemove::Instance(id) => {
            MemberIdentity { member_id: String::new(), group_instance_id: Some(id.clone()), reason }
        }
    }
}

fn classic_group(group: classic::DescribedGroup) -> ClassicGroupDescription {
    let members = group.members.into_iter().map(|member| GroupMember {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment_bytes: member.member_assignment,
        ..Default::default()
    });
    ClassicGroupDescription {
        state: group.group_state,
        protocol_type: group.protocol_type,
        protocol: group.protocol_data,
        members: members.collect(),
    }
}

fn consumer_group(group: consumer::DescribedGroup) -> ConsumerGroupDescription {
    let members = group.members.into_iter().map(|member| GroupMember {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment: assigned(member.assignment),
        target_assignment: assigned(member.target_assignment),
        subscribed_topics: member.subscribed_topic_names,
        member_epoch: Some(member.member_epoch),
        assignment_bytes: Bytes::new(),
    });
    ConsumerGroupDescription {
        state: group.group_state,
        group_epoch: group.group_epoch,
        assignment_epoch: group.assignment_epoch,
        assignor: group.assignor_name,
        members: members.collect(),
    }
}

fn assigned(assignment: consumer::Assignment) -> Vec<TopicPartition> {
    flatten(assignment.topic_partitions.into_iter().map(|topic| (topic.topic_name, topic.partitions)))
}

pub(super) fn flatten(topics: impl Iterator<Item = (String, Vec<i32>)>) -> Vec<TopicPartition> {
    let mut all = Vec::new();
    for (name, partitions) in topics {
        let name: std::sync::Arc<str> = name.into();
        all.extend(partitions.into_iter().map(|p| TopicPartition::new(std::sync::Arc::clone(&name), p)));
    }
    all
}
