//! Offsets and timestamps of the records of one batch: only read when a timestamp is searched, never on produce.

use std::ops::Range;

use bytes::Bytes;

use super::batch::{BatchHeader, HEADER_SIZE};

/// Offset and timestamp of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
}

/// All records of a batch. Records of a compressed batch are not looked into: such a batch counts as its first record
/// with the base timestamp and its last record with the maximum.
pub(crate) fn stamps(batch: &[u8], header: &BatchHeader) -> Vec<Stamp> {
    if header.is_log_append_time() {
        return vec![Stamp { offset: header.base_offset, timestamp: header.max_timestamp }];
    }
    if header.compression() != 0 {
        return vec![
            Stamp { offset: header.base_offset, timestamp: header.base_timestamp },
            Stamp { offset: header.last_offset(), timestamp: header.max_timestamp },
        ];
    }
    let mut reader = Reader { bytes: batch.get(HEADER_SIZE..).unwrap_or_default() };
    let mut found = Vec::new();
    while let Some((timestamp_delta, offset_delta)) = reader.record() {
        found.push(Stamp {
            offset: header.base_offset.saturating_add(offset_delta),
            timestamp: header.base_timestamp.saturating_add(timestamp_delta),
        });
    }
    found
}

/// One record as bytes.
#[derive(Debug, Clone)]
pub(crate) struct RawRecord {
    pub(crate) offset: i64,
    /// Length and all.
    pub(crate) bytes: Bytes,
    pub(crate) key: Option<Bytes>,
}

/// All records of a batch that is not compressed.
pub(crate) fn raw_records(batch: &Bytes, header: &BatchHeader) -> Vec<RawRecord> {
    let mut found = Vec::new();
    let mut at = HEADER_SIZE;
    while let Some((size, offset_delta, key)) = batch.get(at..).and_then(raw_record) {
        let key = key.map(|key| batch.slice(at + key.start..at + key.end));
        let offset = header.base_offset.saturating_add(offset_delta);
        found.push(RawRecord { offset, bytes: batch.slice(at..at + size), key });
        at += size;
    }
    found
}

/// Size, offset delta and where the key is, of the record at the start of `bytes`.
fn raw_record(bytes: &[u8]) -> Option<(usize, i64, Option<Range<usize>>)> {
    let mut reader = Reader { bytes };
    let length = usize::try_from(reader.varlong()?).ok()?;
    let size = (bytes.len() - reader.bytes.len()).checked_add(length).filter(|&size| size <= bytes.len())?;
    reader.bytes = reader.bytes.get(1..)?; // attributes
    let (_, offset_delta) = (reader.varlong()?, reader.varlong()?);
    let key_length = usize::try_from(reader.varlong()?);
    let start = bytes.len() - reader.bytes.len();
    let key = match key_length {
        Ok(length) => Some(start..start.checked_add(length).filter(|&end| end <= size)?),
        Err(_) => None,
    };
    Some((size, offset_delta, key))
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn record(&mut self) -> Option<(i64, i64)> {
        let length = usize::try_from(self.varlong()?).ok()?;
        let rest = self.bytes.get(length..)?;
        self.bytes = self.bytes.get(1..)?; // attributes
        let deltas = (self.varlong()?, self.varlong()?);
        self.bytes = rest;
        Some(deltas)
    }

    fn varlong(&mut self) -> Option<i64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::Build;
    use super::*;

    #[test]
    fn every_record_of_a_foreign_batch_is_seen() {
        let bytes = Build::timestamps(&[100, 90, 5_000_000_000]).value_size(300).build();
        let header = BatchHeader::read(&bytes).unwrap();
        let seen: Vec<_> = stamps(&bytes, &header).into_iter().map(|stamp| (stamp.offset, stamp.timestamp)).collect();
        assert_eq!(seen, [(0, 100), (1, 90), (2, 5_000_000_000)]);
    }

    #[test]
    fn cut_records_end_the_list() {
        let bytes = Build::timestamps(&[1, 2]).build();
        let header = BatchHeader::read(&bytes).unwrap();
        assert_eq!(stamps(&bytes[..bytes.len() - 3], &header).len(), 1);
    }
}
