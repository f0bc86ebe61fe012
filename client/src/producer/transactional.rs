//! Writing records that become visible together, or not at all.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::time::{Duration, Instant};

use super::delivery::Delivery;
use super::transaction::{Phase, TransactionManager};
use super::{PreparedTransaction, Producer, ProducerConfig, ProducerMetrics, ProducerRecord, now_millis, timed};
use crate::client::Client;
use crate::clock;
use crate::error::{Error, Result};
use crate::types::ProducerIdAndEpoch;

/// A producer whose records become visible to `read_committed` readers together, when their transaction commits.
///
/// Its `transactional.id` says who it is across restarts: `init` ends what an earlier process with this id left open, and
/// fences that process.
///
/// ```no_run
/// # async fn run(client: &ottla_client::Client) -> ottla_client::Result<()> {
/// use ottla_client::{ProducerConfig, ProducerRecord, TransactionalProducer};
///
/// let mut config = ProducerConfig::default();
/// config.transactional_id = Some("billing-1".to_owned());
/// let producer = TransactionalProducer::new(client, config)?;
/// producer.init().await?;
/// let transaction = producer.transaction()?;
/// transaction.send(ProducerRecord::new("bills").value("100")).await?;
/// transaction.send(ProducerRecord::new("stock").value("-1")).await?;
/// transaction.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TransactionalProducer {
    producer: Producer,
    started_at: std::sync::atomic::AtomicI64,
}

impl TransactionalProducer {
    /// Starts a producer. No I/O happens before [`TransactionalProducer::init`].
    ///
    /// # Errors
    /// [`Error::Config`] naming a setting that is not valid; `transactional.id` is required.
    pub fn new(client: &Client, config: ProducerConfig) -> Result<Self> {
        if config.transactional_id.is_none() {
            let reason = "a TransactionalProducer needs one: a name that no other producer uses at the same time";
            return Err(Error::config("transactional.id", "", reason));
        }
        Ok(Self { producer: Producer::start(client, config)?, started_at: std::sync::atomic::AtomicI64::new(0) })
    }

    /// The `transactional.id`.
    #[must_use]
    pub fn transactional_id(&self) -> &str {
        self.producer.shared().config.transactional_id.as_deref().unwrap_or_default()
    }

    /// Fences earlier producers with this id, and aborts the transaction that one of them left open. Call it once before
    /// the first transaction. Cancel safe: call it again to go on waiting.
    ///
    /// # Errors
    /// [`Error::Timeout`] after `max.block.ms`: call it again. Anything else: the setting or the rights are wrong.
    pub async fn init(&self) -> Result<ProducerIdAndEpoch> {
        let shared = self.producer.shared();
        let deadline = clock::now() + shared.config.max_block;
        let initialized = async {
            shared.client.found_by(deadline, "finding the cluster").await?;
            self.call(TransactionManager::init)?;
            self.wait_for_phase_until(deadline, "init", |manager| match manager.phase() {
                Phase::Ready => Some(Ok(manager.id())),
                phase => failure(phase),
            })
            .await
        };
        timed(&shared.meters.all.txn_init_time_ns_total, initialized).await
    }

    /// Opens a transaction. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Misuse`] when one is open, or after a failure that ended the producer, that failure.
    pub fn begin_transaction(&self) -> Result<()> {
        let mut state = self.producer.shared().lock();
        let Some(manager) = &mut state.transactions else { return Err(super::closed()) };
        manager.begin()?;
        state.transaction_ended();
        state.follow_phase();
        self.started_at.store(now_millis(), std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// Opens a transaction that is aborted when it is dropped without a commit.
    ///
    /// # Errors
    /// As [`TransactionalProducer::begin_transaction`].
    pub fn transaction(&self) -> Result<Transaction<'_>> {
        self.begin_transaction()?;
        Ok(Transaction { producer: self, is_over: false })
    }

    /// Puts a record into the open transaction; otherwise like [`Producer::send`], and as cancel safe.
    ///
    /// # Errors
    /// As [`Producer::send`]; [`Error::Abortable`] when something in the transaction failed before.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery> {
        self.producer.send(record).await
    }

    /// Like [`Producer::try_send`].
    ///
    /// # Errors
    /// As `send`.
    pub fn try_send(&self, record: &ProducerRecord<'_>) -> Result<Option<Delivery>> {
        self.producer.try_send(record)
    }

    /// What was counted so far.
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        self.producer.metrics()
    }

    /// Nothing was sent in the open transaction: it would end without a request.
    #[must_use]
    pub fn is_transaction_empty(&self) -> bool {
        let state = self.producer.shared().lock();
        state.accumulator.is_complete() && state.transactions.as_ref().is_none_or(TransactionManager::is_empty)
    }

    /// Waits until every record sent before has its outcome. Cancel safe.
    ///
    /// # Errors
    /// The first failure in the transaction, as [`Error::Abortable`].
    pub async fn flush(&self) -> Result<()> {
        self.producer.flush().await?;
        match self.producer.shared().lock().transactions.as_ref().map(TransactionManager::phase) {
            Some(phase @ (Phase::AbortableError(_) | Phase::FatalError(_))) => failure(phase).unwrap_or(Ok(())),
            _ => Ok(()),
        }
    }

    /// Flushes, and makes everything sent visible to `read_committed` readers. Cancel safe: call it again to go on
    /// waiting.
    ///
    /// # Errors
    /// [`Error::Timeout`] after `max.block.ms`: call it again. [`Error::Abortable`]: nothing is visible, abort.
    /// [`Error::Fenced`]: this producer is finished.
    pub async fn commit_transaction(&self) -> Result<()> {
        let meter = &self.producer.shared().meters.all.txn_commit_time_ns_total;
        timed(meter, self.end("commit_transaction", TransactionManager::commit)).await
    }

    /// Drops everything sent in the transaction. Cancel safe: call it again to go on waiting.
    ///
    /// # Errors
    /// As for a commit.
    pub async fn abort_transaction(&self) -> Result<()> {
        let meter = &self.producer.shared().meters.all.txn_abort_time_ns_total;
        timed(meter, self.end("abort_transaction", TransactionManager::abort)).await
    }

    async fn end(&self, what: &str, call: impl FnOnce(&mut TransactionManager) -> Result<()>) -> Result<()> {
        self.call(call)?;
        self.wait_for_phase(what, |manager| match manager.phase() {
            Phase::Ready | Phase::Uninitialized => Some(Ok(())),
            phase => failure(phase),
        })
        .await
    }

    /// Flushes, and leaves the transaction as it is, so that whoever has the returned name can commit it: this process
    /// with [`TransactionalProducer::commit_transaction`], or another after a crash with [`Client::resume`]. `None`: nothing
    /// was sent, and the transaction is still open. Cancel safe.
    ///
    /// # Errors
    /// As for a commit.
    pub async fn prepare_transaction(&self) -> Result<Option<PreparedTransaction>> {
        self.flush().await?;
        let started_at = self.started_at.load(std::sync::atomic::Ordering::Relaxed);
        let shared = self.producer.shared();
        let mut state = shared.lock();
        let Some(manager) = &mut state.transactions else { return Err(super::closed()) };
        if manager.is_empty() && matches!(manager.phase(), Phase::InTransaction) {
            return Ok(None);
        }
        manager.prepare()?;
        let id = manager.id();
        let prepared = PreparedTransaction {
            transactional_id: manager.transactional_id().to_owned(),
            producer_id: id.producer_id,
            producer_epoch: id.epoch,
            end_txn_version: manager.version().end_txn_version(),
            started_at,
            timeout: manager.timeout,
            witness: manager.witness.clone(),
        };
        state.follow_phase();
        Ok(Some(prepared))
    }

    /// Forgets the prepared transaction: someone else ends it. This producer can be used again after another
    /// [`TransactionalProducer::init`], which aborts the transaction if it is not ended by then.
    ///
    /// # Errors
    /// [`Error::Misuse`] when none is prepared.
    pub fn detach_prepared(&self) -> Result<()> {
        self.call(TransactionManager::detach)
    }

    /// Aborts what is open, and ends the producer, for at most `timeout`. When it is cancelled the broker aborts the transaction
    /// at its timeout, if it was not asked to yet.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the abort did not succeed in time: the broker aborts the transaction at its timeout.
    pub async fn close(self, timeout: Duration) -> Result<()> {
        let deadline = clock::after(timeout);
        if self.call(TransactionManager::abort).is_ok() {
            let ended = |manager: &TransactionManager| match manager.phase() {
                Phase::Aborting => None,
                phase => Some(failure(phase).unwrap_or(Ok(()))),
            };
            self.wait_for_phase_until(deadline, "abort_transaction", ended).await?;
        }
        self.producer.close(deadline.saturating_duration_since(clock::now())).await
    }

    fn call(&self, call: impl FnOnce(&mut TransactionManager) -> Result<()>) -> Result<()> {
        let shared = self.producer.shared();
        let mut state = shared.lock();
        let Some(manager) = &mut state.transactions else { return Err(super::closed()) };
        call(manager)?;
        state.accumulator.flush();
        state.follow_phase();
        drop(state);
        shared.wake.notify_one();
        Ok(())
    }

    async fn wait_for_phase<T>(
        &self,
        what: &str,
        ended: impl Fn(&TransactionManager) -> Option<Result<T>>,
    ) -> Result<T> {
        let deadline = clock::now() + self.producer.shared().config.max_block;
        self.wait_for_phase_until(deadline, what, ended).await
    }

    async fn wait_for_phase_until<T>(
        &self,
        deadline: Instant,
        what: &str,
        ended: impl Fn(&TransactionManager) -> Option<Result<T>>,
    ) -> Result<T> {
        let shared = self.producer.shared();
        let what = || format!("{what} of transactional.id {}", self.transactional_id());
        shared.wait(deadline, what, || shared.lock().transactions.as_ref().and_then(&ended)).await?
    }
}

fn failure<T>(phase: &Phase) -> Option<Result<T>> {
    match phase {
        Phase::AbortableError(error) | Phase::FatalError(error) => Some(Err(error.clone())),
        _ => None,
    }
}

/// An open transaction. Dropping it aborts it in the background.
#[derive(Debug)]
#[must_use = "a transaction that is dropped is aborted"]
pub struct Transaction<'a> {
    producer: &'a TransactionalProducer,
    is_over: bool,
}

impl Transaction<'_> {
    /// As [`TransactionalProducer::send`], and as cancel safe.
    ///
    /// # Errors
    /// As there.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery> {
        self.producer.send(record).await
    }

    /// As [`TransactionalProducer::commit_transaction`]. When it is cancelled, or its time is up, the commit goes on in the
    /// background, and `commit_transaction` goes on waiting for it; after any other failure the transaction is aborted.
    ///
    /// # Errors
    /// As there.
    pub async fn commit(mut self) -> Result<()> {
        self.producer.commit_transaction().await?;
        self.is_over = true;
        Ok(())
    }

    /// As [`TransactionalProducer::abort_transaction`]. When it is cancelled the abort goes on in the background.
    ///
    /// # Errors
    /// As there.
    pub async fn abort(mut self) -> Result<()> {
        self.is_over = true;
        self.producer.abort_transaction().await
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.is_over
            && let Err(error) = self.producer.call(TransactionManager::abort)
        {
            tracing::debug!(%error, "a dropped transaction cannot be aborted now");
        }
    }
}
