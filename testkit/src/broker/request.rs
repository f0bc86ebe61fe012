//! From a frame to a typed request, and from a typed response to a frame.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader, *};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes, decode_request_header_from_buffer};

use super::versions::KafkaVersion;

/// Declares the APIs the broker answers: the request enum and its decoder.
macro_rules! requests {
    ($($api:ident($request:ident)),* $(,)?) => {
        /// A decoded request's body.
        #[derive(Debug)]
        pub(crate) enum Body {
            $($api($request),)*
            /// ApiVersions of a version the broker does not know; its body is never parsed.
            UnsupportedApiVersions,
        }

        fn decode_body(api: ApiKey, version: i16, frame: &mut Bytes) -> Result<Body, String> {
            match api {
                $(ApiKey::$api => $request::decode(frame, version).map(Body::$api).map_err(|error| error.to_string()),)*
                other => Err(format!("{other:?} is not answered by the embedded broker")),
            }
        }
    };
}

requests! {
    Produce(ProduceRequest),
    Fetch(FetchRequest),
    ListOffsets(ListOffsetsRequest),
    Metadata(MetadataRequest),
    OffsetCommit(OffsetCommitRequest),
    OffsetFetch(OffsetFetchRequest),
    FindCoordinator(FindCoordinatorRequest),
    JoinGroup(JoinGroupRequest),
    Heartbeat(HeartbeatRequest),
    LeaveGroup(LeaveGroupRequest),
    SyncGroup(SyncGroupRequest),
    DescribeGroups(DescribeGroupsRequest),
    ListGroups(ListGroupsRequest),
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest),
    ConsumerGroupDescribe(ConsumerGroupDescribeRequest),
    ApiVersions(ApiVersionsRequest),
    CreateTopics(CreateTopicsRequest),
    DeleteTopics(DeleteTopicsRequest),
    DeleteRecords(DeleteRecordsRequest),
    InitProducerId(InitProducerIdRequest),
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest),
    AddPartitionsToTxn(AddPartitionsToTxnRequest),
    AddOffsetsToTxn(AddOffsetsToTxnRequest),
    EndTxn(EndTxnRequest),
    TxnOffsetCommit(TxnOffsetCommitRequest),
    DescribeConfigs(DescribeConfigsRequest),
    CreatePartitions(CreatePartitionsRequest),
    DescribeCluster(DescribeClusterRequest),
    DescribeProducers(DescribeProducersRequest),
    DescribeTransactions(DescribeTransactionsRequest),
    ListTransactions(ListTransactionsRequest),
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
        R: Encodable + HeaderVersion + Send + 'static,
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
}

impl<R: Encodable + HeaderVersion + Send> Encode for R {
    fn encode(&self, out: &mut BytesMut, version: i16) -> Result<(), String> {
        Encodable::encode(self, out, version).map_err(|error| error.to_string())
    }

    fn size(&self, version: i16) -> usize {
        self.compute_size(version).unwrap_or(0)
    }

    fn header_version(&self, version: i16) -> i16 {
        R::header_version(version)
    }
}

/// A response, typed until it is encoded.
pub struct Reply {
    head: Head,
    body: Box<dyn Encode>,
}

impl Reply {
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
