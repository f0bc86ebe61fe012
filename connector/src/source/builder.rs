//! Builds a source.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_client::{AutoOffsetReset, ClientConfig, ConsumerConfig, TopicPartition};

use super::assignment::SplitAssignment;
use super::offsets::{OnOutOfRange, StartOffsets, StopOffsets};
use super::settings::{BadRecords, SourceSettings, Subscription};
use super::watermark::WatermarkStrategy;
use super::{KafkaSource, now};
use crate::error::{Error, Result};
use crate::schema::DeserializationSchema;

/// Builds a [`KafkaSource`] of values of type `T`.
#[derive(Clone, Debug)]
#[must_use = "call build"]
pub struct KafkaSourceBuilder<T> {
    config: ClientConfig,
    topics: Option<Vec<String>>,
    pattern: Option<String>,
    watermarks: Vec<WatermarkStrategy<T>>,
    commit_on_checkpoint: Option<bool>,
    settings: SourceSettings,
}

impl<T: Send + 'static> KafkaSourceBuilder<T> {
    /// A source from the cluster that `config` names.
    pub fn new(config: ClientConfig) -> Self {
        let settings = SourceSettings {
            subscription: Subscription::Topics(Vec::new()),
            start: StartOffsets::default(),
            stop: None,
            on_out_of_range: OnOutOfRange::default(),
            group_id: None,
            discovery_interval: None,
            discovery_failure_threshold: 5,
            missing_threshold: 3,
            topic_wait: Duration::from_secs(60),
            keep_unsubscribed_restored: false,
            assignment: SplitAssignment::default(),
            commit_on_checkpoint: false,
            auto_commit_interval: Some(Duration::from_secs(5)),
            auto_watermark_interval: Duration::from_millis(200),
            poll_timeout: Duration::from_millis(100),
            records_per_second: None,
            bad_records: BadRecords::default(),
            consumer: ConsumerConfig::default(),
        };
        let (topics, pattern, watermarks, commit_on_checkpoint) = (None, None, Vec::new(), None);
        Self { config, topics, pattern, watermarks, commit_on_checkpoint, settings }
    }

    /// The topics to read. Either these or a [pattern](Self::topic_pattern).
    pub fn topics<N: Into<String>>(mut self, topics: impl IntoIterator<Item = N>) -> Self {
        self.topics.get_or_insert_default().extend(topics.into_iter().map(Into::into));
        self
    }

    /// Reads every topic whose whole name matches, but none of Kafka's own.
    pub fn topic_pattern(mut self, pattern: &str) -> Self {
        self.pattern = Some(pattern.to_owned());
        self
    }

    /// Where to start without a checkpoint. Default: at the committed offsets of the group.
    pub fn start(mut self, start: StartOffsets) -> Self {
        self.settings.start = start;
        self
    }

    /// Starts at these offsets.
    pub fn start_at(self, offsets: impl IntoIterator<Item = (TopicPartition, i64)>) -> Self {
        let offsets: BTreeMap<_, _> = offsets.into_iter().collect();
        self.start(StartOffsets::Offsets(offsets))
    }

    /// Reads up to here and finishes; no partitions are discovered later. Default: reads on for ever.
    pub fn bounded(mut self, stop: StopOffsets) -> Self {
        self.settings.stop = Some(stop);
        self
    }

    /// `auto.offset.reset`: what to do when a position lies outside of the log, or the group has none. Default: latest.
    pub fn on_out_of_range(mut self, policy: OnOutOfRange) -> Self {
        self.settings.on_out_of_range = policy;
        self
    }

    /// `group.id`: a name for committed offsets; nothing joins the group. Default: none, and nothing is committed.
    pub fn group_id(mut self, group: &str) -> Self {
        self.settings.group_id = Some(group.to_owned());
        self
    }

    /// `partition.discovery.interval.ms`: how often new partitions are looked for, and for new topics that match.
    /// Default: never.
    pub fn discovery_interval(mut self, interval: Duration) -> Self {
        self.settings.discovery_interval = Some(interval);
        self
    }

    /// After how many failed discoveries in a row the job fails. Default: 5.
    pub fn discovery_failure_threshold(mut self, failures: u32) -> Self {
        self.settings.discovery_failure_threshold = failures;
        self
    }

    /// After how many discoveries without it a partition is given up. Default: 3.
    pub fn missing_threshold(mut self, misses: u16) -> Self {
        self.settings.missing_threshold = misses;
        self
    }

    /// How long a topic may be absent at the start, without discovery. Default: 60 s.
    pub fn topic_wait(mut self, wait: Duration) -> Self {
        self.settings.topic_wait = wait;
        self
    }

    /// Whether restored partitions of topics that are not subscribed any more are read on. Default: false.
    pub fn keep_unsubscribed_restored(mut self, keep: bool) -> Self {
        self.settings.keep_unsubscribed_restored = keep;
        self
    }

    /// How partitions are dealt to subtasks. Default: evenly.
    pub fn assignment(mut self, assignment: SplitAssignment) -> Self {
        self.settings.assignment = assignment;
        self
    }

    /// `commit.offsets.on.checkpoint`: whether offsets are committed when a checkpoint is complete, for those who watch
    /// the group. A restart does not need them. Default: when there is a group.
    pub fn commit_on_checkpoint(mut self, commit: bool) -> Self {
        self.commit_on_checkpoint = Some(commit);
        self
    }

    /// `auto.commit.interval.ms`: how often offsets of emitted records are committed without checkpoints, if there is a
    /// group; `None`: never. Default: 5 s.
    pub fn auto_commit_interval(mut self, interval: Option<Duration>) -> Self {
        self.settings.auto_commit_interval = interval.filter(|interval| !interval.is_zero());
        self
    }

    /// How event times and watermarks are made. Default: times of Kafka and no watermarks. Setting it twice is an error.
    pub fn watermarks(mut self, strategy: WatermarkStrategy<T>) -> Self {
        self.watermarks.push(strategy);
        self
    }

    /// How often periodic watermarks are made and idleness is looked at. Default: 200 ms.
    pub fn auto_watermark_interval(mut self, interval: Duration) -> Self {
        self.settings.auto_watermark_interval = interval;
        self
    }

    /// `flink.poll-timeout`: the longest wait of one poll. Default: 100 ms.
    pub fn poll_timeout(mut self, timeout: Duration) -> Self {
        self.settings.poll_timeout = timeout;
        self
    }

    /// The most records per second of each reader, averaged over polls. Default: no limit.
    pub fn records_per_second(mut self, records: u64) -> Self {
        self.settings.records_per_second = Some(records);
        self
    }

    /// What becomes of records that the schema cannot read. Default: the job fails.
    pub fn bad_records(mut self, policy: BadRecords) -> Self {
        self.settings.bad_records = policy;
        self
    }

    /// How the consumers are set: isolation level, sizes, waits. `auto_offset_reset` in it is not used (see
    /// [`on_out_of_range`](Self::on_out_of_range)), and topics are never created.
    pub fn consumer(mut self, config: ConsumerConfig) -> Self {
        self.settings.consumer = config;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] naming what is wrong.
    pub fn build<D: DeserializationSchema<Output = T>>(mut self, schema: D) -> Result<KafkaSource<D>> {
        self.config.validate().map_err(Error::client("the source"))?;
        let watermarks = self.one_strategy()?;
        let Self { config, topics, pattern, mut settings, .. } = self;
        settings.subscription = match (topics, pattern) {
            (Some(topics), None) => Subscription::topics(topics)?,
            (None, Some(pattern)) => Subscription::pattern(&pattern)?,
            _ => return Err(Error::config("exactly one of topics and topic_pattern must be set")),
        };
        settings.group_id = settings.group_id.or_else(|| settings.consumer.group_id.clone());
        settings.commit_on_checkpoint = self.commit_on_checkpoint.unwrap_or_else(|| settings.group_id.is_some());
        validate(&settings)?;
        if settings.stop.is_some() {
            settings.discovery_interval = None;
        }
        settings.consumer.auto_offset_reset = AutoOffsetReset::None;
        settings.consumer.allow_auto_create_topics = false;
        settings.consumer.validate(&config).map_err(Error::client("the source's consumer"))?;
        Ok(KafkaSource { config, settings: Arc::new(settings), schema: Arc::new(schema), watermarks })
    }

    fn one_strategy(&mut self) -> Result<Option<WatermarkStrategy<T>>> {
        let strategy = self.watermarks.pop();
        if !self.watermarks.is_empty() {
            return Err(Error::config("watermarks is set twice: a source has one strategy"));
        }
        strategy.map(|strategy| strategy.validate().map(|()| strategy)).transpose()
    }
}

fn validate(settings: &SourceSettings) -> Result<()> {
    settings.start.validate(now())?;
    if let Some(stop) = &settings.stop {
        stop.validate()?;
    }
    let needs_group = settings.start.needs_group()
        || settings.stop.as_ref().is_some_and(StopOffsets::needs_group)
        || settings.commit_on_checkpoint;
    if needs_group && settings.group_id.as_deref().unwrap_or_default().is_empty() {
        return Err(Error::config(
            "group.id is needed to start at committed or given offsets, to stop at committed ones, and to commit: set group_id",
        ));
    }
    let above_zero = [
        ("partition.discovery.interval.ms", settings.discovery_interval),
        ("auto_watermark_interval", Some(settings.auto_watermark_interval)),
        ("flink.poll-timeout", Some(settings.poll_timeout)),
    ];
    if let Some((key, _)) = above_zero.iter().find(|(_, value)| *value == Some(Duration::ZERO)) {
        return Err(Error::config(format!("{key} is 0: it must be above 0")));
    }
    if settings.records_per_second == Some(0) {
        return Err(Error::config("records_per_second is 0: it must be above 0, or left out"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Timestamp;
    use crate::schema::StringSchema;

    fn builder() -> KafkaSourceBuilder<String> {
        KafkaSourceBuilder::new(ClientConfig::new("localhost:9092")).topics(["t"]).start(StartOffsets::Earliest)
    }

    fn refusal(builder: KafkaSourceBuilder<String>) -> String {
        builder.build(StringSchema).unwrap_err().to_string()
    }

    #[test]
    fn r2_exactly_one_subscription() {
        assert!(builder().build(StringSchema).is_ok());
        assert!(refusal(builder().topic_pattern("t.*")).contains("exactly one"));
        let none = KafkaSourceBuilder::new(ClientConfig::new("localhost:9092")).start(StartOffsets::Earliest);
        assert!(refusal(none.clone()).contains("exactly one"));
        assert!(refusal(none.clone().topics(Vec::<String>::new())).contains("must not be empty"));
        assert!(none.topic_pattern("t.*").build(StringSchema).is_ok());
    }

    #[test]
    fn r4_bootstrap_servers_must_be_supplied() {
        let source = KafkaSourceBuilder::new(ClientConfig::default()).topics(["t"]);
        assert!(refusal(source).contains("bootstrap.servers must be supplied"));
    }

    #[test]
    fn r5_a_group_is_needed_for_committed_offsets_and_commits() {
        assert!(refusal(builder().start(StartOffsets::CommittedOffsets)).contains("group.id"));
        assert!(refusal(builder().start_at([])).contains("group.id"));
        assert!(refusal(builder().commit_on_checkpoint(true)).contains("group.id"));
        assert!(refusal(builder().bounded(StopOffsets::Committed)).contains("group.id"));
        assert!(builder().start_at([]).group_id("g").build(StringSchema).is_ok());
    }

    #[test]
    fn r34_an_interval_of_nothing_is_an_error() {
        let refused = refusal(builder().discovery_interval(Duration::ZERO));
        assert!(refused.contains("partition.discovery.interval.ms is 0"), "{refused}");
        assert!(refusal(builder().auto_watermark_interval(Duration::ZERO)).contains("auto_watermark_interval is 0"));
    }

    #[test]
    fn r17_r18_start_offsets_are_checked() {
        assert!(refusal(builder().start(StartOffsets::Timestamp(Timestamp::MAX))).contains("between 0 and now"));
        let negative = builder().group_id("g").start_at([(TopicPartition::new("t", 0), -1)]);
        assert!(refusal(negative).contains("must not be negative"));
    }

    #[test]
    fn w1_a_second_strategy_is_an_error() {
        let twice = builder().watermarks(WatermarkStrategy::monotonous()).watermarks(WatermarkStrategy::monotonous());
        assert!(refusal(twice).contains("twice"));
    }
}
