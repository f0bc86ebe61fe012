//! What a client counts, under Kafka's names (`SelectorMetricsRegistry`, `SenderMetricsRegistry`,
//! `FetchMetricsRegistry` and the like). Totals, averages and maxima are since the start: Kafka's rates are the growth
//! of a total over time.
pub(crate) mod meter;

use std::time::Duration;

use self::meter::{Alive, Measured, metric_set};
use crate::types::BrokerId;

/// What the connections of a client have counted so far.
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

metric_set! {
    /// What was counted of one broker.
    BrokerMetrics counted by Counters;
    totals {
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
    gauges {}
    times {
        /// `request-latency-avg`: from when a request was written to its answer.
        request_latency: request_latency_avg, request_latency_max = "request-latency";
    }
    sizes {}
    also {}
}

impl Counters {
    /// The counters of a broker.
    pub(crate) fn of_broker(client_id: &str, broker: BrokerId) -> Self {
        Self::new(&[("client-id", client_id), ("node-id", &broker.to_string())])
    }

    /// An answer came so long after its request was written.
    pub(crate) fn answered(&self, latency: Duration) {
        self.response_total.add(1);
        self.request_latency.add_time(latency);
    }
}

/// A connection that is open, for `connection-count` of the facade: [`Metrics`] count anew.
pub(crate) fn open_connection(client_id: &str) -> Alive {
    Alive::new("connection-count", &[("client-id", client_id)])
}

/// All counters as numbers of one moment.
pub(crate) fn collect<'a>(
    counters: impl Iterator<Item = (BrokerId, &'a Counters)>,
    connection_count: usize,
    metadata_age: Option<Duration>,
) -> Metrics {
    let mut metrics = Metrics { connection_count: connection_count as u64, metadata_age, ..Metrics::default() };
    let mut latency = Measured::default();
    for (broker, counters) in counters {
        let numbers = counters.numbers();
        latency = latency.and(counters.request_latency.measured());
        metrics.total.add_totals(&numbers);
        metrics.brokers.push((broker, numbers));
    }
    metrics.brokers.sort_by_key(|(broker, _)| *broker);
    metrics.total.request_latency_avg = latency.average_time();
    metrics.total.request_latency_max = latency.longest_time();
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_brokers_add_up_under_kafkas_names() {
        let (one, two) = (Counters::of_broker("c", BrokerId(1)), Counters::of_broker("c", BrokerId(2)));
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
