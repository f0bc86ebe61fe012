//! From a frame to a typed request, and from a typed response to a frame.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader, *};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes, decode_request_header_from_buffer};

use super::versions::KafkaVersion;

/// Declares the APIs the broker answers: the request enum and its decoder.
macro_rules! requests {
    (throttled { $($api:ident($request:ident) -> $response:ident),* $(,)? }
     unthrottled { $($plain:ident($plain_request:ident) -> $plain_response:ident),* $(,)? }) => {
        /// A decoded request's body.
        #[derive(Debug)]
        pub(crate) enum Body {
            $($api($request),)*
            $($plain($plain_request),)*
            /// ApiVersions of a version the broker does not know; its body is never parsed.
            UnsupportedApiVersions,
        }

        impl Body {
            /// The typed request inside.
            fn as_any(&self) -> &dyn Any {
                match self {
                    $(Self::$api(request) => request,)*
                    $(Self::$plain(request) => request,)*
                    Self::UnsupportedApiVersions => &(),
                }
            }
        }

        $(impl Throttle for $response {
            fn throttle(&mut self, milliseconds: i32) {
                self.throttle_time_ms = milliseconds;
            }
        })*
        $(impl Throttle for $plain_response {
            fn throttle(&mut self, _: i32) {}
        })*

        fn decode_body(api: ApiKey, version: i16, frame: &mut Bytes) -> Result<Body, String> {
            match api {
                $(ApiKey::$api => $request::decode(frame, version).map(Body::$api).map_err(|error| error.to_string()),)*
                $(ApiKey::$plain => {
                    $plain_request::decode(frame, version).map(Body::$plain).map_err(|error| error.to_string())
                })*
                other => Err(format!("{other:?} is not answered by the embedded broker")),
            }
        }
    };
}

requests! {
    throttled {
    Produce(ProduceRequest) -> ProduceResponse,
    Fetch(FetchRequest) -> FetchResponse,
    ListOffsets(ListOffsetsRequest) -> ListOffsetsResponse,
    Metadata(MetadataRequest) -> MetadataResponse,
    OffsetCommit(OffsetCommitRequest) -> OffsetCommitResponse,
    OffsetFetch(OffsetFetchRequest) -> OffsetFetchResponse,
    FindCoordinator(FindCoordinatorRequest) -> FindCoordinatorResponse,
    JoinGroup(JoinGroupRequest) -> JoinGroupResponse,
    Heartbeat(HeartbeatRequest) -> HeartbeatResponse,
    LeaveGroup(LeaveGroupRequest) -> LeaveGroupResponse,
    SyncGroup(SyncGroupRequest) -> SyncGroupResponse,
    DescribeGroups(DescribeGroupsRequest) -> DescribeGroupsResponse,
    ListGroups(ListGroupsRequest) -> ListGroupsResponse,
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse,
    ConsumerGroupDescribe(ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse,
    ApiVersions(ApiVersionsRequest) -> ApiVersionsResponse,
    CreateTopics(CreateTopicsRequest) -> CreateTopicsResponse,
    DeleteTopics(DeleteTopicsRequest) -> DeleteTopicsResponse,
    DeleteRecords(DeleteRecordsRequest) -> DeleteRecordsResponse,
    InitProducerId(InitProducerIdRequest) -> InitProducerIdResponse,
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse,
    AddPartitionsToTxn(AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse,
    AddOffsetsToTxn(AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse,
    EndTxn(EndTxnRequest) -> EndTxnResponse,
    TxnOffsetCommit(TxnOffsetCommitRequest) -> TxnOffsetCommitResponse,
    DescribeConfigs(DescribeConfigsRequest) -> DescribeConfigsResponse,
    CreatePartitions(CreatePartitionsRequest) -> CreatePartitionsResponse,
    DescribeCluster(DescribeClusterRequest) -> DescribeClusterResponse,
    DescribeProducers(DescribeProducersRequest) -> DescribeProducersResponse,
    DescribeTransactions(DescribeTransactionsRequest) -> DescribeTransactionsResponse,
    ListTransactions(ListTransactionsRequest) -> ListTransactionsResponse,
    DeleteGroups(DeleteGroupsRequest) -> DeleteGroupsResponse,
    OffsetDelete(OffsetDeleteRequest) -> OffsetDeleteResponse,
    AlterConfigs(AlterConfigsRequest) -> AlterConfigsResponse,
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse,
    DescribeTopicPartitions(DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse,
    ElectLeaders(ElectLeadersRequest) -> ElectLeadersResponse,
    AlterPartitionReassignments(AlterPartitionReassignmentsRequest) -> AlterPartitionReassignmentsResponse,
    ListPartitionReassignments(ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse,
    DescribeLogDirs(DescribeLogDirsRequest) -> DescribeLogDirsResponse,
    DescribeAcls(DescribeAclsRequest) -> DescribeAclsResponse,
    CreateAcls(CreateAclsRequest) -> CreateAclsResponse,
    DeleteAcls(DeleteAclsRequest) -> DeleteAclsResponse,
    DescribeUserScramCredentials(DescribeUserScramCredentialsRequest) -> DescribeUserScramCredentialsResponse,
    AlterUserScramCredentials(AlterUserScramCredentialsRequest) -> AlterUserScramCredentialsResponse,
    AlterReplicaLogDirs(AlterReplicaLogDirsRequest) -> AlterReplicaLogDirsResponse,
    CreateDelegationToken(CreateDelegationTokenRequest) -> CreateDelegationTokenResponse,
    RenewDelegationToken(RenewDelegationTokenRequest) -> RenewDelegationTokenResponse,
    ExpireDelegationToken(ExpireDelegationTokenRequest) -> ExpireDelegationTokenResponse,
    DescribeDelegationToken(DescribeDelegationTokenRequest) -> DescribeDelegationTokenResponse,
    DescribeClientQuotas(DescribeClientQuotasRequest) -> DescribeClientQuotasResponse,
    AlterClientQuotas(AlterClientQuotasRequest) -> AlterClientQuotasResponse,
    UpdateFeatures(UpdateFeaturesRequest) -> UpdateFeaturesResponse,
    UnregisterBroker(UnregisterBrokerRequest) -> UnregisterBrokerResponse,
    GetTelemetrySubscriptions(GetTelemetrySubscriptionsRequest) -> GetTelemetrySubscriptionsResponse,
    PushTelemetry(PushTelemetryRequest) -> PushTelemetryResponse,
    ListConfigResources(ListConfigResourcesRequest) -> ListConfigResourcesResponse,
    AddRaftVoter(AddRaftVoterRequest) -> AddRaftVoterResponse,
    RemoveRaftVoter(RemoveRaftVoterRequest) -> RemoveRaftVoterResponse,
    }
    unthrottled {
    DescribeQuorum(DescribeQuorumRequest) -> DescribeQuorumResponse,
    SaslHandshake(SaslHandshakeRequest) -> SaslHandshakeResponse,
    SaslAuthenticate(SaslAuthenticateRequest) -> SaslAuthenticateResponse,
    WriteTxnMarkers(WriteTxnMarkersRequest) -> WriteTxnMarkersResponse,
    }
}

/// A response that tells of a quota's delay, if its API does.
pub(crate) trait Throttle {
    fn throttle(&mut self, milliseconds: i32);
}

/// A response a test made up; quotas do not touch it.
struct MadeUp<R>(R);

impl<R: Encodable + HeaderVersion + Send> Encode for MadeUp<R> {
    fn encode(&self, out: &mut BytesMut, version: i16) -> Result<(), String> {
        Encodable::encode(&self.0, out, version).map_err(|error| error.to_string())
    }

    fn size(&self, version: i16) -> usize {
        self.0.compute_size(version).unwrap_or(0)
    }

    fn header_version(&self, version: i16) -> i16 {
        R::header_version(version)
    }

    fn throttle(&mut self, _: i32) {}
}

/// What a reply must know of its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    correlation_id: i32,
}

impl Head {
    /// ApiVersions answers versions it does not know in version 0.
    pub(crate) fn as_version_0(self) -> Self {
        Self { version: 0, ..self }
    }

    /// A reply to the request.
    pub(crate) fn reply<R>(self, response: R) -> Reply
    where
        R: Encodable + HeaderVersion + Throttle + Send + 'static,
    {
        Reply { head: self, body: Box::new(response) }
    }
}

/// One decoded request.
#[derive(Debug)]
pub struct Request {
    pub(crate) head: Head,
    pub(crate) client_id: StrBytes,
    pub(crate) body: Body,
}

impl Request {
    /// Decodes a frame (without its length) as a broker of this version would.
    ///
    /// # Errors
    /// A sentence naming what is wrong: unknown API, version outside the accepted range, bytes that do not parse.
    /// A broker closes the connection on any of them.
    pub fn decode(mut frame: Bytes, version: KafkaVersion) -> Result<Self, String> {
        let (api, api_version, correlation_id) = peek(&frame).ok_or("frame shorter than a request header")?;
        let api = ApiKey::try_from(api).map_err(|()| format!("unknown API key {api}"))?;
        let accepted = version.accepted(api).ok_or_else(|| format!("Kafka {version} has no {api:?}"))?;
        if !(accepted.0..=accepted.1).contains(&api_version) {
            if api == ApiKey::ApiVersions {
                let head = Head { api, version: 0, correlation_id };
                return Ok(Self { head, client_id: StrBytes::new(), body: Body::UnsupportedApiVersions });
            }
            return Err(format!("{api:?} v{api_version} is outside {}-{}", accepted.0, accepted.1));
        }
        // kafka-protocol's decoders may panic on truncated or hostile lengths; that must cost one connection only.
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            let header: RequestHeader =
                decode_request_header_from_buffer(&mut frame).map_err(|error| error.to_string())?;
            Ok((header.client_id.unwrap_or_default(), decode_body(api, api_version, &mut frame)?))
        }));
        let decoded = decoded.unwrap_or_else(|_| Err("decoder gave up".to_owned()));
        let (client_id, body) = decoded.map_err(|reason: String| format!("{api:?} v{api_version}: {reason}"))?;
        Ok(Self { head: Head { api, version: api_version, correlation_id }, client_id, body })
    }

    /// Which API this is.
    pub fn api(&self) -> ApiKey {
        self.head.api
    }

    /// Which version of the API.
    pub fn version(&self) -> i16 {
        self.head.version
    }

    /// The request's fields, if `R` is its type.
    pub fn body<R: 'static>(&self) -> Option<&R> {
        self.body.as_any().downcast_ref()
    }

    /// A reply to this request that nobody checks.
    pub(crate) fn made_up<R: Encodable + HeaderVersion + Send + 'static>(&self, response: R) -> Reply {
        Reply { head: self.head, body: Box::new(MadeUp(response)) }
    }
}

fn peek(frame: &[u8]) -> Option<(i16, i16, i32)> {
    let api = i16::from_be_bytes(frame.get(0..2)?.try_into().ok()?);
    let version = i16::from_be_bytes(frame.get(2..4)?.try_into().ok()?);
    let correlation_id = i32::from_be_bytes(frame.get(4..8)?.try_into().ok()?);
    Some((api, version, correlation_id))
}

trait Encode: Send {
    fn encode(&self, out: &mut BytesMut, version: i16) -> Result<(), String>;
    fn size(&self, version: i16) -> usize;
    fn header_version(&self, version: i16) -> i16;
    fn throttle(&mut self, milliseconds: i32);
}

impl<R: Encodable + HeaderVersion + Throttle + Send> Encode for R {
    fn encode(&self, out: &mut BytesMut, version: i16) -> Result<(), String> {
        Encodable::encode(self, out, version).map_err(|error| error.to_string())
    }

    fn size(&self, version: i16) -> usize {
        self.compute_size(version).unwrap_or(0)
    }

    fn header_version(&self, version: i16) -> i16 {
        R::header_version(version)
    }

    fn throttle(&mut self, milliseconds: i32) {
        Throttle::throttle(self, milliseconds);
    }
}

/// A response, typed until it is encoded.
pub struct Reply {
    head: Head,
    body: Box<dyn Encode>,
}

impl Reply {
    /// Which API this answers.
    pub(crate) fn api(&self) -> ApiKey {
        self.head.api
    }

    /// Tells the client of a quota's delay.
    pub(crate) fn throttle(&mut self, delay: Duration) {
        self.body.throttle(i32::try_from(delay.as_millis()).unwrap_or(i32::MAX));
    }

    /// Appends the frame, length included, to `out`.
    ///
    /// # Errors
    /// A sentence, if the response can't be said in the request's version: a bug of the broker.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), String> {
        let Head { api, version, correlation_id } = self.head;
        let start = out.len();
        out.reserve(self.body.size(version) + 16);
        out.put_i32(0);
        let header = ResponseHeader::default().with_correlation_id(correlation_id);
        let header_version = self.body.header_version(version);
        let encoded = Encodable::encode(&header, out, header_version).map_err(|error| error.to_string());
        if let Err(reason) = encoded.and_then(|()| self.body.encode(out, version)) {
            out.truncate(start);
            return Err(format!("response to {api:?} v{version}: {reason}"));
        }
        let length = i32::try_from(out.len() - start - 4).map_err(|_| "response above 2 GiB".to_owned())?;
        if let Some(field) = out.get_mut(start..start + 4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({:?} v{} #{})", self.head.api, self.head.version, self.head.correlation_id)
    }
}
