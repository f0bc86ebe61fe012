//! Share groups and their offsets (KIP-932). Brokers 4.1 and newer.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;
use std::sync::Arc;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::alter_share_group_offsets::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use ottla_protocol::messages::delete_share_group_offsets::{
    DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequestTopic,
};
use ottla_protocol::messages::describe_share_group_offsets::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use ottla_protocol::messages::share_group_describe::{DescribedGroup, ShareGroupDescribeRequest};

use super::call::{Round, Target, asked, outcome};
use super::groups::{flatten, of_group};
use super::{Admin, PerItem, by_topic, indexes, owned};
use crate::error::Result;
use crate::types::TopicPartition;

/// A share group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShareGroupDescription {
    /// Kafka's name of its state.
    pub state: String,
    /// Grows when the members or their subscriptions change.
    pub group_epoch: i32,
    /// The `group_epoch` that was last assigned.
    pub assignment_epoch: i32,
    /// The coordinator's assignor.
    pub assignor: String,
    /// Its members.
    pub members: Vec<ShareGroupMember>,
}

/// A member of a share group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShareGroupMember {
    /// Its id.
    pub member_id: String,
    /// Its epoch.
    pub member_epoch: i32,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// The topics that it wants.
    pub subscribed_topics: Vec<String>,
    /// What it reads.
    pub assignment: Vec<TopicPartition>,
}

/// Where a share group is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShareGroupOffset {
    /// Everything before it is done with; `None`: the group has not begun there.
    pub start_offset: Option<i64>,
    /// The leader epoch of that record.
    pub leader_epoch: Option<i32>,
    /// How many records are not done with. Brokers 4.2 and newer.
    pub lag: Option<i64>,
}

impl Admin {
    /// What the coordinators know of these share groups.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// for (group, described) in admin.describe_share_groups(&["jobs"]).await? {
    ///     println!("{group} has {} members", described?.members.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion); when no coordinator could be asked; per group
    /// [`Error::Broker`](crate::Error::Broker).
    pub async fn describe_share_groups(&self, groups: &[&str]) -> Result<PerItem<String, ShareGroupDescription>> {
        let described = self.each(
            ApiKey::ShareGroupDescribe,
            owned(groups),
            |group| Target::Group(group.clone()),
            |node, group_ids| async move {
                let request = ShareGroupDescribeRequest { group_ids, ..Default::default() };
                let (response, at) = self.send(node, None, |_| request).await?;
                let results = response.groups.into_iter().map(|group| {
                    let (id, words) = (group.group_id.clone(), group.error_message.clone());
                    let result = outcome(group.error_code, ApiKey::ShareGroupDescribe, of_group(&id), words, &at);
                    (id, result.map(|()| share_group(group)))
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(described.await)
    }

    /// Where a share group is in these partitions; `None`: in all that it has begun.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion); when the coordinator could not be asked; per
    /// partition [`Error::Broker`](crate::Error::Broker).
    pub async fn share_group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<PerItem<TopicPartition, ShareGroupOffset>> {
        let api = ApiKey::DescribeShareGroupOffsets;
        let partitions = partitions.map(<[TopicPartition]>::to_vec);
        self.some_or_all(api, partitions, Target::Group(group.to_owned()), |node, partitions| async move {
            let topic = |(topic_name, partitions)| DescribeShareGroupOffsetsRequestTopic { topic_name, partitions };
            let topics = partitions.map(|partitions| indexes(&partitions).into_iter().map(topic).collect());
            let asked_for = DescribeShareGroupOffsetsRequestGroup { group_id: group.to_owned(), topics };
            let request = DescribeShareGroupOffsetsRequest { groups: vec![asked_for] };
            let (response, at) = self.send(node, None, |_| request).await?;
            let mut offsets = Vec::new();
            for answer in response.groups {
                outcome(answer.error_code, api, of_group(group), answer.error_message, &at)?;
                for topic in answer.topics {
                    let name: Arc<str> = topic.topic_name.into();
                    for partition in topic.partitions {
                        let tp = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                        let subject = format!("{tp} of group {group}");
                        let result = outcome(partition.error_code, api, subject, partition.error_message, &at);
                        let offset = ShareGroupOffset {
                            start_offset: Some(partition.start_offset).filter(|offset| *offset >= 0),
                            leader_epoch: Some(partition.leader_epoch).filter(|epoch| *epoch >= 0),
                            lag: Some(partition.lag).filter(|lag| *lag >= 0),
                        };
                        offsets.push((tp, result.map(|()| offset)));
                    }
                }
            }
            Ok(Round::new(response.throttle_time_ms, offsets))
        })
        .await
    }

    /// Moves a share group without members.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion); when the coordinator could not be asked; per
    /// partition [`Error::Broker`](crate::Error::Broker), such as `NON_EMPTY_GROUP`.
    pub async fn alter_share_group_offsets(
        &self,
        group: &str,
        offsets: &HashMap<TopicPartition, i64>,
    ) -> Result<PerItem<TopicPartition, ()>> {
        let partition = |tp: &TopicPartition| AlterShareGroupOffsetsRequestPartition {
            partition_index: tp.partition,
            start_offset: offsets.get(tp).copied().unwrap_or_default(),
        };
        let api = ApiKey::AlterShareGroupOffsets;
        let coordinator = |_: &TopicPartition| Target::Group(group.to_owned());
        let altered = self.each(api, offsets.keys().cloned(), coordinator, |node, partitions| async move {
            let topics = by_topic(partitions.iter().map(|tp| (tp, partition(tp)))).into_iter();
            let topics =
                topics.map(|(topic_name, partitions)| AlterShareGroupOffsetsRequestTopic { topic_name, partitions });
            let request = AlterShareGroupOffsetsRequest { group_id: group.to_owned(), topics: topics.collect() };
            let (response, at) = self.send(node, None, |_| request).await?;
            outcome(response.error_code, api, of_group(group), response.error_message, &at)?;
            let mut altered = Vec::new();
            for topic in response.responses {
                let name: Arc<str> = topic.topic_name.into();
                for partition in topic.partitions {
                    let tp = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                    let subject = format!("{tp} of group {group}");
                    let result = outcome(partition.error_code, api, subject, partition.error_message, &at);
                    altered.push((tp, result));
                }
            }
            Ok(Round::new(response.throttle_time_ms, altered))
        });
        asked(altered.await)
    }

    /// Forgets where a share group without members is in these topics.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion); when the coordinator could not be asked; per
    /// topic [`Error::Broker`](crate::Error::Broker), such as `NON_EMPTY_GROUP`.
    pub async fn delete_share_group_offsets(&self, group: &str, topics: &[&str]) -> Result<PerItem<String, ()>> {
        let api = ApiKey::DeleteShareGroupOffsets;
        let coordinator = |_: &String| Target::Group(group.to_owned());
        let deleted = self.each(api, owned(topics), coordinator, |node, topics| async move {
            let topics = topics.into_iter().map(|topic_name| DeleteShareGroupOffsetsRequestTopic { topic_name });
            let request = DeleteShareGroupOffsetsRequest { group_id: group.to_owned(), topics: topics.collect() };
            let (response, at) = self.send(node, None, |_| request).await?;
            outcome(response.error_code, api, of_group(group), response.error_message, &at)?;
            let results = response.responses.into_iter().map(|topic| {
                let subject = format!("{} of group {group}", topic.topic_name);
                let result = outcome(topic.error_code, api, subject, topic.error_message, &at);
                (topic.topic_name, result)
            });
            Ok(Round::new(response.throttle_time_ms, results))
        });
        asked(deleted.await)
    }
}

fn share_group(group: DescribedGroup) -> ShareGroupDescription {
    let members = group.members.into_iter().map(|member| {
        let topics = member.assignment.topic_partitions.into_iter();
        ShareGroupMember {
            member_id: member.member_id,
            member_epoch: member.member_epoch,
            client_id: member.client_id,
            host: member.client_host,
            subscribed_topics: member.subscribed_topic_names,
            assignment: flatten(topics.map(|topic| (topic.topic_name, topic.partitions))),
        }
    });
    ShareGroupDescription {
        state: group.group_state,
        group_epoch: group.group_epoch,
        assignment_epoch: group.assignment_epoch,
        assignor: group.assignor_name,
        members: members.collect(),
    }
}
