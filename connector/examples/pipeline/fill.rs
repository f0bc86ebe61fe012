//! Events to count, for when nobody brings any.
use ottla_client::{Client, Error, Producer, ProducerConfig, ProducerRecord};

/// Keys of the events.
const KEYS: u64 = 1000;
/// Events of each millisecond of event time.
const PER_MILLISECOND: u64 = 20;
/// A moment to begin at: 2026-01-01.
const BEGIN: i64 = 1_767_225_600_000;

/// Writes `count` events. Their times grow, with some disorder.
pub(crate) async fn fill(client: &Client, topic: &str, count: u64) -> Result<(), Error> {
    let mut config = ProducerConfig::default();
    config.batch_size = 256 << 10;
    let producer = Producer::new(client, config)?;
    for number in 0..count {
        let key = format!("key-{}", number.wrapping_mul(2_654_435_761) % KEYS);
        let disorder = number.wrapping_mul(40_503) % 100;
        let time = BEGIN + i64::try_from(number / PER_MILLISECOND + disorder).unwrap_or(i64::MAX);
        let record = ProducerRecord::new(topic).key(&key).value("event").timestamp(time);
        if producer.try_send(&record)?.is_none() {
            producer.send(record).await?;
        }
    }
    producer.flush().await?;
    match producer.take_failure() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
