//! The codecs of record batches.
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;
use std::str::FromStr;

use crate::record::RecordError;
use crate::wire::EncodeError;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip; levels 1 to 9, -1 is the default.
    Gzip,
    /// Snappy in xerial's framing; no levels.
    Snappy,
    /// LZ4 frames. A level, 1 to 17, is taken but has no effect: `lz4_flex`, the codec without C, has only LZ4's fast
    /// compressor. That is what Kafka's client uses at level 9, its default; at any other it uses the slower one of high
    /// compression.
    Lz4,
    /// Zstandard; levels -131072 to 22, 3 is the default. Brokers from 2.1 on.
    Zstd,
}

impl Compression {
    /// All codecs.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in the attributes of a batch.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The codec of a number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.code() == code)
    }

    /// The name in Kafka's `compression.type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Whether this build has the codec.
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| format!("{name:?} is none of {}", known()))
    }
}

/// Appends the compressed `input` to `out`.
///
/// # Errors
/// When the codec is not compiled in or fails.
#[allow(unused_variables, reason = "without codecs")]
pub fn compress(codec: Compression, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match codec {
        Compression::None => out.extend_from_slice(input),
        #[cfg(feature = "gzip")]
        Compression::Gzip => gzip::compress(level, input, out).map_err(|_| EncodeError::Compression("gzip"))?,
        #[cfg(feature = "snappy")]
        Compression::Snappy => snappy::compress(input, out).map_err(|_| EncodeError::Compression("snappy"))?,
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::compress(input, out).map_err(|_| EncodeError::Compression("lz4"))?,
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::compress(level, input, out).map_err(|_| EncodeError::Compression("zstd"))?,
        #[allow(unreachable_patterns, reason = "without all codecs")]
        other => return Err(EncodeError::Compression("this build does not have the codec")),
    }
    Ok(())
}

/// Gives an LZ4 frame the header checksum that brokers before 0.10 expect.
#[allow(unused_variables, reason = "without the codec there is no such frame")]
pub(crate) fn break_lz4_checksum(frame: &mut [u8]) {
    #[cfg(feature = "lz4")]
    lz4::break_checksum(frame);
}

/// Decompresses `input` to at most `limit` bytes.
///
/// # Errors
/// When the data is damaged, larger than `limit`, or in a codec that is not compiled in.
pub fn decompress(codec: Compression, input: &[u8], limit: usize) -> Result<Vec<u8>, RecordError> {
    match codec {
        Compression::None if input.len() > limit => Err(RecordError::TooLarge { limit }),
        Compression::None => Ok(input.to_vec()),
        #[cfg(feature = "gzip")]
        Compression::Gzip => read_capped(gzip::reader(input), input, limit),
        #[cfg(feature = "snappy")]
        Compression::Snappy => snappy::decompress(input, limit),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::decompress(input, limit),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::decompress(input, limit),
        #[allow(unreachable_patterns, reason = "without all codecs")]
        other => Err(RecordError::Compression(other.code())),
    }
}

/// Room for so much more than the input is made at once: records of text seldom compress better.
#[cfg(any(feature = "gzip", feature = "zstd"))]
const USUAL_RATIO: usize = 6;

#[cfg(any(feature = "gzip", feature = "zstd"))]
fn usual_room(input: &[u8], limit: usize) -> usize {
    input.len().saturating_mul(USUAL_RATIO).min(limit)
}

/// Gives memory back that turned out not to be needed.
#[cfg(any(feature = "lz4", feature = "zstd"))]
fn give_back(out: &mut Vec<u8>) {
    if out.capacity() / 2 > out.len() {
        out.shrink_to_fit();
    }
}

/// Reads to the end, or to one byte past the limit: what a header claims of the size is not believed.
#[cfg(feature = "gzip")]
fn read_capped(reader: impl std::io::Read, input: &[u8], limit: usize) -> Result<Vec<u8>, RecordError> {
    use std::io::Read;
    let mut out = Vec::with_capacity(usual_room(input, limit));
    let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(cap).read_to_end(&mut out).map_err(|_| RecordError::Decompress)?;
    if out.len() > limit { Err(RecordError::TooLarge { limit }) } else { Ok(out) }
}
