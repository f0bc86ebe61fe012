//! The headers in front of requests and responses.
use bytes::Bytes;

use crate::api_key::ApiKey;
use crate::encoder::Encoder;
use crate::wire::{DecodeError, EncodeError, Version, Wire, decode_tagged};

/// The header of a request, versions 1 and 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API that is called.
    pub api_key: i16,
    /// In which version.
    pub api_version: i16,
    /// Comes back with the response.
    pub correlation_id: i32,
    /// Who calls, for logs and quotas.
    pub client_id: Option<String>,
}

impl RequestHeader {
    pub(crate) fn encode(&self, out: &mut Encoder, flexible: bool) -> Result<(), EncodeError> {
        // The client id keeps its int16 length in flexible headers, so that a broker can read the header of a request
        // whose version it does not know (KIP-511).
        let plain = Version { number: 0, flexible: false };
        self.api_key.encode(out, plain)?;
        self.api_version.encode(out, plain)?;
        self.correlation_id.encode(out, plain)?;
        self.client_id.encode(out, plain)?;
        if flexible {
            out.put_varint(0);
        }
        Ok(())
    }

    /// Reads the header from the front of a frame.
    ///
    /// # Errors
    /// When the bytes are not a request header.
    pub fn decode(input: &mut Bytes) -> Result<Self, DecodeError> {
        let plain = Version { number: 0, flexible: false };
        let (api_key, api_version) = (i16::decode(input, plain)?, i16::decode(input, plain)?);
        let correlation_id = i32::decode(input, plain)?;
        let client_id = Option::decode(input, plain)?;
        if ApiKey::try_from(api_key).is_ok_and(|api| api_version >= api.flexible_from()) {
            decode_tagged(input, |_, _| Ok(false))?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }
}

/// The header of a response, versions 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The request's.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// `flexible`: of the response's own version.
    pub(crate) fn encode(self, api: ApiKey, flexible: bool, out: &mut Encoder) -> Result<(), EncodeError> {
        self.correlation_id.encode(out, Version { number: 0, flexible: false })?;
        if flexible && api != ApiKey::ApiVersions {
            out.put_varint(0);
        }
        Ok(())
    }

    /// Reads the header from the front of a frame that answers `api` in `version`.
    ///
    /// # Errors
    /// When the bytes are not a response header.
    pub fn decode(api: ApiKey, version: i16, input: &mut Bytes) -> Result<Self, DecodeError> {
        let correlation_id = i32::decode(input, Version { number: 0, flexible: false })?;
        // The header of an ApiVersions response has no tagged fields in any version: whoever asks does not know yet
        // what the broker can do (KIP-511).
        if version >= api.flexible_from() && api != ApiKey::ApiVersions {
            decode_tagged(input, |_, _| Ok(false))?;
        }
        Ok(Self { correlation_id })
    }
}
