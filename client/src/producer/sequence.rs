//! The sequence numbers of a partition (KIP-98, KIP-360): what may be sent now, and what an answer means.
use ottla_protocol::ErrorCode;
use ottla_protocol::record::ProducerStamp;

use super::batch::{BatchNumber, ProducerBatch};
use crate::error::{Action, Context, action};
use crate::types::ProducerIdAndEpoch;

/// What kind of producer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Retries may double records. With `one_in_flight` they do not swap them.
    Plain {
        one_in_flight: bool,
    },
    Idempotent,
    Transactional,
}

/// The sequence numbers of one partition.
#[derive(Debug)]
pub(crate) struct PartitionSequence {
    id: ProducerIdAndEpoch,
    next: i32,
    /// The number expected after what is acknowledged.
    acked_next: i32,
    last_acked_offset: i64,
    /// Whether the partition has a batch of this id and epoch for certain.
    is_known: bool,
    /// Batches with a connection, by number.
    in_flight: Vec<BatchNumber>,
    /// A batch that was sent timed out: whether the log has it shows when what is in flight is answered.
    is_unresolved: bool,
    needs_new_epoch: bool,
}

/// What a failed attempt means for its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// It is in the log, but not known where.
    Written,
    /// The same bytes again.
    Retry,
    /// Again, under a new epoch.
    RetryInNewEpoch,
    /// The parts of it, as more batches.
    Split,
    /// Again, from sequence 0 of the same epoch: the broker has forgotten us (KAFKA-5793).
    RestartAndRetry,
    Fail,
    /// The producer is finished.
    FailAll,
}

/// What was learned about the log beside the error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) log_start_offset: i64,
}

impl Default for PartitionSequence {
    fn default() -> Self {
        Self {
            id: ProducerIdAndEpoch::NONE,
            next: 0,
            acked_next: 0,
            last_acked_offset: -1,
            is_known: false,
            in_flight: Vec::new(),
            is_unresolved: false,
            needs_new_epoch: false,
        }
    }
}

impl PartitionSequence {
    /// Whether the first batch of the queue may be sent now.
    pub(crate) fn may_send(&self, batch: &ProducerBatch, mode: Mode, id: ProducerIdAndEpoch) -> bool {
        match mode {
            Mode::Plain { one_in_flight } => !one_in_flight || self.in_flight.is_empty(),
            _ if id == ProducerIdAndEpoch::NONE || self.needs_new_epoch => false,
            // A retry overtakes what was sent after it, never what was sent before.
            _ if batch.stamp.is_some() => self.in_flight.iter().all(|number| *number > batch.number),
            // No new epoch while the old one is in flight, and nothing new while a gap may be open. A broker takes any
            // first sequence of a producer it does not know (ProducerAppendInfo.java): a leader that refuses the first
            // batch, because it is not leader yet, and takes the second would swap them for good. So the first goes alone.
            _ => !self.is_unresolved && (self.in_flight.is_empty() || (self.id == id && self.is_known)),
        }
    }

    /// The identity of the batch, given once; registers the attempt.
    pub(crate) fn assign(&mut self, batch: &mut ProducerBatch, mode: Mode, id: ProducerIdAndEpoch) {
        self.in_flight.push(batch.number);
        if matches!(mode, Mode::Plain { .. }) || batch.stamp.is_some() {
            return;
        }
        if self.id != id {
            self.restart(id);
        }
        batch.stamp = Some(ProducerStamp {
            producer_id: id.producer_id,
            epoch: id.epoch,
            base_sequence: self.next,
            transactional: mode == Mode::Transactional,
        });
        self.next = advance(self.next, batch.count());
    }

    /// The attempt is over, whatever it gave.
    pub(crate) fn answered(&mut self, batch: &ProducerBatch) {
        self.in_flight.retain(|number| *number != batch.number);
    }

    pub(crate) fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    pub(crate) fn acknowledged(&mut self, batch: &ProducerBatch, base_offset: i64) {
        let Some(stamp) = batch.stamp else { return };
        if (stamp.producer_id, stamp.epoch) != (self.id.producer_id, self.id.epoch) {
            return;
        }
        self.is_known = true;
        let end = advance(stamp.base_sequence, batch.count());
        // Answers come in order but for a retry that was a duplicate.
        if distance(self.acked_next, end) > 0 {
            self.acked_next = end;
        }
        if base_offset >= 0 {
            self.last_acked_offset = base_offset + i64::from(batch.count()) - 1;
        }
    }

    /// What the broker's refusal means (`client.md` §2 column P/T and §5.5).
    pub(crate) fn disposition(&self, batch: &ProducerBatch, refusal: Refusal, mode: Mode) -> Disposition {
        let tx = mode == Mode::Transactional;
        let context = if tx { Context::TransactionalProduce } else { Context::Produce };
        match action(refusal.code, context) {
            Action::Written => Disposition::Written,
            Action::Retry | Action::Refresh => Disposition::Retry,
            Action::Split => Disposition::Split,
            Action::Fatal => Disposition::FailAll,
            Action::NewEpoch | Action::RetryOrAbort | Action::RetryOrNewEpoch => match batch.stamp {
                None => Disposition::Fail,
                Some(stamp) if refusal.code == ErrorCode::OutOfOrderSequenceNumber => {
                    self.out_of_order(stamp.base_sequence, tx)
                }
                Some(stamp) => self.forgotten(stamp.base_sequence, refusal.log_start_offset, tx),
            },
            // The machine that owns the batch begins the new epoch, or aborts.
            _ => Disposition::Fail,
        }
    }

    /// The broker misses a batch before this one.
    fn out_of_order(&self, base_sequence: i32, tx: bool) -> Disposition {
        match () {
            // An earlier batch failed first, and goes first. What lies behind the acknowledged never fits again.
            () if distance(self.acked_next, base_sequence) > 0 && !self.is_unresolved => Disposition::Retry,
            () if tx => Disposition::Fail,
            () => Disposition::RetryInNewEpoch,
        }
    }

    /// The broker does not know the producer id (any more).
    fn forgotten(&self, base_sequence: i32, log_start_offset: i64, tx: bool) -> Disposition {
        match () {
            () if log_start_offset < 0 => Disposition::Retry,
            () if base_sequence != 0 && self.next_is_restarted() => Disposition::Retry,
            () if tx && self.last_acked_offset < log_start_offset => Disposition::RestartAndRetry,
            () if tx => Disposition::Fail,
            () => Disposition::RetryInNewEpoch,
        }
    }

    fn next_is_restarted(&self) -> bool {
        self.acked_next == 0
    }

    /// A batch that had a sequence will not be sent again: the log will have a gap, or we do not know.
    pub(crate) fn gave_up(&mut self, batch: &ProducerBatch, outcome_is_known: bool) {
        if batch.stamp.is_none() {
            return;
        }
        if outcome_is_known {
            self.needs_new_epoch = true;
        } else {
            self.is_unresolved = true;
        }
    }

    /// A batch in flight is not waited for any more.
    pub(crate) fn timed_out_in_flight(&mut self) {
        self.is_unresolved = true;
    }

    /// A gap is left, or may be.
    pub(crate) fn is_troubled(&self) -> bool {
        self.is_unresolved || self.needs_new_epoch
    }

    pub(crate) fn want_new_epoch(&mut self) {
        self.needs_new_epoch = true;
    }

    /// Closes what is unresolved once nothing is in flight any more: either everything sent is acknowledged, or a new
    /// epoch has to begin. Whether one has to.
    pub(crate) fn resolve(&mut self) -> bool {
        if self.is_unresolved && self.in_flight.is_empty() {
            self.is_unresolved = false;
            self.needs_new_epoch |= self.acked_next != self.next;
        }
        self.needs_new_epoch && self.in_flight.is_empty()
    }

    /// Begins at 0 under `id`.
    pub(crate) fn restart(&mut self, id: ProducerIdAndEpoch) {
        let in_flight = std::mem::take(&mut self.in_flight);
        *self = Self { id, in_flight, ..Self::default() };
    }
}

/// Sequences wrap from `i32::MAX` to 0.
pub(crate) fn advance(sequence: i32, count: i32) -> i32 {
    ((i64::from(sequence) + i64::from(count)) % (i64::from(i32::MAX) + 1)) as i32
}

/// How far `to` is ahead of `from`, over the wrap.
fn distance(from: i32, to: i32) -> i64 {
    let span = i64::from(i32::MAX) + 1;
    let ahead = (i64::from(to) - i64::from(from)).rem_euclid(span);
    if ahead > span / 2 { ahead - span } else { ahead }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use super::super::accumulator::PartitionKey;
    use super::*;
    use crate::types::TopicPartition;
    use std::time::Instant;

    const ID: ProducerIdAndEpoch = ProducerIdAndEpoch { producer_id: 9, epoch: 3 };

    fn batch(number: u64, records: i32) -> ProducerBatch {
        let key = PartitionKey { topic: 0, partition: 0 };
        let mut batch =
            ProducerBatch::new(number.into(), (key, TopicPartition::new("t", 0)), Instant::now(), Vec::new(), 0);
        for _ in 0..records {
            batch.try_append(1 << 20, 0, None, Some(b"v"), &[]).unwrap();
        }
        batch
    }

    /// A partition that knows the producer, so that several batches may be in flight.
    fn known() -> PartitionSequence {
        PartitionSequence { id: ID, is_known: true, ..PartitionSequence::default() }
    }

    fn sent(sequence: &mut PartitionSequence, number: u64, records: i32) -> ProducerBatch {
        let mut batch = batch(number, records);
        assert!(sequence.may_send(&batch, Mode::Idempotent, ID));
        sequence.assign(&mut batch, Mode::Idempotent, ID);
        batch
    }

    fn refusal(code: ErrorCode) -> Refusal {
        Refusal { code, log_start_offset: 0 }
    }

    fn base(batch: &ProducerBatch) -> i32 {
        batch.stamp.unwrap().base_sequence
    }

    #[test]
    fn sequences_count_records_and_wrap() {
        let mut sequence = known();
        let bases: Vec<_> = (0..3).map(|n| base(&sent(&mut sequence, n, 5))).collect();
        assert_eq!(bases, [0, 5, 10]);
        assert_eq!(advance(i32::MAX - 1, 1), i32::MAX);
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 1, 5), 3);
        assert!(distance(i32::MAX - 1, 3) > 0 && distance(3, i32::MAX - 1) < 0);
    }

    #[test]
    fn producer_id_is_read_before_request_is_built() {
        let sequence = PartitionSequence::default();
        assert!(!sequence.may_send(&batch(0, 1), Mode::Idempotent, ProducerIdAndEpoch::NONE));
        assert!(sequence.may_send(&batch(0, 1), Mode::Plain { one_in_flight: true }, ProducerIdAndEpoch::NONE));
    }

    #[test]
    fn first_batch_of_an_epoch_is_alone_in_flight() {
        let mut sequence = PartitionSequence::default();
        let mut first = sent(&mut sequence, 0, 2);
        assert!(!sequence.may_send(&batch(1, 2), Mode::Idempotent, ID));
        sequence.answered(&first);
        // It was refused, and goes again.
        assert!(sequence.may_send(&first, Mode::Idempotent, ID));
        sequence.assign(&mut first, Mode::Idempotent, ID);
        assert!(!sequence.may_send(&batch(1, 2), Mode::Idempotent, ID));
        sequence.answered(&first);
        sequence.acknowledged(&first, 0);
        sent(&mut sequence, 1, 2);
        assert!(sequence.may_send(&batch(2, 2), Mode::Idempotent, ID), "the partition knows us now");
        sequence.restart(ProducerIdAndEpoch { epoch: 4, ..ID });
        assert!(!sequence.is_known);
    }

    #[test]
    fn a_batch_behind_what_is_acknowledged_is_not_repeated_for_ever() {
        let mut sequence = known();
        let (first, second) = (sent(&mut sequence, 0, 2), sent(&mut sequence, 1, 2));
        sequence.acknowledged(&second, 0);
        let gap = refusal(ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(sequence.disposition(&first, gap, Mode::Idempotent), Disposition::RetryInNewEpoch);
        assert_eq!(sequence.disposition(&first, gap, Mode::Transactional), Disposition::Fail);
    }

    #[test]
    fn sequence_and_bytes_survive_a_retry_that_overtakes_nothing() {
        let mut sequence = known();
        let mut first = sent(&mut sequence, 0, 2);
        let mut second = sent(&mut sequence, 1, 2);
        let bytes = |b: &mut ProducerBatch| b.seal(ottla_protocol::compression::Compression::None, None).unwrap();
        let before = (bytes(&mut first).into_bytes(), bytes(&mut second).into_bytes());
        sequence.answered(&second);
        assert!(!sequence.may_send(&second, Mode::Idempotent, ID), "the first is in flight in front of it");
        sequence.answered(&first);
        sequence.assign(&mut first, Mode::Idempotent, ID);
        assert!(!sequence.may_send(&second, Mode::Idempotent, ID));
        sequence.answered(&first);
        assert_eq!((bytes(&mut first).into_bytes(), bytes(&mut second).into_bytes()), before);
    }

    #[test]
    fn new_epoch_is_not_drained_while_old_epoch_is_in_flight() {
        let mut sequence = PartitionSequence::default();
        let first = sent(&mut sequence, 0, 2);
        let newer = ProducerIdAndEpoch { epoch: 4, ..ID };
        let mut next = batch(1, 1);
        assert!(!sequence.may_send(&next, Mode::Idempotent, newer));
        sequence.answered(&first);
        assert!(sequence.may_send(&next, Mode::Idempotent, newer));
        sequence.assign(&mut next, Mode::Idempotent, newer);
        assert_eq!((base(&next), next.stamp.unwrap().epoch), (0, 4));
    }

    #[test]
    fn a_gap_in_front_is_waited_for_and_a_gap_of_ours_begins_an_epoch() {
        let mut sequence = known();
        let (first, second) = (sent(&mut sequence, 0, 2), sent(&mut sequence, 1, 2));
        let gap = refusal(ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(sequence.disposition(&second, gap, Mode::Idempotent), Disposition::Retry);
        assert_eq!(sequence.disposition(&first, gap, Mode::Idempotent), Disposition::RetryInNewEpoch);
        assert_eq!(sequence.disposition(&first, gap, Mode::Transactional), Disposition::Fail);
        sequence.acknowledged(&first, 100);
        assert_eq!(sequence.disposition(&second, gap, Mode::Idempotent), Disposition::RetryInNewEpoch);
    }

    #[test]
    fn client_timeout_keeps_the_sequence_gap_until_resolved() {
        for (later_acked, new_epoch) in [(false, true), (true, false)] {
            let mut sequence = known();
            let (first, second) = (sent(&mut sequence, 0, 2), sent(&mut sequence, 1, 2));
            sequence.gave_up(&first, false);
            assert!(!sequence.may_send(&batch(2, 1), Mode::Idempotent, ID));
            assert!(!sequence.resolve(), "something is in flight");
            sequence.answered(&first);
            if later_acked {
                sequence.acknowledged(&second, 12);
            }
            sequence.answered(&second);
            assert_eq!(sequence.resolve(), new_epoch);
            assert_eq!(sequence.may_send(&batch(2, 1), Mode::Idempotent, ID), !new_epoch);
        }
    }

    #[test]
    fn a_forgotten_producer_restarts_by_what_retention_removed() {
        let mut sequence = PartitionSequence::default();
        let first = sent(&mut sequence, 0, 2);
        sequence.acknowledged(&first, 10);
        sequence.answered(&first);
        let second = sent(&mut sequence, 1, 2);
        let at = |log_start_offset| Refusal { code: ErrorCode::UnknownProducerId, log_start_offset };
        assert_eq!(sequence.disposition(&second, at(-1), Mode::Transactional), Disposition::Retry);
        assert_eq!(sequence.disposition(&second, at(50), Mode::Transactional), Disposition::RestartAndRetry);
        assert_eq!(sequence.disposition(&second, at(50), Mode::Idempotent), Disposition::RetryInNewEpoch);
        assert_eq!(sequence.disposition(&second, at(5), Mode::Transactional), Disposition::Fail);
    }
}
