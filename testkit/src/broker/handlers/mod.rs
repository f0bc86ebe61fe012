//! One file per API: a typed request in, a typed response out.

mod acls;
mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod alter_replica_log_dirs;
mod api_versions;
mod client_quotas;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delegation_tokens;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod elect_leaders;
mod end_txn;
pub(crate) mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
pub(crate) mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod quorum_members;
mod reassignments;
mod sasl_authenticate;
mod sasl_handshake;
mod scram_credentials;
pub(crate) mod sync_group;
mod telemetry;
mod txn_offset_commit;
mod update_features;
mod write_txn_markers;

use std::collections::BTreeMap;

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::ErrorCode;
use super::cluster::{Call, Cluster, ConnectionId, Outcome};
use super::control::Matcher;
use super::request::{Body, Request};

/// Carries out a request.
pub(crate) fn dispatch(cluster: &mut Cluster, call: &Call, connection: ConnectionId, request: Request) -> Outcome {
    let head = request.head;
    macro_rules! reply {
        ($api:ident :: $handle:ident, $request:expr) => {
            Outcome::Reply(head.reply($api::$handle(cluster, call, $request)))
        };
        ($api:ident, $request:expr) => {
            reply!($api::handle, $request)
        };
    }
    match request.body {
        Body::Produce(request) => produce::handle(cluster, call, head, request),
        Body::Fetch(request) => fetch::handle(cluster, call, head, connection, request),
        Body::JoinGroup(request) => join_group::handle(cluster, call, head, connection, request),
        Body::SyncGroup(request) => sync_group::handle(cluster, call, head, connection, request),
        Body::SaslHandshake(request) => sasl_handshake::handle(cluster, call, head, connection, request),
        Body::SaslAuthenticate(request) => sasl_authenticate::handle(cluster, call, head, connection, request),
        Body::Heartbeat(request) => reply!(heartbeat, request),
        Body::LeaveGroup(request) => reply!(leave_group, request),
        Body::UnsupportedApiVersions => Outcome::Reply(head.reply(api_versions::unsupported(cluster))),
        // A rule that denies the version gets the answer a broker gives that does not know it.
        Body::ApiVersions(_) if call.fails_whole() == Err(ErrorCode::UnsupportedVersion) => {
            Outcome::Reply(head.as_version_0().reply(api_versions::unsupported(cluster)))
        }
        Body::ApiVersions(request) => reply!(api_versions, request),
        Body::ListOffsets(request) => reply!(list_offsets, request),
        Body::Metadata(request) => reply!(metadata, request),
        Body::OffsetCommit(request) => reply!(offset_commit, request),
        Body::OffsetFetch(request) => reply!(offset_fetch, request),
        Body::FindCoordinator(request) => reply!(find_coordinator, request),
        Body::DescribeGroups(request) => reply!(describe_groups, request),
        Body::ConsumerGroupHeartbeat(request) => reply!(consumer_group_heartbeat, request),
        Body::ConsumerGroupDescribe(request) => reply!(consumer_group_describe, request),
        Body::ListGroups(request) => reply!(list_groups, request),
        Body::CreateTopics(request) => reply!(create_topics, request),
        Body::DeleteTopics(request) => reply!(delete_topics, request),
        Body::DeleteRecords(request) => reply!(delete_records, request),
        Body::InitProducerId(request) => reply!(init_producer_id, request),
        Body::OffsetForLeaderEpoch(request) => reply!(offset_for_leader_epoch, request),
        Body::AddPartitionsToTxn(request) => reply!(add_partitions_to_txn, request),
        Body::AddOffsetsToTxn(request) => reply!(add_offsets_to_txn, request),
        Body::EndTxn(request) => reply!(end_txn, request),
        Body::TxnOffsetCommit(request) => reply!(txn_offset_commit, request),
        Body::DescribeConfigs(request) => reply!(describe_configs, request),
        Body::CreatePartitions(request) => reply!(create_partitions, request),
        Body::DescribeCluster(request) => reply!(describe_cluster, request),
        Body::DescribeProducers(request) => reply!(describe_producers, request),
        Body::DescribeTransactions(request) => reply!(describe_transactions, request),
        Body::ListTransactions(request) => reply!(list_transactions, request),
        Body::DeleteGroups(request) => reply!(delete_groups, request),
        Body::OffsetDelete(request) => reply!(offset_delete, request),
        Body::AlterConfigs(request) => reply!(alter_configs::replace, request),
        Body::IncrementalAlterConfigs(request) => reply!(alter_configs::change, request),
        Body::WriteTxnMarkers(request) => reply!(write_txn_markers, request),
        Body::DescribeTopicPartitions(request) => reply!(describe_topic_partitions, request),
        Body::ElectLeaders(request) => reply!(elect_leaders, request),
        Body::AlterPartitionReassignments(request) => reply!(reassignments::alter, request),
        Body::ListPartitionReassignments(request) => reply!(reassignments::list, request),
        Body::DescribeLogDirs(request) => reply!(describe_log_dirs, request),
        Body::DescribeAcls(request) => reply!(acls::describe, request),
        Body::CreateAcls(request) => reply!(acls::create, request),
        Body::DeleteAcls(request) => reply!(acls::delete, request),
        Body::DescribeUserScramCredentials(request) => reply!(scram_credentials::describe, request),
        Body::AlterUserScramCredentials(request) => reply!(scram_credentials::alter, request),
        Body::AlterReplicaLogDirs(request) => reply!(alter_replica_log_dirs, request),
        Body::CreateDelegationToken(request) => reply!(delegation_tokens::create, request),
        Body::RenewDelegationToken(request) => reply!(delegation_tokens::renew, request),
        Body::ExpireDelegationToken(request) => reply!(delegation_tokens::expire, request),
        Body::DescribeDelegationToken(request) => reply!(delegation_tokens::describe, request),
        Body::DescribeClientQuotas(request) => reply!(client_quotas::describe, request),
        Body::AlterClientQuotas(request) => reply!(client_quotas::alter, request),
        Body::DescribeQuorum(request) => reply!(describe_quorum, request),
        Body::UpdateFeatures(request) => reply!(update_features, request),
        Body::UnregisterBroker(request) => reply!(quorum_members::unregister, request),
        Body::AddRaftVoter(request) => reply!(quorum_members::add, request),
        Body::RemoveRaftVoter(request) => reply!(quorum_members::remove, request),
        Body::GetTelemetrySubscriptions(request) => reply!(telemetry::subscribe, request),
        Body::PushTelemetry(request) => reply!(telemetry::push, request),
        Body::ListConfigResources(request) => reply!(list_config_resources, request),
    }
}

/// Whether a request is about what a rule names. A rule without a topic is about every request of its API.
pub(crate) fn touches(ids: &BTreeMap<Uuid, String>, body: &Body, matcher: &Matcher) -> bool {
    if matcher.topic.is_none() && matcher.partition.is_none() {
        return true;
    }
    let named = |topic: &TopicName, id: &Uuid, partition: i32| {
        matcher.names(if id.is_nil() { topic.0.as_str() } else { ids.get(id).map_or("", String::as_str) }, partition)
    };
    let nil = Uuid::nil();
    match body {
        Body::Produce(request) => request
            .topic_data
            .iter()
            .any(|topic| topic.partition_data.iter().any(|data| named(&topic.name, &topic.topic_id, data.index))),
        // In an incremental fetch the topic may be in the session only: the handler decides per partition.
        Body::Fetch(request) => {
            request.session_id != 0
                || request.topics.iter().any(|topic| {
                    topic.partitions.iter().any(|data| named(&topic.topic, &topic.topic_id, data.partition))
                })
        }
        Body::ListOffsets(request) => request
            .topics
            .iter()
            .any(|topic| topic.partitions.iter().any(|data| named(&topic.name, &nil, data.partition_index))),
        Body::OffsetCommit(request) => request
            .topics
            .iter()
            .any(|topic| topic.partitions.iter().any(|data| named(&topic.name, &nil, data.partition_index))),
        Body::TxnOffsetCommit(request) => request
            .topics
            .iter()
            .any(|topic| topic.partitions.iter().any(|data| named(&topic.name, &nil, data.partition_index))),
        Body::AddPartitionsToTxn(request) => request
            .v3_and_below_topics
            .iter()
            .any(|topic| topic.partitions.iter().any(|&partition| named(&topic.name, &nil, partition))),
        Body::OffsetForLeaderEpoch(request) => request
            .topics
            .iter()
            .any(|topic| topic.partitions.iter().any(|data| named(&topic.topic, &nil, data.partition))),
        Body::Metadata(request) if request.topics.is_none() => true,
        Body::Metadata(request) => request.topics.iter().flatten().any(|topic| {
            topic
                .name
                .as_ref()
                .is_some_and(|name| matcher.topic.as_deref().is_none_or(|wanted| wanted == name.0.as_str()))
        }),
        Body::CreateTopics(request) => request
            .topics
            .iter()
            .any(|topic| matcher.topic.as_deref().is_none_or(|wanted| wanted == topic.name.0.as_str())),
        _ => false,
    }
}

/// Authorized operations of a resource, if the client did not ask for them.
const NOT_ASKED: i32 = i32::MIN;

/// 0 or the error's code.
fn code<T>(result: &Result<T, ErrorCode>) -> i16 {
    result.as_ref().err().map_or(0, ErrorCode::code)
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}
