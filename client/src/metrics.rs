//! What a client counts, under Kafka's names (`SelectorMetricsRegistry`, `producer-metrics` and the like).
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::types::BrokerId;

/// What a client has counted so far. Kafka's `-rate` metrics are the growth of a total over time.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// `connection-count`: connections that are open.
    pub connection_count: u64,
    /// Of all brokers together.
    pub total: BrokerMetrics,
    /// Of each broker; a bootstrap server has an id below zero.
    pub brokers: Vec<(BrokerId, BrokerMetrics)>,
    /// `metadata-age`: since the last answer to a metadata request.
    pub metadata_age: Option<Duration>,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident = $name:literal;)*) => {
        /// What was counted of one broker.
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct BrokerMetrics {
            $($(#[$doc])* pub $field: u64,)*
            /// `request-latency-avg`: from when a request was written to its answer.
            pub request_latency_avg: Option<Duration>,
            /// `request-latency-max`: the longest of them.
            pub request_latency_max: Option<Duration>,
        }

        impl BrokerMetrics {
            /// Every number with Kafka's name; latencies are in milliseconds, as in Kafka.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
                let ms = |latency: Option<Duration>| latency.unwrap_or_default().as_secs_f64() * 1e3;
                #[allow(clippy::cast_precision_loss, reason = "a metric")]
                [
                    $(($name, self.$field as f64),)*
                    ("request-latency-avg", ms(self.request_latency_avg)),
                    ("request-latency-max", ms(self.request_latency_max)),
                ]
                .into_iter()
            }

            fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }

        /// What is counted, by those who do it.
        #[derive(Debug)]
        pub(crate) struct Counters {
            $(pub(crate) $field: Counter,)*
            latency_sum_us: AtomicU64,
            latency_max_us: AtomicU64,
        }

        impl Counters {
            /// The counters of a broker.
            pub(crate) fn new(client_id: &str, broker: BrokerId) -> Self {
                Self {
                    $($field: Counter::new($name, client_id, broker),)*
                    latency_sum_us: AtomicU64::new(0),
                    latency_max_us: AtomicU64::new(0),
                }
            }

            fn snapshot(&self) -> BrokerMetrics {
                BrokerMetrics {
                    $($field: self.$field.value(),)*
                    request_latency_avg: None,
                    request_latency_max: None,
                }
            }
        }
    };
}

counters! {
    /// `connection-creation-total`: connections that became ready.
    connection_creation_total = "connection-creation-total";
    /// `connection-close-total`: connections that have ended.
    connection_close_total = "connection-close-total";
    /// `successful-authentication-total`: connections that authenticated with SASL.
    successful_authentication_total = "successful-authentication-total";
    /// `failed-authentication-total`: connections that did not.
    failed_authentication_total = "failed-authentication-total";
    /// `successful-reauthentication-total`: how often an open connection authenticated again (KIP-368).
    successful_reauthentication_total = "successful-reauthentication-total";
    /// `failed-reauthentication-total`: how often that failed, which ends the connection.
    failed_reauthentication_total = "failed-reauthentication-total";
    /// `request-total`: requests that were written.
    request_total = "request-total";
    /// `response-total`: answers that came.
    response_total = "response-total";
    /// `outgoing-byte-total`: bytes written.
    outgoing_byte_total = "outgoing-byte-total";
    /// `incoming-byte-total`: bytes read.
    incoming_byte_total = "incoming-byte-total";
}

/// A number that grows.
#[derive(Debug)]
pub(crate) struct Counter {
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    facade: metrics::Counter,
}

impl Counter {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "labels of the facade"))]
    fn new(name: &'static str, client_id: &str, broker: BrokerId) -> Self {
        Self {
            value: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            facade: metrics::counter!(name, "client-id" => client_id.to_owned(), "node-id" => broker.to_string()),
        }
    }

    pub(crate) fn add(&self, n: usize) {
        let n = n as u64;
        self.value.fetch_add(n, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.facade.increment(n);
    }

    fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// An answer came so long after its request was written.
    pub(crate) fn answered(&self, latency: Duration) {
        self.response_total.add(1);
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency_sum_us.fetch_add(us, Ordering::Relaxed);
        self.latency_max_us.fetch_max(us, Ordering::Relaxed);
    }
}

/// All counters as numbers of one moment.
pub(crate) fn collect<'a>(
    counters: impl Iterator<Item = (BrokerId, &'a Counters)>,
    connection_count: usize,
    metadata_age: Option<Duration>,
) -> Metrics {
    let mut metrics = Metrics { connection_count: connection_count as u64, metadata_age, ..Metrics::default() };
    let (mut sum, mut max) = (0, 0);
    for (broker, counters) in counters {
        let latency = |us: u64| (us > 0).then(|| Duration::from_micros(us));
        let (own_sum, own_max) = (&counters.latency_sum_us, &counters.latency_max_us);
        let (own_sum, own_max) = (own_sum.load(Ordering::Relaxed), own_max.load(Ordering::Relaxed));
        let mut numbers = counters.snapshot();
        numbers.request_latency_avg = latency(own_sum / numbers.response_total.max(1));
        numbers.request_latency_max = latency(own_max);
        metrics.total.add(&numbers);
        (sum, max) = (sum + own_sum, max.max(own_max));
        metrics.brokers.push((broker, numbers));
    }
    metrics.brokers.sort_by_key(|(broker, _)| *broker);
    metrics.total.request_latency_avg =
        Some(sum / metrics.total.response_total.max(1)).filter(|us| *us > 0).map(Duration::from_micros);
    metrics.total.request_latency_max = Some(max).filter(|us| *us > 0).map(Duration::from_micros);
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_brokers_add_up_under_kafkas_names() {
        let (one, two) = (Counters::new("c", BrokerId(1)), Counters::new("c", BrokerId(2)));
        one.request_total.add(3);
        one.answered(Duration::from_millis(2));
        two.request_total.add(4);
        two.answered(Duration::from_millis(4));
        let metrics = collect([(BrokerId(2), &two), (BrokerId(1), &one)].into_iter(), 5, None);
        assert_eq!(metrics.connection_count, 5);
        assert_eq!(metrics.brokers[0].1.request_total, 3);
        let named: std::collections::HashMap<_, _> = metrics.total.named().collect();
        assert_eq!(named["request-total"], 7.0);
        assert_eq!((named["request-latency-avg"], named["request-latency-max"]), (3.0, 4.0));
    }
}
