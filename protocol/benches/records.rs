//! Record batches and codecs: ours beside `kafka-protocol` and beside the bare codec crates, in one run. The figures are
//! for 1000 records of 100 bytes with a key and a header.
#![allow(missing_docs, reason = "a benchmark")]

#[path = "common/bare.rs"]
mod bare;
#[path = "common/data.rs"]
mod data;

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use ottla_protocol::compression::{Compression, compress, decompress};
use ottla_protocol::record::{BatchBuilder, RecordBatch};

use data::{BASE, RECORDS, fill, keys, our_batch, plain, values};

fn their_records() -> Vec<theirs::Record> {
    let header = (StrBytes::from_static_str("trace"), Some(Bytes::from_static(b"0123456789abcdef")));
    let pairs = keys().into_iter().zip(values()).enumerate();
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
    pairs.map(record).collect()
}

/// Everything in the records, so that reading them cannot be left out.
#[inline(never)]
fn iterate<const CHECK: bool>(batch: &Bytes) -> usize {
    let batch = RecordBatch::split_from(&mut batch.clone()).expect("a batch").expect("a whole one");
    if CHECK {
        batch.verify_crc().expect("the checksum is right");
    }
    let batch = batch.decompress(1 << 24).expect("it can be decompressed");
    let mut seen = 0;
    for record in batch.records() {
        let record = record.expect("a record");
        seen += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        for header in record.headers() {
            seen += header.expect("a header").key.len();
        }
    }
    seen
}

fn append(c: &mut Criterion) {
    let (keys, values) = (keys(), values());
    let mut group = c.benchmark_group("append and close 1000 records");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("ottla: append only", |b| {
        let mut buffer = Some(Vec::with_capacity(1 << 18));
        b.iter(|| {
            let mut builder = BatchBuilder::from_buffer(buffer.take().unwrap_or_default());
            fill(&mut builder, &keys, &values);
            buffer = Some(black_box(builder).into_buffer());
        });
    });
    group.bench_function("ottla: append, checksum, close", |b| {
        let mut buffer = Some(Vec::with_capacity(1 << 18));
        b.iter(|| {
            let mut builder = BatchBuilder::from_buffer(buffer.take().unwrap_or_default());
            fill(&mut builder, &keys, &values);
            let batch = black_box(builder.finish(Compression::None, None).expect("no codec"));
            buffer = batch.into_buffer();
        });
    });
    let records = their_records();
    let options = theirs::RecordEncodeOptions { version: 2, compression: theirs::Compression::None };
    group.bench_function("kafka-protocol", |b| {
        let mut out = BytesMut::with_capacity(1 << 18);
        b.iter(|| {
            out.clear();
            theirs::RecordBatchEncoder::encode(&mut out, &records, &options).expect("their encoder takes it");
            black_box(&out);
        });
    });
    group.finish();
}

fn read(c: &mut Criterion) {
    let bytes = our_batch(Compression::None);
    let mut group = c.benchmark_group("decode and iterate 1000 records");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("ottla: no checksum", |b| b.iter(|| black_box(iterate::<false>(black_box(&bytes)))));
    group.bench_function("ottla: checksum", |b| b.iter(|| black_box(iterate::<true>(black_box(&bytes)))));
    group.bench_function("kafka-protocol", |b| {
        b.iter(|| {
            let set = theirs::RecordBatchDecoder::decode(&mut bytes.clone()).expect("their decoder takes it");
            let seen: usize = set
                .records
                .iter()
                .map(|r| {
                    let headers: usize = r.headers.keys().map(|key| key.len()).sum();
                    r.key.as_ref().map_or(0, Bytes::len) + r.value.as_ref().map_or(0, Bytes::len) + headers
                })
                .sum();
            black_box(seen)
        });
    });
    group.finish();
}

/// Ours, with its framing and its cap, beside the codec's own crate on the same bytes.
fn codecs(c: &mut Criterion) {
    let plain = plain();
    let mut group = c.benchmark_group("compress 150 KB");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    for codec in [Compression::Lz4, Compression::Snappy, Compression::Zstd, Compression::Gzip] {
        group.bench_function(format!("{codec}: ottla"), |b| {
            let mut out = Vec::with_capacity(1 << 18);
            b.iter(|| {
                out.clear();
                compress(codec, None, &plain, &mut out).expect("a codec");
            });
        });
        let mut bare = bare::compressor(codec);
        group.bench_function(format!("{codec}: bare"), |b| b.iter(|| black_box(bare(&plain))));
    }
    group.finish();
    let mut group = c.benchmark_group("decompress 150 KB");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    for codec in [Compression::Lz4, Compression::Snappy, Compression::Zstd, Compression::Gzip] {
        let mut compressed = Vec::new();
        compress(codec, None, &plain, &mut compressed).expect("a codec");
        group.bench_function(format!("{codec}: ottla"), |b| {
            b.iter(|| black_box(decompress(codec, &compressed, 1 << 20).expect("it can be decompressed")));
        });
        let mut bare = bare::decompressor(codec);
        group.bench_function(format!("{codec}: bare"), |b| b.iter(|| black_box(bare(&compressed))));
    }
    group.finish();
}

criterion_group!(benches, append, read, codecs);
criterion_main!(benches);
