//! What a producer counts: Kafka's `producer-metrics` and `producer-topic-metrics`.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ottla_protocol::record::Records;

use super::batch::ProducerBatch;
use crate::metrics::meter::metric_set;
use crate::sync::lock;
use crate::types::millis;

metric_set! {
    /// What a producer has counted so far. In the `metrics` facade producers of one client go by one name, as they do for
    /// brokers: totals add up, and gauges are those of the one that was busy last.
    ProducerMetrics counted by Meters;
    totals {
        /// `record-send-total`: records in requests that were sent; those of a retry count again.
        record_send_total = "record-send-total";
        /// `record-retry-total`: records that are sent again.
        record_retry_total = "record-retry-total";
        /// `record-error-total`: records that failed for good.
        record_error_total = "record-error-total";
        /// `batch-split-total`: batches that were too large for their topic and went on as parts.
        batch_split_total = "batch-split-total";
        /// `buffer-exhausted-total`: records for which there was no memory within `max.block.ms`.
        buffer_exhausted_total = "buffer-exhausted-total";
        /// `bufferpool-wait-time-ns-total`: nanoseconds that `send` waited for memory.
        bufferpool_wait_time_ns_total = "bufferpool-wait-time-ns-total";
        /// `metadata-wait-time-ns-total`: nanoseconds that `send` waited to learn of a topic.
        metadata_wait_time_ns_total = "metadata-wait-time-ns-total";
        /// `flush-time-ns-total`: nanoseconds in `flush`.
        flush_time_ns_total = "flush-time-ns-total";
        /// `txn-init-time-ns-total`: nanoseconds in `init`.
        txn_init_time_ns_total = "txn-init-time-ns-total";
        /// `txn-commit-time-ns-total`: nanoseconds in `commit_transaction`.
        txn_commit_time_ns_total = "txn-commit-time-ns-total";
        /// `txn-abort-time-ns-total`: nanoseconds in `abort_transaction`.
        txn_abort_time_ns_total = "txn-abort-time-ns-total";
    }
    gauges {
        /// `buffer-total-bytes`: `buffer.memory`.
        buffer_total_bytes = "buffer-total-bytes";
        /// `buffer-available-bytes`: what is free of it.
        buffer_available_bytes = "buffer-available-bytes";
        /// `waiting-threads`: calls of `send` that wait for memory.
        waiting_threads = "waiting-threads";
        /// `requests-in-flight`: requests with records that have no answer yet.
        requests_in_flight = "requests-in-flight";
        /// `compression-rate-avg`: bytes of batches as they were sent, by those of their records before; 1 without
        /// compression, 0 before the first.
        compression_rate_avg = "compression-rate-avg";
    }
    times {
        /// `record-queue-time-avg`: how long batches waited before they were first sent.
        record_queue_time: record_queue_time_avg, record_queue_time_max = "record-queue-time";
        /// `request-latency-avg`: from when a request with records was sent to its answer.
        request_latency: request_latency_avg, request_latency_max = "request-latency";
        /// `produce-throttle-time-avg`: how long brokers asked to wait, over all answers (quotas).
        produce_throttle_time: produce_throttle_time_avg, produce_throttle_time_max = "produce-throttle-time";
    }
    sizes {
        /// `batch-size-avg`: bytes of a batch as it was sent.
        batch_size: batch_size_avg, batch_size_max = "batch-size";
        /// `records-per-request-avg`: records in a request.
        records_per_request: records_per_request_avg, records_per_request_max = "records-per-request";
    }
    also {
        /// Of each topic, by its name.
        topics: Vec<(Arc<str>, ProducerTopicMetrics)>;
    }
}

metric_set! {
    /// What a producer has counted of one topic.
    ProducerTopicMetrics counted by TopicMeters;
    totals {
        /// `record-send-total`: records that were sent; those of a retry count again.
        record_send_total = "record-send-total";
        /// `byte-total`: bytes of their batches as they were sent.
        byte_total = "byte-total";
        /// `record-retry-total`: records that are sent again.
        record_retry_total = "record-retry-total";
        /// `record-error-total`: records that failed for good.
        record_error_total = "record-error-total";
    }
    gauges {
        /// `compression-rate`: bytes of batches as they were sent, by those of their records before.
        compression_rate = "compression-rate";
    }
    times {}
    sizes {}
    also {}
}

/// The meters of one producer.
#[derive(Debug)]
pub(crate) struct ProducerMeters {
    pub(crate) all: Meters,
    compression: CompressionRate,
    client_id: String,
    topics: Mutex<BTreeMap<Arc<str>, Arc<OfTopic>>>,
}

#[derive(Debug)]
struct OfTopic {
    meters: TopicMeters,
    compression: CompressionRate,
}

/// Bytes before and after.
#[derive(Debug, Default)]
struct CompressionRate {
    before: AtomicU64,
    after: AtomicU64,
}

impl ProducerMeters {
    pub(crate) fn new(client_id: String) -> Self {
        Self {
            all: Meters::new(&[("client-id", &client_id)]),
            compression: CompressionRate::default(),
            client_id,
            topics: Mutex::default(),
        }
    }

    /// A request with these batches is sent. Once per request: no record is looked at.
    pub(crate) fn sent(&self, now: Instant, batches: &[(ProducerBatch, Records)]) {
        let mut in_request = 0;
        let mut last: Option<(&Arc<str>, Arc<OfTopic>)> = None;
        for (batch, bytes) in batches {
            let (name, records, size) = (&batch.topic_partition().topic, count(batch), bytes.len());
            let topic = match last.take_if(|(of, _)| Arc::ptr_eq(of, name)) {
                Some((_, topic)) => topic,
                None => self.topic(name),
            };
            in_request += records;
            topic.meters.record_send_total.add(records);
            topic.meters.byte_total.add(size);
            self.all.batch_size.add_size(size);
            // A retry sends what was compressed before.
            if batch.attempts == 1 {
                self.all.record_queue_time.add_time(now.saturating_duration_since(batch.created));
                self.all.compression_rate_avg.set(self.compression.with(batch.uncompressed, size));
                topic.meters.compression_rate.set(topic.compression.with(batch.uncompressed, size));
            }
            last = Some((name, topic));
        }
        self.all.record_send_total.add(in_request);
        self.all.records_per_request.add_size(in_request);
    }

    /// A request was answered.
    pub(crate) fn answered(&self, latency: Duration, throttle_time_ms: i32) {
        self.all.request_latency.add_time(latency);
        self.all.produce_throttle_time.add_time(millis(throttle_time_ms));
    }

    /// A batch is sent again.
    pub(crate) fn retried(&self, batch: &ProducerBatch) {
        self.all.record_retry_total.add(count(batch));
        self.topic(&batch.topic_partition().topic).meters.record_retry_total.add(count(batch));
    }

    /// Records failed for good.
    pub(crate) fn failed(&self, topic: &Arc<str>, records: i32) {
        let records = usize::try_from(records).unwrap_or(0);
        self.all.record_error_total.add(records);
        self.topic(topic).meters.record_error_total.add(records);
    }

    pub(crate) fn numbers(&self) -> ProducerMetrics {
        let topics = self.topics().iter().map(|(name, topic)| (Arc::clone(name), topic.meters.numbers())).collect();
        ProducerMetrics { topics, ..self.all.numbers() }
    }

    fn topic(&self, name: &Arc<str>) -> Arc<OfTopic> {
        let mut topics = self.topics();
        if let Some(topic) = topics.get(name) {
            return Arc::clone(topic);
        }
        let meters = TopicMeters::new(&[("client-id", &self.client_id), ("topic", name)]);
        let topic = Arc::new(OfTopic { meters, compression: CompressionRate::default() });
        topics.insert(Arc::clone(name), Arc::clone(&topic));
        topic
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<OfTopic>>> {
        lock(&self.topics)
    }
}

impl CompressionRate {
    /// The rate with another batch.
    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    fn with(&self, before: usize, after: usize) -> f64 {
        let (before, after) = (before as u64, after as u64);
        let all_before = self.before.fetch_add(before, Ordering::Relaxed) + before;
        let all_after = self.after.fetch_add(after, Ordering::Relaxed) + after;
        all_after as f64 / all_before.max(1) as f64
    }
}

fn count(batch: &ProducerBatch) -> usize {
    usize::try_from(batch.count()).unwrap_or(0)
}
