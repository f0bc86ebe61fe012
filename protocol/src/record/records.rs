//! The records field of Produce and Fetch.
use bytes::Bytes;

use crate::encoder::Encoder;
use crate::schema::Type;
use crate::wire::{DecodeError, EncodeError, LengthField, Version, Wire, decode_length, encode_length};

/// Record batches as bytes, never copied: slices of the frame when read, segments of their own when written.
#[derive(Clone, Debug, Default)]
pub struct Records {
    head: Bytes,
    body: Bytes,
}

impl Records {
    /// A batch whose header lies apart from its records, so that a retry can rewrite the one and share the other.
    #[must_use]
    pub fn from_parts(head: Bytes, body: Bytes) -> Self {
        Self { head, body }
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// No bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes as one; copied only if they lie in two places.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match (self.head.is_empty(), self.body.is_empty()) {
            (true, _) => self.body,
            (_, true) => self.head,
            _ => [self.head, self.body].concat().into(),
        }
    }
}

impl From<Bytes> for Records {
    fn from(body: Bytes) -> Self {
        Self { head: Bytes::new(), body }
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.head.iter().chain(&self.body).eq(other.head.iter().chain(&other.body))
    }
}

impl Eq for Records {}

impl Wire for Option<Records> {
    const TYPE: Type = Type::Records;

    fn encode(&self, out: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        encode_length(self.as_ref().map(Records::len), LengthField::Long, out, version)?;
        if let Some(records) = self {
            out.put_segment(records.head.clone());
            out.put_segment(records.body.clone());
        }
        Ok(())
    }

    fn decode(input: &mut Bytes, version: Version) -> Result<Self, DecodeError> {
        let Some(length) = decode_length(LengthField::Long, input, version)? else { return Ok(None) };
        Ok(Some(input.split_to(length).into()))
    }
}
