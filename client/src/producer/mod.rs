//! Writing records.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

mod accumulator;
mod availability;
mod batch;
mod completion;
mod config;
mod control;
mod delivery;
mod describe;
mod message_set;
mod metrics;
mod partitioner;
mod produce;
mod record;
mod resume;
mod sender;
mod sequence;
mod split;
mod transaction;
mod transactional;

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::accumulator::{Appended, Gate, Limits, RecordAccumulator, upper_bound};
use self::completion::{Settings, State};
use self::metrics::ProducerMeters;
use self::sender::Sender;
use self::sequence::Mode;
use self::transaction::TransactionManager;
use crate::client::{Client, Describe, runtime};
use crate::clock;
use crate::error::{Error, Result};
use crate::metrics::meter::Counter;
use crate::network::Lane;
use crate::properties::warn;
use crate::sync::lock;
use crate::types::TopicPartition;

pub(crate) use control::init_transactional;

pub(crate) use config::PRODUCER_SETTINGS;
pub use config::{Acks, ProducerConfig};
pub use delivery::Delivery;
pub use metrics::{ProducerMetrics, ProducerTopicMetrics};
pub use partitioner::{ChoosePartition, Partitioner, murmur2, partition_of_key};
pub use record::{ProducerRecord, RecordMetadata};
pub use resume::{EndOutcome, PreparedTransaction, ResumedTransaction};
pub use transactional::{Transaction, TransactionalProducer};

/// Sends records: idempotent by default, so that retries neither double nor swap them. A clone is another handle of the
/// same producer; when the last one goes without [`Producer::close`], what is not sent yet fails.
///
/// ```no_run
/// # async fn run() -> ottla_client::Result<()> {
/// use ottla_client::{Client, ClientConfig, Producer, ProducerConfig, ProducerRecord};
///
/// let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
/// let producer = Producer::new(&client, ProducerConfig::default())?;
/// let delivery = producer.send(ProducerRecord::new("orders").key("42").value("a book")).await?;
/// let metadata = delivery.await?;
/// println!("written to {} at offset {}", metadata.topic_partition, metadata.offset);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Producer(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// What the callers and the sender task share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) config: ProducerConfig,
    state: Mutex<State>,
    /// There is something for the sender.
    pub(crate) wake: Notify,
    /// Something changed that a caller may wait for: memory, an outcome, a phase.
    pub(crate) changed: Notify,
    pub(crate) stop: CancellationToken,
    pub(crate) meters: Arc<ProducerMeters>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Producer {
    /// Starts a producer. No I/O happens before the first `send`.
    ///
    /// # Errors
    /// [`Error::Config`] naming a setting that is not valid, or `transactional.id`: that is a
    /// [`TransactionalProducer`]'s.
    pub fn new(client: &Client, config: ProducerConfig) -> Result<Self> {
        if let Some(id) = config.transactional_id {
            let reason = "a Producer has no transactions: use TransactionalProducer, or leave it out";
            return Err(Error::config("transactional.id", id, reason));
        }
        Self::start(client, config)
    }

    pub(crate) fn start(client: &Client, config: ProducerConfig) -> Result<Self> {
        let request_timeout = client.config().request_timeout;
        config.validate(request_timeout)?;
        let runtime = runtime()?;
        warn(&config.warnings(request_timeout));
        let mode = match (&config.transactional_id, config.is_idempotent()) {
            (Some(_), _) => Mode::Transactional,
            (None, true) => Mode::Idempotent,
            (None, false) => Mode::Plain { one_in_flight: config.max_in_flight_requests_per_connection == 1 },
        };
        let limits = Limits {
            linger: config.linger,
            batch_size: config.batch_size,
            memory: config.buffer_memory,
            max_request_size: config.max_request_size,
            ignore_keys: config.partitioner_ignore_keys,
            adaptive: config.partitioner_adaptive_partitioning_enable,
            availability_timeout: config.partitioner_availability_timeout,
            mode,
        };
        let transactions = config.transactional_id.clone().map(|id| {
            TransactionManager::new(id, config.transaction_timeout, client.config().retry(), fastrand::Rng::new())
        });
        let settings = Settings {
            mode,
            acks_all: config.acks == Acks::All,
            retries: config.retries,
            delivery_timeout: config.effective_delivery_timeout(request_timeout),
            backoff: client.config().retry(),
        };
        let mut accumulator = RecordAccumulator::new(limits, fastrand::Rng::new());
        accumulator.partitioner = config.partitioner_class.clone();
        let rack = &client.config().client_rack;
        accumulator.rack = (config.partitioner_rack_aware && !rack.is_empty()).then(|| rack.clone());
        let meters = Arc::new(ProducerMeters::new(client.client_id(Lane::Produce)));
        #[allow(clippy::cast_precision_loss, reason = "a metric")]
        meters.all.buffer_total_bytes.set(config.buffer_memory as f64);
        let state = State::new(accumulator, transactions, settings, fastrand::Rng::new(), Arc::clone(&meters));
        let shared = Arc::new(Shared {
            client: client.clone(),
            config,
            state: Mutex::new(state),
            wake: Notify::new(),
            changed: Notify::new(),
            stop: CancellationToken::new(),
            meters,
        });
        client.register(Arc::downgrade(&shared) as Weak<dyn Describe>);
        runtime.spawn(Sender::new(Arc::clone(&shared), mode).run());
        Ok(Self(Arc::new(Handle { shared })))
    }

    /// Puts a record into a batch; waits for metadata and memory up to `max.block.ms`. The returned [`Delivery`] tells
    /// how it ended. Cancel safe: a dropped `send` has either not begun or the record is sent.
    ///
    /// # Errors
    /// [`Error::Misuse`] when the record is larger than `max.request.size`; [`Error::Timeout`] when there was no memory or
    /// the topic is not known; [`Error::Closed`]; in a transaction that failed [`Error::Abortable`].
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery> {
        match self.try_send(&record)? {
            Some(delivery) => Ok(delivery),
            None => self.send_later(&record).await,
        }
    }

    /// Puts a record into a batch if that is possible without waiting; `None`: use [`Producer::send`].
    ///
    /// # Errors
    /// As `send`.
    #[inline]
    pub fn try_send(&self, record: &ProducerRecord<'_>) -> Result<Option<Delivery>> {
        match self.append(record, None)? {
            Appended::Done { delivery, wake } => {
                if wake {
                    self.0.shared.wake.notify_one();
                }
                Ok(Some(delivery))
            }
            _ => Ok(None),
        }
    }

    #[inline]
    fn append(&self, record: &ProducerRecord<'_>, ticket: Option<u64>) -> Result<Appended> {
        let shared = &self.0.shared;
        let size = upper_bound(record);
        if size > shared.config.max_request_size.min(shared.config.buffer_memory) {
            return Err(too_large(record, size, &shared.config));
        }
        let timestamp = record.timestamp.unwrap_or_else(now_millis);
        if timestamp < 0 {
            return Err(negative_timestamp(record, timestamp));
        }
        shared.lock().accumulator.append(clock::now, timestamp, record, ticket)
    }

    async fn send_later(&self, record: &ProducerRecord<'_>) -> Result<Delivery> {
        let deadline = clock::now() + self.0.shared.config.max_block;
        loop {
            match self.append(record, None)? {
                Appended::Done { delivery, .. } => {
                    self.0.shared.wake.notify_one();
                    return Ok(delivery);
                }
                Appended::UnknownPartition => {
                    let waits = &self.0.shared.meters.all.metadata_wait_time_ns_total;
                    timed(waits, self.learn_partition(record, deadline)).await?;
                }
                Appended::NoMemory => {
                    let meters = &self.0.shared.meters.all;
                    let sent = self.send_when_there_is_memory(record, deadline);
                    let sent = timed(&meters.bufferpool_wait_time_ns_total, sent).await;
                    if matches!(sent, Err(Error::Timeout { .. })) {
                        meters.buffer_exhausted_total.add(1);
                    }
                    if let Some(delivery) = sent? {
                        return Ok(delivery);
                    }
                }
            }
        }
    }

    async fn send_when_there_is_memory(
        &self,
        record: &ProducerRecord<'_>,
        deadline: Instant,
    ) -> Result<Option<Delivery>> {
        let place = PlaceInLine::take(&self.0.shared);
        let what = || format!("waiting for buffer.memory to send to {}", record.topic);
        self.0
            .shared
            .wait(deadline, what, || match self.append(record, Some(place.ticket)) {
                Ok(Appended::NoMemory) => None,
                Ok(Appended::Done { delivery, .. }) => Some(Ok(Some(delivery))),
                Ok(Appended::UnknownPartition) => Some(Ok(None)),
                Err(error) => Some(Err(error)),
            })
            .await?
    }

    async fn learn_partition(&self, record: &ProducerRecord<'_>, deadline: Instant) -> Result<()> {
        let client = &self.0.shared.client;
        loop {
            let mut changes = client.cluster_changes();
            changes.mark_unchanged();
            let topic = client.await_topic(record.topic, true, deadline).await?;
            let exists = record.partition.is_none_or(|p| topic.partition(p).is_some());
            {
                let accumulator = &mut self.0.shared.lock().accumulator;
                accumulator.update_topic(&topic);
                accumulator.update_racks(&client.cluster());
            }
            if exists && !topic.partitions.is_empty() {
                return Ok(());
            }
            client.refresh_metadata();
            let waited = tokio::time::timeout_at(deadline.into(), changes.changed()).await;
            if waited.is_err() {
                let partition = record.partition.unwrap_or_default();
                let reason = format!(
                    "topic {} has {} partitions, and the record is for partition {partition}",
                    record.topic,
                    topic.partitions.len()
                );
                return Err(Error::Misuse { reason });
            }
        }
    }

    /// Waits until every record sent before has its outcome, and sends them without lingering. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Closed`]. What failed is told by the deliveries, not here.
    pub async fn flush(&self) -> Result<()> {
        let shared = &self.0.shared;
        let number = shared.lock().accumulator.flush();
        shared.wake.notify_one();
        let flushed = shared.wait_for_ever(|| shared.lock().accumulator.is_flushed(number).then_some(Ok(())));
        timed(&shared.meters.all.flush_time_ns_total, flushed).await?
    }

    /// The first failure of any record since this was last called: for who does not await deliveries.
    #[must_use]
    pub fn take_failure(&self) -> Option<Error> {
        self.0.shared.lock().failure.take()
    }

    /// What was counted so far.
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        let shared = &self.0.shared;
        shared.lock().show_memory();
        shared.meters.numbers()
    }

    /// The partitions of a topic; waits up to `max.block.ms` until it is known. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Timeout`].
    pub async fn partitions_for(&self, topic: &str) -> Result<Vec<TopicPartition>> {
        let deadline = clock::now() + self.0.shared.config.max_block;
        let topic = self.0.shared.client.await_topic(topic, true, deadline).await?;
        Ok(topic.partitions.iter().map(|p| TopicPartition::new(Arc::clone(&topic.name), p.index)).collect())
    }

    /// Takes no more records, sends what is there for at most `timeout`, and fails the rest. When it is cancelled the rest fails
    /// then, unless there are other handles of this producer: those go on sending what is there.
    ///
    /// # Errors
    /// [`Error::Timeout`] when something was left.
    pub async fn close(self, timeout: Duration) -> Result<()> {
        let shared = &self.0.shared;
        let deadline = clock::after(timeout);
        {
            let mut state = shared.lock();
            state.accumulator.gate = Gate::Shut(closed());
            state.accumulator.flush();
        }
        shared.wake.notify_one();
        let what = || "sending the last records before closing the producer".to_owned();
        let flushed = shared.wait(deadline, what, || shared.lock().accumulator.is_complete().then_some(())).await;
        shared.stop.cancel();
        flushed
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
}

impl Shared {
    /// Waits until `condition` gives something. Cancel safe.
    pub(crate) async fn wait<T>(
        &self,
        deadline: Instant,
        what: impl Fn() -> String,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let started = clock::now();
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change is missed.
            changed.as_mut().enable();
            if let Some(value) = condition() {
                return Ok(value);
            }
            if self.stop.is_cancelled() {
                return Err(self.lock().failed.clone().unwrap_or_else(closed));
            }
            if tokio::time::timeout_at(deadline.into(), changed).await.is_err() {
                let last = self.lock().transactions.as_ref().and_then(|t| t.last_error().cloned()).map(Box::new);
                return Err(Error::Timeout { what: what(), after: clock::since(started), last });
            }
        }
    }

    pub(crate) async fn wait_for_ever<T>(&self, condition: impl FnMut() -> Option<T>) -> Result<T> {
        // Every batch has its delivery timeout: that is the limit.
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        self.wait(clock::now() + YEAR, || "waiting for the outcome of every record".to_owned(), condition).await
    }
}

/// Counts how long `work` takes. When it is dropped before its end, nothing is counted.
pub(crate) async fn timed<T>(counter: &Counter, work: impl Future<Output = T>) -> T {
    let started = clock::now();
    let done = work.await;
    counter.add_time(clock::since(started));
    done
}

/// A place in the line for memory; left when it is dropped.
struct PlaceInLine<'a> {
    shared: &'a Shared,
    ticket: u64,
}

impl<'a> PlaceInLine<'a> {
    fn take(shared: &'a Shared) -> Self {
        let ticket = shared.lock().accumulator.wait_for_memory();
        // Nothing lingers while someone waits.
        shared.wake.notify_one();
        Self { shared, ticket }
    }
}

impl Drop for PlaceInLine<'_> {
    fn drop(&mut self) {
        self.shared.lock().accumulator.stop_waiting(self.ticket);
        self.shared.wake.notify_one();
        self.shared.changed.notify_waiters();
    }
}

fn closed() -> Error {
    Error::Closed { what: "the producer".to_owned() }
}

#[cold]
fn too_large(record: &ProducerRecord<'_>, size: usize, config: &ProducerConfig) -> Error {
    let (key, most) = if size > config.max_request_size {
        ("max.request.size", config.max_request_size)
    } else {
        ("buffer.memory", config.buffer_memory)
    };
    let reason = format!(
        "a record for {} takes up to {size} bytes, and {key} is {most}: raise it (and the topic's max.message.bytes), or \
         split the record",
        record.topic
    );
    Error::Misuse { reason }
}

#[cold]
fn negative_timestamp(record: &ProducerRecord<'_>, timestamp: i64) -> Error {
    Error::Misuse {
        reason: format!(
            "a record for {} has the timestamp {timestamp}: it counts milliseconds since 1970",
            record.topic
        ),
    }
}

pub(crate) fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
