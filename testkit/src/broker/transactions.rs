//! The transaction coordinator (`TransactionCoordinator.scala`, `TransactionMetadata.java`), both protocols:
//! the first ends a transaction with its own epoch, the second (KIP-890) bumps the epoch with every end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::ErrorCode;

const NO_ID: i64 = -1;
const NO_EPOCH: i16 = -1;
/// The last epoch a client may use; from here on the next bump takes a new producer id.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// Topic and partition, as transactions and offsets know them.
pub(crate) type TopicPartition = (String, i32);

/// State of a transactional id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionState {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

impl TransactionState {
    pub(crate) const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// The name ListTransactions and DescribeTransactions use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    fn is_preparing(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// Everything the coordinator knows of one transactional id.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) producer_id: i64,
    previous_producer_id: i64,
    next_producer_id: i64,
    pub(crate) epoch: i16,
    last_epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) state: TransactionState,
    pub(crate) partitions: BTreeSet<TopicPartition>,
    pub(crate) started: Option<Instant>,
    updated: Instant,
    /// The end that is being written belongs to the second protocol.
    bumps: bool,
}

impl Transaction {
    fn is_exhausted(&self) -> bool {
        self.epoch >= LAST_EPOCH
    }

    fn times_out_at(&self) -> Option<Instant> {
        if self.state != TransactionState::Ongoing || self.timeout_ms == i32::MAX {
            return None;
        }
        let timeout = Duration::from_millis(u64::try_from(self.timeout_ms).unwrap_or(0));
        self.started.map(|started| started + timeout)
    }
}

/// A producer id with its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerIdAndEpoch {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// End markers to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Markers {
    pub(crate) producer: ProducerIdAndEpoch,
    pub(crate) commit: bool,
    pub(crate) bumped: bool,
    pub(crate) partitions: Vec<TopicPartition>,
}

/// Reply to an InitProducerId.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Initialized {
    Ready(ProducerIdAndEpoch),
    /// The open transaction is being aborted first; the client gets CONCURRENT_TRANSACTIONS and asks again.
    Fencing,
}

/// All transactional ids of the cluster.
#[derive(Debug)]
pub(crate) struct Transactions {
    entries: BTreeMap<String, Transaction>,
    next_producer_id: i64,
    max_timeout_ms: i32,
    /// The broker's own level (feature transaction.version ≥ 2), used when it ends transactions by itself.
    second_protocol: bool,
}

impl Transactions {
    pub(crate) fn new(max_timeout_ms: i32, second_protocol: bool) -> Self {
        Self { entries: BTreeMap::new(), next_producer_id: 1000, max_timeout_ms, second_protocol }
    }

    /// The finalized `transaction.version` changed.
    pub(crate) fn use_second_protocol(&mut self, second_protocol: bool) {
        self.second_protocol = second_protocol;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Transaction)> {
        self.entries.iter()
    }

    pub(crate) fn describe(&self, id: &str) -> Option<&Transaction> {
        self.entries.get(id)
    }

    /// A producer id nobody had before.
    pub(crate) fn generate_producer_id(&mut self) -> i64 {
        let id = self.next_producer_id;
        self.next_producer_id += 1;
        id
    }

    /// InitProducerId with a transactional id.
    pub(crate) fn initialize(
        &mut self,
        now: Instant,
        id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdAndEpoch>,
    ) -> Result<Initialized, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.max_timeout_ms {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        let fresh = self.generate_producer_id();
        let entry = self.entries.entry(id.to_owned()).or_insert_with(|| Transaction {
            producer_id: fresh,
            previous_producer_id: NO_ID,
            next_producer_id: NO_ID,
            epoch: NO_EPOCH,
            last_epoch: NO_EPOCH,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            started: None,
            updated: now,
            bumps: false,
        });
        if expected.is_some_and(|expected| !may_initialize(entry, expected)) {
            return Err(ErrorCode::ProducerFenced);
        }
        if entry.state.is_preparing() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if entry.state == TransactionState::Ongoing {
            self.fence(now, id);
            return Ok(Initialized::Fencing);
        }
        let previous_producer_id = entry.producer_id;
        let exhausted = entry.is_exhausted() && expected.is_none_or(|expected| expected.epoch == entry.epoch);
        if exhausted {
            entry.last_epoch = if expected.is_some() { entry.epoch } else { NO_EPOCH };
            (entry.producer_id, entry.epoch) = (fresh, 0);
        } else {
            (entry.epoch, entry.last_epoch) = next_epoch(entry, expected)?;
        }
        entry.previous_producer_id = previous_producer_id;
        entry.timeout_ms = timeout_ms;
        entry.state = TransactionState::Empty;
        entry.partitions.clear();
        entry.started = None;
        entry.updated = now;
        Ok(Initialized::Ready(ProducerIdAndEpoch { producer_id: entry.producer_id, epoch: entry.epoch }))
    }

    /// The broker aborts the open transaction by itself: a new producer took the id, or the time is up.
    fn fence(&mut self, now: Instant, id: &str) {
        let second_protocol = self.second_protocol;
        let fresh = if second_protocol { self.generate_producer_id() } else { NO_ID };
        let Some(entry) = self.entries.get_mut(id) else { return };
        if second_protocol {
            prepare(entry, now, false, true, fresh, false);
        } else {
            entry.epoch = entry.epoch.saturating_add(1);
            entry.last_epoch = NO_EPOCH;
            prepare(entry, now, false, false, NO_ID, false);
        }
    }

    fn checked(&mut self, id: &str, producer: ProducerIdAndEpoch) -> Result<&mut Transaction, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let entry = self.entries.get_mut(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if entry.producer_id != producer.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if entry.epoch != producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        if entry.state.is_preparing() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        Ok(entry)
    }

    /// AddPartitionsToTxn, AddOffsetsToTxn, or what Produce ≥ 12 and TxnOffsetCommit ≥ 5 add by themselves.
    pub(crate) fn add_partitions(
        &mut self,
        now: Instant,
        id: &str,
        producer: ProducerIdAndEpoch,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<(), ErrorCode> {
        let entry = self.checked(id, producer)?;
        if entry.state != TransactionState::Ongoing {
            entry.state = TransactionState::Ongoing;
            entry.started = Some(now);
            entry.previous_producer_id = entry.producer_id;
            entry.partitions.clear();
        }
        entry.partitions.extend(partitions);
        entry.updated = now;
        Ok(())
    }

    /// Whether the partition was added to the open transaction (KIP-890 part 1: verification by the partition leader).
    pub(crate) fn verify(
        &mut self,
        id: &str,
        producer: ProducerIdAndEpoch,
        partition: &TopicPartition,
    ) -> Result<(), ErrorCode> {
        let entry = self.checked(id, producer)?;
        if entry.partitions.contains(partition) { Ok(()) } else { Err(ErrorCode::TransactionAbortable) }
    }

    /// EndTxn; `bumps` from version 5 on. Returns the producer id and epoch the client continues with.
    pub(crate) fn end(
        &mut self,
        now: Instant,
        id: &str,
        producer: ProducerIdAndEpoch,
        commit: bool,
        bumps: bool,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let fresh = if bumps { self.generate_producer_id() } else { NO_ID };
        let entry = self.entries.get_mut(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let decision =
            if bumps { decide_second(entry, producer, commit)? } else { decide_first(entry, producer, commit)? };
        match decision {
            Decision::Done => Ok(ProducerIdAndEpoch { producer_id: entry.producer_id, epoch: entry.epoch }),
            Decision::Prepare { empty } => {
                prepare(entry, now, commit, bumps, fresh, empty);
                Ok(continued(entry))
            }
        }
    }

    /// Ids whose end markers are still to be written.
    pub(crate) fn preparing(&self) -> Vec<String> {
        self.entries.iter().filter(|(_, entry)| entry.state.is_preparing()).map(|(id, _)| id.clone()).collect()
    }

    /// The end markers of an id that is being ended.
    pub(crate) fn markers(&self, id: &str) -> Option<Markers> {
        let entry = self.entries.get(id).filter(|entry| entry.state.is_preparing())?;
        Some(Markers {
            producer: ProducerIdAndEpoch { producer_id: entry.producer_id, epoch: entry.epoch },
            commit: entry.state == TransactionState::PrepareCommit,
            bumped: entry.bumps,
            partitions: entry.partitions.iter().cloned().collect(),
        })
    }

    /// One marker was written.
    pub(crate) fn marker_written(&mut self, id: &str, partition: &TopicPartition) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.partitions.remove(partition);
        }
    }

    /// All markers of `id` were written: the transaction is complete.
    pub(crate) fn complete(&mut self, now: Instant, id: &str) {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.state.is_preparing()) else { return };
        let next = continued(entry);
        entry.state = match entry.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        };
        entry.previous_producer_id = entry.producer_id;
        (entry.producer_id, entry.epoch) = (next.producer_id, next.epoch);
        entry.next_producer_id = NO_ID;
        entry.partitions.clear();
        entry.updated = now;
    }

    /// Aborts transactions whose timeout has passed; true if there was one.
    pub(crate) fn abort_timed_out(&mut self, now: Instant) -> bool {
        let late = |entry: &Transaction| entry.times_out_at().is_some_and(|at| at < now);
        let ids: Vec<_> = self.entries.iter().filter(|(_, entry)| late(entry)).map(|(id, _)| id.clone()).collect();
        for id in &ids {
            self.fence(now, id);
        }
        !ids.is_empty()
    }

    /// Forgets ids unused for `age` (`transactional.id.expiration.ms`), never one with an open transaction.
    pub(crate) fn expire(&mut self, now: Instant, age: Duration) {
        self.entries.retain(|_, entry| {
            entry.state == TransactionState::Ongoing
                || entry.state.is_preparing()
                || now.saturating_duration_since(entry.updated) < age
        });
    }
}

/// Producer id and epoch after the end that is being written.
fn continued(entry: &Transaction) -> ProducerIdAndEpoch {
    if entry.bumps && entry.next_producer_id != NO_ID {
        return ProducerIdAndEpoch { producer_id: entry.next_producer_id, epoch: 0 };
    }
    ProducerIdAndEpoch { producer_id: entry.producer_id, epoch: entry.epoch }
}

fn may_initialize(entry: &Transaction, expected: ProducerIdAndEpoch) -> bool {
    entry.epoch == NO_EPOCH
        || expected.producer_id == entry.producer_id
        || (expected.producer_id == entry.previous_producer_id && expected.epoch >= LAST_EPOCH)
}

/// Epoch and last epoch after an InitProducerId (`prepareIncrementProducerEpoch`).
fn next_epoch(entry: &Transaction, expected: Option<ProducerIdAndEpoch>) -> Result<(i16, i16), ErrorCode> {
    let bumped = entry.epoch.checked_add(1).ok_or(ErrorCode::UnknownServerError)?;
    match expected {
        None => Ok((bumped, NO_EPOCH)),
        Some(expected) if entry.epoch == NO_EPOCH || expected.epoch == entry.epoch => Ok((bumped, entry.epoch)),
        Some(expected) if expected.epoch == entry.last_epoch => Ok((entry.epoch, entry.last_epoch)),
        Some(_) => Err(ErrorCode::ProducerFenced),
    }
}

fn prepare(entry: &mut Transaction, now: Instant, commit: bool, bumps: bool, fresh: i64, empty: bool) {
    let exhausted = entry.is_exhausted();
    entry.previous_producer_id = entry.producer_id;
    entry.next_producer_id = NO_ID;
    if bumps {
        entry.last_epoch = entry.epoch;
        entry.epoch = entry.epoch.saturating_add(1);
        if exhausted {
            entry.next_producer_id = fresh;
        }
    }
    if empty {
        entry.started = Some(now);
        entry.partitions.clear();
    }
    entry.bumps = bumps;
    entry.updated = now;
    entry.state = if commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort };
}

enum Decision {
    /// A repetition of an end that is done.
    Done,
    /// Write the end; `empty`: an abort of nothing, which still bumps the epoch.
    Prepare { empty: bool },
}

fn decide_first(entry: &Transaction, producer: ProducerIdAndEpoch, commit: bool) -> Result<Decision, ErrorCode> {
    use TransactionState as State;
    if entry.producer_id != producer.producer_id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if entry.epoch != producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match (entry.state, commit) {
        (State::Ongoing, _) => Ok(Decision::Prepare { empty: false }),
        (State::CompleteCommit, true) | (State::CompleteAbort, false) => Ok(Decision::Done),
        (State::PrepareCommit, true) | (State::PrepareAbort, false) => Err(ErrorCode::ConcurrentTransactions),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

fn decide_second(entry: &Transaction, producer: ProducerIdAndEpoch, commit: bool) -> Result<Decision, ErrorCode> {
    use TransactionState as State;
    let after_overflow =
        entry.previous_producer_id == producer.producer_id && producer.epoch == LAST_EPOCH && entry.epoch == 0;
    let after_bump = i32::from(entry.epoch) == i32::from(producer.epoch) + 1;
    let same = entry.epoch == producer.epoch;
    if entry.producer_id != producer.producer_id && !after_overflow {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let valid = match entry.state {
        State::Ongoing | State::Empty => same,
        State::PrepareCommit | State::PrepareAbort => after_bump,
        State::CompleteCommit | State::CompleteAbort => after_bump || after_overflow || same,
    };
    if !valid {
        return Err(ErrorCode::ProducerFenced);
    }
    let retry = after_bump || after_overflow;
    match (entry.state, commit) {
        (State::Ongoing, _) => Ok(Decision::Prepare { empty: false }),
        (State::CompleteCommit, true) if retry => Ok(Decision::Done),
        (State::CompleteAbort, false) if retry => Ok(Decision::Done),
        (State::CompleteCommit, false) if retry => Err(ErrorCode::InvalidTxnState),
        (State::CompleteCommit | State::CompleteAbort | State::Empty, false) => Ok(Decision::Prepare { empty: true }),
        (State::PrepareCommit, true) | (State::PrepareAbort, false) => Err(ErrorCode::ConcurrentTransactions),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

#[cfg(test)]
#[path = "transactions_tests.rs"]
mod tests;
