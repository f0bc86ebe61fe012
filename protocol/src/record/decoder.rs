//! The records of a batch, borrowed from its bytes.
use bytes::Bytes;

use super::batch::{RecordBatch, TimestampType};
use super::{Header, RecordError, varint};

/// A batch whose records can be read.
#[derive(Clone, Debug)]
pub struct DecodedBatch {
    records: Bytes,
    count: u32,
    base_offset: i64,
    base_timestamp: i64,
    /// What every record's timestamp is, when the broker has set it.
    append_time: Option<i64>,
}

/// A record, borrowed from the batch it came in.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch; -1: none.
    pub timestamp: i64,
    /// The key; null and empty differ.
    pub key: Option<&'a [u8]>,
    /// The value; null and empty differ.
    pub value: Option<&'a [u8]>,
    header_count: u32,
    headers: &'a [u8],
}

impl DecodedBatch {
    pub(super) fn new(batch: &RecordBatch, records: Bytes) -> Self {
        Self {
            records,
            count: u32::try_from(batch.record_count()).unwrap_or(0),
            base_offset: batch.base_offset(),
            base_timestamp: batch.base_timestamp(),
            append_time: (batch.timestamp_type() == TimestampType::LogAppendTime).then(|| batch.max_timestamp()),
        }
    }

    /// The records in order. After an error there are no more.
    #[must_use]
    pub fn records(&self) -> RecordIter<'_> {
        self.resume(RecordPosition::default())
    }

    /// The records from where an earlier iteration stood ([`RecordIter::position`]).
    #[must_use]
    pub fn resume(&self, position: RecordPosition) -> RecordIter<'_> {
        RecordIter { batch: self, rest: self.records.get(position.at..).unwrap_or_default(), index: position.index }
    }

    /// Bytes of the records, decompressed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// No bytes of records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The offset of the first record the batch was written with.
    #[must_use]
    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// How many records the batch says it holds.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Owned bytes of a key, value or header of a record of this batch; not copied.
    ///
    /// `None`: the slice is not from this batch.
    #[must_use]
    pub fn share(&self, slice: &[u8]) -> Option<Bytes> {
        let range = self.records.as_ptr_range();
        let inside = slice.is_empty() || (range.contains(&slice.as_ptr()) && slice.as_ptr_range().end <= range.end);
        inside.then(|| self.records.slice_ref(slice))
    }
}

/// Where an iteration over the records of a batch stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordPosition {
    at: usize,
    index: u32,
}

/// The records of a batch in order.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    batch: &'a DecodedBatch,
    rest: &'a [u8],
    index: u32,
}

impl<'a> RecordIter<'a> {
    /// Where the iteration stands.
    #[must_use]
    pub fn position(&self) -> RecordPosition {
        RecordPosition { at: self.batch.records.len() - self.rest.len(), index: self.index }
    }

    /// As Kafka's client: a batch that counts too few records is damaged.
    #[cold]
    fn end(&mut self) -> Option<Result<Record<'a>, RecordError>> {
        let left_over = !std::mem::take(&mut self.rest).is_empty();
        left_over.then(|| Err(self.malformed(self.index, "bytes are left over after the last")))
    }

    #[cold]
    fn malformed(&self, index: u32, reason: &'static str) -> RecordError {
        RecordError::Record { base_offset: self.batch.base_offset, index, reason }
    }

    #[inline(always)]
    fn parse(&mut self) -> Result<Record<'a>, &'static str> {
        const CUT: &str = "it is cut short";
        let length = varint::take_count(&mut self.rest).ok_or(CUT)?.ok_or("its length is negative")?;
        let (mut record, rest) = self.rest.split_at_checked(length as usize).ok_or("its length goes past the batch")?;
        self.rest = rest;
        let (_attributes, fields) = record.split_first().ok_or(CUT)?;
        record = fields;
        let timestamp_delta = varint::take(&mut record).ok_or(CUT)?;
        let offset_delta = varint::take_i32(&mut record).ok_or(CUT)?;
        let key = nullable(&mut record)?;
        let value = nullable(&mut record)?;
        let header_count = varint::take_count(&mut record).ok_or(CUT)?.ok_or("its header count is negative")?;
        // A header takes two bytes at least.
        if header_count as usize > record.len() / 2 {
            return Err("it has fewer headers than it says");
        }
        if header_count == 0 && !record.is_empty() {
            return Err("bytes are left over after it");
        }
        Ok(Record {
            offset: self.batch.base_offset.saturating_add(i64::from(offset_delta)),
            timestamp: match self.batch.append_time {
                Some(time) => time,
                None => self.batch.base_timestamp.checked_add(timestamp_delta).ok_or("its timestamp overflows")?,
            },
            key,
            value,
            header_count,
            headers: record,
        })
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.index;
        if index >= self.batch.count {
            return self.end();
        }
        match self.parse() {
            Ok(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            Err(reason) => {
                self.index = self.batch.count;
                self.rest = &[];
                Some(Err(self.malformed(index, reason)))
            }
        }
    }

    /// Skips by the records' lengths alone, without looking into them.
    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        for _ in 0..n {
            if self.index >= self.batch.count {
                return None;
            }
            let skipped = varint::take_count(&mut self.rest)
                .flatten()
                .and_then(|length| self.rest.split_at_checked(length as usize));
            let Some((_, rest)) = skipped else {
                let index = std::mem::replace(&mut self.index, self.batch.count);
                return Some(Err(self.malformed(index, "its length goes past the batch")));
            };
            self.rest = rest;
            self.index += 1;
        }
        self.next()
    }
}

#[inline]
fn nullable<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let length = varint::take_length(input).ok_or("it is cut short")?;
    let Some(length) = length.map_err(|_| "a length in it is negative")? else { return Ok(None) };
    let (bytes, rest) = input.split_at_checked(length).ok_or("a length in it goes past its end")?;
    *input = rest;
    Ok(Some(bytes))
}

impl<'a> Record<'a> {
    /// Its headers, in order.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: self.headers, left: self.header_count, offset: self.offset }
    }
}

/// The headers of a record.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: u32,
    /// Of the record.
    offset: i64,
}

impl<'a> Iterator for Headers<'a> {
    /// `Err` is what is wrong with the header; there are no more after it.
    type Item = Result<Header<'a>, RecordError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let Some(left) = self.left.checked_sub(1) else {
            // As Kafka's client: a record that counts too few headers is damaged.
            return if self.rest.is_empty() {
                None
            } else {
                Some(Err(self.malformed("bytes are left over after the last")))
            };
        };
        self.left = left;
        Some(header(&mut self.rest).map_err(|reason| self.malformed(reason)))
    }
}

impl Headers<'_> {
    #[cold]
    fn malformed(&mut self, reason: &'static str) -> RecordError {
        (self.left, self.rest) = (0, &[]);
        RecordError::Headers { offset: self.offset, reason }
    }
}

#[inline]
fn header<'a>(input: &mut &'a [u8]) -> Result<Header<'a>, &'static str> {
    let key = nullable(input)?.ok_or("a header has no key")?;
    let key = std::str::from_utf8(key).map_err(|_| "the key of a header is not UTF-8")?;
    Ok(Header { key, value: nullable(input)? })
}
