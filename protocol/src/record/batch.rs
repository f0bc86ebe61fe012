//! One batch as a broker stores it: its header is read where it lies, its records only when asked for.
use bytes::Bytes;

use super::RecordError;
use super::control::ControlMarker;
use super::decoder::DecodedBatch;
use crate::compression::{Compression, decompress};

/// Bytes of the header of a batch.
pub const HEADER_SIZE: usize = 61;

/// Bytes of a record without anything in it: every field takes one.
const SHORTEST_RECORD: usize = 7;

/// Where the fields of the header lie (`DefaultRecordBatch.java`).
pub(crate) mod field {
    use std::ops::Range;

    pub(crate) const BASE_OFFSET: Range<usize> = 0..8;
    pub(crate) const LENGTH: Range<usize> = 8..12;
    pub(crate) const LEADER_EPOCH: Range<usize> = 12..16;
    pub(crate) const MAGIC: Range<usize> = 16..17;
    pub(crate) const CRC: Range<usize> = 17..21;
    pub(crate) const ATTRIBUTES: Range<usize> = 21..23;
    pub(crate) const LAST_OFFSET_DELTA: Range<usize> = 23..27;
    pub(crate) const BASE_TIMESTAMP: Range<usize> = 27..35;
    pub(crate) const MAX_TIMESTAMP: Range<usize> = 35..43;
    pub(crate) const PRODUCER_ID: Range<usize> = 43..51;
    pub(crate) const PRODUCER_EPOCH: Range<usize> = 51..53;
    pub(crate) const BASE_SEQUENCE: Range<usize> = 53..57;
    pub(crate) const COUNT: Range<usize> = 57..61;

    /// Bits of the low byte of the attributes.
    pub(crate) const COMPRESSION: u8 = 0x07;
    pub(crate) const LOG_APPEND_TIME: u8 = 0x08;
    pub(crate) const TRANSACTIONAL: u8 = 0x10;
    pub(crate) const CONTROL: u8 = 0x20;
    pub(crate) const DELETE_HORIZON: u8 = 0x40;
}

/// Whose clock a timestamp is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, or the application's.
    CreateTime,
    /// The broker's: every record of the batch has the batch's time.
    LogAppendTime,
}

/// A batch of magic 2.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    bytes: Bytes,
}

impl RecordBatch {
    /// `bytes` are a whole batch.
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// Takes the next batch off the front of `records`. `None`: there is no further whole batch, since brokers cut the
    /// last one of a fetch wherever the size limit falls.
    ///
    /// # Errors
    /// When the length or magic byte of the batch is not one that can be read. Magic 0 and 1 are for
    /// [`take_message_set`](super::take_message_set).
    pub fn split_from(records: &mut Bytes) -> Result<Option<Self>, RecordError> {
        let Some(length) = records.get(field::LENGTH).and_then(|b| b.try_into().ok()).map(i32::from_be_bytes) else {
            return Ok(None);
        };
        let size = usize::try_from(length).map_err(|_| RecordError::Truncated)?.saturating_add(field::LENGTH.end);
        if size > records.len() {
            return Ok(None);
        }
        match records.get(field::MAGIC.start) {
            Some(2) if size >= HEADER_SIZE => Ok(Some(Self { bytes: records.split_to(size) })),
            Some(2) | None => Err(RecordError::Truncated),
            Some(&magic) => Err(RecordError::Magic(magic as i8)),
        }
    }

    /// The whole batch, header included.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The offset of the first record the batch was written with.
    #[must_use]
    pub fn base_offset(&self) -> i64 {
        i64::from_be_bytes(self.array(field::BASE_OFFSET))
    }

    /// The offset of the last record the batch was written with, also when compaction has removed it.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset().saturating_add(i64::from(i32::from_be_bytes(self.array(field::LAST_OFFSET_DELTA))))
    }

    /// Where to read on after this batch.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The epoch of the leader that appended the batch; -1: unknown.
    #[must_use]
    pub fn partition_leader_epoch(&self) -> i32 {
        i32::from_be_bytes(self.array(field::LEADER_EPOCH))
    }

    /// The producer's id; -1: not idempotent.
    #[must_use]
    pub fn producer_id(&self) -> i64 {
        i64::from_be_bytes(self.array(field::PRODUCER_ID))
    }

    /// The producer's epoch; -1: not idempotent.
    #[must_use]
    pub fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(self.array(field::PRODUCER_EPOCH))
    }

    /// The sequence number of the first record; -1: not idempotent.
    #[must_use]
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(self.array(field::BASE_SEQUENCE))
    }

    /// How many records the batch says it holds.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(self.array(field::COUNT))
    }

    /// What the timestamps of the records are counted from, in milliseconds since the epoch: that of the first record, or
    /// the delete horizon where there is one.
    #[must_use]
    pub fn base_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.array(field::BASE_TIMESTAMP))
    }

    /// When compaction may drop the tombstones and end markers of this batch, in milliseconds since the epoch (KIP-534);
    /// `None`: it was not compacted yet, or holds none.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes() & field::DELETE_HORIZON != 0).then(|| self.base_timestamp())
    }

    /// The latest timestamp, in milliseconds since the epoch.
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.array(field::MAX_TIMESTAMP))
    }

    /// Part of a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes() & field::TRANSACTIONAL != 0
    }

    /// Holds a marker of the broker's, and no records of an application.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes() & field::CONTROL != 0
    }

    /// Whose clock the timestamps are from.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes() & field::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// The codec of the records.
    ///
    /// # Errors
    /// When the code is not known.
    pub fn compression(&self) -> Result<Compression, RecordError> {
        let code = self.attributes() & field::COMPRESSION;
        Compression::from_code(code).ok_or(RecordError::Compression(code))
    }

    /// Compares the checksum with the bytes.
    ///
    /// # Errors
    /// When they differ.
    pub fn verify_crc(&self) -> Result<(), RecordError> {
        let stated = u32::from_be_bytes(self.array(field::CRC));
        let computed = crc32c::crc32c(self.bytes.get(field::ATTRIBUTES.start..).unwrap_or_default());
        if stated == computed { Ok(()) } else { Err(RecordError::Crc { stated, computed }) }
    }

    /// The records, decompressed to at most `limit` bytes. Without compression nothing is copied.
    ///
    /// # Errors
    /// When the data is damaged, larger than `limit`, or in a codec that is not compiled in, or when the number of
    /// records is one that so many bytes cannot hold.
    pub fn decompress(&self, limit: usize) -> Result<DecodedBatch, RecordError> {
        let impossible = |reason| RecordError::Record { base_offset: self.base_offset(), index: 0, reason };
        let count = usize::try_from(self.record_count()).map_err(|_| impossible("the batch counts fewer than none"))?;
        let body = self.bytes.slice(HEADER_SIZE..);
        let records = match self.compression()? {
            // Compaction has emptied it: it may still name a codec, and there is nothing to decompress.
            _ if count == 0 => Bytes::new(),
            Compression::None => body,
            codec => decompress(codec, &body, limit)?.into(),
        };
        if count > records.len() / SHORTEST_RECORD {
            return Err(impossible("the batch counts more records than its bytes can hold"));
        }
        Ok(DecodedBatch::new(self, records))
    }

    /// What a control batch says; `None` if it is none, or of a kind that does not concern clients.
    ///
    /// # Errors
    /// When the record in it is malformed.
    pub fn control_marker(&self) -> Result<Option<ControlMarker>, RecordError> {
        if !self.is_control() {
            return Ok(None);
        }
        let batch = self.decompress(self.bytes.len())?;
        let Some(record) = batch.records().next() else { return Ok(None) };
        Ok(ControlMarker::parse(&record?))
    }

    fn attributes(&self) -> u8 {
        self.bytes.get(field::ATTRIBUTES.end - 1).copied().unwrap_or(0)
    }

    /// A field of the header, which `split_from` has made sure is there.
    fn array<const N: usize>(&self, range: std::ops::Range<usize>) -> [u8; N] {
        self.bytes.get(range).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }
}
