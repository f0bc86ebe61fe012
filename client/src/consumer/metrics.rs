//! What a consumer counts: Kafka's `consumer-fetch-manager-metrics` and `consumer-metrics`.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ottla_protocol::messages::fetch::FetchResponse;
use ottla_protocol::record::Records;

use crate::metrics::meter::metric_set;
use crate::sync::lock;
use crate::types::{BrokerId, TopicPartition, millis};

metric_set! {
    /// What a consumer has counted so far.
    ConsumerMetrics counted by Meters;
    totals {
        /// `fetch-total`: fetches that were answered.
        fetch_total = "fetch-total";
        /// `records-consumed-total`: records that `poll` gave out.
        records_consumed_total = "records-consumed-total";
        /// `bytes-consumed-total`: bytes of their batches, decompressed.
        bytes_consumed_total = "bytes-consumed-total";
    }
    gauges {
        /// `records-lag-max`: the largest lag of any partition as of its last fetch.
        records_lag_max = "records-lag-max";
        /// `records-lead-min`: the smallest lead of any partition, of those that were fetched.
        records_lead_min = "records-lead-min";
        /// `assigned-partitions`: partitions that are read.
        assigned_partitions = "assigned-partitions";
        /// `last-poll-seconds-ago`: since `poll` was last called; -1 before.
        last_poll_seconds_ago = "last-poll-seconds-ago";
    }
    times {
        /// `fetch-latency-avg`: from when a fetch was sent to its answer. Brokers wait up to `fetch.max.wait.ms` for data.
        fetch_latency: fetch_latency_avg, fetch_latency_max = "fetch-latency";
        /// `fetch-throttle-time-avg`: how long brokers asked to wait, over all answers (quotas).
        fetch_throttle_time: fetch_throttle_time_avg, fetch_throttle_time_max = "fetch-throttle-time";
        /// `time-between-poll-avg`: from one call of `poll` to the next.
        time_between_poll: time_between_poll_avg, time_between_poll_max = "time-between-poll";
    }
    sizes {
        /// `fetch-size-avg`: bytes of records in an answer, as they were sent.
        fetch_size: fetch_size_avg, fetch_size_max = "fetch-size";
    }
    also {
        /// Of each topic, by its name.
        topics: Vec<(Arc<str>, ConsumerTopicMetrics)>;
        /// Of each partition that is read.
        partitions: Vec<(TopicPartition, ConsumerPartitionMetrics)>;
    }
}

metric_set! {
    /// What a consumer has counted of one topic.
    ConsumerTopicMetrics counted by TopicMeters;
    totals {
        /// `records-consumed-total`: records that `poll` gave out.
        records_consumed_total = "records-consumed-total";
        /// `bytes-consumed-total`: bytes of their batches, decompressed.
        bytes_consumed_total = "bytes-consumed-total";
    }
    gauges {}
    times {}
    sizes {}
    also {}
}

/// Where a consumer is in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerPartitionMetrics {
    /// `records-lag`: offsets from the position to the end of the partition as of the last fetch; the last stable offset
    /// with `read_committed`. `None` before the first fetch.
    pub records_lag: Option<i64>,
    /// `records-lead`: offsets from the start of the partition to the position: how near retention is.
    pub records_lead: Option<i64>,
    /// `preferred-read-replica`: the broker that it is read from in place of its leader (KIP-392).
    pub preferred_read_replica: Option<BrokerId>,
}

type OfPartitions = Vec<(TopicPartition, ConsumerPartitionMetrics)>;

/// The meters of one consumer.
#[derive(Debug)]
pub(crate) struct ConsumerMeters {
    pub(crate) all: Meters,
    client_id: String,
    topics: Mutex<BTreeMap<Arc<str>, TopicMeters>>,
    last_poll: Mutex<Option<Instant>>,
    #[cfg(feature = "metrics")]
    shown: Mutex<Shown>,
}

/// How often the facade is told of partitions, whether anything comes or not.
#[cfg(feature = "metrics")]
pub(crate) const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// What the facade is told of partitions, and when it last was.
#[cfg(feature = "metrics")]
#[derive(Debug, Default)]
struct Shown {
    at: Option<Instant>,
    lags: BTreeMap<TopicPartition, crate::metrics::meter::Gauge>,
}

impl ConsumerMeters {
    pub(crate) fn new(client_id: String) -> Self {
        Self {
            all: Meters::new(&[("client-id", &client_id)]),
            client_id,
            topics: Mutex::default(),
            last_poll: Mutex::default(),
            #[cfg(feature = "metrics")]
            shown: Mutex::default(),
        }
    }

    /// A fetch was answered. Those that the broker refused as a whole count too.
    pub(crate) fn answered(&self, latency: Duration, response: &FetchResponse) {
        self.all.fetch_total.add(1);
        self.all.fetch_latency.add_time(latency);
        self.all.fetch_throttle_time.add_time(millis(response.throttle_time_ms));
        let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        self.all.fetch_size.add_size(partitions.filter_map(|p| p.records.as_ref()).map(Records::len).sum());
    }

    /// `poll` was called.
    pub(crate) fn polled(&self, now: Instant) {
        if let Some(before) = lock(&self.last_poll).replace(now) {
            self.all.time_between_poll.add_time(now.saturating_duration_since(before));
        }
    }

    /// `poll` gives out records of a topic.
    pub(crate) fn consumed(&self, topic: &Arc<str>, records: usize, bytes: usize) {
        self.all.records_consumed_total.add(records);
        self.all.bytes_consumed_total.add(bytes);
        let mut topics = lock(&self.topics);
        let new = || TopicMeters::new(&[("client-id", &self.client_id), ("topic", topic)]);
        let meters = topics.entry(Arc::clone(topic)).or_insert_with(new);
        meters.records_consumed_total.add(records);
        meters.bytes_consumed_total.add(bytes);
    }

    /// Tells the facade of partitions, once a second at most: who asks for [`Self::numbers`] gets them as they are then.
    #[cfg(feature = "metrics")]
    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    pub(crate) fn show_partitions(&self, now: Instant, partitions: impl FnOnce() -> OfPartitions) {
        let mut shown = lock(&self.shown);
        if shown.at.is_some_and(|at| now.saturating_duration_since(at) < SHOWN_EVERY) {
            return;
        }
        shown.at = Some(now);
        let partitions = partitions();
        self.show(now, &partitions);
        // A gauge cannot be taken back: one of a partition that is read no more has no lag.
        shown.lags.retain(|partition, gauge| {
            // They come in their order.
            let is_read = partitions.binary_search_by(|(read, _)| read.cmp(partition)).is_ok();
            if !is_read {
                gauge.set(0.0);
            }
            is_read
        });
        for (partition, of) in partitions {
            let Some(lag) = of.records_lag else { continue };
            let name = partition.partition.to_string();
            let labels = [("client-id", &*self.client_id), ("topic", &*partition.topic), ("partition", &*name)];
            let new = || crate::metrics::meter::Gauge::new("records-lag", &labels);
            shown.lags.entry(partition.clone()).or_insert_with(new).set(lag as f64);
        }
    }

    pub(crate) fn numbers(&self, now: Instant, partitions: OfPartitions) -> ConsumerMetrics {
        let topics = lock(&self.topics).iter().map(|(name, of)| (Arc::clone(name), of.numbers())).collect();
        self.show(now, &partitions);
        ConsumerMetrics { topics, partitions, ..self.all.numbers() }
    }

    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    fn show(&self, now: Instant, partitions: &OfPartitions) {
        let since_poll = lock(&self.last_poll).map(|at| now.saturating_duration_since(at).as_secs_f64());
        self.all.last_poll_seconds_ago.set(since_poll.unwrap_or(-1.0));
        let lag = partitions.iter().filter_map(|(_, of)| of.records_lag).max();
        let lead = partitions.iter().filter_map(|(_, of)| of.records_lead).min();
        self.all.assigned_partitions.set(partitions.len() as f64);
        self.all.records_lag_max.set(lag.unwrap_or(0) as f64);
        self.all.records_lead_min.set(lead.unwrap_or(0) as f64);
    }
}
