//! Record batches and codecs: ours beside `kafka-protocol` and beside the bare codec crates, in one run. The figures are
//! for 1000 records of 100 bytes with a key and a header.
#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use ottla_protocol::compression::{Compression, compress, decompress};
use ottla_protocol::record::{BatchBuilder, Header, RecordBatch};

const RECORDS: usize = 1000;
const BASE: i64 = 1_700_000_000_000;

/// Words and numbers, so that there is something to compress.
fn values() -> Vec<Vec<u8>> {
    let value = |i: usize| {
        let text =
            format!("{{\"id\":{i},\"user\":{},\"amount\":{},\"state\":\"paid\",\"note\":\"", i * 7919, i * 31 % 977);
        text.bytes().chain(std::iter::repeat(b'.')).take(100).collect()
    };
    (0..RECORDS).map(value).collect()
}

fn keys() -> Vec<Vec<u8>> {
    (0..RECORDS).map(|i| format!("key-{i:06}").into_bytes()).collect()
}

fn fill(builder: &mut BatchBuilder, keys: &[Vec<u8>], values: &[Vec<u8>]) {
    let headers = [Header { key: "trace", value: Some(b"0123456789abcdef") }];
    for (i, (key, value)) in keys.iter().zip(values).enumerate() {
        builder.append(BASE + i as i64, Some(key), Some(value), &headers);
    }
}

fn our_batch(codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(1 << 18);
    fill(&mut builder, &keys(), &values());
    builder.finish(codec, None).expect("the codec is compiled in").records().into_bytes()
}

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
fn iterate(batch: &Bytes) -> usize {
    let batch = RecordBatch::split_from(&mut batch.clone()).expect("a batch").expect("a whole one");
    batch.verify_crc().expect("the checksum is right");
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
    let mut group = c.benchmark_group("checksum, decode and iterate 1000 records");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("ottla", |b| b.iter(|| black_box(iterate(black_box(&bytes)))));
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
    let plain = our_batch(Compression::None).slice(61..);
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
        let (compressed, mut bare) = (bare::compressor(codec)(&plain), bare::decompressor(codec));
        group.bench_function(format!("{codec}: bare"), |b| b.iter(|| black_box(bare(&compressed))));
    }
    group.finish();
}

criterion_group!(benches, append, read, codecs);
criterion_main!(benches);

/// The codec crates as their documentation uses them, with what can be reused reused.
mod bare {
    use std::io::{Read, Write};

    use ottla_protocol::compression::Compression;

    type Codec = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

    pub(crate) fn compressor(codec: Compression) -> Codec {
        match codec {
            Compression::Lz4 => Box::new(|input| {
                let info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::with_capacity(1 << 18));
                encoder.write_all(input).expect("lz4");
                encoder.finish().expect("lz4")
            }),
            Compression::Snappy => {
                let mut encoder = snap::raw::Encoder::new();
                Box::new(move |input| encoder.compress_vec(input).expect("snappy"))
            }
            Compression::Zstd => {
                let mut encoder = zstd::bulk::Compressor::new(3).expect("zstd");
                Box::new(move |input| encoder.compress(input).expect("zstd"))
            }
            _ => Box::new(|input| {
                let out = Vec::with_capacity(1 << 18);
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                encoder.write_all(input).expect("gzip");
                encoder.finish().expect("gzip")
            }),
        }
    }

    pub(crate) fn decompressor(codec: Compression) -> Codec {
        match codec {
            Compression::Lz4 => Box::new(|input| read_all(lz4_flex::frame::FrameDecoder::new(input))),
            Compression::Snappy => Box::new(|input| snap::raw::Decoder::new().decompress_vec(input).expect("snappy")),
            Compression::Zstd => {
                let mut decoder = zstd::bulk::Decompressor::new().expect("zstd");
                Box::new(move |input| decoder.decompress(input, 1 << 18).expect("zstd"))
            }
            _ => Box::new(|input| read_all(flate2::read::GzDecoder::new(input))),
        }
    }

    fn read_all(mut reader: impl Read) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 << 18);
        reader.read_to_end(&mut out).expect("it can be decompressed");
        out
    }
}
