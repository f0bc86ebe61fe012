//! Reads splits and emits their records.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ottla_client::{Admin, Client, Consumer, ConsumerRecords, StartOffset, TopicPartition};

use super::commits::CommitMode;
use super::deserializer::{Deserializer, Staged};
use super::lookup;
use super::offset_committer::OffsetCommitter;
use super::offsets::OnOutOfRange;
use super::owned::OwnedSplits;
use super::rate_limit::RateLimit;
use super::settings::SourceSettings;
use super::split::PartitionSplit;
use super::watermark::{IdleClock, SplitWatermarks, WatermarkStrategy};
use crate::contract::{CheckpointId, Event, Job, Reader, SplitId, Stamped, Timestamp};
use crate::error::{Error, Result};
use crate::schema::{DeserializationSchema, SchemaContext};

/// How long closing waits for the last offsets to be committed.
const LAST_COMMIT: Duration = Duration::from_secs(5);

/// A lookup of the log's start and end, for a position that is in neither.
type RangeLookup = Pin<Box<dyn Future<Output = (TopicPartition, i64, Result<(i64, i64)>)> + Send>>;

/// The reader of a [`KafkaSource`](super::KafkaSource).
pub struct KafkaReader<D: DeserializationSchema> {
    client: Client,
    admin: Admin,
    consumer: Option<Consumer>,
    settings: Arc<SourceSettings>,
    deserializer: Deserializer<D>,
    owned: OwnedSplits<D::Output>,
    committer: Option<OffsetCommitter>,
    /// Deserialized and not emitted: positions do not count it.
    staged: Staged<D::Output>,
    /// To be emitted before anything else; none of these carries records.
    pending: VecDeque<Event<Stamped<D::Output>>>,
    lookups: FuturesUnordered<RangeLookup>,
    failed: Option<Error>,
    told_idle: bool,
    no_more_splits: bool,
    told_finished: bool,
    clock: IdleClock,
    limit: Option<RateLimit>,
    next_tick: Option<Instant>,
    next_commit: Option<Instant>,
}

impl<D: DeserializationSchema> KafkaReader<D> {
    pub(crate) fn open(
        job: &Job,
        client: Client,
        admin: Admin,
        (settings, schema, strategy): (Arc<SourceSettings>, Arc<D>, Option<WatermarkStrategy<D::Output>>),
    ) -> Result<Self> {
        schema.open(&SchemaContext { job: Arc::clone(&job.name), subtask: job.subtask })?;
        let auto_commit = settings.auto_commit_interval.is_some();
        let mode = match &settings.group_id {
            Some(_) => CommitMode::of(job.checkpointing, settings.commit_on_checkpoint, auto_commit),
            None => CommitMode::Disabled,
        };
        let consumer = Consumer::new(&client, settings.consumer.clone()).map_err(Error::client("the source"))?;
        let group = settings.group_id.clone().filter(|_| mode != CommitMode::Disabled);
        let assigner = strategy.as_ref().and_then(|strategy| strategy.assigner.clone());
        Ok(Self {
            committer: group.map(|group| OffsetCommitter::new(admin.clone(), group)),
            client,
            admin,
            consumer: Some(consumer),
            deserializer: Deserializer::new(schema, assigner, settings.bad_records),
            owned: OwnedSplits::new(SplitWatermarks::new(strategy), mode),
            staged: Staged::default(),
            pending: VecDeque::new(),
            lookups: FuturesUnordered::new(),
            failed: None,
            told_idle: false,
            no_more_splits: false,
            told_finished: false,
            clock: IdleClock::new(settings.auto_watermark_interval),
            limit: settings.records_per_second.map(RateLimit::new),
            next_tick: None,
            next_commit: None,
            settings,
        })
    }

    /// Waits for whatever comes first: records, the end of a lookup, or the next tick.
    async fn wait(&mut self) -> Result<()> {
        let now = Instant::now();
        let next_tick = *self.next_tick.get_or_insert(now + self.settings.auto_watermark_interval);
        let timeout = next_tick.saturating_duration_since(now).min(self.settings.poll_timeout);
        let blocked = self.limit.and_then(|limit| limit.blocked_until(now)).map(|until| until.min(now + timeout));
        let Some(consumer) = &self.consumer else { return Err(closed()) };
        tokio::select! {
            Some(found) = self.lookups.next(), if !self.lookups.is_empty() => self.take_log_range(found)?,
            polled = consumer.poll(timeout), if blocked.is_none() => match polled {
                Ok(records) => self.stage(&records),
                Err(error) => self.take_failure(error).await?,
            },
            () = sleep_until(blocked), if blocked.is_some() => {}
        }
        Ok(())
    }

    fn stage(&mut self, records: &ConsumerRecords) {
        self.staged = self.deserializer.deserialize(records, &self.owned);
    }

    /// Emits what is staged: only now positions and watermarks move.
    fn emit(&mut self) -> Option<Event<Stamped<D::Output>>> {
        let Staged { values, chunks, failure } = std::mem::take(&mut self.staged);
        let mut from = 0;
        let mut advanced = None;
        let mut finished = Vec::new();
        for chunk in &chunks {
            let to = from + chunk.len;
            let of_chunk = values.get(from..to).unwrap_or_default();
            from = to;
            let (watermark, is_finished) = self.owned.emitted(chunk, of_chunk);
            advanced = watermark.or(advanced);
            if is_finished {
                finished.push(chunk.topic_partition.clone());
            }
        }
        self.forget(&finished);
        self.failed = failure.or_else(|| self.failed.take());
        self.pending.extend(advanced.map(Event::Watermark));
        if let (Some(limit), false) = (&mut self.limit, values.is_empty()) {
            limit.emitted(Instant::now(), values.len());
        }
        (!values.is_empty()).then_some(Event::Records(values))
    }

    fn forget(&self, partitions: &[TopicPartition]) {
        if let (Some(consumer), false) = (&self.consumer, partitions.is_empty()) {
            consumer.remove(partitions);
        }
    }

    fn tick_if_due(&mut self) {
        let now = Instant::now();
        let elapsed = self.clock.read(now);
        if self.next_tick.is_some_and(|at| now < at) {
            return;
        }
        self.next_tick = Some(now + self.settings.auto_watermark_interval);
        let is_limited = self.limit.is_some_and(|limit| limit.blocked_until(now).is_some());
        let waiting: Vec<_> = match &self.consumer {
            Some(consumer) => {
                let all = self.owned.all_reading();
                let waits = |split: &PartitionSplit| {
                    let partition = &split.topic_partition;
                    self.staged.has(partition) || consumer.lag(partition).is_some_and(|lag| lag > 0)
                };
                all.filter(|(split, _)| is_limited || waits(split)).map(|(_, output)| output).collect()
            }
            None => Vec::new(),
        };
        let advanced = self.owned.watermarks.tick(elapsed, |output| waiting.contains(&output));
        self.pending.extend(advanced.map(Event::Watermark));
        self.apply_alignment();
        self.commit_if_due(now);
    }

    fn apply_alignment(&mut self) {
        let changes = self.owned.watermarks.alignment_changes();
        let partitions = |outputs: Vec<_>| -> Vec<_> {
            outputs.into_iter().filter_map(|output| self.owned.partition_of(output)).cloned().collect()
        };
        let (pause, resume) = (partitions(changes.pause), partitions(changes.resume));
        if let Some(consumer) = &self.consumer {
            if !pause.is_empty() {
                consumer.pause(&pause);
            }
            if !resume.is_empty() {
                consumer.resume(&resume);
            }
        }
    }

    /// Offsets of emitted records, every now and then, in mode Periodic.
    fn commit_if_due(&mut self, now: Instant) {
        let (Some(committer), Some(interval)) = (&self.committer, self.settings.auto_commit_interval) else { return };
        if self.owned.commits.mode() != CommitMode::Periodic {
            return;
        }
        let due = *self.next_commit.get_or_insert(now + interval);
        if now >= due {
            self.next_commit = Some(now + interval);
            let offsets = self.owned.offsets();
            if let Some(offsets) = self.owned.commits.periodic(offsets) {
                committer.hand_over(offsets);
            }
        }
    }

    async fn take_failure(&mut self, error: ottla_client::Error) -> Result<()> {
        match error {
            ottla_client::Error::OffsetOutOfRange { topic_partition, offset, .. } => {
                let isolation = self.settings.consumer.isolation_level;
                let looking = lookup::log_range(self.admin.clone(), isolation, topic_partition.clone());
                self.lookups.push(Box::pin(async move { (topic_partition, offset, looking.await) }));
                Ok(())
            }
            error if error.is_retriable() => {
                tracing::warn!(%error, "reading failed; trying again");
                tokio::time::sleep(self.settings.poll_timeout).await;
                Ok(())
            }
            error => Err(Error::client("reading")(error)),
        }
    }

    /// Goes where the policy says (R20).
    fn take_log_range(&mut self, (partition, offset, range): (TopicPartition, i64, Result<(i64, i64)>)) -> Result<()> {
        let policy = self.settings.on_out_of_range;
        if self.owned.reading(&partition).is_none() {
            return Ok(());
        }
        let (start, end) = range?;
        let to = match policy {
            OnOutOfRange::Earliest => start,
            OnOutOfRange::Latest => end,
            OnOutOfRange::Fail => {
                return Err(Error::Source {
                    reason: format!(
                        "the position {offset} of {partition} is not in the log, which goes from {start} to {end}: set on_out_of_range, or restore a newer checkpoint"
                    ),
                });
            }
        };
        tracing::warn!(%partition, from = offset, to, start, end, "the position is not in the log: records may be lost");
        if self.owned.moved(&partition, to) {
            self.forget(&[partition]);
        } else if let Some(consumer) = &self.consumer {
            consumer.seek(&partition, StartOffset::At(to, None)).map_err(Error::client("seeking"))?;
        }
        Ok(())
    }

    /// What comes before records: watermarks, changes of idleness, the end.
    fn next_signal(&mut self) -> Option<Event<Stamped<D::Output>>> {
        self.end_if_finished();
        if let Some(event) = self.pending.pop_front() {
            return Some(event);
        }
        if self.told_finished {
            return None;
        }
        let will_be_active = self.staged.values.iter().any(|value| value.timestamp.is_some());
        let idle = self.owned.is_idle() && !(will_be_active && self.told_idle);
        if idle != self.told_idle {
            self.told_idle = idle;
            return Some(if idle { Event::Idle } else { Event::Active });
        }
        None
    }

    fn end_if_finished(&mut self) {
        let is_over = self.no_more_splits && self.owned.is_finished() && self.staged.is_empty();
        if is_over && !self.told_finished && self.failed.is_none() {
            self.told_finished = true;
            self.pending.extend([Event::Watermark(Timestamp::MAX), Event::Finished]);
        }
    }

    /// The partition that holds the watermark back, if it is known.
    #[must_use]
    pub fn watermark_holding_partition(&self) -> Option<&TopicPartition> {
        self.owned.partition_of(self.owned.watermarks.holding()?)
    }

    /// Records that were passed over because they could not be read.
    #[must_use]
    pub fn records_skipped(&self) -> u64 {
        self.deserializer.skipped()
    }

    /// Offsets that were passed over because the log did not have them any more.
    #[must_use]
    pub fn records_lost(&self) -> u64 {
        self.owned.records_lost()
    }

    /// How many offset commits succeeded, and how many failed.
    #[must_use]
    pub fn commits(&self) -> (u64, u64) {
        self.committer.as_ref().map_or((0, 0), OffsetCommitter::counts)
    }

    /// The offset of a partition that was acknowledged last.
    #[must_use]
    pub fn committed_offset(&self, partition: &TopicPartition) -> Option<i64> {
        self.committer.as_ref()?.committed(partition)
    }
}

impl<D: DeserializationSchema> Reader for KafkaReader<D> {
    type Item = Stamped<D::Output>;
    type Split = PartitionSplit;

    fn add_splits(&mut self, splits: Vec<PartitionSplit>) {
        let partitions: Vec<_> = splits.iter().map(|split| split.topic_partition.clone()).collect();
        self.staged.remove(&partitions);
        let begin: Vec<_> = splits.into_iter().filter_map(|split| self.owned.add(split)).collect();
        if let Some(consumer) = &self.consumer {
            consumer
                .add(begin.into_iter().map(|(partition, offset, epoch)| (partition, StartOffset::At(offset, epoch))));
        }
    }

    fn remove_splits(&mut self, ids: &[SplitId]) {
        let gone: Vec<_> = ids.iter().filter_map(|id| self.owned.remove(id)).collect();
        self.staged.remove(&gone);
        self.forget(&gone);
    }

    fn no_more_splits(&mut self) {
        self.no_more_splits = true;
    }

    fn align(&mut self, global: Timestamp) {
        self.owned.watermarks.align(global);
        self.apply_alignment();
    }

    async fn next(&mut self) -> Result<Event<Self::Item>> {
        loop {
            if let Some(event) = self.next_signal() {
                return Ok(event);
            }
            if !self.staged.is_empty() {
                if let Some(event) = self.emit() {
                    return Ok(event);
                }
                continue;
            }
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            if self.told_finished {
                return std::future::pending().await;
            }
            if let Err(error) = self.wait().await {
                self.failed = Some(error);
            }
            self.tick_if_due();
        }
    }

    fn snapshot(&mut self, id: CheckpointId) -> Vec<PartitionSplit> {
        self.owned.snapshot(id)
    }

    async fn checkpoint_completed(&mut self, id: CheckpointId) {
        if let (Some(offsets), Some(committer)) = (self.owned.commits.complete(id), &self.committer) {
            committer.hand_over(offsets);
        }
    }

    fn checkpoint_aborted(&mut self, id: CheckpointId) {
        self.owned.commits.abort(id);
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(consumer) = self.consumer.take() {
            consumer.close().await;
        }
        if let Some(committer) = &self.committer {
            let offsets = self.owned.offsets();
            if let Some(offsets) = self.owned.commits.periodic(offsets) {
                committer.hand_over(offsets);
            }
            committer.finish(LAST_COMMIT).await;
        }
        self.client.close();
        Ok(())
    }

    fn pending_records(&self) -> Option<u64> {
        let consumer = self.consumer.as_ref()?;
        let lags = self.owned.all_reading().map(|(split, _)| consumer.lag(&split.topic_partition));
        // Unknown while one of them is; a reader without partitions has nothing to read.
        lags.map(|lag| lag.map(|lag| u64::try_from(lag).unwrap_or(0))).sum()
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn closed() -> Error {
    Error::Source { reason: "the reader is closed".to_owned() }
}

impl<D: DeserializationSchema> std::fmt::Debug for KafkaReader<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaReader").field("no_more_splits", &self.no_more_splits).finish_non_exhaustive()
    }
}
