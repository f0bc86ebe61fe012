//! Building a batch: one pass, one copy of each record's bytes.
use bytes::Bytes;

use super::batch::{HEADER_SIZE, field};
use super::crc::Shift;
use super::fields::Fields;
use super::{Header, Records};
use crate::compression::{Compression, compress};
use crate::wire::EncodeError;

/// An open batch that records are appended to.
///
/// The header's place is kept at the front of the buffer, and is filled in when the batch is finished.
#[derive(Debug)]
pub struct BatchBuilder {
    /// As long as its capacity; what lies behind `used` is of no meaning. So a record's place need not be cleared first.
    buffer: Vec<u8>,
    used: usize,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch with room for `bytes` bytes, its header included.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self::over(vec![0; bytes.max(HEADER_SIZE)])
    }

    /// An empty batch in a buffer that was used before; what it holds is thrown away.
    #[must_use]
    pub fn from_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.resize(buffer.capacity().max(HEADER_SIZE), 0);
        Self::over(buffer)
    }

    fn over(buffer: Vec<u8>) -> Self {
        Self { buffer, used: HEADER_SIZE, count: 0, base_timestamp: 0, max_timestamp: 0 }
    }

    /// Bytes so far, the header included, before compression.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used
    }

    /// Bytes that can be added before the buffer has to grow.
    #[must_use]
    pub fn room(&self) -> usize {
        self.buffer.len() - self.used
    }

    /// Records so far.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// No record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The latest timestamp, in milliseconds since the epoch.
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// The exact number of bytes that this record would add.
    #[must_use]
    pub fn size_of(&self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> usize {
        self.fields(timestamp, key, value, headers).size().whole
    }

    /// Appends a record if the batch is then no longer than `limit` bytes, or if it is the first one.
    /// Its offset in the batch is the [`count`](Self::count) from before. `false`: nothing was done.
    #[inline]
    pub fn try_append(
        &mut self,
        limit: usize,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> bool {
        self.append_short(limit, timestamp, key, value, headers)
            || self.append_exactly(limit, timestamp, key, value, headers)
    }

    /// Appends a record, however long the batch becomes.
    pub fn append(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        if !self.append_short(usize::MAX, timestamp, key, value, headers) {
            self.append_exactly(usize::MAX, timestamp, key, value, headers);
        }
    }

    /// The buffer, to build another batch in; what was appended is lost.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Closes the batch and compresses its records. Who wrote it is stamped on later:
    /// [`FinishedBatch::stamp`].
    ///
    /// # Errors
    /// When the codec is not compiled in or fails.
    pub fn finish(mut self, compression: Compression, level: Option<i32>) -> Result<FinishedBatch, EncodeError> {
        let head = BatchHeader {
            attributes: compression.code(),
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            count: self.count,
        }
        .encode();
        let buffer = if compression == Compression::None {
            self.buffer.truncate(self.used);
            self.buffer
        } else {
            let mut out = vec![0; HEADER_SIZE];
            out.reserve(self.used / 2);
            let records = self.buffer.get(HEADER_SIZE..self.used).unwrap_or_default();
            compress(compression, level, records, &mut out)?;
            out
        };
        FinishedBatch::new(head, Bytes::from(buffer), self.count, self.max_timestamp)
    }

    #[inline(always)]
    fn fields<'a>(
        &self,
        timestamp: i64,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: &'a [Header<'a>],
    ) -> Fields<'a> {
        // Times before 1970 and at the end of time in one batch come closer together: no delta spans them.
        let timestamp_delta = if self.count == 0 { 0 } else { timestamp.saturating_sub(self.base_timestamp) };
        Fields { timestamp_delta, offset_delta: self.count, key, value, headers }
    }

    /// Appends a record as there are the most: not the first one, with room for it, and short. `false`: nothing was done.
    #[inline(always)]
    fn append_short(
        &mut self,
        limit: usize,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> bool {
        if !(1..i32::MAX).contains(&self.count) {
            return false;
        }
        let Some(timestamp_delta) = timestamp.checked_sub(self.base_timestamp) else { return false };
        let fields = Fields { timestamp_delta, offset_delta: self.count, key, value, headers };
        let end = self.buffer.len().min(limit);
        let Some(place) = self.buffer.get_mut(self.used..end) else { return false };
        let Some(size) = fields.write_short(place) else { return false };
        self.used += size;
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        true
    }

    /// Appends any record. (One more than `i32::MAX` is lost, but then the batch is too long to be closed.)
    #[inline(never)]
    fn append_exactly(
        &mut self,
        limit: usize,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> bool {
        let fields = self.fields(timestamp, key, value, headers);
        let size = fields.size();
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        } else if self.used.saturating_add(size.whole) > limit || self.count == i32::MAX {
            return false;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
        let start = self.used;
        self.used += size.whole;
        if self.used > self.buffer.len() {
            self.grow();
        }
        fields.write(size, &mut self.buffer[start..self.used]);
        true
    }

    #[cold]
    fn grow(&mut self) {
        self.buffer.reserve(self.used - self.buffer.len());
        self.buffer.resize(self.buffer.capacity(), 0);
    }
}

/// The fields of a header that are known when a batch is closed; nobody has stamped it yet.
pub(super) struct BatchHeader {
    pub(super) attributes: u8,
    pub(super) last_offset_delta: i32,
    pub(super) base_timestamp: i64,
    pub(super) max_timestamp: i64,
    pub(super) count: i32,
}

impl BatchHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut head = [0; HEADER_SIZE];
        let mut put = |range: std::ops::Range<usize>, bytes: &[u8]| head[range].copy_from_slice(bytes);
        put(field::LEADER_EPOCH, &(-1i32).to_be_bytes());
        put(field::MAGIC, &[2]);
        put(field::ATTRIBUTES, &i16::from(self.attributes).to_be_bytes());
        put(field::LAST_OFFSET_DELTA, &self.last_offset_delta.to_be_bytes());
        put(field::BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(field::MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        put(field::PRODUCER_ID, &(-1i64).to_be_bytes());
        put(field::PRODUCER_EPOCH, &(-1i16).to_be_bytes());
        put(field::BASE_SEQUENCE, &(-1i32).to_be_bytes());
        put(field::COUNT, &self.count.to_be_bytes());
        head
    }
}

/// Who wrote a batch: what the broker checks to keep a log free of duplicates and holes (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    /// The producer id; -1 without idempotence.
    pub producer_id: i64,
    /// Its epoch; -1 without idempotence.
    pub epoch: i16,
    /// The sequence number of the first record; -1 without idempotence.
    pub base_sequence: i32,
    /// Part of a transaction.
    pub transactional: bool,
}

/// A closed batch. Stamping it again for a retry costs neither a copy nor another compression.
#[derive(Debug)]
pub struct FinishedBatch {
    head: [u8; HEADER_SIZE],
    /// The whole batch; its first [`HEADER_SIZE`] bytes are not used.
    buffer: Bytes,
    body_crc: u32,
    /// What moves a checksum over the body.
    shift: Shift,
    count: i32,
    max_timestamp: i64,
}

impl FinishedBatch {
    fn new(mut head: [u8; HEADER_SIZE], buffer: Bytes, count: i32, max_timestamp: i64) -> Result<Self, EncodeError> {
        // The length field covers what comes after it.
        let length = i32::try_from(buffer.len() - field::LENGTH.end).map_err(|_| EncodeError::TooLong(buffer.len()))?;
        head[field::LENGTH].copy_from_slice(&length.to_be_bytes());
        let body_crc = crc32c::crc32c(&buffer[HEADER_SIZE..]);
        let shift = Shift::over(buffer.len() - HEADER_SIZE);
        let mut batch = Self { head, buffer, body_crc, shift, count, max_timestamp };
        batch.seal();
        Ok(batch)
    }

    /// Writes who sends the batch into its header.
    pub fn stamp(&mut self, stamp: ProducerStamp) {
        let mut put = |range: std::ops::Range<usize>, bytes: &[u8]| self.head[range].copy_from_slice(bytes);
        put(field::PRODUCER_ID, &stamp.producer_id.to_be_bytes());
        put(field::PRODUCER_EPOCH, &stamp.epoch.to_be_bytes());
        put(field::BASE_SEQUENCE, &stamp.base_sequence.to_be_bytes());
        let low = &mut self.head[field::ATTRIBUTES.end - 1];
        *low = *low & !field::TRANSACTIONAL | if stamp.transactional { field::TRANSACTIONAL } else { 0 };
        self.seal();
    }

    /// The batch for a request.
    #[must_use]
    pub fn records(&self) -> Records {
        Records::from_parts(Bytes::copy_from_slice(&self.head), self.buffer.slice(HEADER_SIZE..))
    }

    /// Bytes in all, as sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// No records. A builder without records gives such a batch; brokers refuse it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Records in the batch.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// The latest timestamp, in milliseconds since the epoch.
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// The buffer, to build another batch in; `None` while a request still holds its bytes.
    #[must_use]
    pub fn into_buffer(self) -> Option<Vec<u8>> {
        self.buffer.is_unique().then(|| Vec::from(self.buffer))
    }

    /// The checksum covers all from the attributes on. Only the header's part of it is computed anew.
    fn seal(&mut self) {
        let head_crc = crc32c::crc32c(&self.head[field::ATTRIBUTES.start..]);
        let crc = self.shift.combine(head_crc, self.body_crc);
        self.head[field::CRC].copy_from_slice(&crc.to_be_bytes());
    }
}
