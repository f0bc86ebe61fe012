//! What ties a request to its response.
use std::fmt::Debug;

use bytes::{Buf, Bytes};

use crate::api_key::ApiKey;
use crate::encoder::Encoder;
use crate::frame::Segments;
use crate::header::{RequestHeader, ResponseHeader};
use crate::wire::{DecodeError, EncodeError, Version, Wire};

/// A request of Kafka's protocol.
pub trait Request: Wire + Debug + Send + Sync + 'static {
    /// Its API.
    const API_KEY: ApiKey;
    /// The oldest version that Ottla speaks.
    const MIN_VERSION: i16;
    /// The newest version that Ottla speaks.
    const MAX_VERSION: i16;
    /// The first version in the flexible format; `i16::MAX` is never.
    const FLEXIBLE_FROM: i16;
    /// What is answered.
    type Response: Wire + Debug + Send + 'static;

    /// How `number` is encoded.
    #[must_use]
    fn version(number: i16) -> Version {
        Version { number, flexible: number >= Self::FLEXIBLE_FROM }
    }

    /// The request as a frame: length, header and body.
    ///
    /// # Errors
    /// When a field is set that `version` cannot carry.
    fn encode_frame(
        &self,
        version: i16,
        correlation_id: i32,
        client_id: Option<&str>,
    ) -> Result<Segments, EncodeError> {
        let mut out = Encoder::new();
        out.put_slice(&[0; 4]);
        let header = RequestHeader {
            api_key: Self::API_KEY.code(),
            api_version: version,
            correlation_id,
            client_id: client_id.map(str::to_owned),
        };
        header.encode(&mut out, Self::version(version).flexible)?;
        self.encode(&mut out, Self::version(version))?;
        out.patch_frame_length();
        Ok(Segments(out.into_segments()))
    }

    /// The request in `body`, which is what follows the request header.
    ///
    /// # Errors
    /// When the bytes are not a request of this version, or go on after it.
    fn decode_request(version: i16, body: Bytes) -> Result<Self, DecodeError> {
        whole(body, Self::version(version))
    }

    /// A response as a frame: length, header and body.
    ///
    /// # Errors
    /// When a field is set that `version` cannot carry.
    fn encode_response_frame(
        response: &Self::Response,
        version: i16,
        correlation_id: i32,
    ) -> Result<Segments, EncodeError> {
        let mut out = Encoder::new();
        out.put_slice(&[0; 4]);
        ResponseHeader { correlation_id }.encode(Self::API_KEY, Self::version(version).flexible, &mut out)?;
        response.encode(&mut out, Self::version(version))?;
        out.patch_frame_length();
        Ok(Segments(out.into_segments()))
    }

    /// The response in `body`, which is what follows the response header.
    ///
    /// # Errors
    /// When the bytes are not a response of this version, or go on after it.
    fn decode_response(version: i16, body: Bytes) -> Result<Self::Response, DecodeError> {
        whole(body, Self::version(version))
    }
}

fn whole<M: Wire>(mut body: Bytes, version: Version) -> Result<M, DecodeError> {
    let message = M::decode(&mut body, version)?;
    if body.has_remaining() { Err(DecodeError::Trailing(body.remaining())) } else { Ok(message) }
}
