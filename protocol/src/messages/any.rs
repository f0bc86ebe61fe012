//! A message of any API: what a proxy or a dissector reads when it does not know what comes.
use bytes::Bytes;

use super::*;
use crate::api_key::ApiKey;
use crate::api_versions::VersionRange;
use crate::frame::Segments;
use crate::header::{RequestHeader, ResponseHeader};
use crate::request::Request;
use crate::wire::{DecodeError, EncodeError};

macro_rules! any {
    ($($api:ident($request:ident),)*) => {
        /// A request of any API.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        #[allow(missing_docs, clippy::large_enum_variant, reason = "the names are Kafka's; few are kept at a time")]
        pub enum AnyRequest { $($api($request),)* }

        /// A response of any API.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        #[allow(missing_docs, clippy::large_enum_variant, reason = "the names are Kafka's; few are kept at a time")]
        pub enum AnyResponse { $($api(<$request as Request>::Response),)* }

        impl ApiKey {
            /// The versions that this crate speaks.
            #[must_use]
            pub const fn versions(self) -> VersionRange {
                match self {
                    $(Self::$api => VersionRange { min: $request::MIN_VERSION, max: $request::MAX_VERSION },)*
                }
            }
        }

        impl AnyRequest {
            /// Its API.
            #[must_use]
            pub const fn api_key(&self) -> ApiKey {
                match self { $(Self::$api(_) => ApiKey::$api,)* }
            }

            /// Reads a frame without its length.
            ///
            /// # Errors
            /// When the API or version is not known, or the bytes are not a request of it.
            pub fn decode_frame(mut frame: Bytes) -> Result<(RequestHeader, Self), DecodeError> {
                let header = RequestHeader::decode(&mut frame)?;
                let version = header.api_version;
                let request = match known(header.api_key, version)? {
                    $(ApiKey::$api => Self::$api($request::decode_request(version, frame)?),)*
                };
                Ok((header, request))
            }

            /// The request as a frame: length, header and body.
            ///
            /// # Errors
            /// When a field is set that `version` cannot carry.
            pub fn encode_frame(
                &self,
                version: i16,
                correlation_id: i32,
                client_id: Option<&str>,
            ) -> Result<Segments, EncodeError> {
                match self { $(Self::$api(request) => request.encode_frame(version, correlation_id, client_id),)* }
            }
        }

        impl AnyResponse {
            /// Its API.
            #[must_use]
            pub const fn api_key(&self) -> ApiKey {
                match self { $(Self::$api(_) => ApiKey::$api,)* }
            }

            /// Reads a frame without its length, which answers `api` in `version`. A broker that does not know the
            /// version of an ApiVersions request answers it in version 0.
            ///
            /// # Errors
            /// When the version is not known, or the bytes are not a response of it.
            pub fn decode_frame(
                api: ApiKey,
                version: i16,
                mut frame: Bytes,
            ) -> Result<(ResponseHeader, Self), DecodeError> {
                known(api.code(), version)?;
                let header = ResponseHeader::decode(api, version, &mut frame)?;
                let version = match api {
                    ApiKey::ApiVersions => ApiVersionsResponse::version_of(&frame, version),
                    _ => version,
                };
                let response = match api {
                    $(ApiKey::$api => Self::$api($request::decode_response(version, frame)?),)*
                };
                Ok((header, response))
            }

            /// The response as a frame: length, header and body.
            ///
            /// # Errors
            /// When a field is set that `version` cannot carry.
            pub fn encode_frame(&self, version: i16, correlation_id: i32) -> Result<Segments, EncodeError> {
                match self {
                    $(Self::$api(response) => $request::encode_response_frame(response, version, correlation_id),)*
                }
            }
        }
    };
}

fn known(api_key: i16, version: i16) -> Result<ApiKey, DecodeError> {
    let unknown = DecodeError::Unknown { api_key, version };
    let api = ApiKey::try_from(api_key).map_err(|_| unknown)?;
    let VersionRange { min, max } = api.versions();
    if (min..=max).contains(&version) { Ok(api) } else { Err(unknown) }
}

any! {
    AddOffsetsToTxn(AddOffsetsToTxnRequest),
    AddPartitionsToTxn(AddPartitionsToTxnRequest),
    AlterClientQuotas(AlterClientQuotasRequest),
    AlterConfigs(AlterConfigsRequest),
    AlterPartitionReassignments(AlterPartitionReassignmentsRequest),
    AlterReplicaLogDirs(AlterReplicaLogDirsRequest),
    AlterShareGroupOffsets(AlterShareGroupOffsetsRequest),
    AlterUserScramCredentials(AlterUserScramCredentialsRequest),
    ApiVersions(ApiVersionsRequest),
    ConsumerGroupDescribe(ConsumerGroupDescribeRequest),
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest),
    CreateAcls(CreateAclsRequest),
    CreateDelegationToken(CreateDelegationTokenRequest),
    CreatePartitions(CreatePartitionsRequest),
    CreateTopics(CreateTopicsRequest),
    DeleteAcls(DeleteAclsRequest),
    DeleteGroups(DeleteGroupsRequest),
    DeleteRecords(DeleteRecordsRequest),
    DeleteShareGroupOffsets(DeleteShareGroupOffsetsRequest),
    DeleteTopics(DeleteTopicsRequest),
    DescribeAcls(DescribeAclsRequest),
    DescribeClientQuotas(DescribeClientQuotasRequest),
    DescribeCluster(DescribeClusterRequest),
    DescribeConfigs(DescribeConfigsRequest),
    DescribeDelegationToken(DescribeDelegationTokenRequest),
    DescribeGroups(DescribeGroupsRequest),
    DescribeLogDirs(DescribeLogDirsRequest),
    DescribeProducers(DescribeProducersRequest),
    DescribeQuorum(DescribeQuorumRequest),
    DescribeShareGroupOffsets(DescribeShareGroupOffsetsRequest),
    DescribeTopicPartitions(DescribeTopicPartitionsRequest),
    DescribeTransactions(DescribeTransactionsRequest),
    DescribeUserScramCredentials(DescribeUserScramCredentialsRequest),
    ElectLeaders(ElectLeadersRequest),
    EndTxn(EndTxnRequest),
    ExpireDelegationToken(ExpireDelegationTokenRequest),
    Fetch(FetchRequest),
    FindCoordinator(FindCoordinatorRequest),
    GetTelemetrySubscriptions(GetTelemetrySubscriptionsRequest),
    Heartbeat(HeartbeatRequest),
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest),
    InitProducerId(InitProducerIdRequest),
    JoinGroup(JoinGroupRequest),
    LeaveGroup(LeaveGroupRequest),
    ListConfigResources(ListConfigResourcesRequest),
    ListGroups(ListGroupsRequest),
    ListOffsets(ListOffsetsRequest),
    ListPartitionReassignments(ListPartitionReassignmentsRequest),
    ListTransactions(ListTransactionsRequest),
    Metadata(MetadataRequest),
    OffsetCommit(OffsetCommitRequest),
    OffsetDelete(OffsetDeleteRequest),
    OffsetFetch(OffsetFetchRequest),
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest),
    Produce(ProduceRequest),
    PushTelemetry(PushTelemetryRequest),
    RenewDelegationToken(RenewDelegationTokenRequest),
    SaslAuthenticate(SaslAuthenticateRequest),
    SaslHandshake(SaslHandshakeRequest),
    ShareAcknowledge(ShareAcknowledgeRequest),
    ShareFetch(ShareFetchRequest),
    ShareGroupDescribe(ShareGroupDescribeRequest),
    ShareGroupHeartbeat(ShareGroupHeartbeatRequest),
    SyncGroup(SyncGroupRequest),
    TxnOffsetCommit(TxnOffsetCommitRequest),
    UnregisterBroker(UnregisterBrokerRequest),
    AddRaftVoter(AddRaftVoterRequest),
    RemoveRaftVoter(RemoveRaftVoterRequest),
    StreamsGroupDescribe(StreamsGroupDescribeRequest),
    UnregisterController(UnregisterControllerRequest),
    UpdateFeatures(UpdateFeaturesRequest),
    WriteTxnMarkers(WriteTxnMarkersRequest),
}
