//! What one partition remembers of its producers: epochs, the last five batches, open transactions
//! (`ProducerStateManager.java`, `ProducerAppendInfo.java`).

use std::collections::{BTreeMap, VecDeque};

use super::ErrorCode;
use super::batch::{BatchHeader, Marker};

/// Batches remembered per producer: the most an idempotent producer may have in flight.
const REMEMBERED_BATCHES: usize = 5;
const NO_EPOCH: i16 = -1;
const NO_SEQUENCE: i32 = -1;

/// How strict brokers of different ages are with a producer they do not know, or a sequence they have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SequenceRules {
    /// Before KIP-360 (2.5) a first sequence other than 0 of an unknown producer was UNKNOWN_PRODUCER_ID.
    pub(crate) unknown_producer_may_start_anywhere: bool,
    /// 0.11 said DUPLICATE_SEQUENCE_NUMBER for old batches it had forgotten; later brokers say OUT_OF_ORDER.
    pub(crate) old_duplicate_is_46: bool,
}

#[derive(Debug, Clone, Copy)]
struct Remembered {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    timestamp: i64,
}

/// One producer's state on one partition.
#[derive(Debug, Clone)]
pub(crate) struct ProducerState {
    pub(crate) epoch: i16,
    batches: VecDeque<Remembered>,
    pub(crate) coordinator_epoch: i32,
    pub(crate) last_timestamp: i64,
    pub(crate) transaction_start: Option<i64>,
}

impl ProducerState {
    fn unknown() -> Self {
        Self {
            epoch: NO_EPOCH,
            batches: VecDeque::new(),
            coordinator_epoch: -1,
            last_timestamp: -1,
            transaction_start: None,
        }
    }

    pub(crate) fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn change_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }
}

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Append,
    /// Already written, here.
    Duplicate {
        base_offset: i64,
        timestamp: i64,
    },
}

/// All producers of one partition.
#[derive(Debug)]
pub(crate) struct Producers {
    states: BTreeMap<i64, ProducerState>,
    rules: SequenceRules,
}

impl Producers {
    pub(crate) fn new(rules: SequenceRules) -> Self {
        Self { states: BTreeMap::new(), rules }
    }

    /// Whether this producer and epoch has an open transaction here.
    pub(crate) fn has_ongoing_transaction(&self, producer_id: i64, epoch: i16) -> bool {
        self.states.get(&producer_id).is_some_and(|state| state.epoch == epoch && state.transaction_start.is_some())
    }

    /// The remembered batch with the same epoch and the same sequence range, if any.
    pub(crate) fn duplicate(&self, header: &BatchHeader) -> Option<Admission> {
        let state = self.states.get(&header.producer_id).filter(|state| state.epoch == header.producer_epoch)?;
        let same = |batch: &&Remembered| {
            batch.first_sequence == header.base_sequence && batch.last_sequence == header.last_sequence()
        };
        let batch = state.batches.iter().find(same)?;
        Some(Admission::Duplicate { base_offset: batch.base_offset, timestamp: batch.timestamp })
    }

    /// Checks a batch with a producer id before it is appended. `starts_at_zero`: it belongs to a transaction of the
    /// second protocol, whose sequences always begin at 0 (KIP-890).
    pub(crate) fn admit(&self, header: &BatchHeader, starts_at_zero: bool) -> Result<Admission, ErrorCode> {
        if let Some(duplicate) = self.duplicate(header) {
            return Ok(duplicate);
        }
        let unknown = ProducerState::unknown();
        let state = self.states.get(&header.producer_id).unwrap_or(&unknown);
        if header.producer_epoch < state.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        self.check_sequence(state, header, starts_at_zero)?;
        if state.transaction_start.is_some() && !header.is_transactional() {
            return Err(ErrorCode::InvalidTxnState);
        }
        Ok(Admission::Append)
    }

    fn check_sequence(
        &self,
        state: &ProducerState,
        header: &BatchHeader,
        starts_at_zero: bool,
    ) -> Result<(), ErrorCode> {
        let first = header.base_sequence;
        if starts_at_zero && first != 0 && state.batches.is_empty() {
            return Err(ErrorCode::OutOfOrderSequenceNumber);
        }
        if state.epoch == NO_EPOCH {
            return if first == 0 || self.rules.unknown_producer_may_start_anywhere {
                Ok(())
            } else {
                Err(ErrorCode::UnknownProducerId)
            };
        }
        if header.producer_epoch != state.epoch {
            return if first == 0 { Ok(()) } else { Err(ErrorCode::OutOfOrderSequenceNumber) };
        }
        let last = state.last_sequence();
        if i64::from(first) == i64::from(last) + 1 || (first == 0 && last == i32::MAX) {
            return Ok(());
        }
        if self.rules.old_duplicate_is_46 && first <= last {
            return Err(ErrorCode::DuplicateSequenceNumber);
        }
        Err(ErrorCode::OutOfOrderSequenceNumber)
    }

    /// Remembers an appended batch.
    pub(crate) fn appended(&mut self, header: &BatchHeader, base_offset: i64, timestamp: i64) {
        let state = self.states.entry(header.producer_id).or_insert_with(ProducerState::unknown);
        state.change_epoch(header.producer_epoch);
        if state.batches.len() == REMEMBERED_BATCHES {
            state.batches.pop_front();
        }
        state.batches.push_back(Remembered {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset,
            timestamp,
        });
        state.last_timestamp = header.max_timestamp;
        if header.is_transactional() && state.transaction_start.is_none() {
            state.transaction_start = Some(base_offset);
        }
    }

    /// Checks an end marker. `bumped`: the second protocol, whose markers carry a newer epoch than the data.
    pub(crate) fn admit_marker(&self, marker: &Marker, bumped: bool) -> Result<(), ErrorCode> {
        let Some(state) = self.states.get(&marker.producer_id) else { return Ok(()) };
        let retry = marker.producer_epoch == state.epoch
            && (state.transaction_start.is_none() || marker.producer_epoch == i16::MAX);
        let stale =
            if bumped { marker.producer_epoch <= state.epoch && !retry } else { marker.producer_epoch < state.epoch };
        if stale {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if state.coordinator_epoch > marker.coordinator_epoch {
            return Err(ErrorCode::TransactionCoordinatorFenced);
        }
        Ok(())
    }

    /// Notes an end marker; returns where the transaction it ended had begun.
    pub(crate) fn ended(&mut self, marker: &Marker, timestamp: i64) -> Option<i64> {
        let state = self.states.entry(marker.producer_id).or_insert_with(ProducerState::unknown);
        state.change_epoch(marker.producer_epoch);
        state.coordinator_epoch = marker.coordinator_epoch;
        state.last_timestamp = timestamp;
        state.transaction_start.take()
    }

    /// Start of the oldest open transaction.
    pub(crate) fn first_unstable(&self) -> Option<i64> {
        self.states.values().filter_map(|state| state.transaction_start).min()
    }

    /// Producers by id, for DescribeProducers.
    pub(crate) fn states(&self) -> Vec<(i64, &ProducerState)> {
        let mut states: Vec<_> = self.states.iter().map(|(&id, state)| (id, state)).collect();
        states.sort_by_key(|&(id, _)| id);
        states
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::Build;
    use super::*;

    const MODERN: SequenceRules =
        SequenceRules { unknown_producer_may_start_anywhere: true, old_duplicate_is_46: false };

    fn header(epoch: i16, sequence: i32, records: usize) -> BatchHeader {
        BatchHeader::read(&Build::records(records).producer(1, epoch, sequence).build()).unwrap()
    }

    fn produce(producers: &mut Producers, header: &BatchHeader, offset: i64) -> Result<Admission, ErrorCode> {
        let admission = producers.admit(header, false)?;
        if admission == Admission::Append {
            producers.appended(header, offset, -1);
        }
        Ok(admission)
    }

    fn filled(batches: i32) -> Producers {
        let mut producers = Producers::new(MODERN);
        for batch in 0..batches {
            produce(&mut producers, &header(0, batch * 10, 10), i64::from(batch) * 10).unwrap();
        }
        producers
    }

    #[test]
    fn one_of_the_last_five_batches_again_is_answered_with_its_first_offset() {
        let mut producers = filled(6);
        for batch in 1..6 {
            let again = produce(&mut producers, &header(0, batch * 10, 10), 999);
            assert_eq!(again, Ok(Admission::Duplicate { base_offset: i64::from(batch) * 10, timestamp: -1 }));
        }
    }

    #[test]
    fn older_duplicate_is_45_and_46_on_0_11() {
        let mut producers = filled(6);
        assert_eq!(produce(&mut producers, &header(0, 0, 10), 999), Err(ErrorCode::OutOfOrderSequenceNumber));
        producers.rules.old_duplicate_is_46 = true;
        assert_eq!(produce(&mut producers, &header(0, 0, 10), 999), Err(ErrorCode::DuplicateSequenceNumber));
    }

    #[test]
    fn gap_is_45() {
        let mut producers = filled(1);
        assert_eq!(produce(&mut producers, &header(0, 11, 1), 999), Err(ErrorCode::OutOfOrderSequenceNumber));
    }

    #[test]
    fn unknown_producer_may_start_anywhere_since_kip_360_else_59() {
        let mut producers = Producers::new(MODERN);
        assert_eq!(produce(&mut producers, &header(0, 7, 1), 0), Ok(Admission::Append));
        let mut old = Producers::new(SequenceRules { unknown_producer_may_start_anywhere: false, ..MODERN });
        assert_eq!(produce(&mut old, &header(0, 7, 1), 0), Err(ErrorCode::UnknownProducerId));
        assert_eq!(produce(&mut old, &header(0, 0, 1), 0), Ok(Admission::Append));
    }

    #[test]
    fn second_protocol_starts_at_zero() {
        let producers = Producers::new(MODERN);
        assert_eq!(producers.admit(&header(0, 7, 1), true), Err(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(producers.admit(&header(0, 0, 1), true), Ok(Admission::Append));
    }

    #[test]
    fn newer_epoch_starts_at_zero_and_older_epoch_is_47() {
        let mut producers = filled(2);
        assert_eq!(produce(&mut producers, &header(1, 20, 1), 20), Err(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(produce(&mut producers, &header(1, 0, 1), 20), Ok(Admission::Append));
        assert_eq!(produce(&mut producers, &header(0, 20, 1), 21), Err(ErrorCode::InvalidProducerEpoch));
    }

    #[test]
    fn sequence_wraps_to_zero() {
        let mut producers = Producers::new(MODERN);
        produce(&mut producers, &header(0, i32::MAX - 1, 2), 0).unwrap();
        assert_eq!(produce(&mut producers, &header(0, 0, 1), 2), Ok(Admission::Append));
    }

    #[test]
    fn plain_write_inside_a_transaction_is_48() {
        let mut producers = Producers::new(MODERN);
        let open = BatchHeader::read(&Build::records(1).producer(1, 0, 0).transactional().build()).unwrap();
        produce(&mut producers, &open, 5).unwrap();
        assert_eq!(producers.first_unstable(), Some(5));
        assert_eq!(produce(&mut producers, &header(0, 1, 1), 6), Err(ErrorCode::InvalidTxnState));
    }

    #[test]
    fn first_protocol_marker_keeps_sequences_and_second_restarts_them() {
        let open = BatchHeader::read(&Build::records(1).producer(1, 0, 0).transactional().build()).unwrap();
        let marker = |producer_epoch| Marker { producer_id: 1, producer_epoch, coordinator_epoch: 0, commit: true };
        let mut first = Producers::new(MODERN);
        produce(&mut first, &open, 5).unwrap();
        assert_eq!(first.admit_marker(&marker(0), false), Ok(()));
        assert_eq!(first.ended(&marker(0), 0), Some(5));
        assert_eq!(produce(&mut first, &header(0, 1, 1), 7), Ok(Admission::Append));
        let mut second = Producers::new(MODERN);
        produce(&mut second, &open, 5).unwrap();
        assert_eq!(second.admit_marker(&marker(0), true), Err(ErrorCode::InvalidProducerEpoch));
        assert_eq!(second.ended(&marker(1), 0), Some(5));
        assert_eq!(produce(&mut second, &header(0, 1, 1), 7), Err(ErrorCode::InvalidProducerEpoch));
        assert_eq!(produce(&mut second, &header(1, 0, 1), 7), Ok(Admission::Append));
    }

    #[test]
    fn marker_of_an_older_coordinator_is_52() {
        let mut producers = Producers::new(MODERN);
        let marker = |coordinator_epoch| Marker { producer_id: 1, producer_epoch: 0, coordinator_epoch, commit: true };
        producers.ended(&marker(3), 0);
        assert_eq!(producers.admit_marker(&marker(2), false), Err(ErrorCode::TransactionCoordinatorFenced));
    }
}
