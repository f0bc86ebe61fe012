//! The first words on a connection: which versions does the broker speak? (KIP-35, KIP-511)
use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_protocol::{ApiKey, ApiVersions, EncodeError, ErrorCode, Request, ResponseHeader, Segments};

use super::throttle;

/// Tried in this order when a broker closes the connection on a version that it does not know.
const ON_CLOSE: [i16; 4] = [ApiVersionsRequest::MAX_VERSION, 4, 3, 0];

/// About to ask with a version.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a handshake that is not gone on with leaves the connection useless"]
pub(crate) struct AskVersions {
    version: i16,
    client_id: String,
    identity: Option<Identity>,
}

/// Who the broker should be: one that is another refuses, so that a client does not go on with a cluster that took over
/// an address (KIP-1242).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster_id: String,
    pub(crate) node_id: i32,
}

/// What an answer leads to.
#[derive(Debug)]
pub(crate) enum Step {
    /// The connection can be used, once the broker has been left alone for so long (KIP-219).
    Ready(ApiVersions, Option<Duration>),
    /// Ask again on the same connection.
    Again(AskVersions),
    /// This broker cannot be spoken to.
    Failed(String),
    /// Nor will it be until it is another one.
    TooOld(String),
    /// It is not the broker, or not of the cluster, that it should be: bootstrap anew (error 129).
    WrongBroker,
}

impl Step {
    fn not_kafka(error: &ottla_protocol::DecodeError) -> Self {
        Self::Failed(format!("its answer is not Kafka's: {error}"))
    }
}

impl AskVersions {
    /// Starts with the newest version, or with the one that worked before.
    pub(crate) fn new(remembered: Option<i16>, client_id: String, identity: Option<Identity>) -> Self {
        Self { version: remembered.unwrap_or(ApiVersionsRequest::MAX_VERSION), client_id, identity }
    }

    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    pub(crate) fn frame(&self) -> Result<Segments, EncodeError> {
        let identity = self.identity.as_ref();
        let request = ApiVersionsRequest {
            client_software_name: "ottla".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            cluster_id: identity.map(|i| i.cluster_id.clone()),
            node_id: identity.map_or(-1, |i| i.node_id),
        };
        request.encode_frame(self.version, 0, Some(&self.client_id))
    }

    /// The broker answered with `frame`.
    pub(crate) fn answered(self, mut frame: Bytes) -> Step {
        match ResponseHeader::decode(ApiKey::ApiVersions, self.version, &mut frame) {
            Err(error) => return Step::not_kafka(&error),
            Ok(header) if header.correlation_id != 0 => {
                return Step::Failed(format!("it answered request {}, which was not asked", header.correlation_id));
            }
            Ok(_) => {}
        }
        match self.decode(frame) {
            Ok(response) => self.judge(&response),
            Err(error) => Step::not_kafka(&error),
        }
    }

    /// The broker closed the connection and said nothing: it may not know the version. `None`: no older one is left.
    pub(crate) fn closed(self) -> Option<Self> {
        let version = ON_CLOSE.into_iter().find(|v| *v < self.version)?;
        Some(Self { version, ..self })
    }

    fn decode(&self, frame: Bytes) -> Result<ApiVersionsResponse, ottla_protocol::DecodeError> {
        ApiVersionsRequest::decode_response(ApiVersionsResponse::version_of(&frame, self.version), frame)
    }

    fn judge(self, response: &ApiVersionsResponse) -> Step {
        match ErrorCode::from(response.error_code) {
            ErrorCode::None => {
                Step::Ready(ApiVersions::from_response(response), throttle::of_response(self.version, response))
            }
            ErrorCode::UnsupportedVersion if self.version > 0 => {
                // Brokers from 2.4 on list what they know of ApiVersions itself.
                let listed = response.api_keys.iter().find(|k| k.api_key == ApiKey::ApiVersions.code());
                let version = listed.map_or(0, |k| k.max_version.clamp(0, self.version - 1));
                Step::Again(Self { version, ..self })
            }
            code @ ErrorCode::UnsupportedVersion => Step::TooOld(format!(
                "it refuses every version of ApiVersions, the oldest too ({code}): no Kafka broker from 0.10 on does that; \
                 upgrade it, or name another in bootstrap.servers"
            )),
            ErrorCode::RebootstrapRequired => Step::WrongBroker,
            code => Step::Failed(format!("it answered {code}: {}", code.sentence())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(version: i16) -> AskVersions {
        AskVersions::new(Some(version), "c".into(), None)
    }

    #[test]
    fn unknown_api_versions_version_falls_back_to_the_listed_one_and_else_to_0() {
        // correlation id 0, error 35, one key: ApiVersions 0-3
        let listed = [0, 0, 0, 0, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 3];
        let Step::Again(next) = ask(5).answered(Bytes::copy_from_slice(&listed)) else { panic!("asks again") };
        assert_eq!(next.version(), 3);
        let silent = [0, 0, 0, 0, 0, 35, 0, 0, 0, 0];
        let Step::Again(next) = ask(5).answered(Bytes::copy_from_slice(&silent)) else { panic!("asks again") };
        assert_eq!(next.version(), 0);
        let Step::TooOld(why) = next.answered(Bytes::copy_from_slice(&silent)) else {
            panic!("nothing is left to ask")
        };
        assert!(why.contains("UNSUPPORTED_VERSION (35)") && why.contains("upgrade it"), "{why}");
    }

    #[test]
    fn unknown_api_versions_version_falls_back_on_close_too() {
        let mut versions = vec![];
        let mut next = Some(AskVersions::new(None, "c".into(), None));
        while let Some(ask) = next {
            versions.push(ask.version());
            next = ask.closed();
        }
        assert_eq!(versions, [5, 4, 3, 0]);
    }

    #[test]
    fn an_impossible_length_fails_the_handshake() {
        let reply = [0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff];
        let Step::Failed(why) = ask(0).answered(Bytes::copy_from_slice(&reply)) else { panic!("fails") };
        assert_eq!(why, "its answer is not Kafka's: length 2147483647 does not fit the input");
    }
}
