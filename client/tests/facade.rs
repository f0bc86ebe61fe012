//! What the `metrics` facade is told. One test: a process has one recorder.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use ottla_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, StartOffset,
    TopicPartition,
};
use ottla_testkit::Broker;

/// Keeps counters and gauges by their names and labels.
#[derive(Debug, Default)]
struct Kept(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Kept {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    /// A gauge.
    fn find(&self, name: &str) -> Option<f64> {
        Some(f64::from_bits(self.0.lock().unwrap().get(name)?.load(Ordering::Relaxed)))
    }

    fn value(&self, name: &str) -> u64 {
        let kept = self.0.lock().unwrap();
        kept.get(name).unwrap_or_else(|| panic!("{name} is not among {:?}", kept.keys())).load(Ordering::Relaxed)
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn the_facade_has_kafkas_names_with_who_and_what_they_are_of() {
    let kept = Arc::new(Kept::default());
    metrics::set_global_recorder(Arc::clone(&kept)).unwrap();
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let mut settings = ClientConfig::new(&broker.bootstrap());
    settings.client_id = "shop".to_owned();
    let client = Client::connect(settings).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    for _ in 0..8 {
        producer.send(ProducerRecord::new("t").value("v")).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert_eq!(kept.value("record-send-total client-id=shop"), 8);
    assert_eq!(kept.value("record-send-total client-id=shop topic=t"), 8);
    assert!(kept.value("request-total client-id=shop node-id=0") >= 1, "{kept:?}");

    let mut of_three = ConsumerConfig::default();
    of_three.max_poll_records = 3;
    let consumer = Consumer::new(&client, of_three).unwrap();
    consumer.assign([(TopicPartition::new("t", 0), StartOffset::Earliest)]);
    assert_eq!(consumer.poll(Duration::from_secs(5)).await.unwrap().count(), 3);
    assert_eq!(kept.value("records-consumed-total client-id=shop topic=t"), 3);
    let shows = async |name: &str, value: f64| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while kept.find(name) != Some(value) {
            assert!(Instant::now() < deadline, "{name} is {:?}", kept.find(name));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // Nobody polls any more.
    shows("records-lag client-id=shop topic=t partition=0", 5.0).await;
    shows("assigned-partitions client-id=shop", 1.0).await;
    let poll = "last-poll-seconds-ago client-id=shop";
    let before = kept.find(poll).unwrap();
    while kept.find(poll).unwrap() <= before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    consumer.remove(&[TopicPartition::new("t", 0)]);
    shows("records-lag client-id=shop topic=t partition=0", 0.0).await;
    shows("assigned-partitions client-id=shop", 0.0).await;

    let open = || f64::from_bits(kept.value("connection-count client-id=shop"));
    assert_eq!(open(), client.metrics().connection_count as f64);
    assert!(open() >= 3.0, "metadata, batches and fetches: {}", client.describe());
    drop((consumer, producer, client));
    let deadline = Instant::now() + Duration::from_secs(10);
    while open() > 0.0 {
        assert!(Instant::now() < deadline, "{} are open still", open());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // Without a client.id the name is the one that brokers see.
    let nameless = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let producer = Producer::new(&nameless, ProducerConfig::default()).unwrap();
    producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap();
    let names: Vec<_> = kept.0.lock().unwrap().keys().cloned().collect();
    assert!(names.iter().any(|name| name.starts_with("record-send-total client-id=producer-")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("client-id= ") || name.ends_with("client-id=")), "{names:?}");
}
