//! Every API in every accepted version, as every Kafka version: each request is answered, and the answer parses.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests fail by panic")]

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use ottla_testkit::{Broker, Cluster, Outcome, Request};

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(text("t"))
}

struct Asker {
    cluster: Cluster,
    now: Instant,
    asked: BTreeMap<i16, u32>,
}

impl Asker {
    /// Sends `request` in every version it can be said in; `None` from `shape` leaves a version out.
    fn ask<R: kafka_protocol::protocol::Request + Clone>(&mut self, shape: impl Fn(i16) -> Option<R>) {
        for version in R::VERSIONS.min..=R::VERSIONS.max {
            let Some(request) = shape(version) else { continue };
            let header = RequestHeader::default()
                .with_request_api_key(R::KEY)
                .with_request_api_version(version)
                .with_correlation_id(i32::from(version));
            let mut frame = BytesMut::new();
            header.encode(&mut frame, R::header_version(version)).unwrap();
            request.encode(&mut frame, version).unwrap();
            let accepted = self.cluster.version().accepted(ApiKey::try_from(R::KEY).unwrap());
            if !accepted.is_some_and(|(min, max)| (min..=max).contains(&version)) {
                continue;
            }
            let decoded = Request::decode(frame.freeze(), self.cluster.version()).unwrap();
            let Outcome::Reply(reply) = self.cluster.handle(self.now, 0, 1, decoded) else {
                panic!("{:?} v{version} was not answered at once", ApiKey::try_from(R::KEY));
            };
            let mut out = BytesMut::new();
            reply.encode(&mut out).unwrap_or_else(|reason| panic!("as {}: {reason}", self.cluster.version()));
            let mut body = out.freeze().slice(4..);
            let header_version = ApiKey::try_from(R::KEY).unwrap().response_header_version(version);
            let header = ResponseHeader::decode(&mut body, header_version).unwrap();
            assert_eq!(header.correlation_id, i32::from(version));
            R::Response::decode(&mut body, version).unwrap();
            assert!(body.is_empty(), "{:?} v{version}: trailing bytes", ApiKey::try_from(R::KEY));
            *self.asked.entry(R::KEY).or_default() += 1;
        }
    }
}

fn some<R: Clone>(request: R) -> impl Fn(i16) -> Option<R> {
    move |_| Some(request.clone())
}

/// The topic by name up to `last_by_name`, by an unknown id after.
fn fetch(version: i16) -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(100);
    let topic_entry = FetchTopic::default().with_partitions(vec![partition]);
    let topic_entry = if version <= 12 {
        topic_entry.with_topic(topic())
    } else {
        topic_entry.with_topic_id(uuid::Uuid::from_u128(7))
    };
    let request = FetchRequest::default().with_max_bytes(100).with_topics(vec![topic_entry]);
    if version >= 7 {
        let forgotten = ForgottenTopic::default().with_partitions(vec![5]);
        return request.with_forgotten_topics_data(vec![forgotten]).with_session_epoch(0);
    }
    request
}

fn produce(version: i16) -> ProduceRequest {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    let data = PartitionProduceData::default().with_records(Some(Bytes::from_static(b"nonsense")));
    let topic_data = TopicProduceData::default().with_partition_data(vec![data]);
    let topic_data = if version <= 12 { topic_data.with_name(topic()) } else { topic_data };
    ProduceRequest::default().with_acks(1).with_topic_data(vec![topic_data])
}

fn transactions(asker: &mut Asker) {
    use kafka_protocol::messages::add_partitions_to_txn_request::{
        AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
    };
    use kafka_protocol::messages::txn_offset_commit_request::{
        TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    };
    let id = || TransactionalId(text("tx"));
    let init = InitProducerIdRequest::default().with_transactional_id(Some(id())).with_transaction_timeout_ms(1000);
    asker.ask(some(init.clone()));
    asker.ask(|version| (version >= 3).then(|| init.clone().with_producer_id(ProducerId(5)).with_producer_epoch(5)));
    asker.ask(|version| {
        let topics = vec![AddPartitionsToTxnTopic::default().with_name(topic()).with_partitions(vec![0, 99])];
        let request = AddPartitionsToTxnRequest::default();
        Some(if version <= 3 {
            request.with_v3_and_below_transactional_id(id()).with_v3_and_below_topics(topics)
        } else {
            let transaction = AddPartitionsToTxnTransaction::default().with_transactional_id(id()).with_topics(topics);
            request.with_transactions(vec![transaction])
        })
    });
    asker.ask(some(AddOffsetsToTxnRequest::default().with_transactional_id(id()).with_group_id(GroupId(text("g")))));
    asker.ask(some(EndTxnRequest::default().with_transactional_id(id())));
    let partition = TxnOffsetCommitRequestPartition::default();
    let committed = TxnOffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
    let commit = TxnOffsetCommitRequest::default()
        .with_transactional_id(id())
        .with_group_id(GroupId(text("g")))
        .with_topics(vec![committed]);
    asker.ask(some(commit));
    asker.ask(some(
        DescribeTransactionsRequest::default().with_transactional_ids(vec![id(), TransactionalId(text("no"))]),
    ));
    asker.ask(some(ListTransactionsRequest::default()));
    let producers =
        describe_producers_request::TopicRequest::default().with_name(topic()).with_partition_indexes(vec![0, 9]);
    asker.ask(some(DescribeProducersRequest::default().with_topics(vec![producers])));
}

fn records(asker: &mut Asker) {
    use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    asker.ask(|version| Some(produce(version)));
    asker.ask(|version| Some(fetch(version)));
    for timestamp in [-5, -4, -3, -2, -1, 0] {
        let asked =
            [0, 77].map(|index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(timestamp));
        let topics = vec![ListOffsetsTopic::default().with_name(topic()).with_partitions(asked.to_vec())];
        asker.ask(some(ListOffsetsRequest::default().with_topics(topics)));
    }
    let asked = [0, 77].map(|index| OffsetForLeaderPartition::default().with_partition(index));
    let topics = vec![OffsetForLeaderTopic::default().with_topic(topic()).with_partitions(asked.to_vec())];
    asker.ask(some(OffsetForLeaderEpochRequest::default().with_topics(topics)));
}

fn groups(asker: &mut Asker) {
    use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    use kafka_protocol::messages::offset_fetch_request::{
        OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    };
    let group = || GroupId(text("g"));
    for kind in 0..3 {
        asker.ask(|version| {
            let request = FindCoordinatorRequest::default();
            let request = if version >= 1 { request.with_key_type(kind) } else { request };
            Some(if version >= 4 {
                request.with_coordinator_keys(vec![text("g"), text("h")])
            } else {
                request.with_key(text("g"))
            })
        });
    }
    let partition = OffsetCommitRequestPartition::default().with_committed_metadata(Some(text("m")));
    let committed = OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
    asker.ask(some(OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![committed])));
    asker.ask(|version| {
        if version >= 8 {
            let asked = OffsetFetchRequestTopics::default().with_name(topic()).with_partition_indexes(vec![0, 1]);
            let asked = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![asked]));
            return Some(OffsetFetchRequest::default().with_groups(vec![asked]));
        }
        let asked = OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![0, 1]);
        Some(OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![asked])))
    });
    members(asker);
    asker.ask(some(ListGroupsRequest::default()));
    asker.ask(some(DescribeGroupsRequest::default().with_groups(vec![group(), GroupId(text("unknown"))])));
}

fn members(asker: &mut Asker) {
    use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
    use kafka_protocol::messages::leave_group_request::MemberIdentity;
    let group = || GroupId(text("members"));
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    asker.ask(|version| {
        let request = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol.clone()]);
        // Versions below 4 would wait for the members the versions before them left behind.
        Some(if version < 4 { request.with_member_id(text("unknown")) } else { request })
    });
    for epoch in [0, 1, -1, -2] {
        let beat = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("consumers")))
            .with_member_id(text("m"))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(1000)
            .with_topic_partitions(Some(Vec::new()))
            .with_subscribed_topic_names(Some(vec![topic()]));
        asker.ask(some(beat));
    }
    let described = vec![GroupId(text("consumers")), GroupId(text("unknown"))];
    asker.ask(some(ConsumerGroupDescribeRequest::default().with_group_ids(described)));
    asker.ask(some(SyncGroupRequest::default().with_group_id(group())));
    asker.ask(some(HeartbeatRequest::default().with_group_id(group())));
    asker.ask(|version| {
        let request = LeaveGroupRequest::default().with_group_id(group());
        Some(if version >= 3 { request.with_members(vec![MemberIdentity::default()]) } else { request })
    });
}

fn administration(asker: &mut Asker) {
    use kafka_protocol::messages::create_topics_request::CreatableTopic;
    use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
    use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
    let client = || (text("wire"), text("1.0"));
    asker.ask(|version| {
        let (name, number) = client();
        let request = ApiVersionsRequest::default();
        Some(if version >= 3 {
            request.with_client_software_name(name).with_client_software_version(number)
        } else {
            request
        })
    });
    asker.ask(|version| (version >= 1).then(|| MetadataRequest::default().with_topics(None)));
    for name in ["t", "made on the fly", "made-on-the-fly"] {
        let asked = MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
        asker.ask(some(MetadataRequest::default().with_topics(Some(vec![asked]))));
    }
    let by_id = MetadataRequestTopic::default().with_name(None).with_topic_id(uuid::Uuid::from_u128(7));
    asker.ask(|version| (version >= 12).then(|| MetadataRequest::default().with_topics(Some(vec![by_id.clone()]))));
    for name in ["t", "new"] {
        let new = CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(2)
            .with_replication_factor(1);
        asker.ask(some(CreateTopicsRequest::default().with_topics(vec![new])));
    }
    let grown =
        create_partitions_request::CreatePartitionsTopic::default().with_name(TopicName(text("new"))).with_count(9);
    asker.ask(some(CreatePartitionsRequest::default().with_topics(vec![grown.with_assignments(None)])));
    let resource =
        |kind, name| DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name));
    let all = |kind, name| resource(kind, name).with_configuration_keys(None);
    let resources = vec![all(2, "t"), all(2, "unknown"), all(4, "0"), all(4, "77"), all(9, "")];
    asker.ask(some(DescribeConfigsRequest::default().with_resources(resources).with_include_synonyms(true)));
    asker.ask(some(DescribeClusterRequest::default().with_endpoint_type(1)));
    let partition = delete_records_request::DeleteRecordsPartition::default();
    let deleted =
        delete_records_request::DeleteRecordsTopic::default().with_name(topic()).with_partitions(vec![partition]);
    asker.ask(some(DeleteRecordsRequest::default().with_topics(vec![deleted])));
    asker.ask(|version| {
        let name = || TopicName(text("new"));
        Some(if version >= 6 {
            let states =
                [DeleteTopicState::default().with_name(Some(name())), DeleteTopicState::default().with_name(None)];
            DeleteTopicsRequest::default().with_topics(states.to_vec())
        } else {
            DeleteTopicsRequest::default().with_topic_names(vec![name()])
        })
    });
}

fn more_administration(asker: &mut Asker) {
    use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialDeletion;
    let groups = vec![GroupId(text("g")), GroupId(text("unknown"))];
    asker.ask(some(DeleteGroupsRequest::default().with_groups_names(groups)));
    let partition = offset_delete_request::OffsetDeleteRequestPartition::default();
    let offsets =
        offset_delete_request::OffsetDeleteRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
    asker.ask(some(OffsetDeleteRequest::default().with_group_id(GroupId(text("h"))).with_topics(vec![offsets])));
    for kind in [2, 4] {
        let config = alter_configs_request::AlterableConfig::default().with_name(text("retention.ms"));
        let resource = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text("t"))
            .with_configs(vec![config.with_value(Some(text("5")))]);
        asker.ask(some(AlterConfigsRequest::default().with_resources(vec![resource])));
        let config = incremental_alter_configs_request::AlterableConfig::default().with_name(text("retention.ms"));
        let resource = incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text("t"))
            .with_configs(vec![config.with_value(Some(text("5")))]);
        asker.ask(some(IncrementalAlterConfigsRequest::default().with_resources(vec![resource])));
    }
    let marked = write_txn_markers_request::WritableTxnMarkerTopic::default().with_name(topic());
    let marker = write_txn_markers_request::WritableTxnMarker::default()
        .with_topics(vec![marked.with_partition_indexes(vec![0, 9])]);
    asker.ask(some(WriteTxnMarkersRequest::default().with_markers(vec![marker])));
    asker.ask(some(DescribeTopicPartitionsRequest::default().with_response_partition_limit(5).with_cursor(None)));
    asker.ask(some(ElectLeadersRequest::default().with_topic_partitions(None)));
    let partition = ReassignablePartition::default().with_replicas(Some(vec![BrokerId(0)]));
    let reassigned = ReassignableTopic::default().with_name(topic()).with_partitions(vec![partition]);
    asker.ask(some(AlterPartitionReassignmentsRequest::default().with_topics(vec![reassigned])));
    asker.ask(some(ListPartitionReassignmentsRequest::default().with_topics(None)));
    asker.ask(some(DescribeLogDirsRequest::default().with_topics(None)));
    asker.ask(some(DescribeAclsRequest::default()));
    asker.ask(some(CreateAclsRequest::default().with_creations(vec![create_acls_request::AclCreation::default()])));
    asker.ask(some(DeleteAclsRequest::default().with_filters(vec![delete_acls_request::DeleteAclsFilter::default()])));
    asker.ask(some(DescribeUserScramCredentialsRequest::default().with_users(None)));
    let deletion = ScramCredentialDeletion::default().with_name(text("nobody")).with_mechanism(1);
    asker.ask(some(AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion])));
    asker.ask(some(SaslHandshakeRequest::default().with_mechanism(text("PLAIN"))));
    asker.ask(some(SaslAuthenticateRequest::default()));
}

fn cluster_administration(asker: &mut Asker) {
    use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
    use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    let entity = EntityData::default().with_entity_type(text("user")).with_entity_name(None);
    let op = OpData::default().with_key(text("producer_byte_rate")).with_value(5.0);
    let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
    asker.ask(some(AlterClientQuotasRequest::default().with_entries(vec![entry])));
    asker.ask(some(DescribeClientQuotasRequest::default()));
    let moved = AlterReplicaLogDirTopic::default().with_name(topic()).with_partitions(vec![0, 9]);
    let dir = AlterReplicaLogDir::default().with_path(text("/")).with_topics(vec![moved]);
    asker.ask(some(AlterReplicaLogDirsRequest::default().with_dirs(vec![dir])));
    asker.ask(some(CreateDelegationTokenRequest::default()));
    asker.ask(some(RenewDelegationTokenRequest::default()));
    asker.ask(some(ExpireDelegationTokenRequest::default()));
    asker.ask(some(DescribeDelegationTokenRequest::default().with_owners(None)));
    for name in ["__cluster_metadata", "t"] {
        let asked = describe_quorum_request::TopicData::default().with_topic_name(TopicName(text(name)));
        let asked = asked.with_partitions(vec![describe_quorum_request::PartitionData::default()]);
        asker.ask(some(DescribeQuorumRequest::default().with_topics(vec![asked])));
    }
    let update = update_features_request::FeatureUpdateKey::default().with_feature(text("group.version"));
    asker.ask(some(UpdateFeaturesRequest::default().with_feature_updates(vec![update.with_max_version_level(1)])));
    asker.ask(some(UnregisterBrokerRequest::default()));
    asker.ask(some(GetTelemetrySubscriptionsRequest::default()));
    asker.ask(some(PushTelemetryRequest::default()));
    asker.ask(some(ListConfigResourcesRequest::default()));
    asker.ask(some(AddRaftVoterRequest::default()));
    asker.ask(some(RemoveRaftVoterRequest::default()));
}

#[test]
fn every_api_answers_in_every_version_of_every_kafka() {
    for (version, least) in [("0.11", 24), ("1.1", 28), ("2.1", 38), ("2.8", 52), ("3.9", 63), ("4.0", 63), ("4.1", 63)]
    {
        let now = Instant::now();
        let cluster = Broker::builder().topic("t", 1).as_version(version).build(now, 1_700_000_000_000).unwrap();
        let mut asker = Asker { cluster, now, asked: BTreeMap::new() };
        records(&mut asker);
        groups(&mut asker);
        transactions(&mut asker);
        administration(&mut asker);
        more_administration(&mut asker);
        cluster_administration(&mut asker);
        assert!(asker.asked.len() >= least, "as {version} only {:?} were answered", asker.asked);
    }
}
