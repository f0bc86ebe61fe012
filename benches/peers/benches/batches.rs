//! Building and reading a batch of 1000 records of 100 bytes with a key and one header, by Ottla and by its peers.
//!
//! What each does is not quite the same, and is timed as its users get it. Reading: Ottla and krafka check the checksum,
//! kafka-protocol does, too; Ottla's records borrow the batch, krafka's and kafka-protocol's are owned and share it.
//! Building: Ottla copies each record as it is appended; the others encode records that were collected before, and what
//! it takes to collect them is not counted (krafka's `encode` allocates its output, kafka-protocol's is given it).
//!
//! krafka's codec is not part of its public API. It is reached through the feature `internal`, in
//! `krafka::__private::protocol`.
use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use krafka::__private::protocol as krafka_protocol;
use ottla_protocol::compression::Compression;
use ottla_protocol::record::{BatchBuilder, Header, RecordBatch};

const RECORDS: usize = 1000;
const BASE: i64 = 1_700_000_000_000;
const TRACE: &[u8] = b"0123456789abcdef";

fn records() -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..RECORDS).map(|i| (format!("key-{i:06}").into_bytes(), vec![b'a' + (i % 23) as u8; 100])).collect()
}

fn fill(builder: &mut BatchBuilder, records: &[(Vec<u8>, Vec<u8>)]) {
    let headers = [Header { key: "trace", value: Some(TRACE) }];
    for (i, (key, value)) in records.iter().enumerate() {
        builder.append(BASE + i as i64, Some(key), Some(value), &headers);
    }
}

fn batch() -> Bytes {
    let mut builder = BatchBuilder::with_capacity(1 << 18);
    fill(&mut builder, &records());
    builder.finish(Compression::None, None).expect("no codec").records().into_bytes()
}

fn krafka_batch() -> krafka_protocol::RecordBatch {
    let record = |(i, (key, value)): (usize, (Vec<u8>, Vec<u8>))| {
        krafka_protocol::Record::new(Some(key.into()), Some(value.into()))
            .with_header("trace", TRACE)
            .with_timestamp_delta(i as i64)
            .with_offset_delta(i as i32)
    };
    let mut batch = krafka_protocol::RecordBatch::new();
    records().into_iter().enumerate().map(record).for_each(|record| batch.add_record(record));
    batch
}

fn kafka_protocol_records() -> Vec<theirs::Record> {
    let header = (StrBytes::from_static_str("trace"), Some(Bytes::from_static(TRACE)));
    let record = |(i, (key, value)): (usize, (Vec<u8>, Vec<u8>))| theirs::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: theirs::TimestampType::Creation,
        offset: i as i64,
        sequence: i as i32 - 1,
        timestamp: BASE + i as i64,
        key: Some(key.into()),
        value: Some(value.into()),
        headers: std::iter::once(header.clone()).collect(),
    };
    records().into_iter().enumerate().map(record).collect()
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build a batch of 1000 records");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let ours = records();
    group.bench_function("ottla", |b| {
        let mut buffer = Some(Vec::with_capacity(1 << 18));
        b.iter(|| {
            let mut builder = BatchBuilder::from_buffer(buffer.take().unwrap_or_default());
            fill(&mut builder, &ours);
            buffer = black_box(builder.finish(Compression::None, None).expect("no codec")).into_buffer();
        });
    });
    let batch = krafka_batch();
    group.bench_function("krafka", |b| b.iter(|| black_box(batch.encode().expect("its encoder takes it"))));
    let records = kafka_protocol_records();
    let options = theirs::RecordEncodeOptions { version: 2, compression: theirs::Compression::None };
    group.bench_function("kafka-protocol", |b| {
        let mut out = BytesMut::with_capacity(1 << 18);
        b.iter(|| {
            out.clear();
            theirs::RecordBatchEncoder::encode(&mut out, &records, &options).expect("its encoder takes it");
            black_box(&out);
        });
    });
    group.finish();
}

fn read(c: &mut Criterion) {
    let bytes = batch();
    let length = |bytes: Option<&Bytes>| bytes.map_or(0, Bytes::len);
    let mut group = c.benchmark_group("check, decode and iterate a batch of 1000 records");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("ottla", |b| {
        b.iter(|| {
            let batch = RecordBatch::split_from(&mut bytes.clone()).expect("a batch").expect("a whole one");
            batch.verify_crc().expect("the checksum is right");
            let batch = batch.decompress(1 << 24).expect("nothing is compressed");
            let mut seen = 0;
            for record in batch.records() {
                let record = record.expect("a record");
                seen += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                seen += record.headers().map(|header| header.expect("a header").key.len()).sum::<usize>();
            }
            black_box(seen)
        });
    });
    group.bench_function("krafka", |b| {
        b.iter(|| {
            let batch = krafka_protocol::RecordBatch::decode(&mut bytes.clone()).expect("its decoder takes it");
            let of = |record: &krafka_protocol::Record| {
                let headers: usize = record.headers.iter().map(|header| header.key.len()).sum();
                length(record.key.as_ref()) + length(record.value.as_ref()) + headers
            };
            black_box(batch.records.iter().map(of).sum::<usize>())
        });
    });
    group.bench_function("kafka-protocol", |b| {
        b.iter(|| {
            let batch = theirs::RecordBatchDecoder::decode(&mut bytes.clone()).expect("its decoder takes it");
            let of = |record: &theirs::Record| {
                let headers: usize = record.headers.keys().map(|key| key.len()).sum();
                length(record.key.as_ref()) + length(record.value.as_ref()) + headers
            };
            black_box(batch.records.iter().map(of).sum::<usize>())
        });
    });
    group.finish();
}

criterion_group!(benches, build, read);
criterion_main!(benches);
