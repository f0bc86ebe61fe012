//! The sink: output to Kafka with any guarantee up to exactly once.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

mod committable;
mod committer;
mod guarantee;
mod lingering;
mod outcome;
mod partitioner;
mod pool;
mod transaction_timeout;
mod transactional_id;
mod writer;

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_client::{Acks, Admin, Client, ClientConfig, ConfigResource, ProducerConfig};
use tokio::sync::OnceCell;

use self::lingering::Sweeper;
use self::transactional_id::{PrefixClaim, UsedIds, validate_prefix};
use crate::contract::{Job, RestoredSink, Sink, Stamped};
use crate::error::{Error, Result};
use crate::schema::SerializationSchema;

pub use committable::{KafkaCommittable, KafkaWriterState, Witness};
pub use committer::KafkaCommitter;
pub use guarantee::DeliveryGuarantee;
pub use outcome::OnLost;
pub use partitioner::SinkPartitioner;
pub use pool::ProducerPool;
pub use transactional_id::{Ownership, TransactionalId, lingering};
pub use writer::{KafkaProgress, KafkaWriter};

/// Writes to Kafka. With [`DeliveryGuarantee::ExactlyOnce`] every record becomes visible once, to readers with
/// `isolation.level=read_committed`, about a checkpoint interval after it was written. After a crash such readers wait at
/// the first open transaction until the job is started again, or its `transaction.timeout.ms` has passed.
#[derive(Debug)]
pub struct KafkaSink<T, S> {
    config: ClientConfig,
    settings: Arc<SinkSettings>,
    schema: Arc<S>,
    client: OnceCell<Client>,
    timeout: OnceCell<Duration>,
    claim: Mutex<Option<PrefixClaim>>,
    used: Mutex<UsedIds>,
    values: PhantomData<fn(T)>,
}

/// What a sink is set to.
#[derive(Clone, Debug)]
pub(crate) struct SinkSettings {
    pub(crate) name: String,
    pub(crate) topic: Option<String>,
    pub(crate) guarantee: DeliveryGuarantee,
    pub(crate) producer: ProducerConfig,
    pub(crate) transaction_timeout: Option<Duration>,
    pub(crate) prefix: Option<String>,
    pub(crate) pool_size: u16,
    pub(crate) pool_wait: Option<Duration>,
    pub(crate) partitioner: SinkPartitioner,
    pub(crate) write_timestamp: bool,
    pub(crate) flush_interval: Duration,
    pub(crate) on_lost: OnLost,
    pub(crate) warning_ratio: f64,
}

impl SinkSettings {
    pub(crate) fn prefix(&self, job: &Job) -> String {
        match (&self.prefix, self.guarantee) {
            (_, DeliveryGuarantee::None | DeliveryGuarantee::AtLeastOnce) => String::new(),
            (Some(prefix), _) => prefix.clone(),
            (None, _) => format!("{}-{}", job.name, self.name),
        }
    }
}

/// Builds a [`KafkaSink`].
#[derive(Clone, Debug)]
#[must_use = "call build"]
pub struct KafkaSinkBuilder {
    config: ClientConfig,
    settings: SinkSettings,
}

impl KafkaSinkBuilder {
    /// A sink to the cluster that `config` names, with the guarantee at least once.
    pub fn new(config: ClientConfig) -> Self {
        let settings = SinkSettings {
            name: "sink".to_owned(),
            topic: None,
            guarantee: DeliveryGuarantee::default(),
            producer: ProducerConfig::default(),
            transaction_timeout: None,
            prefix: None,
            pool_size: 5,
            pool_wait: None,
            partitioner: SinkPartitioner::default(),
            write_timestamp: true,
            flush_interval: Duration::from_secs(1),
            on_lost: OnLost::default(),
            warning_ratio: 0.8,
        };
        Self { config, settings }
    }

    /// Where records go whose schema names no topic.
    pub fn topic(mut self, topic: &str) -> Self {
        self.settings.topic = Some(topic.to_owned());
        self
    }

    /// What is promised. Default: at least once.
    pub fn guarantee(mut self, guarantee: DeliveryGuarantee) -> Self {
        self.settings.guarantee = guarantee;
        self
    }

    /// The name of the sink within its job; part of the transactional ids. Default: `sink`.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.settings.name);
        self
    }

    /// What all transactional ids start with; no other job may use it at the same time. Default: `<job>-<name>`.
    pub fn transactional_id_prefix(mut self, prefix: &str) -> Self {
        self.settings.prefix = Some(prefix.to_owned());
        self
    }

    /// How the producers are set. `transactional_id` and `transaction_timeout` in it are not used.
    pub fn producer(mut self, config: ProducerConfig) -> Self {
        self.settings.producer = config;
        self
    }

    /// `transaction.timeout.ms`: how long prepared output survives without this job. Default: an hour, or the broker's
    /// `transaction.max.timeout.ms` where that is less.
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.settings.transaction_timeout = Some(timeout);
        self
    }

    /// How many transactional ids each subtask uses; one more than the checkpoints that may be unfinished. Default: 5.
    pub fn pool_size(mut self, size: u16) -> Self {
        self.settings.pool_size = size;
        self
    }

    /// How long a checkpoint waits for a free id before it fails. Default: not at all.
    pub fn pool_wait(mut self, wait: Duration) -> Self {
        self.settings.pool_wait = Some(wait);
        self
    }

    /// Which partition records without one go to. Default: as Kafka's own producer.
    pub fn partitioner(mut self, partitioner: SinkPartitioner) -> Self {
        self.settings.partitioner = partitioner;
        self
    }

    /// Whether event times become the records' timestamps. Default: true.
    pub fn write_timestamp(mut self, write: bool) -> Self {
        self.settings.write_timestamp = write;
        self
    }

    /// How often output is flushed without checkpoints. Default: 1 s.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.settings.flush_interval = interval;
        self
    }

    /// What happens when a prepared transaction turns out to be lost. Default: the job fails.
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.settings.on_lost = on_lost;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] naming what is wrong.
    pub fn build<T, S: SerializationSchema<T>>(self, schema: S) -> Result<KafkaSink<T, S>> {
        let Self { config, settings } = self;
        config.validate().map_err(Error::client("the sink"))?;
        settings.producer.validate(config.request_timeout).map_err(Error::client("the sink's producer"))?;
        let acks = settings.producer.acks;
        match settings.guarantee {
            DeliveryGuarantee::ExactlyOnce => {
                if acks != Acks::All || !settings.producer.is_idempotent() {
                    return Err(Error::config("exactly once needs acks=all and enable.idempotence"));
                }
                if settings.pool_size < 2 {
                    return Err(Error::config(format!(
                        "pool_size is {}: exactly once needs at least 2, one id to write with and one that is prepared",
                        settings.pool_size
                    )));
                }
                if let Some(prefix) = &settings.prefix {
                    validate_prefix(prefix)?;
                }
            }
            DeliveryGuarantee::AtLeastOnce if acks == Acks::None => {
                return Err(Error::config("at least once is not possible with acks=0: nothing says what was written"));
            }
            DeliveryGuarantee::AtLeastOnce if acks == Acks::Leader => {
                tracing::warn!(
                    "acks=1: records that a leader acknowledged are lost when it dies before they are copied"
                );
            }
            _ => {}
        }
        Ok(KafkaSink {
            config,
            settings: Arc::new(settings),
            schema: Arc::new(schema),
            client: OnceCell::new(),
            timeout: OnceCell::new(),
            claim: Mutex::default(),
            used: Mutex::default(),
            values: PhantomData,
        })
    }
}

impl<T, S: SerializationSchema<T>> KafkaSink<T, S> {
    /// Starts building a sink.
    pub fn builder(config: ClientConfig) -> KafkaSinkBuilder {
        KafkaSinkBuilder::new(config)
    }

    /// All subtasks share one set of connections (K17).
    async fn client(&self) -> Result<Client> {
        let connected = self.client.get_or_try_init(|| Client::connect(self.config.clone())).await;
        connected.cloned().map_err(Error::client("the sink"))
    }

    fn claim(&self, job: &Job) -> Result<()> {
        let prefix = self.settings.prefix(job);
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        if claim.is_none() {
            *claim = Some(PrefixClaim::new(&self.config.bootstrap_servers.join(","), &prefix)?);
        }
        Ok(())
    }

    /// The timeout to use, before any data is sent (K10). It is looked up once, and so warned of once.
    async fn timeout(&self, client: &Client) -> Result<Duration> {
        self.timeout.get_or_try_init(|| self.look_up_timeout(client)).await.copied()
    }

    async fn look_up_timeout(&self, client: &Client) -> Result<Duration> {
        let key = "transaction.max.timeout.ms";
        let mut broker_max: Option<Duration> = None;
        let brokers: Vec<_> = client.cluster().brokers().map(|b| b.id).collect();
        for broker in brokers {
            let described = Admin::new(client).describe_configs(&ConfigResource::Broker(broker), Some(&[key])).await;
            let value = match described {
                Ok(configs) => configs.get(key).and_then(|c| c.value.as_deref()?.parse().ok()),
                Err(error) => {
                    tracing::warn!(%error, "the broker's transaction.max.timeout.ms cannot be read");
                    None
                }
            };
            broker_max = match (broker_max, value.map(Duration::from_millis)) {
                (Some(known), Some(new)) => Some(known.min(new)),
                (known, new) => known.or(new),
            };
        }
        let (timeout, warning) = transaction_timeout::effective(self.settings.transaction_timeout, broker_max)?;
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
        }
        Ok(timeout)
    }
}

impl<T: Send + Sync + 'static, S: SerializationSchema<T>> Sink for KafkaSink<T, S> {
    type Item = Stamped<T>;
    type Committable = KafkaCommittable;
    type Writer = KafkaWriter<T, S>;
    type Committer = KafkaCommitter;

    async fn committer(&self, _job: &Job) -> Result<KafkaCommitter> {
        let client = self.client().await?;
        Ok(KafkaCommitter::new(client, self.settings.on_lost, self.settings.warning_ratio))
    }

    async fn writer(&self, job: &Job, restored: RestoredSink<Self>) -> Result<KafkaWriter<T, S>> {
        let settings = &self.settings;
        let transactional = settings.guarantee == DeliveryGuarantee::ExactlyOnce;
        let ownership = Ownership::of_subtask(job.subtask, job.parallelism);
        for state in &restored.states {
            ownership.check("writer state", state.subtask)?;
        }
        for committable in &restored.committables {
            ownership.check("a committable", committable.subtask)?;
        }
        let client = self.client().await?;
        let mut timeout = transaction_timeout::BROKER_DEFAULT;
        if transactional {
            if !job.checkpointing {
                return Err(Error::config(
                    "exactly once needs checkpoints: set a checkpoint store, or the guarantee AtLeastOnce",
                ));
            }
            self.claim(job)?;
            timeout = self.timeout(&client).await?;
        } else if !job.checkpointing && settings.guarantee == DeliveryGuarantee::AtLeastOnce && job.subtask == 0 {
            tracing::warn!("there are no checkpoints: after a crash nothing is recovered, and input may be lost");
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for state in restored.states.iter().filter(|s| !s.prefix.is_empty()) {
            used.note(&state.prefix, state.pool_size, state.parallelism);
        }
        let prefix = settings.prefix(job);
        let sweeper =
            Sweeper { client: client.clone(), job: job.clone(), prefix, pool_size: settings.pool_size, used, timeout };
        if !transactional && !sweeper.used.prefixes.is_empty() {
            // The job was exactly once before: what it left open is nobody's now (K25).
            sweeper.sweep(&[]).await?;
        }
        let parts = (client, Arc::clone(settings), Arc::clone(&self.schema));
        KafkaWriter::open(parts, job, timeout, sweeper, &restored.committables).await
    }

    fn transactional_ids(&self, job: &Job) -> Option<(String, u16)> {
        let transactional = self.settings.guarantee == DeliveryGuarantee::ExactlyOnce;
        transactional.then(|| (self.settings.prefix(job), self.settings.pool_size))
    }

    fn recorded_ids(&self, prefixes: &[(String, u16)], largest_parallelism: u32) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        for (prefix, size) in prefixes {
            used.note(prefix, *size, largest_parallelism);
        }
    }
}
