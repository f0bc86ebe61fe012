//! Log compaction: of each key only the newest record stays (`Cleaner.java`). It happens by call, at once.

use std::collections::{HashMap, HashSet};

use bytes::{Bytes, BytesMut};

use super::batch::{BatchHeader, HEADER_SIZE, stamp_records};
use super::codec;
use super::partition::Partition;
use super::records::{RawRecord, raw_records};

impl Partition {
    /// Compacts everything below the last stable offset but the last batch, as Kafka spares the active segment:
    /// records that a newer one of the same key replaces go, and those of aborted transactions. Tombstones stay.
    pub(crate) fn compact(&mut self) {
        let stable = self.last_stable_offset();
        let batches: Vec<(BatchHeader, Bytes)> = self.log.batches().collect();
        let aborted: HashSet<i64> = batches
            .iter()
            .map(|(header, _)| header)
            .filter(|header| self.is_aborted(header))
            .map(|header| header.base_offset)
            .collect();
        let kept_data = |header: &BatchHeader| !header.is_control() && !aborted.contains(&header.base_offset);
        let mut newest: HashMap<Bytes, i64> = HashMap::new();
        for (header, bytes) in batches.iter().filter(|(header, _)| kept_data(header) && header.last_offset() < stable) {
            for record in raw_records(bytes, header) {
                if let Some(key) = record.key {
                    newest.insert(key, record.offset);
                }
            }
        }
        let last = batches.len().saturating_sub(1);
        let compacted = batches.into_iter().enumerate().filter_map(|(at, (header, bytes))| {
            if at == last || header.last_offset() >= stable || header.is_control() {
                return Some(bytes);
            }
            let dropped = aborted.contains(&header.base_offset);
            let stays = |record: &RawRecord| {
                !dropped && record.key.as_ref().is_none_or(|key| newest.get(key) == Some(&record.offset))
            };
            rewritten(&header, &bytes, stays)
        });
        let compacted = compacted.collect();
        self.log.replace(compacted);
    }
}

/// The batch with only the records that stay, compressed as it was; `None` if nothing is left of it. A producer's batch
/// stays without records, as it carries its sequence.
fn rewritten(header: &BatchHeader, bytes: &Bytes, stays: impl Fn(&RawRecord) -> bool) -> Option<Bytes> {
    let records = raw_records(bytes, header);
    let kept: Vec<&RawRecord> = records.iter().filter(|record| stays(record)).collect();
    if kept.len() == records.len() {
        return Some(bytes.clone());
    }
    if kept.is_empty() && header.producer_id < 0 {
        return None;
    }
    let body: Vec<u8> = kept.iter().flat_map(|record| record.bytes.iter().copied()).collect();
    let mut out = BytesMut::from(bytes.get(..HEADER_SIZE)?);
    out.extend_from_slice(&codec::compressed(header.compression(), &body)?);
    stamp_records(&mut out, kept.len() as i32);
    Some(out.freeze())
}
