//! One partition's log: record batches as bytes in segments, with an index over their headers.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::batch::{BatchHeader, stamp, stamp_append_time};
use super::leader_epochs::LeaderEpochs;
use super::records;

/// A segment is sealed when the next batch would make it larger than this. Reads from sealed segments copy nothing.
const SEGMENT_SIZE: usize = 4 << 20;

/// Where a batch lies inside its segment.
#[derive(Debug, Clone, Copy)]
struct Entry {
    base_offset: i64,
    last_offset: i64,
    position: u32,
    size: u32,
    max_timestamp: i64,
    /// Highest timestamp from the log's first batch up to this one: non-decreasing, so it can be searched.
    running_timestamp: i64,
}

#[derive(Debug)]
enum SegmentBytes {
    Active(BytesMut),
    Sealed(Bytes),
}

#[derive(Debug)]
struct Segment {
    bytes: SegmentBytes,
    batches: Vec<Entry>,
}

impl Segment {
    fn new() -> Self {
        Self { bytes: SegmentBytes::Active(BytesMut::new()), batches: Vec::new() }
    }

    fn seal(&mut self) {
        if let SegmentBytes::Active(bytes) = &mut self.bytes {
            self.bytes = SegmentBytes::Sealed(std::mem::take(bytes).freeze());
        }
    }

    fn last_offset(&self) -> i64 {
        self.batches.last().map_or(-1, |entry| entry.last_offset)
    }

    fn slice(&self, from: usize, to: usize) -> Bytes {
        match &self.bytes {
            SegmentBytes::Active(bytes) => bytes.get(from..to).map_or_else(Bytes::new, Bytes::copy_from_slice),
            SegmentBytes::Sealed(bytes) if from <= to && to <= bytes.len() => bytes.slice(from..to),
            SegmentBytes::Sealed(_) => Bytes::new(),
        }
    }
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Whole batches, the first of which contains the asked offset (or follows it, after compaction).
    pub(crate) records: Bytes,
    /// Offset after the last batch in `records`.
    pub(crate) end_offset: i64,
    /// Whether more batches are readable after these.
    pub(crate) more: bool,
}

/// A found record: its offset, timestamp, and the leader epoch it was written under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) leader_epoch: i32,
}

/// One partition's log.
#[derive(Debug)]
pub(crate) struct Log {
    segments: VecDeque<Segment>,
    start_offset: i64,
    next_offset: i64,
    running_timestamp: i64,
    pub(crate) epochs: LeaderEpochs,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            segments: VecDeque::new(),
            start_offset: 0,
            next_offset: 0,
            running_timestamp: -1,
            epochs: LeaderEpochs::default(),
        }
    }

    /// Bytes it holds.
    pub(crate) fn size(&self) -> usize {
        let size = |segment: &Segment| match &segment.bytes {
            SegmentBytes::Active(bytes) => bytes.len(),
            SegmentBytes::Sealed(bytes) => bytes.len(),
        };
        self.segments.iter().map(size).sum()
    }

    /// Every batch, oldest first.
    pub(crate) fn batches(&self) -> impl Iterator<Item = (BatchHeader, Bytes)> {
        self.segments.iter().flat_map(|segment| {
            segment.batches.iter().filter_map(|entry| {
                let bytes = segment.slice(entry.position as usize, (entry.position + entry.size) as usize);
                Some((BatchHeader::read(&bytes)?, bytes))
            })
        })
    }

    /// Holds these batches from now on, which carry their offsets; start and end stay.
    pub(crate) fn replace(&mut self, batches: Vec<Bytes>) {
        self.segments.clear();
        self.running_timestamp = -1;
        for batch in batches {
            let Some(header) = BatchHeader::read(&batch) else { continue };
            self.running_timestamp = self.running_timestamp.max(header.max_timestamp);
            let running_timestamp = self.running_timestamp;
            let segment = self.segment_for(batch.len());
            let SegmentBytes::Active(bytes) = &mut segment.bytes else { continue };
            let (position, size) = (bytes.len() as u32, batch.len() as u32);
            bytes.extend_from_slice(&batch);
            let (base_offset, last_offset) = (header.base_offset, header.last_offset());
            let max_timestamp = header.max_timestamp;
            segment.batches.push(Entry { base_offset, last_offset, position, size, max_timestamp, running_timestamp });
        }
    }

    /// First offset that can be read.
    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// Offset of the next record to be written; also the high watermark, as replication is instantaneous.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Appends one batch whose header was checked before; returns its base offset.
    pub(crate) fn append(
        &mut self,
        batch: &[u8],
        header: &BatchHeader,
        leader_epoch: i32,
        append_time: Option<i64>,
    ) -> i64 {
        let base_offset = self.next_offset;
        let last_offset = base_offset + i64::from(header.last_offset_delta);
        let max_timestamp = append_time.unwrap_or(header.max_timestamp);
        self.running_timestamp = self.running_timestamp.max(max_timestamp);
        let running_timestamp = self.running_timestamp;
        self.epochs.assign(leader_epoch, base_offset);
        let segment = self.segment_for(batch.len());
        let SegmentBytes::Active(bytes) = &mut segment.bytes else { return base_offset };
        let position = bytes.len();
        bytes.extend_from_slice(batch);
        if let Some(stored) = bytes.get_mut(position..) {
            stamp(stored, base_offset, leader_epoch);
            if let Some(timestamp) = append_time {
                stamp_append_time(stored, header.attributes, timestamp);
            }
        }
        let (position, size) = (position as u32, batch.len() as u32);
        segment.batches.push(Entry { base_offset, last_offset, position, size, max_timestamp, running_timestamp });
        self.next_offset = last_offset + 1;
        base_offset
    }

    /// The active segment, after sealing it if the batch would make it too large.
    fn segment_for(&mut self, size: usize) -> &mut Segment {
        let full = match self.segments.back() {
            None => true,
            Some(segment) => match &segment.bytes {
                SegmentBytes::Sealed(_) => true,
                SegmentBytes::Active(bytes) => !bytes.is_empty() && bytes.len() + size > SEGMENT_SIZE,
            },
        };
        if full {
            if let Some(segment) = self.segments.back_mut() {
                segment.seal();
            }
            self.segments.push_back(Segment::new());
        }
        let last = self.segments.len().saturating_sub(1);
        &mut self.segments[last]
    }

    fn segment_with(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.last_offset() < offset)
    }

    /// Whole batches from the one that contains `offset`, up to `max_bytes` and below `bound`. The first batch comes
    /// whole if `at_least_one`, however large it is.
    pub(crate) fn read(&self, offset: i64, bound: i64, max_bytes: usize, at_least_one: bool) -> Slice {
        let empty = Slice { records: Bytes::new(), end_offset: offset, more: false };
        let index = self.segment_with(offset);
        let Some(segment) = self.segments.get(index) else { return empty };
        let first = segment.batches.partition_point(|entry| entry.last_offset < offset);
        let Some(entry) = segment.batches.get(first).filter(|entry| entry.base_offset < bound) else { return empty };
        let start = entry.position as usize;
        // Positions grow along the segment, offsets too: both limits can be searched.
        let limit = start.saturating_add(max_bytes);
        let mut end = segment
            .batches
            .partition_point(|entry| entry.base_offset < bound && (entry.position + entry.size) as usize <= limit);
        if end <= first {
            if !at_least_one {
                return Slice { more: true, ..empty };
            }
            end = first + 1;
        }
        let Some(last) = segment.batches.get(end - 1) else { return empty };
        let records = segment.slice(start, (last.position + last.size) as usize);
        let end_offset = last.last_offset + 1;
        Slice { records, end_offset, more: end_offset < bound.min(self.next_offset) }
    }

    /// First record with a timestamp of at least `timestamp`, at or after the log's start.
    pub(crate) fn first_at_or_after(&self, timestamp: i64) -> Option<Found> {
        let reaches =
            |segment: &Segment| segment.batches.last().is_some_and(|last| last.running_timestamp >= timestamp);
        let index = self.segments.partition_point(|segment| !reaches(segment));
        for segment in self.segments.iter().skip(index) {
            let from = segment.batches.partition_point(|entry| entry.running_timestamp < timestamp);
            for entry in segment.batches.iter().skip(from) {
                if entry.max_timestamp < timestamp || entry.last_offset < self.start_offset {
                    continue;
                }
                let found = self.search(segment, entry, |record| record.timestamp >= timestamp);
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// The record with the highest timestamp (the first one of equals).
    pub(crate) fn max_timestamp(&self) -> Option<Found> {
        let entries =
            self.segments.iter().flat_map(|segment| segment.batches.iter().map(move |entry| (segment, entry)));
        let readable = entries.filter(|(_, entry)| entry.last_offset >= self.start_offset);
        let (segment, entry) =
            readable.reduce(|best, next| if next.1.max_timestamp > best.1.max_timestamp { next } else { best })?;
        self.search(segment, entry, |record| record.timestamp == entry.max_timestamp)
    }

    fn search(&self, segment: &Segment, entry: &Entry, wanted: impl Fn(&records::Stamp) -> bool) -> Option<Found> {
        let batch = segment.slice(entry.position as usize, (entry.position + entry.size) as usize);
        let header = BatchHeader::read(&batch)?;
        let found = records::stamps(&batch, &header)
            .into_iter()
            .find(|record| record.offset >= self.start_offset && wanted(record))?;
        Some(Found { offset: found.offset, timestamp: found.timestamp, leader_epoch: header.leader_epoch })
    }

    /// Moves the log's start (DeleteRecords, retention); whole segments below it are dropped.
    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.start_offset = self.start_offset.max(offset.min(self.next_offset));
        while self.segments.front().is_some_and(|segment| segment.last_offset() < self.start_offset) {
            self.segments.pop_front();
        }
        self.epochs.delete_before(self.start_offset);
    }

    /// Cuts the log so that the batch containing `offset`, and all after it, are gone (an unclean election).
    pub(crate) fn truncate(&mut self, offset: i64) {
        while self.segments.back().is_some_and(|segment| {
            segment.batches.first().is_none_or(|entry| entry.base_offset >= offset || entry.last_offset >= offset)
        }) {
            self.segments.pop_back();
        }
        if let Some(segment) = self.segments.back_mut() {
            let keep = segment.batches.partition_point(|entry| entry.last_offset < offset);
            segment.batches.truncate(keep);
            let end = segment.batches.last().map_or(0, |entry| (entry.position + entry.size) as usize);
            segment.seal();
            if let SegmentBytes::Sealed(bytes) = &mut segment.bytes {
                bytes.truncate(end);
            }
        }
        let last = self.segments.back().map_or(self.start_offset - 1, Segment::last_offset);
        self.next_offset = last + 1;
        self.epochs.truncate(self.next_offset);
        let running = self.segments.back().and_then(|segment| segment.batches.last());
        self.running_timestamp = running.map_or(-1, |entry| entry.running_timestamp);
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::Build;
    use super::*;

    fn append(log: &mut Log, batch: &Bytes) -> i64 {
        let header = BatchHeader::read(batch).unwrap();
        log.append(batch, &header, 0, None)
    }

    fn offsets(bytes: &Bytes) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        let mut rest = bytes.clone();
        while let Some(header) = BatchHeader::read(&rest) {
            found.push((header.base_offset, header.last_offset()));
            rest = rest.slice(header.size().unwrap()..);
        }
        found
    }

    #[test]
    fn read_starts_with_the_batch_that_contains_the_offset() {
        let mut log = Log::new();
        for _ in 0..3 {
            append(&mut log, &Build::records(4).build());
        }
        assert_eq!(log.next_offset(), 12);
        assert_eq!(offsets(&log.read(5, 12, usize::MAX, true).records), [(4, 7), (8, 11)]);
        assert_eq!(offsets(&log.read(8, 12, usize::MAX, true).records), [(8, 11)]);
        assert!(log.read(12, 12, usize::MAX, true).records.is_empty());
    }

    #[test]
    fn max_bytes_is_soft_for_the_first_batch_only() {
        let mut log = Log::new();
        let batch = Build::records(4).build();
        for _ in 0..3 {
            append(&mut log, &batch);
        }
        assert_eq!(offsets(&log.read(0, 12, 1, true).records), [(0, 3)]);
        let none = log.read(0, 12, 1, false);
        assert!(none.records.is_empty() && none.more);
        let two = log.read(0, 12, batch.len() * 2 + 1, false);
        assert_eq!(offsets(&two.records), [(0, 3), (4, 7)]);
        assert!(two.more && two.end_offset == 8);
    }

    #[test]
    fn bound_hides_batches_at_and_after_it() {
        let mut log = Log::new();
        for _ in 0..3 {
            append(&mut log, &Build::records(4).build());
        }
        let slice = log.read(0, 4, usize::MAX, true);
        assert_eq!(offsets(&slice.records), [(0, 3)]);
        assert!(!slice.more);
        assert!(log.read(4, 4, usize::MAX, true).records.is_empty());
    }

    #[test]
    fn reads_cross_into_the_next_segment_by_the_next_read() {
        let mut log = Log::new();
        let batch = Build::records(1).value_size(SEGMENT_SIZE / 3).build();
        for _ in 0..5 {
            append(&mut log, &batch);
        }
        assert!(log.segments.len() >= 3);
        let mut offset = 0;
        let mut seen = Vec::new();
        while offset < 5 {
            let slice = log.read(offset, 5, usize::MAX, true);
            seen.extend(offsets(&slice.records));
            assert_eq!(slice.more, slice.end_offset < 5);
            offset = slice.end_offset;
        }
        assert_eq!(seen, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]);
    }

    #[test]
    fn timestamp_search_finds_the_first_record_at_or_after() {
        let mut log = Log::new();
        append(&mut log, &Build::timestamps(&[10, 30, 20]).build());
        append(&mut log, &Build::timestamps(&[15, 40]).build());
        let at = |timestamp| log.first_at_or_after(timestamp).map(|found| (found.offset, found.timestamp));
        assert_eq!(at(0), Some((0, 10)));
        assert_eq!(at(11), Some((1, 30)));
        assert_eq!(at(31), Some((4, 40)));
        assert_eq!(at(41), None);
        assert_eq!(log.max_timestamp().map(|found| found.offset), Some(4));
    }

    #[test]
    fn deleted_records_are_neither_found_nor_counted() {
        let mut log = Log::new();
        append(&mut log, &Build::timestamps(&[10, 90, 20]).build());
        append(&mut log, &Build::timestamps(&[15, 40]).build());
        log.delete_before(2);
        assert_eq!(log.start_offset(), 2);
        assert_eq!(log.first_at_or_after(12).map(|found| found.offset), Some(2));
        assert_eq!(log.first_at_or_after(50), None);
        log.delete_before(4);
        assert_eq!(log.first_at_or_after(12).map(|found| found.offset), Some(4));
        log.delete_before(99);
        assert_eq!((log.start_offset(), log.next_offset()), (5, 5));
        assert_eq!(append(&mut log, &Build::records(1).build()), 5);
    }

    #[test]
    fn truncation_removes_whole_batches_and_later_epochs() {
        let mut log = Log::new();
        let batch = Build::records(4).build();
        let header = BatchHeader::read(&batch).unwrap();
        log.append(&batch, &header, 0, None);
        log.append(&batch, &header, 1, None);
        log.append(&batch, &header, 2, None);
        log.truncate(5);
        assert_eq!(log.next_offset(), 4);
        assert_eq!(log.epochs.end_offset_for(1, log.next_offset()), None);
        assert_eq!(append(&mut log, &batch), 4);
    }

    #[test]
    fn stored_batches_carry_offset_and_leader_epoch() {
        let mut log = Log::new();
        let batch = Build::records(2).build();
        let header = BatchHeader::read(&batch).unwrap();
        log.append(&batch, &header, 7, None);
        log.append(&batch, &header, 8, Some(999));
        let bytes = log.read(2, 4, usize::MAX, true).records;
        let stored = BatchHeader::read(&bytes).unwrap();
        assert_eq!((stored.base_offset, stored.leader_epoch, stored.max_timestamp), (2, 8, 999));
        assert!(super::super::batch::crc_matches(&bytes, &stored) && stored.is_log_append_time());
    }
}
