//! The records of one batch: only read when a timestamp is searched or a log compacted, and on produce where each needs
//! a key.

use std::ops::Range;

use bytes::Bytes;

use super::batch::{BatchHeader, HEADER_SIZE};
use super::codec;

/// Offset and timestamp of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
}

/// All records of a batch.
pub(crate) fn stamps(batch: &Bytes, header: &BatchHeader) -> Vec<Stamp> {
    let body = body(batch, header);
    let mut reader = Reader { bytes: &body };
    let mut found = Vec::new();
    while let Some((timestamp_delta, offset_delta)) = reader.record() {
        found.push(Stamp {
            offset: header.base_offset.saturating_add(offset_delta),
            // With the broker's time all records have that of the batch.
            timestamp: if header.is_log_append_time() {
                header.max_timestamp
            } else {
                header.base_timestamp.saturating_add(timestamp_delta)
            },
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

/// All records of a batch, none if they cannot be decompressed.
pub(crate) fn raw_records(batch: &Bytes, header: &BatchHeader) -> Vec<RawRecord> {
    let body = body(batch, header);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((size, offset_delta, key)) = body.get(at..).and_then(raw_record) {
        let key = key.map(|key| body.slice(at + key.start..at + key.end));
        let offset = header.base_offset.saturating_add(offset_delta);
        found.push(RawRecord { offset, bytes: body.slice(at..at + size), key });
        at += size;
    }
    found
}

/// A batch's records one after the other, decompressed.
fn body(batch: &Bytes, header: &BatchHeader) -> Bytes {
    let body = if batch.len() > HEADER_SIZE { batch.slice(HEADER_SIZE..) } else { Bytes::new() };
    match header.compression() {
        0 => body,
        kind => codec::decompressed(kind, &body).map(Bytes::from).unwrap_or_default(),
    }
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
        assert_eq!(stamps(&bytes.slice(..bytes.len() - 3), &header).len(), 1);
    }

    #[test]
    fn records_are_seen_through_every_codec() {
        let bytes = Build::timestamps(&[100, 90, 110]).build();
        let plain = BatchHeader::read(&bytes).unwrap();
        for kind in 1..=4 {
            let body = codec::compressed(kind, &bytes[HEADER_SIZE..]).unwrap();
            let packed = Bytes::from([&bytes[..HEADER_SIZE], &body].concat());
            let header = BatchHeader { attributes: plain.attributes | kind, ..plain };
            assert_eq!(stamps(&packed, &header), stamps(&bytes, &plain), "codec {kind}");
            assert_eq!(raw_records(&packed, &header).len(), 3, "codec {kind}");
        }
    }
}
