//! Every API with both of its messages, as data and as codecs that need not be named.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod generate;

use bytes::{Buf, Bytes};
use ottla_protocol::messages::*;
use ottla_protocol::schema::Type;
use ottla_protocol::{ApiKey, DecodeError, EncodeError, Encoder, Request, Version, Wire};

/// An API: its versions and its two messages.
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    pub(crate) min: i16,
    pub(crate) max: i16,
    pub(crate) flexible_from: i16,
    pub(crate) request: Message,
    pub(crate) response: Message,
    /// A request, from its bytes, as a frame with correlation id 7 and client id "me".
    pub(crate) frame: fn(Bytes, Version) -> Bytes,
}

/// A message of any type.
#[derive(Clone, Copy)]
pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    pub(crate) recode: fn(Bytes, Version) -> Result<Recoded, DecodeError>,
    /// Decoded in one version, encoded in another.
    pub(crate) convert: fn(Bytes, Version, Version) -> Result<Recoded, DecodeError>,
}

/// What became of bytes that were decoded, and encoded again.
#[derive(Debug)]
pub(crate) struct Recoded {
    /// Bytes that the decoder left.
    pub(crate) left: usize,
    pub(crate) encoded: Result<Bytes, EncodeError>,
}

impl Api {
    pub(crate) fn versions(&self) -> impl Iterator<Item = Version> + use<> {
        let flexible_from = self.flexible_from;
        (self.min..=self.max).map(move |number| Version { number, flexible: number >= flexible_from })
    }

    pub(crate) fn messages(&self) -> [Message; 2] {
        [self.request, self.response]
    }

    fn of<R: Request>() -> Self {
        Self {
            key: R::API_KEY,
            min: R::MIN_VERSION,
            max: R::MAX_VERSION,
            flexible_from: R::FLEXIBLE_FROM,
            request: Message::of::<R>(),
            response: Message::of::<R::Response>(),
            frame: |mut bytes, version| {
                let request = R::decode(&mut bytes, version).expect("a valid encoding");
                request.encode_frame(version.number, 7, Some("me")).expect("its version can carry it").to_bytes()
            },
        }
    }
}

impl Message {
    pub(crate) fn of<M: Wire>() -> Self {
        let Type::Struct(part) = M::TYPE else { panic!("a message is a struct") };
        Self {
            name: part.name,
            kind: M::TYPE,
            recode: |bytes, version| convert::<M>(bytes, version, version),
            convert: convert::<M>,
        }
    }
}

fn convert<M: Wire>(mut bytes: Bytes, from: Version, to: Version) -> Result<Recoded, DecodeError> {
    let message = M::decode(&mut bytes, from)?;
    let mut out = Encoder::new();
    let encoded = message.encode(&mut out, to).map(|()| out.into_segments().concat().into());
    Ok(Recoded { left: bytes.remaining(), encoded })
}

macro_rules! apis {
    ($($request:ident,)*) => { vec![$(Api::of::<$request>(),)*] };
}

/// All APIs that Ottla declares.
pub(crate) fn apis() -> Vec<Api> {
    apis![
        AddOffsetsToTxnRequest,
        AddPartitionsToTxnRequest,
        AddRaftVoterRequest,
        AlterClientQuotasRequest,
        AlterConfigsRequest,
        AlterPartitionReassignmentsRequest,
        AlterReplicaLogDirsRequest,
        AlterShareGroupOffsetsRequest,
        AlterUserScramCredentialsRequest,
        ApiVersionsRequest,
        ConsumerGroupDescribeRequest,
        ConsumerGroupHeartbeatRequest,
        CreateAclsRequest,
        CreateDelegationTokenRequest,
        CreatePartitionsRequest,
        CreateTopicsRequest,
        DeleteAclsRequest,
        DeleteGroupsRequest,
        DeleteRecordsRequest,
        DeleteShareGroupOffsetsRequest,
        DeleteTopicsRequest,
        DescribeAclsRequest,
        DescribeClientQuotasRequest,
        DescribeClusterRequest,
        DescribeConfigsRequest,
        DescribeDelegationTokenRequest,
        DescribeGroupsRequest,
        DescribeLogDirsRequest,
        DescribeProducersRequest,
        DescribeQuorumRequest,
        DescribeShareGroupOffsetsRequest,
        DescribeTopicPartitionsRequest,
        DescribeTransactionsRequest,
        DescribeUserScramCredentialsRequest,
        ElectLeadersRequest,
        EndTxnRequest,
        ExpireDelegationTokenRequest,
        FetchRequest,
        FindCoordinatorRequest,
        GetTelemetrySubscriptionsRequest,
        HeartbeatRequest,
        IncrementalAlterConfigsRequest,
        InitProducerIdRequest,
        JoinGroupRequest,
        LeaveGroupRequest,
        ListConfigResourcesRequest,
        ListGroupsRequest,
        ListOffsetsRequest,
        ListPartitionReassignmentsRequest,
        ListTransactionsRequest,
        MetadataRequest,
        OffsetCommitRequest,
        OffsetDeleteRequest,
        OffsetFetchRequest,
        OffsetForLeaderEpochRequest,
        ProduceRequest,
        PushTelemetryRequest,
        RemoveRaftVoterRequest,
        RenewDelegationTokenRequest,
        SaslAuthenticateRequest,
        SaslHandshakeRequest,
        ShareAcknowledgeRequest,
        ShareFetchRequest,
        ShareGroupDescribeRequest,
        ShareGroupHeartbeatRequest,
        StreamsGroupDescribeRequest,
        SyncGroupRequest,
        TxnOffsetCommitRequest,
        UnregisterBrokerRequest,
        UnregisterControllerRequest,
        UpdateFeaturesRequest,
        WriteTxnMarkersRequest,
    ]
}
