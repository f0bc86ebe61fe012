//! Reading records.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

mod aborted;
mod answer;
mod completed_fetch;
mod config;
mod describe;
mod fetch_session;
mod fetcher;
mod message_sets;
mod metrics;
mod record;
mod reset;
mod subscription;
#[cfg(test)]
mod testing;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::completed_fetch::ReadOptions;
use self::fetcher::Fetcher;
use self::metrics::ConsumerMeters;
use self::record::corrupt;
use self::subscription::SubscriptionState;
use crate::client::{Client, Describe, runtime};
use crate::clock;
use crate::error::{Error, Result};
use crate::network::Lane;
use crate::properties::warn;
use crate::sync::lock;
use crate::types::TopicPartition;

pub(crate) use config::CONSUMER_SETTINGS;
pub use config::{AutoOffsetReset, ConsumerConfig, GroupProtocol, PartitionAssignor};
pub use metrics::{ConsumerMetrics, ConsumerPartitionMetrics, ConsumerTopicMetrics};
pub use record::{ConsumerRecords, PartitionRecords, RecordsOf};
pub use subscription::StartOffset;

/// Each consumer fetches over connections of its own.
static CONSUMERS: AtomicU32 = AtomicU32::new(1);

/// Reads the partitions it is told to. Records are fetched ahead of `poll`, and borrowed from what the broker sent.
///
/// ```no_run
/// # async fn run() -> ottla_client::Result<()> {
/// use std::time::Duration;
/// use ottla_client::{Client, ClientConfig, Consumer, ConsumerConfig, StartOffset, TopicPartition};
///
/// let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
/// let consumer = Consumer::new(&client, ConsumerConfig::default())?;
/// consumer.assign([(TopicPartition::new("orders", 0), StartOffset::Earliest)]);
/// loop {
///     let records = consumer.poll(Duration::from_secs(1)).await?;
///     for partition in records.partitions() {
///         for record in partition {
///             println!("{:?}", record?.value);
///         }
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) config: ConsumerConfig,
    state: Mutex<SubscriptionState>,
    /// There is something for the fetcher.
    pub(crate) wake: Notify,
    /// There may be something for `poll`.
    pub(crate) ready: Notify,
    pub(crate) stop: CancellationToken,
    pub(crate) lane: Lane,
    pub(crate) meters: ConsumerMeters,
    /// The fetcher was woken by the last poll, and the next one lets it go first.
    yields: AtomicBool,
    /// Only one `poll` takes data at a time, so that a partition's records are delivered in order.
    polling: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, SubscriptionState> {
        lock(&self.state)
    }

    /// Reads a partition no more. Who reads none of a topic does not ask for it.
    fn remove(&self, state: &mut SubscriptionState, partition: &TopicPartition) {
        if state.remove(partition) && !state.reads(&partition.topic) {
            self.client.release_topic(&partition.topic, self.config.allow_auto_create_topics);
        }
    }

    pub(crate) fn read_options(&self) -> ReadOptions {
        ReadOptions {
            check_crcs: self.config.check_crcs,
            isolation_level: self.config.isolation_level,
            max_bytes: self.config.prefetch_memory_bytes,
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        let mut state = self.shared.lock();
        for partition in state.assignment() {
            self.shared.remove(&mut state, &partition);
        }
    }
}

impl Consumer {
    /// Starts a consumer that reads nothing yet.
    ///
    /// # Errors
    /// [`Error::Config`] naming a setting that is not valid.
    pub fn new(client: &Client, config: ConsumerConfig) -> Result<Self> {
        config.validate(client.config())?;
        let runtime = runtime()?;
        warn(&config.warnings(client.config()));
        let settings = (config.auto_offset_reset, config.isolation_level, config.prefetch_memory_bytes);
        let state = SubscriptionState::new(settings, client.config().retry(), fastrand::Rng::new());
        let lane = Lane::Fetch(CONSUMERS.fetch_add(1, Ordering::Relaxed));
        if let Some(group) = &config.group_id {
            client.name_consumer(lane, group, config.group_instance_id.as_deref());
        }
        let shared = Arc::new(Shared {
            client: client.clone(),
            config,
            state: Mutex::new(state),
            wake: Notify::new(),
            ready: Notify::new(),
            stop: CancellationToken::new(),
            yields: AtomicBool::new(false),
            lane,
            meters: ConsumerMeters::new(client.client_id(lane)),
            polling: tokio::sync::Mutex::default(),
        });
        client.register(Arc::downgrade(&shared) as Weak<dyn Describe>);
        runtime.spawn(Fetcher::new(Arc::clone(&shared)).run());
        Ok(Self { shared })
    }

    /// Reads exactly these partitions. One that was read already goes on from where this says.
    pub fn assign(&self, partitions: impl IntoIterator<Item = (TopicPartition, StartOffset)>) {
        let partitions: Vec<_> = partitions.into_iter().collect();
        let kept: BTreeSet<_> = partitions.iter().map(|(partition, _)| partition).collect();
        let mut state = self.shared.lock();
        for partition in state.assignment() {
            if !kept.contains(&partition) {
                self.shared.remove(&mut state, &partition);
            }
        }
        drop(state);
        self.add(partitions);
    }

    /// Reads these partitions too.
    pub fn add(&self, partitions: impl IntoIterator<Item = (TopicPartition, StartOffset)>) {
        let mut state = self.shared.lock();
        for (partition, start) in partitions {
            if !state.reads(&partition.topic) {
                self.shared.client.retain_topic(&partition.topic, self.shared.config.allow_auto_create_topics);
            }
            state.add(partition, start);
        }
        drop(state);
        self.shared.wake.notify_one();
    }

    /// Reads these partitions no more. Those that are not read are passed over.
    pub fn remove(&self, partitions: &[TopicPartition]) {
        let mut state = self.shared.lock();
        for partition in partitions {
            self.shared.remove(&mut state, partition);
        }
        drop(state);
        self.shared.wake.notify_one();
    }

    /// The partitions that are read.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.lock().assignment()
    }

    /// Goes on from another place. What was fetched and not polled is dropped.
    ///
    /// # Errors
    /// [`Error::Misuse`] when the partition is not read.
    pub fn seek(&self, partition: &TopicPartition, to: StartOffset) -> Result<()> {
        let mut state = self.shared.lock();
        if !state.is_assigned(partition) {
            return Err(Error::Misuse { reason: format!("{partition} is not assigned: assign or add it first") });
        }
        state.add(partition.clone(), to);
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Delivers nothing of these partitions until they are resumed. What is fetched is kept.
    pub fn pause(&self, partitions: &[TopicPartition]) {
        let mut state = self.shared.lock();
        partitions.iter().for_each(|partition| state.pause(partition, true));
    }

    /// Delivers these partitions again.
    pub fn resume(&self, partitions: &[TopicPartition]) {
        let mut state = self.shared.lock();
        partitions.iter().for_each(|partition| state.pause(partition, false));
        drop(state);
        self.shared.wake.notify_one();
        self.shared.ready.notify_waiters();
    }

    /// The offset of the next record that `poll` will deliver; `None` while it is being looked up, or not read.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.lock().position(partition).map(|position| position.offset)
    }

    /// How many offsets are between the position and the end as of the last fetch, the last stable offset with
    /// `read_committed`; `None` before the first fetch.
    #[must_use]
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.lock().lag(partition)
    }

    /// What was counted so far, and where the partitions are.
    #[must_use]
    pub fn metrics(&self) -> ConsumerMetrics {
        let partitions = self.shared.lock().partition_metrics(clock::now());
        self.shared.meters.numbers(clock::now(), partitions)
    }

    /// Waits for records, at most `timeout`, and takes up to `max.poll.records`. Comes back as well when only positions
    /// moved, over transaction markers or removed records. Cancel safe.
    ///
    /// # Errors
    /// [`Error::CorruptRecords`] for a batch that cannot be read: the position stays in front of it.
    /// [`Error::OffsetOutOfRange`] without a reset policy. [`Error::Broker`] when a topic may not be read.
    pub async fn poll(&self, timeout: Duration) -> Result<ConsumerRecords> {
        let deadline = clock::after(timeout);
        let shared = &self.shared;
        shared.meters.polled(clock::now());
        let _turn = shared.polling.lock().await;
        if shared.yields.swap(false, Ordering::Relaxed) {
            // On a runtime with one thread the next fetch would otherwise go out when nothing is left.
            tokio::task::yield_now().await;
        }
        loop {
            let ready = shared.ready.notified();
            tokio::pin!(ready);
            // Registered before the look, so that nothing is missed.
            ready.as_mut().enable();
            let records = self.take()?;
            if !records.is_nothing() {
                return Ok(records);
            }
            if shared.stop.is_cancelled() {
                return Err(Error::Closed { what: "the consumer".to_owned() });
            }
            if tokio::time::timeout_at(deadline.into(), ready).await.is_err() {
                return Ok(records);
            }
        }
    }

    /// Takes what is there.
    fn take(&self) -> Result<ConsumerRecords> {
        let config = &self.shared.config;
        let options = self.shared.read_options();
        let mut records = ConsumerRecords::default();
        if let Some(error) = self.shared.lock().take_error() {
            return Err(error);
        }
        let (mut bytes, mut freed) = (0, false);
        while records.count() < config.max_poll_records && bytes < options.max_bytes {
            let Some((mut fetch, position)) = self.shared.lock().pop() else { break };
            let most = config.max_poll_records - records.count();
            // Checksums and decompression are not done under the lock.
            let taken = fetch.take(position, most, options.max_bytes - bytes, &options);
            let topic_partition = fetch.topic_partition.clone();
            let (high_watermark, last_stable_offset) = (fetch.high_watermark, fetch.last_stable_offset);
            let at = fetch.at.clone();
            let mut state = self.shared.lock();
            match taken {
                Ok(taken) => {
                    freed = true;
                    if !state.delivered(fetch, taken.next) || taken.is_nothing() {
                        continue;
                    }
                    bytes += taken.bytes;
                    self.shared.meters.consumed(&topic_partition.topic, taken.count, taken.bytes);
                    records.push(PartitionRecords {
                        topic_partition,
                        batches: taken.batches,
                        count: taken.count,
                        next_offset: taken.next.offset,
                        leader_epoch: taken.next.epoch,
                        high_watermark,
                        last_stable_offset,
                        at,
                    });
                }
                Err(fault) => {
                    let error = corrupt(&topic_partition, fault.offset, at.as_ref(), fault.error.to_string());
                    state.corrupt(clock::now(), &topic_partition, fetch.stamp, error);
                    freed = true;
                    break;
                }
            }
        }
        if freed {
            self.shared.wake.notify_one();
            self.shared.yields.store(true, Ordering::Relaxed);
        }
        if records.is_nothing()
            && let Some(error) = self.shared.lock().take_error()
        {
            return Err(error);
        }
        Ok(records)
    }

    /// Ends reading, and returns at once, whatever the brokers do: dropping the consumer does the same. Fetches that are under
    /// way are dropped; a task tells the brokers to forget the fetch sessions, for a second at most, and is not waited for: a
    /// broker answers it only after the fetch before it. Cancel safe.
    pub async fn close(self) {
        self.shared.stop.cancel();
    }
}
