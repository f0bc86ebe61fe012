//! The verdict: what the output topic says, held against what the input topic holds.
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use ottla_client::{
    Admin, Client, Consumer, ConsumerConfig, Error, IsolationLevel, OffsetSpec, Record, Result, StartOffset,
    TopicPartition,
};

/// Counts per (partition, window, key).
type Counts = HashMap<(i32, i64, Box<[u8]>), u64>;

/// What the comparison found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) missing: u64,
    pub(crate) duplicated: u64,
}

impl Verdict {
    pub(crate) fn holds(&self) -> bool {
        self.missing == 0 && self.duplicated == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, output, missing, duplicated } = self;
        write!(f, "input {input}, output {output}, missing {missing}, duplicated {duplicated}")
    }
}

/// Reads both topics to their ends, the output with `read_committed`, and compares them count by count.
pub(crate) async fn verify(client: &Client, input: &str, output: &str, width: i64) -> Result<Verdict> {
    let mut expected = Counts::new();
    let mut events = 0;
    read_to_end(client, input, |partition, record| {
        let window = record.timestamp - record.timestamp.rem_euclid(width);
        *expected.entry((partition, window, record.key.unwrap_or_default().into())).or_default() += 1;
        events += 1;
        Ok(())
    })
    .await?;
    let mut counted = Counts::new();
    let mut results = 0;
    read_to_end(client, output, |_, record| {
        let (partition, window, count) = parse_result(record.value.unwrap_or_default())?;
        *counted.entry((partition, window, record.key.unwrap_or_default().into())).or_default() += count;
        results += 1;
        Ok(())
    })
    .await?;
    Ok(Verdict {
        input: events,
        output: results,
        missing: excess(&expected, &counted),
        duplicated: excess(&counted, &expected),
    })
}

/// How much of `left` is not in `right`.
fn excess(left: &Counts, right: &Counts) -> u64 {
    left.iter().map(|(slot, count)| count.saturating_sub(right.get(slot).copied().unwrap_or(0))).sum()
}

/// The value of a result as text, so that any tool can read it.
pub(crate) fn result_text(partition: i32, window: i64, count: u64) -> String {
    format!("{{\"partition\":{partition},\"window\":{window},\"count\":{count}}}")
}

fn parse_result(value: &[u8]) -> Result<(i32, i64, u64)> {
    let parsed = std::str::from_utf8(value).ok().and_then(|text| {
        let mut fields = text.strip_prefix('{')?.strip_suffix('}')?.split(',');
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.parse::<i64>().ok();
        let (partition, window, count) = (field("\"partition\":")?, field("\"window\":")?, field("\"count\":")?);
        Some((i32::try_from(partition).ok()?, window, u64::try_from(count).ok()?))
    });
    parsed.ok_or_else(|| Error::Misuse {
        reason: format!(
            "the output topic holds a record that is not a result of this job: {:?}; give the job a topic of its own",
            String::from_utf8_lossy(value)
        ),
    })
}

async fn read_to_end(client: &Client, topic: &str, mut each: impl FnMut(i32, &Record<'_>) -> Result<()>) -> Result<()> {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let partitions: Vec<_> =
        client.topic(topic, deadline).await?.partitions.iter().map(|p| TopicPartition::new(topic, p.index)).collect();
    let specs = partitions.iter().map(|p| (p.clone(), OffsetSpec::Latest)).collect();
    let ends = Admin::new(client).list_offsets(&specs, IsolationLevel::ReadCommitted).await;
    let mut config = ConsumerConfig::default();
    config.isolation_level = IsolationLevel::ReadCommitted;
    config.max_poll_records = 50_000;
    let consumer = Consumer::new(client, config)?;
    consumer.assign(partitions.into_iter().map(|p| (p, StartOffset::Earliest)));
    let mut left: HashMap<TopicPartition, i64> = HashMap::new();
    for (partition, end) in ends {
        left.insert(partition, end?.offset.unwrap_or(0));
    }
    while !left.is_empty() {
        let records = consumer.poll(Duration::from_secs(1)).await?;
        for partition in records.partitions() {
            for record in partition.iter() {
                each(partition.topic_partition().partition, &record?)?;
            }
        }
        left.retain(|partition, end| consumer.position(partition).is_none_or(|position| position < *end));
    }
    consumer.close().await;
    Ok(())
}
