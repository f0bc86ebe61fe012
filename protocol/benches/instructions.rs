//! Instructions that the hot functions take, counted by valgrind and held to the counts below. Needs `valgrind` and
//! `gungraun-runner` (`scripts/setup counts`). The counts are of Rust 1.95; when one goes down for good, write the new one here.
#![allow(missing_docs, unused_qualifications, reason = "a benchmark, and what gungraun's macros make of it")]

#[path = "common/bare.rs"]
mod bare;
#[path = "common/data.rs"]
mod data;

use std::hint::black_box;

use bytes::Bytes;
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use ottla_protocol::compression::{Compression, compress, decompress};
use ottla_protocol::messages::FetchRequest;
use ottla_protocol::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_protocol::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::record::{BatchBuilder, FinishedBatch, Header, ProducerStamp, RecordBatch};
use ottla_protocol::{FrameDecoder, Request};

/// At most 5 % over the count.
fn at_most(count: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, count + count / 20)]));
    config
}

type Owned = (Vec<u8>, Vec<u8>);

/// 1000 records of 100 bytes with a key, and a builder with room for them.
fn records() -> (BatchBuilder, Vec<Owned>) {
    let record = |i: usize| (format!("key-{i:06}").into_bytes(), vec![b'a' + (i % 23) as u8; 100]);
    (BatchBuilder::with_capacity(1 << 18), (0..1000).map(record).collect())
}

fn filled() -> BatchBuilder {
    let (mut builder, records) = records();
    for (i, (key, value)) in records.iter().enumerate() {
        let headers = [Header { key: "trace", value: Some(b"0123456789abcdef") }];
        builder.append(1_700_000_000_000 + i as i64, Some(key), Some(value), &headers);
    }
    // Freed, they would have the allocator tidy up in the middle of what is counted.
    std::mem::forget(records);
    builder
}

fn finished() -> FinishedBatch {
    filled().finish(Compression::None, None).expect("no codec")
}

fn batch() -> Bytes {
    finished().records().into_bytes()
}

#[library_benchmark(config = at_most(298_881), setup = records)]
#[bench::of_1000()]
fn append((mut builder, records): (BatchBuilder, Vec<Owned>)) -> BatchBuilder {
    for (i, (key, value)) in records.iter().enumerate() {
        let headers = [Header { key: "trace", value: Some(b"0123456789abcdef") }];
        builder.append(1_700_000_000_000 + i as i64, Some(key), Some(value), black_box(&headers));
    }
    std::mem::forget(records);
    builder
}

#[library_benchmark(config = at_most(71_200), setup = filled)]
#[bench::of_1000()]
fn finish(builder: BatchBuilder) -> FinishedBatch {
    builder.finish(Compression::None, None).expect("no codec")
}

#[library_benchmark(config = at_most(613), setup = finished)]
#[bench::of_1000()]
fn stamp(mut batch: FinishedBatch) -> FinishedBatch {
    batch.stamp(ProducerStamp { producer_id: 7, epoch: 1, base_sequence: 5, transactional: true });
    batch
}

#[library_benchmark(config = at_most(347_490), setup = batch)]
#[bench::of_1000()]
fn check_and_iterate(mut bytes: Bytes) -> usize {
    let batch = RecordBatch::split_from(&mut bytes).expect("a batch").expect("a whole one");
    batch.verify_crc().expect("the checksum is right");
    let batch = batch.decompress(1 << 20).expect("nothing is compressed");
    let mut seen = 0;
    for record in batch.records() {
        let record = record.expect("a record");
        seen += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        seen += record.headers().map(|header| header.expect("a header").key.len()).sum::<usize>();
    }
    seen
}

fn produce() -> ProduceRequest {
    let partition = |index| PartitionProduceData { index, records: Some(finished().records()) };
    let partition_data = (0..20).map(partition).collect();
    ProduceRequest {
        acks: -1,
        topic_data: vec![TopicProduceData { name: "orders".into(), partition_data, ..Default::default() }],
        ..Default::default()
    }
}

#[library_benchmark(config = at_most(17_838), setup = produce)]
#[bench::of_20_partitions()]
fn encode_produce(request: ProduceRequest) -> usize {
    let frame = request.encode_frame(11, 5, Some("me")).expect("version 11 can carry it");
    std::mem::forget(request);
    frame.len()
}

fn fetch() -> Bytes {
    let partition =
        |partition_index| PartitionData { partition_index, records: Some(batch().into()), ..Default::default() };
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: "orders".into(),
            partitions: (0..20).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    FetchRequest::encode_response_frame(&response, 12, 5).expect("version 12 can carry it").to_bytes().slice(9..)
}

#[library_benchmark(config = at_most(13_087), setup = fetch)]
#[bench::of_20_partitions()]
fn decode_fetch(body: Bytes) -> FetchResponse {
    FetchRequest::decode_response(12, body).expect("a valid response")
}

fn metadata() -> Bytes {
    let broker = |node_id| MetadataResponseBroker { node_id, host: "broker.example".into(), port: 9092, rack: None };
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        replica_nodes: vec![1, 2, 3],
        isr_nodes: vec![1, 2, 3],
        ..Default::default()
    };
    let topic = |i: usize| MetadataResponseTopic {
        name: Some(format!("topic-{i}")),
        partitions: (0..10).map(partition).collect(),
        ..Default::default()
    };
    let response = MetadataResponse {
        brokers: (0..3).map(broker).collect(),
        topics: (0..10).map(topic).collect(),
        ..Default::default()
    };
    MetadataRequest::encode_response_frame(&response, 12, 5).expect("version 12 can carry it").to_bytes().slice(9..)
}

#[library_benchmark(config = at_most(84_254), setup = metadata)]
#[bench::of_100_partitions()]
fn decode_metadata(body: Bytes) -> MetadataResponse {
    MetadataRequest::decode_response(12, body).expect("a valid response")
}

fn stream() -> FrameDecoder {
    let mut frames = FrameDecoder::new(1 << 20);
    for _ in 0..1000 {
        frames.buffer().extend_from_slice(&[0, 0, 0, 16]);
        frames.buffer().extend_from_slice(&[7; 16]);
    }
    frames
}

#[library_benchmark(config = at_most(128_123), setup = stream)]
#[bench::of_1000()]
fn cut_frames(mut frames: FrameDecoder) -> FrameDecoder {
    while let Some(frame) = frames.next_frame().expect("good frames") {
        black_box(frame);
    }
    frames
}

type Bare = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

/// A thread keeps what a codec needs: it is there after the first time.
fn warm(codec: Compression) -> (Compression, Bytes, Vec<u8>) {
    let (plain, mut out) = (data::plain(), Vec::with_capacity(1 << 18));
    compress(codec, None, &plain, &mut out).expect("a codec");
    out.clear();
    (codec, plain, out)
}

fn warm_bare(codec: Compression) -> (Bare, Bytes) {
    let (plain, mut bare) = (data::plain(), bare::compressor(codec));
    drop(bare(&plain));
    (bare, plain)
}

fn compressed(codec: Compression) -> (Compression, Vec<u8>) {
    let (codec, plain, mut out) = warm(codec);
    compress(codec, None, &plain, &mut out).expect("a codec");
    assert!(decompress(codec, &out, 1 << 20).expect("what was compressed") == plain);
    (codec, out)
}

fn compressed_for_bare(codec: Compression) -> (Bare, Vec<u8>) {
    let ((_, compressed), mut bare) = (compressed(codec), bare::decompressor(codec));
    assert!(bare(&compressed) == data::plain());
    (bare, compressed)
}

// Framing, caps and all, ours takes no more than the codec's own crate, or 1 % more (`bare_compress`): 1_507_269 for lz4,
// 1_040_262 for snappy and 2_304_887 for zstd.
#[library_benchmark(setup = warm)]
#[bench::lz4(args = (Compression::Lz4), config = at_most(1_354_313))]
#[bench::snappy(args = (Compression::Snappy), config = at_most(869_418))]
#[bench::zstd(args = (Compression::Zstd), config = at_most(2_320_943))]
fn compress_150_kb((codec, plain, mut out): (Compression, Bytes, Vec<u8>)) -> Vec<u8> {
    compress(codec, None, &plain, &mut out).expect("a codec");
    std::mem::forget(plain);
    out
}

#[library_benchmark(setup = warm_bare)]
#[bench::lz4(Compression::Lz4)]
#[bench::snappy(Compression::Snappy)]
#[bench::zstd(Compression::Zstd)]
fn bare_compress((mut bare, plain): (Bare, Bytes)) -> (Bare, Vec<u8>) {
    let out = bare(&plain);
    std::mem::forget(plain);
    (bare, out)
}

// The codec's own crate (`bare_decompress`): 638_792, 749_140 and 910_391.
#[library_benchmark(setup = compressed)]
#[bench::lz4(args = (Compression::Lz4), config = at_most(510_616))]
#[bench::snappy(args = (Compression::Snappy), config = at_most(602_450))]
#[bench::zstd(args = (Compression::Zstd), config = at_most(910_644))]
fn decompress_150_kb((codec, compressed): (Compression, Vec<u8>)) -> Vec<u8> {
    let out = decompress(codec, &compressed, 1 << 20).expect("what was compressed");
    std::mem::forget(compressed);
    out
}

#[library_benchmark(setup = compressed_for_bare)]
#[bench::lz4(Compression::Lz4)]
#[bench::snappy(Compression::Snappy)]
#[bench::zstd(Compression::Zstd)]
fn bare_decompress((mut bare, compressed): (Bare, Vec<u8>)) -> (Bare, Vec<u8>) {
    let out = bare(&compressed);
    std::mem::forget(compressed);
    (bare, out)
}

library_benchmark_group!(
    name = hot,
    benchmarks = [append, finish, stamp, check_and_iterate, encode_produce, decode_fetch, decode_metadata, cut_frames]
);
library_benchmark_group!(
    name = codecs,
    benchmarks = [compress_150_kb, bare_compress, decompress_150_kb, bare_decompress]
);
main!(library_benchmark_groups = [hot, codecs]);
