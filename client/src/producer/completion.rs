//! What an answer, an error or the passing of time does to batches. No I/O.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::{ApiKey, ErrorCode};

use super::accumulator::{Gate, Membership, PartitionKey, RecordAccumulator};
use super::batch::{BatchNumber, ProducerBatch};
use super::delivery::{BatchOutcome, Outcome};
use super::metrics::ProducerMeters;
use super::produce::PartitionAnswer;
use super::sequence::{Disposition, Mode, Refusal};
use super::split::split;
use super::transaction::{Phase, TransactionManager};
use crate::backoff::ExponentialBackoff;
use crate::error::{Certainty, Error, Remedy, is_possibly_written};
use crate::types::ProducerIdAndEpoch;

/// The machines of a producer.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) accumulator: RecordAccumulator,
    /// The id that batches are sent with, outside of transactions.
    pub(crate) id: ProducerIdAndEpoch,
    pub(crate) transactions: Option<TransactionManager>,
    /// Why nothing can be sent any more.
    pub(crate) failed: Option<Error>,
    /// The first failure of a record since it was last asked for.
    pub(crate) failure: Option<Error>,
    in_flight: BTreeMap<BatchNumber, InFlight>,
    /// Partitions whose sequence has a gap, or may have one.
    troubled: BTreeSet<PartitionKey>,
    settings: Settings,
    rng: fastrand::Rng,
    /// When anything last happened, for what is told of failures.
    now: Option<Instant>,
    meters: Arc<ProducerMeters>,
}

/// The settings that decide about retries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) acks_all: bool,
    pub(crate) retries: u32,
    pub(crate) delivery_timeout: Duration,
    pub(crate) backoff: ExponentialBackoff,
}

/// A batch that a connection has.
#[derive(Debug)]
struct InFlight {
    created: Instant,
    attempts: u32,
    records: i32,
    outcome: Arc<BatchOutcome>,
    key: PartitionKey,
    has_sequence: bool,
    last_error: Option<Error>,
    is_expired: bool,
}

impl State {
    pub(crate) fn new(
        accumulator: RecordAccumulator,
        transactions: Option<TransactionManager>,
        settings: Settings,
        rng: fastrand::Rng,
        meters: Arc<ProducerMeters>,
    ) -> Self {
        let mut state = Self {
            accumulator,
            id: ProducerIdAndEpoch::NONE,
            transactions,
            failed: None,
            failure: None,
            in_flight: BTreeMap::new(),
            troubled: BTreeSet::new(),
            settings,
            rng,
            now: None,
            meters,
        };
        state.follow_phase();
        state
    }

    /// The brokers know no idempotence: it is done without.
    pub(crate) fn follow_mode(&mut self, mode: Mode) {
        self.settings.mode = mode;
        self.accumulator.follow_mode(mode);
    }

    /// Batches that a connection has.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// These batches are handed to a connection.
    pub(crate) fn sent(&mut self, batches: &[ProducerBatch]) {
        for batch in batches {
            let in_flight = InFlight {
                created: batch.created,
                attempts: batch.attempts,
                records: batch.count(),
                outcome: Arc::clone(&batch.outcome),
                key: batch.key,
                has_sequence: batch.stamp.is_some(),
                last_error: batch.last_error.clone(),
                is_expired: false,
            };
            self.in_flight.insert(batch.number, in_flight);
        }
    }

    /// A broker answered for this batch. Whether metadata may be out of date.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        batch: ProducerBatch,
        answer: PartitionAnswer,
        moved: bool,
    ) -> bool {
        self.now = Some(now);
        let is_expired = self.came_back(&batch);
        if answer.code == ErrorCode::None {
            self.written(batch, answer.base_offset, answer.log_append_time);
            return false;
        }
        let error = Error::broker(answer.code, ApiKey::Produce, batch.topic_partition()).message(answer.message);
        let error = match &answer.at {
            Some(at) => error.at(at),
            None => error,
        };
        let refusal = Refusal { code: answer.code, log_start_offset: answer.log_start_offset };
        let disposition = match self.accumulator.queue(batch.key) {
            Some(queue) => queue.sequence.disposition(&batch, refusal, self.settings.mode),
            None => Disposition::Fail,
        };
        let mut batch = batch;
        batch.is_ambiguous |= is_possibly_written(answer.code, self.settings.acks_all);
        let stale = error.remedy() == Remedy::RefreshMetadata;
        self.dispose(now, batch, error, disposition, is_expired, moved);
        stale
    }

    /// There was no answer for this batch.
    pub(crate) fn unanswered(&mut self, now: Instant, mut batch: ProducerBatch, error: Error) {
        self.now = Some(now);
        let is_expired = self.came_back(&batch);
        let disposition = match &error {
            Error::Disconnected { written, .. } => {
                batch.is_ambiguous |= written;
                Disposition::Retry
            }
            Error::Connect { .. } | Error::Timeout { .. } => Disposition::Retry,
            // Something came back, and it cannot be read.
            Error::Malformed { .. } => {
                batch.is_ambiguous = true;
                Disposition::Retry
            }
            _ => Disposition::Fail,
        };
        if batch.is_ambiguous
            && let Some(transactions) = &mut self.transactions
        {
            transactions.outcome_unknown();
        }
        self.dispose(now, batch, error, disposition, is_expired, false);
    }

    fn came_back(&mut self, batch: &ProducerBatch) -> bool {
        if let Some(queue) = self.accumulator.queue(batch.key) {
            queue.sequence.answered(batch);
        }
        self.in_flight.remove(&batch.number).is_some_and(|b| b.is_expired)
    }

    fn written(&mut self, batch: ProducerBatch, base_offset: i64, log_append_time: Option<i64>) {
        batch.written(base_offset, log_append_time);
        if let Some(queue) = self.accumulator.queue(batch.key) {
            queue.sequence.acknowledged(&batch, base_offset);
        }
        if base_offset >= 0
            && let Some(transactions) = &mut self.transactions
        {
            transactions.witness.get_or_insert_with(|| (batch.topic_partition().clone(), base_offset));
        }
        self.accumulator.release(batch);
    }

    fn dispose(
        &mut self,
        now: Instant,
        mut batch: ProducerBatch,
        error: Error,
        disposition: Disposition,
        is_expired: bool,
        moved: bool,
    ) {
        let retries_are_left = batch.attempts <= self.settings.retries;
        match disposition {
            Disposition::Written => self.written(batch, -1, None),
            Disposition::FailAll => {
                self.give_up(batch, &error);
                self.fail_producer(&error);
            }
            // Who waited for it has been told: it is not tried again.
            _ if is_expired => self.give_up(batch, &error),
            _ if self.accumulator.is_orphan(&batch) && !self.accumulator.adopt(&mut batch) => {
                self.give_up_orphan(batch)
            }
            _ if self.is_aborting() => self.give_up(batch, &error),
            Disposition::Split => self.split(batch, error),
            Disposition::Retry | Disposition::RetryInNewEpoch | Disposition::RestartAndRetry if retries_are_left => {
                if disposition == Disposition::RestartAndRetry && !self.restart_sequence(&mut batch) {
                    return self.give_up(batch, &error);
                }
                if disposition == Disposition::RetryInNewEpoch {
                    self.want_new_epoch(batch.key);
                }
                let delay = self.settings.backoff.delay(batch.attempts.saturating_sub(1), &mut self.rng);
                // The new leader is known already: there is nothing to wait for (KIP-951).
                batch.retry_at = (!moved).then(|| now + delay);
                batch.last_error = Some(error);
                self.meters.retried(&batch);
                self.accumulator.reenqueue(batch);
            }
            _ => self.give_up(batch, &error),
        }
    }

    /// The batch is too large where it was sent: its parts go in its place, at once.
    fn split(&mut self, batch: ProducerBatch, error: Error) {
        let (number, partition, records) = (batch.number, batch.topic_partition().clone(), batch.count());
        match split(batch) {
            Ok(mut parts) => {
                tracing::debug!(%partition, records, parts = parts.len(), %error, "a batch is split");
                self.meters.all.batch_split_total.add(1);
                parts.iter_mut().for_each(|part| part.last_error = Some(error.clone()));
                self.accumulator.replace(number, parts);
            }
            Err(batch) => self.give_up(*batch, &error),
        }
    }

    fn is_aborting(&self) -> bool {
        self.transactions
            .as_ref()
            .is_some_and(|t| matches!(t.phase(), Phase::Aborting | Phase::AbortableError(_) | Phase::FatalError(_)))
    }

    fn restart_sequence(&mut self, batch: &mut ProducerBatch) -> bool {
        let Some(id) = self.transactions.as_ref().map(TransactionManager::id) else { return false };
        match self.accumulator.queue(batch.key) {
            Some(queue) if !queue.sequence.has_in_flight() => {
                queue.sequence.restart(id);
                batch.stamp = None;
                true
            }
            _ => false,
        }
    }

    fn want_new_epoch(&mut self, key: PartitionKey) {
        if let Some(queue) = self.accumulator.queue(key) {
            queue.sequence.want_new_epoch();
        }
        self.troubled.insert(key);
    }

    /// The batch will not be sent again.
    fn give_up(&mut self, batch: ProducerBatch, error: &Error) {
        self.failure.get_or_insert_with(|| batch.failure(self.now, error.clone()));
        self.fail(&batch, error.clone());
        // The log of a topic that was created again has no gap by what an old one is not sent.
        if batch.stamp.is_some() && !self.accumulator.is_orphan(&batch) {
            if let Some(queue) = self.accumulator.queue(batch.key) {
                queue.sequence.gave_up(&batch, !batch.is_ambiguous);
            }
            self.troubled.insert(batch.key);
        }
        self.accumulator.release(batch);
        if let Some(transactions) = &mut self.transactions {
            transactions.fail_transaction(error);
        }
        self.follow_phase();
    }

    fn fail(&self, batch: &ProducerBatch, error: Error) {
        if batch.fail(self.now, error) {
            self.meters.failed(&batch.topic_partition().topic, batch.count());
        }
    }

    /// Tells the meters how much memory there is.
    pub(crate) fn show_memory(&self) {
        let (free, waiting) = self.accumulator.memory();
        #[allow(clippy::cast_precision_loss, reason = "a metric")]
        self.meters.all.buffer_available_bytes.set(free as f64);
        #[allow(clippy::cast_precision_loss, reason = "a metric")]
        self.meters.all.waiting_threads.set(waiting as f64);
    }

    /// Fails what was meant for topics that were deleted and created again.
    pub(crate) fn fail_orphans(&mut self) {
        for batch in std::mem::take(&mut self.accumulator.orphans) {
            self.give_up_orphan(batch);
        }
    }

    fn give_up_orphan(&mut self, batch: ProducerBatch) {
        let error = Error::broker(ErrorCode::UnknownTopicId, ApiKey::Produce, batch.topic_partition());
        self.give_up(batch, &error);
    }

    /// Fails batches whose `delivery.timeout.ms` has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.now = Some(now);
        let timeout = self.settings.delivery_timeout;
        let is_over = |created: Instant| now.saturating_duration_since(created) >= timeout;
        let mut late = Vec::new();
        for batch in self.in_flight.values_mut().filter(|b| !b.is_expired && is_over(b.created)) {
            batch.is_expired = true;
            let after = now.saturating_duration_since(batch.created);
            let cause = expired(&batch.outcome, timeout, batch.last_error.as_ref());
            self.meters.failed(&batch.outcome.topic_partition().topic, batch.records);
            late.push((batch.key, Arc::clone(&batch.outcome), batch.has_sequence, (batch.attempts, after), cause));
        }
        for (key, outcome, has_sequence, (attempts, after), cause) in late {
            let certainty = Certainty::PossiblyWritten;
            let topic_partition = outcome.topic_partition().clone();
            self.failure.get_or_insert_with(|| Error::Delivery {
                certainty,
                attempts,
                after,
                topic_partition,
                cause: Box::new(cause.clone()),
            });
            outcome.complete(Outcome::Failed { certainty, attempts, after, cause: cause.clone() });
            if has_sequence {
                if let Some(queue) = self.accumulator.queue(key) {
                    queue.sequence.timed_out_in_flight();
                }
                self.troubled.insert(key);
            }
            if let Some(transactions) = &mut self.transactions {
                transactions.fail_transaction(&cause);
            }
        }
        if self.accumulator.oldest().is_some_and(is_over) {
            for batch in self.accumulator.extract(|b| is_over(b.created)) {
                let cause = expired(&batch.outcome, timeout, batch.last_error.as_ref());
                self.give_up(batch, &cause);
            }
        }
        self.follow_phase();
    }

    /// When the next batch expires.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        let in_flight = self.in_flight.values().filter(|b| !b.is_expired).map(|b| b.created).min();
        let oldest = [in_flight, self.accumulator.oldest()].into_iter().flatten().min()?;
        Some(oldest + self.settings.delivery_timeout)
    }

    /// Begins a new epoch where a gap in the sequence was left, once nothing of the partition is in flight (KIP-360).
    pub(crate) fn resolve_sequences(&mut self) {
        for key in std::mem::take(&mut self.troubled) {
            let Some(queue) = self.accumulator.queue(key) else { continue };
            if !queue.sequence.resolve() {
                if queue.sequence.is_troubled() {
                    self.troubled.insert(key);
                }
                continue;
            }
            let doubtful = queue.renumber();
            let next = match &self.transactions {
                // The end of the transaction brings the new epoch.
                Some(transactions) => transactions.id(),
                None => next_epoch(self.id),
            };
            queue.sequence.restart(next);
            if self.transactions.is_none() {
                self.id = next;
            }
            for batch in doubtful {
                // Under another number it could be written twice.
                let cause = batch.last_error.clone().unwrap_or_else(|| expired(&batch.outcome, Duration::ZERO, None));
                self.failure.get_or_insert_with(|| batch.failure(self.now, cause.clone()));
                self.fail(&batch, cause);
                self.accumulator.release(batch);
            }
            if let Some(transactions) = &mut self.transactions {
                let subject = format!("an earlier batch of {}", self.accumulator.topic_partition(key));
                let cause = Error::broker(ErrorCode::OutOfOrderSequenceNumber, ApiKey::Produce, subject);
                transactions.fail_transaction(&cause);
            }
        }
        self.follow_phase();
    }

    /// No id could be had for the batches that wait for one. A broker that refuses who we are fails them at once; it may
    /// let us in later, and the producer goes on (`client.md` §3.4).
    pub(crate) fn no_id_yet(&mut self, now: Instant, error: &Error) {
        self.now = Some(now);
        if !matches!(error, Error::Authentication { .. }) {
            return self.accumulator.explain_wait(None, error);
        }
        for batch in self.accumulator.extract(|b| b.stamp.is_none()) {
            self.give_up(batch, error);
        }
    }

    /// This producer is finished.
    pub(crate) fn fail_producer(&mut self, error: &Error) {
        if let Some(transactions) = &mut self.transactions {
            transactions.fail_producer(error);
        } else {
            self.failed.get_or_insert_with(|| error.clone());
            self.accumulator.gate = Gate::Shut(error.clone());
            self.fail_queued(error);
        }
        self.follow_phase();
    }

    /// The producer goes away: nothing is waited for any more.
    pub(crate) fn fail_everything(&mut self, error: &Error) {
        self.failed.get_or_insert_with(|| error.clone());
        self.accumulator.gate = Gate::Shut(error.clone());
        self.fail_queued(error);
        for batch in std::mem::take(&mut self.in_flight).into_values() {
            let certainty = Certainty::PossiblyWritten;
            let after = self.now.map_or(Duration::ZERO, |now| now.saturating_duration_since(batch.created));
            let attempts = batch.attempts;
            if batch.outcome.complete(Outcome::Failed { certainty, attempts, after, cause: error.clone() }) {
                self.meters.failed(&batch.outcome.topic_partition().topic, batch.records);
            }
        }
    }

    fn fail_queued(&mut self, error: &Error) {
        for batch in self.accumulator.extract(|_| true) {
            self.fail(&batch, error.clone());
            if batch.stamp.is_some() {
                self.troubled.insert(batch.key);
                if let Some(queue) = self.accumulator.queue(batch.key) {
                    queue.sequence.gave_up(&batch, !batch.is_ambiguous);
                }
            }
            self.accumulator.release(batch);
        }
    }

    /// Lets records in or not, by the phase of the transaction, and drops what will not be committed.
    pub(crate) fn follow_phase(&mut self) {
        let Some(transactions) = &self.transactions else { return };
        let error = transactions.refuse_to_send();
        let drop_queued = self.is_aborting().then(|| error.clone()).flatten();
        self.accumulator.gate = error.map_or(Gate::Open, Gate::Shut);
        if let Some(error) = drop_queued {
            self.fail_queued(&error);
        }
    }

    /// The transaction is over: no partition is part of one.
    pub(crate) fn transaction_ended(&mut self) {
        self.accumulator.new_members.clear();
        for queue in self.accumulator.queues() {
            queue.membership = Membership::None;
        }
    }
}

fn next_epoch(id: ProducerIdAndEpoch) -> ProducerIdAndEpoch {
    match id.epoch.checked_add(1) {
        Some(epoch) if id.producer_id >= 0 => ProducerIdAndEpoch { epoch, ..id },
        // Used up: a new id is asked for.
        _ => ProducerIdAndEpoch::NONE,
    }
}

fn expired(outcome: &BatchOutcome, after: Duration, last: Option<&Error>) -> Error {
    let what = format!("writing to {} (delivery.timeout.ms)", outcome.topic_partition());
    Error::Timeout { what, after, last: last.cloned().map(Box::new) }
}
