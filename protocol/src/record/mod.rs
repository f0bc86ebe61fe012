//! Record batches: built append-only, read without copying.
mod batch;
mod builder;
mod control;
mod crc;
mod decoder;
mod fields;
mod legacy;
mod message_set;
mod records;
pub(crate) mod varint;

pub use batch::{HEADER_SIZE, RecordBatch, TimestampType};
pub use builder::{BatchBuilder, FinishedBatch, ProducerStamp};
pub use control::ControlMarker;
pub use decoder::{DecodedBatch, Headers, Record, RecordIter, RecordPosition};
pub use legacy::{is_message_set, take_message_set};
pub use message_set::{MessageMagic, MessageSetBuilder};
pub use records::Records;

use std::fmt;

/// A header of a record. Headers are an ordered list; one key may come more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name.
    pub key: &'a str,
    /// The value; null and empty differ.
    pub value: Option<&'a [u8]>,
}

/// A batch that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The batch is shorter than its header says, or than a header.
    Truncated,
    /// A magic byte that is not supported.
    Magic(i8),
    /// The checksum does not match the bytes.
    Crc {
        /// As the batch says.
        stated: u32,
        /// As the bytes give.
        computed: u32,
    },
    /// A compression code that is not known, or not compiled in.
    Compression(u8),
    /// The compressed data is damaged.
    Decompress,
    /// The batch is larger than the limit when decompressed.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A record that is malformed.
    Record {
        /// The offset of the first record of its batch.
        base_offset: i64,
        /// Its index in the batch.
        index: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A record whose headers are malformed: its other fields were good.
    Headers {
        /// Its offset.
        offset: i64,
        /// What is wrong with them.
        reason: &'static str,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the batch is cut short"),
            Self::Magic(magic) => write!(f, "magic byte {magic} is not supported"),
            Self::Crc { stated, computed } => {
                write!(f, "the checksum is {computed:08x} but the batch says {stated:08x}")
            }
            Self::Compression(code) => write!(f, "compression code {code} is not supported by this build"),
            Self::Decompress => f.write_str("the compressed data is damaged"),
            Self::TooLarge { limit } => write!(f, "the batch is larger than {limit} bytes when decompressed"),
            Self::Record { base_offset, index, reason } => {
                write!(f, "record {index} of the batch at offset {base_offset}: {reason}")
            }
            Self::Headers { offset, reason } => write!(f, "the headers of the record at offset {offset}: {reason}"),
        }
    }
}

impl std::error::Error for RecordError {}
