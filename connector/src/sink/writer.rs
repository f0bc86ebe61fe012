//! Writes the output of one subtask.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ottla_client::{Client, Header, Producer, ProducerConfig, ProducerRecord, TransactionalProducer};
use tokio::sync::Notify;

use super::committable::{KafkaCommittable, KafkaWriterState, Witness};
use super::guarantee::DeliveryGuarantee;
use super::lingering::Sweeper;
use super::partitioner::{SinkPartitioner, fixed};
use super::pool::ProducerPool;
use super::transactional_id::TransactionalId;
use super::{SinkSettings, transaction_timeout};
use crate::contract::{CheckpointId, Job, Progress, Stamped, Writer};
use crate::error::{Error, Result};
use crate::schema::{RecordBuffer, RecordParts, SerializationSchema};

/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Writes the output of one subtask of a [`KafkaSink`](super::KafkaSink).
#[derive(Debug)]
pub struct KafkaWriter<T, S> {
    client: Client,
    settings: Arc<SinkSettings>,
    job: Job,
    schema: Arc<S>,
    record: RecordBuffer,
    output: Output,
    progress: KafkaProgress,
    values: PhantomData<fn(T)>,
}

#[derive(Debug)]
enum Output {
    Plain { producer: Producer, last_flush: Instant },
    Transactional(Transactional),
}

/// The open transaction, and what is needed for the next.
#[derive(Debug)]
struct Transactional {
    current: Open,
    timeout: Duration,
    sweeper: Sweeper,
    is_swept_again: bool,
}

#[derive(Debug)]
struct Open {
    slot: u16,
    producer: TransactionalProducer,
}

/// Where finished commits are told.
#[derive(Clone, Debug)]
pub struct KafkaProgress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    subtask: u32,
    prefix: String,
    pool: Mutex<ProducerPool>,
    changed: Notify,
    any_finished: std::sync::atomic::AtomicBool,
}

impl Progress for KafkaProgress {
    type Committable = KafkaCommittable;

    fn finished(&self, committable: &KafkaCommittable) {
        self.0.any_finished.store(true, std::sync::atomic::Ordering::Relaxed);
        if committable.subtask == self.0.subtask && committable.prefix == self.0.prefix {
            self.0.pool.lock().unwrap_or_else(PoisonError::into_inner).finished(committable.slot);
            self.0.changed.notify_waiters();
        }
    }
}

impl KafkaProgress {
    fn pool<R>(&self, look: impl FnOnce(&mut ProducerPool) -> R) -> R {
        look(&mut self.0.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T, S: SerializationSchema<T>> KafkaWriter<T, S> {
    /// Clears what earlier attempts left open, and begins.
    pub(crate) async fn open(
        (client, settings, schema): (Client, Arc<SinkSettings>, Arc<S>),
        job: &Job,
        timeout: Duration,
        sweeper: Sweeper,
        restored: &[KafkaCommittable],
    ) -> Result<Self> {
        let prefix = settings.prefix(job);
        let mine = restored.iter().filter(|c| c.subtask == job.subtask && c.prefix == prefix);
        // They are committed already: their slots are free, and used last.
        let held: Vec<_> = (1..).map(CheckpointId).zip(mine.map(|c| c.slot)).collect();
        let mut pool = ProducerPool::new(settings.pool_size, &held);
        for (_, slot) in &held {
            pool.finished(*slot);
        }
        let progress = KafkaProgress(Arc::new(Shared {
            subtask: job.subtask,
            prefix,
            pool: Mutex::new(pool),
            changed: Notify::new(),
            any_finished: std::sync::atomic::AtomicBool::new(false),
        }));
        let output = if settings.guarantee == DeliveryGuarantee::ExactlyOnce {
            sweeper.sweep(&[]).await?;
            let current = begin(&client, &settings, &progress, timeout).await?;
            Output::Transactional(Transactional { current, timeout, sweeper, is_swept_again: false })
        } else {
            let producer =
                Producer::new(&client, settings.producer.clone()).map_err(context("starting the producer"))?;
            Output::Plain { producer, last_flush: Instant::now() }
        };
        let record = RecordBuffer::default();
        Ok(Self { client, settings, job: job.clone(), schema, record, output, progress, values: PhantomData })
    }

    async fn send(&self) -> Result<()> {
        let parts = self.record.parts();
        let Some(topic) = parts.topic.or(self.settings.topic.as_deref()) else {
            return Err(Error::config("a record has no topic: set one in the schema, or a default for the sink"));
        };
        let headers: Vec<Header<'_>> =
            parts.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
        let mut record = ProducerRecord::new(topic).headers(&headers);
        (record.partition, record.key, record.value) = (self.partition(topic, &parts), parts.key, parts.value);
        record.timestamp = parts.timestamp.filter(|_| self.settings.write_timestamp);
        let sent = match &self.output {
            Output::Plain { producer, .. } => match producer.try_send(&record) {
                Ok(None) => producer.send(record).await.map(|_| ()),
                sent => sent.map(|_| ()),
            },
            Output::Transactional(open) => match open.current.producer.try_send(&record) {
                Ok(None) => open.current.producer.send(record).await.map(|_| ()),
                sent => sent.map(|_| ()),
            },
        };
        sent.map_err(context(&format!("subtask {} writing to {topic}", self.job.subtask)))
    }

    fn partition(&self, topic: &str, parts: &RecordParts<'_>) -> Option<i32> {
        let chosen = || match self.settings.partitioner {
            SinkPartitioner::Kafka => None,
            SinkPartitioner::Fixed => {
                let count = self.client.cluster().topic(topic).map_or(0, |t| t.partitions.len());
                fixed(self.job.subtask, count)
            }
        };
        parts.partition.or_else(chosen)
    }

    /// The first failure of a record, which nobody awaits by itself (K5).
    fn check(&self) -> Result<()> {
        match &self.output {
            Output::Plain { producer, .. } => match producer.take_failure() {
                Some(error) => Err(context(&format!("subtask {} writing", self.job.subtask))(error)),
                None => Ok(()),
            },
            // A failed record fails its transaction, which every later call says.
            Output::Transactional(_) => Ok(()),
        }
    }
}

impl Transactional {
    /// K14: flush; the next slot; only then switch. A failure before the switch leaves everything as it was.
    async fn prepare(
        &mut self,
        (client, settings, progress): (&Client, &SinkSettings, &KafkaProgress),
        job: &Job,
    ) -> Result<Option<(u16, KafkaCommittable)>> {
        let what = format!("flushing the transaction of {}", self.current.producer.transactional_id());
        let flushing = || Error::client(what.clone());
        self.current.producer.flush().await.map_err(flushing())?;
        if self.current.producer.is_transaction_empty() {
            return Ok(None);
        }
        let next = begin(client, settings, progress, self.timeout).await?;
        let prepared = self.current.producer.prepare_transaction().await;
        let prepared = match prepared.map_err(flushing()) {
            Ok(Some(prepared)) => prepared,
            other => {
                // The slot was begun and nothing written: it is as good as before.
                progress.pool(|pool| pool.release(next.slot));
                return other.map(|_| None);
            }
        };
        let slot = std::mem::replace(&mut self.current, next).slot;
        let committable = KafkaCommittable {
            prefix: progress.0.prefix.clone(),
            subtask: job.subtask,
            slot,
            transactional_id: prepared.transactional_id,
            producer_id: prepared.producer_id,
            producer_epoch: prepared.producer_epoch,
            end_txn_version: u8::try_from(prepared.end_txn_version).unwrap_or_default(),
            started_at: prepared.started_at,
            timeout: i32::try_from(prepared.timeout.as_millis()).unwrap_or(i32::MAX),
            witness: prepared.witness.map(|(tp, offset)| Witness {
                topic: tp.topic.to_string(),
                partition: tp.partition,
                offset,
            }),
        };
        Ok(Some((slot, committable)))
    }

    /// Once more after the first completed checkpoint: a zombie may have begun while we were restoring (K21).
    async fn sweep_again(&mut self, progress: &KafkaProgress, job: &Job) -> Result<()> {
        if self.is_swept_again || !progress.0.any_finished.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok(());
        }
        self.is_swept_again = true;
        let id = |slot| TransactionalId::new(progress.0.prefix.as_str(), job.subtask, slot).to_string();
        let held = progress.pool(|pool| pool.held().map(id).collect::<Vec<_>>());
        let current = id(self.current.slot);
        self.sweeper.sweep(&[held, vec![current]].concat()).await
    }
}

/// Takes the slot that was unused longest, and begins a transaction with it.
async fn begin(client: &Client, settings: &SinkSettings, progress: &KafkaProgress, timeout: Duration) -> Result<Open> {
    let slot = acquire(settings, progress).await?;
    let opened = begin_with(client, settings, progress, timeout, slot).await;
    if opened.is_err() {
        progress.pool(|pool| pool.release(slot));
    }
    opened
}

async fn begin_with(
    client: &Client,
    settings: &SinkSettings,
    progress: &KafkaProgress,
    timeout: Duration,
    slot: u16,
) -> Result<Open> {
    let id = TransactionalId::new(progress.0.prefix.as_str(), progress.0.subtask, slot).to_string();
    let config: ProducerConfig = {
        let mut config = settings.producer.clone();
        config.transactional_id = Some(id.clone());
        config.transaction_timeout = timeout;
        config
    };
    let producer = TransactionalProducer::new(client, config).map_err(context(&format!("starting {id}")))?;
    match producer.init().await {
        Ok(_) => {}
        Err(error) if error.code() == Some(ottla_client::ErrorCode::InvalidTransactionTimeout) => {
            return Err(transaction_timeout::too_long(timeout, None));
        }
        Err(error) => return Err(context(&format!("taking over the transactional id {id}"))(error)),
    }
    producer.begin_transaction().map_err(context(&format!("beginning a transaction of {id}")))?;
    Ok(Open { slot, producer })
}

async fn acquire(settings: &SinkSettings, progress: &KafkaProgress) -> Result<u16> {
    let deadline = Instant::now() + settings.pool_wait.unwrap_or_default();
    loop {
        let changed = progress.0.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if let Some(slot) = progress.pool(ProducerPool::acquire) {
            return Ok(slot);
        }
        if tokio::time::timeout_at(deadline.into(), changed).await.is_err() {
            let id = |slot| TransactionalId::new(progress.0.prefix.as_str(), progress.0.subtask, slot).to_string();
            let (size, pending) = progress.pool(|pool| (pool.size(), pool.held().map(id).collect()));
            return Err(Error::PoolExhausted { size, pending });
        }
    }
}

impl<T: Send + Sync + 'static, S: SerializationSchema<T>> Writer for KafkaWriter<T, S> {
    type Item = Stamped<T>;
    type Committable = KafkaCommittable;
    type State = KafkaWriterState;
    type Progress = KafkaProgress;

    async fn write(&mut self, item: Stamped<T>) -> Result<()> {
        self.record.reset(item.timestamp);
        if self.settings.topic.is_some() {
            self.record.forget_topic();
        }
        if !self.schema.serialize(&item.value, item.timestamp, &mut self.record)? {
            return Ok(());
        }
        self.send().await?;
        // Without checkpoints nobody else flushes (K9).
        if !self.job.checkpointing
            && let Output::Plain { producer, last_flush } = &mut self.output
            && last_flush.elapsed() >= self.settings.flush_interval
        {
            producer.flush().await.map_err(context("flushing"))?;
            *last_flush = Instant::now();
            self.check()?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        match &self.output {
            Output::Plain { producer, .. } => producer.flush().await.map_err(context("flushing"))?,
            Output::Transactional(open) => open.current.producer.flush().await.map_err(context("flushing"))?,
        }
        self.check()
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<Option<KafkaCommittable>> {
        match &mut self.output {
            Output::Plain { .. } if self.settings.guarantee == DeliveryGuarantee::None => {
                self.check()?;
                Ok(None)
            }
            Output::Plain { .. } => {
                self.flush().await?;
                Ok(None)
            }
            Output::Transactional(open) => {
                open.sweep_again(&self.progress, &self.job).await?;
                let prepared = open.prepare((&self.client, &self.settings, &self.progress), &self.job).await?;
                Ok(prepared.map(|(slot, committable)| {
                    self.progress.pool(|pool| pool.hold(slot, id));
                    committable
                }))
            }
        }
    }

    fn snapshot(&self) -> KafkaWriterState {
        KafkaWriterState {
            prefix: self.progress.0.prefix.clone(),
            subtask: self.job.subtask,
            parallelism: self.job.parallelism,
            pool_size: self.settings.pool_size,
            guarantee: self.settings.guarantee,
        }
    }

    fn progress(&self) -> KafkaProgress {
        self.progress.clone()
    }

    async fn close(&mut self) -> Result<()> {
        match &self.output {
            Output::Plain { producer, .. } => producer.flush().await.map_err(context("flushing"))?,
            Output::Transactional(open) => {
                let producer = &open.current.producer;
                let abort = tokio::time::timeout(CLOSE_TIMEOUT, producer.abort_transaction());
                // The broker aborts it at its timeout if we cannot; an attempt that failed before says why already.
                match abort.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "the open transaction could not be aborted"),
                    Err(_) => tracing::warn!("the open transaction could not be aborted in {CLOSE_TIMEOUT:?}"),
                }
            }
        }
        self.check()
    }
}

fn context(what: &str) -> impl FnOnce(ottla_client::Error) -> Error + use<> {
    Error::client(what.to_owned())
}
