#![allow(clippy::disallowed_methods, reason = "a test")]
use super::*;
use crate::metadata::{Partition, Topic};

const ID: ProducerIdAndEpoch = ProducerIdAndEpoch { producer_id: 1, epoch: 0 };
const LINGER: Duration = Duration::from_millis(5);

fn limits() -> Limits {
    Limits {
        availability_timeout: Duration::ZERO,
        linger: LINGER,
        batch_size: 200,
        memory: 1000,
        max_request_size: 1 << 20,
        ignore_keys: false,
        adaptive: true,
        mode: Mode::Idempotent,
    }
}

fn topic(leaders: &[Option<i32>]) -> Topic {
    let partition = |(index, leader): (usize, &Option<i32>)| Partition {
        index: i32::try_from(index).unwrap(),
        leader: leader.map(BrokerId),
        ..Partition::default()
    };
    Topic { name: "t".into(), partitions: leaders.iter().enumerate().map(partition).collect(), ..Topic::default() }
}

fn accumulator(limits: Limits) -> RecordAccumulator {
    let mut accumulator = RecordAccumulator::new(limits, fastrand::Rng::with_seed(1));
    accumulator.update_topic(&topic(&[Some(1), Some(1), Some(2), None]));
    accumulator
}

fn record(value: &[u8], partition: i32) -> ProducerRecord<'_> {
    ProducerRecord { value: Some(value), ..ProducerRecord::new("t").partition(partition) }
}

fn append(accumulator: &mut RecordAccumulator, now: Instant, partition: i32) -> bool {
    match accumulator.append(|| now, 0, &record(&[7; 50], partition), None).unwrap() {
        Appended::Done { wake, .. } => wake,
        other => panic!("{other:?}"),
    }
}

fn start() -> Instant {
    Instant::now()
}

fn drained(accumulator: &mut RecordAccumulator, now: Instant) -> Vec<(i32, usize, i32)> {
    let ready = accumulator.ready(now, ID, false);
    let mut out = Vec::new();
    for (broker, mut keys) in ready.brokers {
        for batch in accumulator.drain(&mut keys, ID) {
            out.push((broker.0, batch.key.partition, batch.count()));
            accumulator.queue(batch.key).unwrap().sequence.answered(&batch);
            accumulator.release(batch);
        }
    }
    out
}

#[test]
fn a_batch_is_sent_when_it_is_full_or_has_lingered() {
    let mut accumulator = accumulator(limits());
    let now = start();
    assert!(append(&mut accumulator, now, 0), "the sender learns of a new batch");
    assert!(!append(&mut accumulator, now, 0));
    assert!(drained(&mut accumulator, now).is_empty());
    assert_eq!(accumulator.ready(now, ID, false).next, Some(now + LINGER));
    assert!(append(&mut accumulator, now, 0), "the third does not fit");
    assert_eq!(drained(&mut accumulator, now), [(1, 0, 2)]);
    assert!(drained(&mut accumulator, now).is_empty());
    assert_eq!(drained(&mut accumulator, now + LINGER), [(1, 0, 1)]);
    assert!(accumulator.is_complete());
}

#[test]
fn one_batch_of_each_partition_goes_to_its_leader_and_none_without_one() {
    let mut accumulator = accumulator(limits());
    let now = start();
    for partition in [0, 1, 2, 3, 0, 0] {
        append(&mut accumulator, now, partition);
    }
    let later = now + LINGER;
    assert!(accumulator.ready(later, ID, false).leader_is_missing);
    let mut sent = drained(&mut accumulator, later);
    sent.sort_unstable();
    assert_eq!(sent, [(1, 0, 2), (1, 1, 1), (2, 2, 1)]);
    assert_eq!(drained(&mut accumulator, later), [(1, 0, 1)]);
    accumulator.update_topic(&topic(&[Some(1), Some(1), Some(2), Some(3)]));
    assert_eq!(drained(&mut accumulator, later), [(3, 3, 1)]);
}

#[test]
fn memory_returns_once_and_the_first_in_line_gets_it() {
    let mut accumulator = accumulator(Limits { memory: 400, ..limits() });
    let now = start();
    append(&mut accumulator, now, 0);
    append(&mut accumulator, now, 1);
    let full = |a: &mut RecordAccumulator, ticket| {
        matches!(a.append(|| now, 0, &record(b"x", 2), ticket).unwrap(), Appended::NoMemory)
    };
    assert!(full(&mut accumulator, None));
    let (first, second) = (accumulator.wait_for_memory(), accumulator.wait_for_memory());
    // Nothing lingers while someone waits.
    assert_eq!(drained(&mut accumulator, now).len(), 2);
    assert!(full(&mut accumulator, None) && full(&mut accumulator, Some(second)));
    assert!(!full(&mut accumulator, Some(first)));
    accumulator.stop_waiting(first);
    accumulator.stop_waiting(second);
    drained(&mut accumulator, now + LINGER);
    assert_eq!(accumulator.free, 400);
}

#[test]
fn flush_waits_for_what_was_there_and_nothing_else() {
    let mut accumulator = accumulator(limits());
    let now = start();
    append(&mut accumulator, now, 0);
    let flushed = accumulator.flush();
    append(&mut accumulator, now, 1);
    assert!(!accumulator.is_flushed(flushed));
    assert_eq!(drained(&mut accumulator, now), [(1, 0, 1)]);
    assert!(accumulator.is_flushed(flushed) && !accumulator.is_complete());
}

#[test]
fn a_record_larger_than_a_batch_has_its_own() {
    let mut accumulator = accumulator(limits());
    let now = start();
    append(&mut accumulator, now, 0);
    let big = [1; 500];
    assert!(matches!(accumulator.append(|| now, 0, &record(&big, 0), None).unwrap(), Appended::Done { .. }));
    assert_eq!(drained(&mut accumulator, now), [(1, 0, 1)]);
    assert_eq!(drained(&mut accumulator, now), [(1, 0, 1)]);
}

#[test]
fn a_retry_waits_its_time_and_keeps_its_place() {
    let mut accumulator = accumulator(limits());
    let now = start();
    for _ in 0..4 {
        append(&mut accumulator, now, 0);
    }
    let key = PartitionKey { topic: 0, partition: 0 };
    let mut first = accumulator.drain(&mut vec![key], ID).pop().unwrap();
    accumulator.queue(key).unwrap().sequence.answered(&first);
    first.retry_at = Some(now + LINGER * 2);
    let number = first.number;
    accumulator.reenqueue(first);
    assert!(accumulator.ready(now + LINGER, ID, false).brokers.is_empty(), "what is behind it waits too");
    let batch = accumulator.drain(&mut vec![key], ID).pop().unwrap();
    assert_eq!((batch.number, batch.attempts), (number, 2));
}

#[test]
fn split_requests_keep_within_the_request_size() {
    let mut accumulator = accumulator(Limits { max_request_size: 200, ..limits() });
    let now = start();
    append(&mut accumulator, now, 0);
    append(&mut accumulator, now, 1);
    let mut keys = vec![PartitionKey { topic: 0, partition: 0 }, PartitionKey { topic: 0, partition: 1 }];
    assert_eq!(accumulator.drain(&mut keys, ID).len(), 1);
    assert_eq!(keys.len(), 1);
}

#[test]
fn keyed_partition_ignores_leader_availability() {
    let mut accumulator = accumulator(limits());
    for key in 0..100u32 {
        let key = key.to_be_bytes();
        let expected = partition_of_key(&key, 4);
        let record = ProducerRecord { key: Some(&key), ..ProducerRecord::new("t") };
        assert_eq!(accumulator.partition_for(&record).unwrap().unwrap().partition, expected);
    }
}

#[test]
fn an_unknown_topic_or_partition_is_not_guessed() {
    let mut accumulator = accumulator(limits());
    let unknown = |a: &mut RecordAccumulator, r: &ProducerRecord<'_>| {
        matches!(a.append(start, 0, r, None).unwrap(), Appended::UnknownPartition)
    };
    assert!(unknown(&mut accumulator, &ProducerRecord::new("other")));
    assert!(unknown(&mut accumulator, &ProducerRecord::new("t").partition(4)));
    assert!(unknown(&mut accumulator, &ProducerRecord::new("t").partition(-1)));
}

#[test]
fn upper_bound_holds() {
    for size in [0, 1, 63, 64, 8191, 8192, 100_000] {
        let value = vec![1; size];
        let record = record(&value, 0);
        let mut batch = ProducerBatch::new(
            0,
            (PartitionKey { topic: 0, partition: 0 }, TopicPartition::new("t", 0)),
            start(),
            Vec::new(),
            0,
        );
        batch.try_append(1, i64::MAX, record.key, record.value, record.headers).unwrap();
        assert!(batch.len() <= upper_bound(&record), "{size}");
    }
}

/// Partitions that records without a key go to, of 200 batches.
fn chosen(accumulator: &mut RecordAccumulator) -> BTreeSet<usize> {
    let mut chosen = BTreeSet::new();
    for _ in 0..200 {
        let record = ProducerRecord { value: Some(b"v"), ..ProducerRecord::new("t") };
        chosen.insert(accumulator.partition_for(&record).unwrap().unwrap().partition);
        accumulator.topics[0].sticky.appended(1000, 1, false);
    }
    chosen
}

#[test]
fn records_without_a_key_stay_in_our_rack_where_a_leader_is() {
    use crate::metadata::{Asked, Metadata};
    use ottla_protocol::messages::metadata::{MetadataResponse, MetadataResponseBroker};
    let mut accumulator = accumulator(limits());
    assert_eq!(chosen(&mut accumulator), BTreeSet::from([0, 1, 2]), "3 has no leader");
    let broker =
        |node_id, rack: &str| MetadataResponseBroker { node_id, host: "h".into(), port: 9092, rack: Some(rack.into()) };
    let answer = MetadataResponse { brokers: vec![broker(1, "a"), broker(2, "b")], ..Default::default() };
    let snapshot = Metadata::default().update(12, Asked::Some, answer).unwrap();
    for (rack, partitions) in [("a", vec![0, 1]), ("b", vec![2]), ("c", vec![0, 1, 2])] {
        accumulator.rack = Some(rack.into());
        accumulator.update_racks(&snapshot);
        assert_eq!(chosen(&mut accumulator), BTreeSet::from_iter(partitions), "{rack}");
    }
}

#[test]
fn without_adaptive_partitioning_a_long_queue_does_not_count() {
    for adaptive in [true, false] {
        let mut accumulator = accumulator(Limits { adaptive, memory: 1 << 20, ..limits() });
        for _ in 0..100 {
            append(&mut accumulator, start(), 0);
        }
        let mut at_the_long_one = 0;
        for _ in 0..300 {
            let record = ProducerRecord { value: Some(b"v"), ..ProducerRecord::new("t") };
            at_the_long_one += usize::from(accumulator.partition_for(&record).unwrap().unwrap().partition == 0);
            accumulator.topics[0].sticky.appended(1000, 1, false);
        }
        assert_eq!(at_the_long_one > 50, !adaptive, "{at_the_long_one} of 300");
    }
}

#[test]
fn with_ignored_keys_a_keyed_record_goes_where_one_without_a_key_goes() {
    for ignore_keys in [true, false] {
        let mut accumulator = accumulator(Limits { ignore_keys, ..limits() });
        let chosen = |accumulator: &mut RecordAccumulator, key: &[u8]| {
            let record = ProducerRecord { key: Some(key), ..ProducerRecord::new("t") };
            accumulator.partition_for(&record).unwrap().unwrap().partition
        };
        let partitions: BTreeSet<_> = (0..50u8).map(|key| chosen(&mut accumulator, &[key])).collect();
        assert_eq!(partitions.len() == 1, ignore_keys, "one batch's worth stays in one partition: {partitions:?}");
    }
}
