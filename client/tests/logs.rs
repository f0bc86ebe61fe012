//! What is logged of a consumer and a producer whose broker is gone for a while: one event when it begins, one when it ends.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ottla_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, StartOffset,
    TopicPartition,
};
use ottla_testkit::{ApiKey, Broker, ErrorCode as Code};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Takes what the whole process logs: there is one test in it.
    fn start() -> Self {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        lines
    }

    /// The levels of the events about this, in order.
    fn levels(&self, about: &str) -> Vec<String> {
        let text = self.text();
        let events = text.lines().filter(|line| line.contains(about));
        events.map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn an_outage_is_one_event_when_it_begins_and_one_when_it_ends() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let lines = Lines::start();
    let refused = broker.on(ApiKey::InitProducerId).fail(Code::CoordinatorLoadInProgress).times(4);
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap();
    assert_eq!(refused.hits(), 4);
    assert_eq!(lines.levels("no producer id yet"), ["WARN"], "{}", lines.text());
    assert_eq!(lines.levels("the producer has an id now failures=4"), ["INFO"], "{}", lines.text());

    let refused = broker.on(ApiKey::Fetch).hang_up().times(4);
    let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new("t", 0), StartOffset::Earliest)]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while consumer.poll(Duration::from_millis(100)).await.is_ok_and(|records| records.count() == 0) {
        assert!(Instant::now() < deadline, "{}", lines.text());
    }
    assert_eq!(refused.hits(), 4);
    assert_eq!(lines.levels("fetching failed"), ["WARN"], "{}", lines.text());
    assert_eq!(lines.levels("fetching goes on"), ["INFO"], "{}", lines.text());
    assert!(lines.text().contains("failures=4"), "{}", lines.text());

    let _gone = broker.on(ApiKey::Metadata).hang_up().times(3);
    while lines.levels("metadata can be refreshed again").is_empty() {
        assert!(Instant::now() < deadline, "{}", lines.text());
        client.topic("other", Instant::now() + Duration::from_millis(100)).await.unwrap_err();
    }
    assert_eq!(lines.levels("metadata cannot be refreshed"), ["WARN"], "{}", lines.text());
    assert_eq!(lines.levels("metadata can be refreshed again"), ["INFO"], "{}", lines.text());
}
