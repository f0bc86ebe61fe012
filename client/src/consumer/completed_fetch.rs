//! What a broker sent of one partition, until the application has taken it.
use bytes::Bytes;
use ottla_protocol::messages::fetch::AbortedTransaction;
use ottla_protocol::record::{DecodedBatch, RecordBatch, RecordError, RecordPosition};

use super::aborted::AbortedTransactions;
use super::message_sets;
use super::record::BatchRecords;
use crate::error::Place;
use crate::types::{IsolationLevel, TopicPartition};

/// Where to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FetchPosition {
    pub(crate) offset: i64,
    /// The leader epoch of the last batch before it, to find truncation (KIP-320).
    pub(crate) epoch: Option<i32>,
}

/// Record batches of one partition from one answer. Checksums are compared and records decompressed when they are
/// taken, once per batch.
#[derive(Debug)]
pub(crate) struct CompletedFetch {
    pub(crate) topic_partition: TopicPartition,
    /// The partition's stamp when it was asked for.
    pub(crate) stamp: u64,
    /// Who sent it.
    pub(crate) at: Option<Place>,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: Option<i64>,
    pub(crate) log_start_offset: Option<i64>,
    /// Where to read on after all of it.
    pub(crate) next: FetchPosition,
    rest: Bytes,
    aborted: Option<AbortedTransactions>,
    current: Option<Current>,
    fault: Option<Fault>,
}

/// The batch that was begun.
#[derive(Debug)]
struct Current {
    batch: DecodedBatch,
    base_offset: i64,
    from: RecordPosition,
    left: u32,
    next: FetchPosition,
    /// Bytes it keeps in memory.
    size: usize,
}

/// How batches are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadOptions {
    pub(crate) check_crcs: bool,
    pub(crate) isolation_level: IsolationLevel,
    /// The most bytes of a decompressed batch, and of those of one poll.
    pub(crate) max_bytes: usize,
}

/// A batch that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: i64,
    pub(crate) error: RecordError,
}

/// What was taken of a [`CompletedFetch`].
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) batches: Vec<BatchRecords>,
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    pub(crate) next: FetchPosition,
    start: i64,
}

impl Taken {
    /// The position did not move.
    pub(crate) fn is_nothing(&self) -> bool {
        self.count == 0 && self.next.offset == self.start
    }
}

impl CompletedFetch {
    /// Reads the headers of all batches. The last batch is dropped when it was cut.
    pub(crate) fn new(
        (topic_partition, stamp): (TopicPartition, u64),
        from: FetchPosition,
        mut records: Bytes,
        aborted: Option<Vec<AbortedTransaction>>,
        options: &ReadOptions,
    ) -> Self {
        let (mut next, mut whole, mut error) = scan(&records, from);
        if let Some(RecordError::Magic(0 | 1)) = error {
            let (batches, unreadable) = message_sets::rewritten(records, options.check_crcs, options.max_bytes);
            records = batches;
            (next, whole, error) = scan(&records, from);
            error = error.or(unreadable);
        }
        let fault = error.map(|error| Fault { offset: next.offset, error });
        records.truncate(whole);
        let aborted = aborted.map(AbortedTransactions::new);
        Self {
            topic_partition,
            stamp,
            at: None,
            high_watermark: -1,
            last_stable_offset: None,
            log_start_offset: None,
            next,
            rest: records,
            aborted,
            current: None,
            fault,
        }
    }

    /// There was not one whole batch in it.
    pub(crate) fn has_no_whole_batch(&self) -> bool {
        self.rest.is_empty() && self.current.is_none() && self.fault.is_none()
    }

    /// Nothing is left to be taken.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.has_no_whole_batch()
    }

    /// A batch in it cannot be read.
    pub(crate) fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// Bytes it keeps in memory, decompressed ones included.
    pub(crate) fn size(&self) -> usize {
        self.rest.len() + self.current.as_ref().map_or(0, |c| c.size)
    }

    /// Takes at most `max_records` records from `position` on. A batch that cannot be read is an error once everything
    /// before it has been taken.
    pub(crate) fn take(
        &mut self,
        position: FetchPosition,
        max_records: usize,
        max_bytes: usize,
        options: &ReadOptions,
    ) -> Result<Taken, Fault> {
        let mut taken = Taken { batches: Vec::new(), count: 0, bytes: 0, next: position, start: position.offset };
        while taken.count < max_records && (self.current.is_some() || taken.bytes < max_bytes.max(1)) {
            match self.take_batch(&mut taken, max_records, options) {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) if taken.is_nothing() => return Err(fault),
                Err(fault) => {
                    // It is told in its turn, and nothing behind it is read.
                    self.rest = Bytes::new();
                    self.fault = Some(fault);
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// Takes from the current batch, or opens the next one. `false`: there is none.
    fn take_batch(&mut self, taken: &mut Taken, max_records: usize, options: &ReadOptions) -> Result<bool, Fault> {
        let Some(current) = self.current.take() else { return self.open_next(taken, options) };
        let quota = u32::try_from(max_records - taken.count).unwrap_or(u32::MAX);
        let (records, next, rest) = current.split(quota)?;
        self.current = rest;
        taken.count += records.count as usize;
        taken.next = next;
        taken.batches.push(records);
        Ok(true)
    }

    /// Makes the next batch the current one, or passes over it when nothing of it is to be seen. `false`: there is none.
    fn open_next(&mut self, taken: &mut Taken, options: &ReadOptions) -> Result<bool, Fault> {
        let position = taken.next;
        let batch = match RecordBatch::split_from(&mut self.rest) {
            Ok(Some(batch)) => batch,
            Ok(None) => return self.fault.map_or(Ok(false), Err),
            Err(error) => return Err(Fault { offset: position.offset, error }),
        };
        let fault = |error| Fault { offset: batch.base_offset(), error };
        if options.check_crcs {
            batch.verify_crc().map_err(fault)?;
        }
        let aborted = match &mut self.aborted {
            Some(aborted) if options.isolation_level == IsolationLevel::ReadCommitted => {
                aborted.covers(&batch).map_err(fault)?
            }
            _ => false,
        };
        let next = after(&batch, position);
        if next.offset == position.offset {
            return Ok(true);
        }
        if aborted || batch.is_control() || batch.record_count() <= 0 {
            taken.next = next;
            return Ok(true);
        }
        let decoded = batch.decompress(options.max_bytes).map_err(fault)?;
        taken.bytes += decoded.len();
        self.current = Current::open(&batch, decoded, position, next).map_err(fault)?;
        if self.current.is_none() {
            taken.next = next;
        }
        Ok(true)
    }
}

/// Reads the headers of all batches: the position after them, how many bytes they are, and what ended it but a cut.
fn scan(records: &Bytes, from: FetchPosition) -> (FetchPosition, usize, Option<RecordError>) {
    let (mut rest, mut next) = (records.clone(), from);
    let error = loop {
        match RecordBatch::split_from(&mut rest) {
            Ok(Some(batch)) => next = after(&batch, next),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    (next, records.len() - rest.len(), error)
}

/// The position after `batch`, from its header: compaction may have removed its last records, or all.
fn after(batch: &RecordBatch, position: FetchPosition) -> FetchPosition {
    if batch.next_offset() <= position.offset {
        return position;
    }
    let epoch = Some(batch.partition_leader_epoch()).filter(|epoch| *epoch >= 0);
    FetchPosition { offset: batch.next_offset(), epoch }
}

impl Current {
    /// The records of `batch` from `position` on; `None`: there are none.
    fn open(
        batch: &RecordBatch,
        decoded: DecodedBatch,
        position: FetchPosition,
        next: FetchPosition,
    ) -> Result<Option<Self>, RecordError> {
        let size = decoded.len().max(batch.bytes().len());
        let (mut from, mut left) = (RecordPosition::default(), decoded.count());
        if batch.base_offset() < position.offset {
            // A broker answers with whole batches: the records in front of the position are not wanted.
            let mut records = decoded.records();
            loop {
                let at = records.position();
                match records.next() {
                    None => return Ok(None),
                    Some(record) if record?.offset >= position.offset => {
                        from = at;
                        break;
                    }
                    Some(_) => left -= 1,
                }
            }
        }
        Ok(Some(Self { base_offset: batch.base_offset(), batch: decoded, from, left, next, size }))
    }

    /// The next `quota` records, the position after them, and what is left.
    fn split(mut self, quota: u32) -> Result<(BatchRecords, FetchPosition, Option<Self>), Fault> {
        let records = |batch, count| BatchRecords { batch, from: self.from, count, base_offset: self.base_offset };
        if quota >= self.left {
            return Ok((records(self.batch, self.left), self.next, None));
        }
        let part = records(self.batch.clone(), quota);
        let fault = |error| Fault { offset: self.base_offset, error };
        let mut iter = self.batch.resume(self.from);
        let last = iter.nth(quota.saturating_sub(1) as usize).transpose().map_err(fault)?;
        let from = iter.position();
        let Some(last) = last else { return Ok((part, self.next, None)) };
        let position = FetchPosition { offset: last.offset.saturating_add(1), epoch: self.next.epoch };
        self.from = from;
        self.left -= quota;
        Ok((part, position, Some(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{batch, compacted, control, transactional, values};
    use super::*;
    use ottla_protocol::compression::Compression;

    const OPTIONS: ReadOptions =
        ReadOptions { check_crcs: true, isolation_level: IsolationLevel::ReadCommitted, max_bytes: 1 << 20 };

    fn at(offset: i64) -> FetchPosition {
        FetchPosition { offset, epoch: None }
    }

    fn fetch(from: i64, parts: &[Bytes], aborted: &[(i64, i64)]) -> CompletedFetch {
        let listed =
            aborted.iter().map(|&(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset });
        let key = (TopicPartition::new("t", 0), 1);
        CompletedFetch::new(key, at(from), parts.concat().into(), Some(listed.collect()), &OPTIONS)
    }

    fn seen(taken: &Taken) -> Vec<(i64, String)> {
        let records = taken.batches.iter().flat_map(|b| b.batch.resume(b.from).take(b.count as usize));
        let text = |v: Option<&[u8]>| String::from_utf8(v.unwrap().to_vec()).unwrap();
        records.map(|r| r.unwrap()).map(|r| (r.offset, text(r.value))).collect()
    }

    fn offsets(taken: &Taken) -> Vec<i64> {
        seen(taken).into_iter().map(|(offset, _)| offset).collect()
    }

    #[test]
    fn position_passes_compacted_empty_and_control_batches() {
        let mut fetch = fetch(0, &[compacted(0, 4), control(5, 1, true), batch(6, &["a"]), compacted(7, 99)], &[]);
        let taken = fetch.take(at(0), 500, 1 << 20, &OPTIONS).unwrap();
        assert_eq!(offsets(&taken), [6]);
        assert_eq!(taken.next, FetchPosition { offset: 100, epoch: Some(7) });
        assert!(fetch.is_exhausted());
    }

    #[test]
    fn a_position_moves_though_nothing_is_delivered() {
        let mut fetch = fetch(0, &[transactional(0, 1, &["a", "b"]), control(2, 1, false)], &[(1, 0)]);
        let taken = fetch.take(at(0), 500, 1 << 20, &OPTIONS).unwrap();
        assert!(!taken.is_nothing());
        assert_eq!((taken.count, taken.next.offset), (0, 3));
    }

    #[test]
    fn control_batches_are_never_delivered() {
        let options = ReadOptions { isolation_level: IsolationLevel::ReadUncommitted, ..OPTIONS };
        let mut fetch = fetch(0, &[transactional(0, 1, &["a"]), control(1, 1, false)], &[(1, 0)]);
        let taken = fetch.take(at(0), 500, 1 << 20, &options).unwrap();
        assert_eq!((offsets(&taken), taken.next.offset), (vec![0], 2));
    }

    #[test]
    fn records_in_front_of_the_position_are_skipped() {
        for codec in [Compression::None, Compression::Lz4] {
            let mut fetch = fetch(12, &[values(10, -1, codec, &["a", "b", "c", "d"]), batch(14, &["e"])], &[]);
            let taken = fetch.take(at(12), 500, 1 << 20, &OPTIONS).unwrap();
            assert_eq!(seen(&taken), [(12, "c".into()), (13, "d".into()), (14, "e".into())]);
            assert_eq!(taken.count, 3);
        }
    }

    #[test]
    fn max_poll_records_cuts_a_batch_and_the_rest_comes_next() {
        let mut fetch = fetch(10, &[batch(10, &["a", "b", "c", "d", "e"]), batch(15, &["f"])], &[]);
        let mut position = at(10);
        let mut rounds = Vec::new();
        while !fetch.is_exhausted() {
            let taken = fetch.take(position, 2, 1 << 20, &OPTIONS).unwrap();
            position = taken.next;
            rounds.push((offsets(&taken), position.offset));
        }
        assert_eq!(rounds, [(vec![10, 11], 12), (vec![12, 13], 14), (vec![14, 15], 16)]);
    }

    #[test]
    fn a_corrupt_batch_is_an_error_after_what_is_before_it() {
        let mut bad = batch(1, &["b"]).to_vec();
        *bad.last_mut().unwrap() ^= 1;
        let mut fetch = fetch(0, &[batch(0, &["a"]), bad.into(), batch(2, &["c"])], &[]);
        let taken = fetch.take(at(0), 500, 1 << 20, &OPTIONS).unwrap();
        assert_eq!((offsets(&taken), taken.next.offset), (vec![0], 1));
        let fault = fetch.take(taken.next, 500, 1 << 20, &OPTIONS).unwrap_err();
        assert_eq!(fault.offset, 1);
        assert!(matches!(fault.error, RecordError::Crc { .. }), "{fault:?}");
    }

    #[test]
    fn crcs_of_skipped_batches_are_checked() {
        let mut bad = transactional(0, 1, &["aborted"]).to_vec();
        *bad.last_mut().unwrap() ^= 1;
        let mut aborted = fetch(0, &[bad.clone().into()], &[(1, 0)]);
        assert!(aborted.take(at(0), 500, 1 << 20, &OPTIONS).is_err());
        let mut unchecked = fetch(0, &[bad.into()], &[]);
        let options = ReadOptions { check_crcs: false, ..OPTIONS };
        assert_eq!(unchecked.take(at(0), 500, 1 << 20, &options).unwrap().count, 1);
    }

    #[test]
    fn a_cut_batch_at_the_end_is_dropped() {
        let whole = batch(0, &["a"]);
        let cut = batch(1, &["bbbbbbbbbbbbbbbb"]);
        let mut both = fetch(0, &[whole, cut.slice(..cut.len() - 3)], &[]);
        assert_eq!(both.next.offset, 1);
        assert_eq!(offsets(&both.take(at(0), 500, 1 << 20, &OPTIONS).unwrap()), [0]);
        assert!(both.is_exhausted());
        assert!(fetch(1, &[cut.slice(..70)], &[]).has_no_whole_batch());
    }

    #[test]
    fn an_unknown_magic_byte_is_an_error_in_its_turn() {
        let mut odd = batch(1, &["b"]).to_vec();
        odd[16] = 9;
        let mut fetch = fetch(0, &[batch(0, &["a"]), odd.into()], &[]);
        assert!(fetch.has_fault());
        let taken = fetch.take(at(0), 500, 1 << 20, &OPTIONS).unwrap();
        assert_eq!(offsets(&taken), [0]);
        assert!(!fetch.is_exhausted());
        let fault = fetch.take(taken.next, 500, 1 << 20, &OPTIONS).unwrap_err();
        assert_eq!(fault, Fault { offset: 1, error: RecordError::Magic(9) });
    }

    #[test]
    fn a_batch_larger_than_the_budget_when_decompressed_is_an_error() {
        let bomb = values(0, -1, Compression::Gzip, &[&"x".repeat(100_000)]);
        let options = ReadOptions { max_bytes: 50_000, ..OPTIONS };
        let fault = fetch(0, &[bomb], &[]).take(at(0), 500, 50_000, &options).unwrap_err();
        assert_eq!(fault.error, RecordError::TooLarge { limit: 50_000 });
    }

    #[test]
    fn byte_budget_counts_decompressed_bytes() {
        let value = "x".repeat(10_000);
        let large = values(0, -1, Compression::Gzip, &[&value, &value, &value]);
        let mut fetch = fetch(0, &[large.clone(), large.clone()], &[]);
        assert_eq!(fetch.size(), 2 * large.len());
        fetch.take(at(0), 1, 1 << 20, &OPTIONS).unwrap();
        assert!(fetch.size() > 30_000);
        assert!(fetch.size() < 31_000 + large.len());
    }

    #[test]
    fn one_poll_decompresses_no_more_than_the_budget() {
        let value = "x".repeat(10_000);
        let large: Vec<_> = (0..10).map(|i| values(i, -1, Compression::Gzip, &[&value])).collect();
        let mut fetch = fetch(0, &large, &[]);
        assert_eq!(fetch.take(at(0), 500, 25_000, &OPTIONS).unwrap().count, 3);
    }
}
