//! The source: records of Kafka topics as a stream.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

mod assignment;
mod builder;
mod commits;
mod deserializer;
mod discovery;
mod enumerator;
mod enumerator_state;
mod lookup;
mod offset_committer;
mod offsets;
mod owned;
mod rate_limit;
mod reader;
mod settings;
mod split;
mod watermark;

use std::sync::Arc;
use std::time::SystemTime;

use ottla_client::{Admin, Client, ClientConfig};

use self::discovery::PartitionDiscovery;
use self::settings::SourceSettings;
use crate::contract::{Job, RestoredSource, Source, Stamped, Timestamp};
use crate::error::{Error, Result};
use crate::schema::DeserializationSchema;

pub use assignment::SplitAssignment;
pub use builder::KafkaSourceBuilder;
pub use enumerator::KafkaEnumerator;
pub use enumerator_state::KafkaEnumeratorState;
pub use offsets::{OnOutOfRange, StartOffsets, StopOffsets};
pub use reader::KafkaReader;
pub use settings::BadRecords;
pub use split::PartitionSplit;
pub use watermark::{WatermarkGenerator, WatermarkStrategy};

/// Reads Kafka topics. Positions are part of the job's checkpoints: after a failure each partition is read on from where
/// the last checkpoint was.
///
/// ```
/// use std::time::Duration;
/// use ottla_client::ClientConfig;
/// use ottla_connector::{KafkaSource, StartOffsets, StringSchema, WatermarkStrategy};
///
/// let source = KafkaSource::<StringSchema>::builder(ClientConfig::new("localhost:9092"))
///     .topics(["orders"])
///     .start(StartOffsets::Earliest)
///     .watermarks(WatermarkStrategy::bounded_out_of_orderness(Duration::from_secs(5)))
///     .build(StringSchema)?;
/// # Ok::<_, ottla_connector::Error>(())
/// ```
pub struct KafkaSource<D: DeserializationSchema> {
    config: ClientConfig,
    settings: Arc<SourceSettings>,
    schema: Arc<D>,
    watermarks: Option<WatermarkStrategy<D::Output>>,
}

impl<D: DeserializationSchema> KafkaSource<D> {
    /// Starts building a source.
    pub fn builder(config: ClientConfig) -> KafkaSourceBuilder<D::Output> {
        KafkaSourceBuilder::new(config)
    }

    /// Everyone has connections of its own: fetches wait at the broker, and would hold up those behind them.
    async fn connect(&self, suffix: &str) -> Result<Client> {
        let mut config = self.config.clone();
        if !config.client_id.is_empty() {
            config.client_id = format!("{}-{suffix}", config.client_id);
        }
        Client::connect(config).await.map_err(Error::client(format!("the source's {suffix}")))
    }
}

impl<D: DeserializationSchema> Source for KafkaSource<D> {
    type Item = Stamped<D::Output>;
    type Split = PartitionSplit;
    type Enumerator = KafkaEnumerator;
    type Reader = KafkaReader<D>;

    async fn enumerator(&self, job: &Job, restored: Option<RestoredSource<Self>>) -> Result<KafkaEnumerator> {
        let settings = &self.settings;
        let client = self.connect("enumerator").await?;
        let thresholds = (settings.missing_threshold, settings.discovery_failure_threshold);
        let mut discovery = PartitionDiscovery::new(settings.assignment, job.parallelism, thresholds.0, thresholds.1);
        if let Some(RestoredSource { enumerator, splits }) = restored {
            let keep = |topic: &str| settings.keep_unsubscribed_restored || settings.subscription.matches(topic);
            let dropped = discovery.restore(enumerator, splits, settings.stop.is_some(), keep);
            if !dropped.is_empty() {
                let names: Vec<_> = dropped.iter().map(ToString::to_string).collect();
                tracing::warn!(
                    "restored partitions that are not subscribed any more are dropped: {}",
                    names.join(", ")
                );
            }
        }
        Ok(KafkaEnumerator::new(client, Arc::clone(settings), discovery))
    }

    async fn reader(&self, job: &Job) -> Result<KafkaReader<D>> {
        let client = self.connect(&job.subtask.to_string()).await?;
        let admin = Admin::new(&client);
        let parts = (Arc::clone(&self.settings), Arc::clone(&self.schema), self.watermarks.clone());
        KafkaReader::open(job, client, admin, parts)
    }
}

impl<D: DeserializationSchema> std::fmt::Debug for KafkaSource<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource")
            .field("config", &self.config)
            .field("settings", &self.settings)
            .field("watermarks", &self.watermarks)
            .finish_non_exhaustive()
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}
