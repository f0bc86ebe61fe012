//! Kafka's primitive types on the wire, with every length bounded by the input before memory is taken for it.
use std::fmt;

use bytes::{Buf, Bytes};
use uuid::Uuid;

use crate::api_key::ApiKey;
use crate::encoder::Encoder;
use crate::schema::Type;

/// The version of a message, and whether it is encoded in the flexible format (KIP-482).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The version number of the API.
    pub number: i16,
    /// Compact lengths and tagged fields.
    pub flexible: bool,
}

/// Input that is not a valid encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a value.
    Truncated,
    /// A length that is negative, or larger than what is left of the input.
    Length(i64),
    /// A string that is not UTF-8.
    Utf8,
    /// A variable-length integer that is too long for its type.
    Varint,
    /// Bytes left over after the message, or after a tagged field of it.
    Trailing(usize),
    /// One tag twice.
    DuplicateTag(u32),
    /// Null where the version does not allow it.
    Null,
    /// A frame longer than the configured limit.
    FrameTooLong(usize),
    /// An API, or a version of one, that this crate does not know.
    Unknown {
        /// The API's number.
        api_key: i16,
        /// The version.
        version: i16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated => f.write_str("the input ends inside a value"),
            Self::Length(n) => write!(f, "length {n} does not fit the input"),
            Self::Utf8 => f.write_str("a string is not UTF-8"),
            Self::Varint => f.write_str("a variable-length integer is too long"),
            Self::Trailing(n) => write!(f, "{n} bytes are left over after the message or a tagged field of it"),
            Self::DuplicateTag(tag) => write!(f, "tag {tag} comes twice"),
            Self::Null => f.write_str("null where this version has no null"),
            Self::FrameTooLong(n) => write!(f, "a frame of {n} bytes is over the limit"),
            Self::Unknown { api_key, version } => match ApiKey::try_from(api_key) {
                Ok(api) => write!(f, "version {version} of {api} is not known"),
                Err(key) => write!(f, "API {key} is not known"),
            },
        }
    }
}

impl std::error::Error for DecodeError {}

/// A value that the chosen version of a message cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The field is set, and the version has no such field.
    Unsupported {
        /// Message and field.
        field: &'static str,
        /// The version it was to be encoded in.
        version: i16,
    },
    /// The field is null, and the version has no null for it.
    Null {
        /// Message and field.
        field: &'static str,
        /// The version it was to be encoded in.
        version: i16,
    },
    /// A string, array or record longer than its length field can say.
    TooLong(usize),
    /// The codec of the batch is not compiled in, or failed.
    Compression(&'static str),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { field, version } => write!(f, "version {version} cannot carry {field}"),
            Self::Null { field, version } => write!(f, "version {version} cannot carry null in {field}"),
            Self::TooLong(n) => write!(f, "a value of {n} bytes or items is too long for its length field"),
            Self::Compression(what) => write!(f, "compression failed: {what}"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// A value with one encoding per version.
pub trait Wire: Sized {
    /// What the value is in terms of Kafka's message schemas.
    const TYPE: Type;

    /// Writes the value.
    ///
    /// # Errors
    /// When `version` cannot carry it.
    fn encode(&self, out: &mut Encoder, version: Version) -> Result<(), EncodeError>;

    /// Reads the value from the front of `input`.
    ///
    /// # Errors
    /// When the bytes are not an encoding of one.
    fn decode(input: &mut Bytes, version: Version) -> Result<Self, DecodeError>;
}

macro_rules! fixed {
    ($($t:ty: $kind:ident, $get:ident;)*) => {$(
        impl Wire for $t {
            const TYPE: Type = Type::$kind;
            fn encode(&self, out: &mut Encoder, _: Version) -> Result<(), EncodeError> {
                out.put_slice(&self.to_be_bytes());
                Ok(())
            }
            fn decode(input: &mut Bytes, _: Version) -> Result<Self, DecodeError> {
                input.$get().map_err(|_| DecodeError::Truncated)
            }
        }
    )*};
}

fixed! {
    i8: Int8, try_get_i8;
    i16: Int16, try_get_i16;
    u16: Uint16, try_get_u16;
    i32: Int32, try_get_i32;
    u32: Uint32, try_get_u32;
    i64: Int64, try_get_i64;
    f64: Float64, try_get_f64;
}

impl Wire for bool {
    const TYPE: Type = Type::Bool;
    fn encode(&self, out: &mut Encoder, _: Version) -> Result<(), EncodeError> {
        out.put_slice(&[u8::from(*self)]);
        Ok(())
    }
    fn decode(input: &mut Bytes, version: Version) -> Result<Self, DecodeError> {
        Ok(i8::decode(input, version)? != 0)
    }
}

impl Wire for Uuid {
    const TYPE: Type = Type::Uuid;
    fn encode(&self, out: &mut Encoder, _: Version) -> Result<(), EncodeError> {
        out.put_slice(self.as_bytes());
        Ok(())
    }
    fn decode(input: &mut Bytes, _: Version) -> Result<Self, DecodeError> {
        input.try_get_u128().map(Self::from_u128).map_err(|_| DecodeError::Truncated)
    }
}

/// Reads an unsigned variable-length integer of at most 32 bits.
pub(crate) fn decode_varint(input: &mut Bytes) -> Result<u32, DecodeError> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = input.try_get_u8().map_err(|_| DecodeError::Truncated)?;
        if shift == 28 && byte > 0x0f {
            return Err(DecodeError::Varint);
        }
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(DecodeError::Varint)
}

/// How a length is written in versions that are not flexible.
#[derive(Clone, Copy)]
pub(crate) enum LengthField {
    /// Strings.
    Short,
    /// Bytes and arrays.
    Long,
}

/// Writes a length; `None` is null.
pub(crate) fn encode_length(
    length: Option<usize>,
    field: LengthField,
    out: &mut Encoder,
    version: Version,
) -> Result<(), EncodeError> {
    let too_long = |_| EncodeError::TooLong(length.unwrap_or(0));
    match (version.flexible, field) {
        (true, _) => {
            let plus_one = length.map_or(Ok(0), |n| u32::try_from(n + 1)).map_err(too_long)?;
            out.put_varint(plus_one);
        }
        (false, LengthField::Short) => {
            out.put_slice(&length.map_or(Ok(-1), i16::try_from).map_err(too_long)?.to_be_bytes());
        }
        (false, LengthField::Long) => {
            out.put_slice(&length.map_or(Ok(-1), i32::try_from).map_err(too_long)?.to_be_bytes());
        }
    }
    Ok(())
}

/// Reads a length and refuses one that the rest of the input cannot hold. `None` is null.
pub(crate) fn decode_length(
    field: LengthField,
    input: &mut Bytes,
    version: Version,
) -> Result<Option<usize>, DecodeError> {
    let length = match (version.flexible, field) {
        (true, _) => i64::from(decode_varint(input)?) - 1,
        (false, LengthField::Short) => i64::from(i16::decode(input, version)?),
        (false, LengthField::Long) => i64::from(i32::decode(input, version)?),
    };
    match usize::try_from(length) {
        Ok(n) if n <= input.remaining() => Ok(Some(n)),
        Err(_) if length == -1 => Ok(None),
        _ => Err(DecodeError::Length(length)),
    }
}

macro_rules! sized {
    ($t:ty, $kind:ident, $field:ident, |$value:ident| $bytes:expr, |$slice:ident| $from:expr) => {
        impl Wire for Option<$t> {
            const TYPE: Type = Type::$kind;
            fn encode(&self, out: &mut Encoder, version: Version) -> Result<(), EncodeError> {
                encode_length(self.as_ref().map(|v| v.len()), LengthField::$field, out, version)?;
                if let Some($value) = self {
                    out.put_slice($bytes);
                }
                Ok(())
            }
            fn decode(input: &mut Bytes, version: Version) -> Result<Self, DecodeError> {
                let Some(length) = decode_length(LengthField::$field, input, version)? else { return Ok(None) };
                let $slice = input.split_to(length);
                Ok(Some($from))
            }
        }
        impl Wire for $t {
            const TYPE: Type = Type::$kind;
            fn encode(&self, out: &mut Encoder, version: Version) -> Result<(), EncodeError> {
                encode_length(Some(self.len()), LengthField::$field, out, version)?;
                let $value = self;
                out.put_slice($bytes);
                Ok(())
            }
            fn decode(input: &mut Bytes, version: Version) -> Result<Self, DecodeError> {
                Option::decode(input, version)?.ok_or(DecodeError::Null)
            }
        }
    };
}

sized!(String, String, Short, |s| s.as_bytes(), |b| {
    std::str::from_utf8(&b).map_err(|_| DecodeError::Utf8)?.to_owned()
});
sized!(Bytes, Bytes, Long, |b| b, |b| b);

/// How many items of an array are taken memory for before any is read. More come as the input proves to hold them.
const ITEMS_AHEAD: usize = 64;

impl<T: Wire> Wire for Option<Vec<T>> {
    const TYPE: Type = Type::Array(&T::TYPE);
    fn encode(&self, out: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        encode_length(self.as_ref().map(Vec::len), LengthField::Long, out, version)?;
        self.iter().flatten().try_for_each(|item| item.encode(out, version))
    }
    fn decode(input: &mut Bytes, version: Version) -> Result<Self, DecodeError> {
        let Some(length) = decode_length(LengthField::Long, input, version)? else { return Ok(None) };
        let mut items = Vec::with_capacity(length.min(ITEMS_AHEAD));
        for _ in 0..length {
            items.push(T::decode(input, version)?);
        }
        Ok(Some(items))
    }
}

impl<T: Wire> Wire for Vec<T> {
    const TYPE: Type = Type::Array(&T::TYPE);
    fn encode(&self, out: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        encode_length(Some(self.len()), LengthField::Long, out, version)?;
        self.iter().try_for_each(|item| item.encode(out, version))
    }
    fn decode(input: &mut Bytes, version: Version) -> Result<Self, DecodeError> {
        Option::decode(input, version)?.ok_or(DecodeError::Null)
    }
}

/// Reads the tagged fields of a struct and hands each to `known`, which says whether it knows the tag: such a value has to
/// be as long as it says.
pub(crate) fn decode_tagged(
    input: &mut Bytes,
    mut known: impl FnMut(u32, &mut Bytes) -> Result<bool, DecodeError>,
) -> Result<(), DecodeError> {
    let mut previous = None;
    for _ in 0..decode_varint(input)? {
        let tag = decode_varint(input)?;
        if previous.is_some_and(|p| p >= tag) {
            return Err(DecodeError::DuplicateTag(tag));
        }
        previous = Some(tag);
        let length = decode_varint(input)? as usize;
        if length > input.remaining() {
            return Err(DecodeError::Length(length as i64));
        }
        let mut value = input.split_to(length);
        if known(tag, &mut value)? && value.has_remaining() {
            return Err(DecodeError::Trailing(value.remaining()));
        }
    }
    Ok(())
}
