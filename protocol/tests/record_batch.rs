//! Batches of our builder at `kafka-protocol`'s decoder, theirs at ours, and batches that are damaged.
#[path = "common/generate.rs"]
#[allow(dead_code, reason = "only its random numbers are used here")]
mod generate;

use bytes::{Bytes, BytesMut};
use generate::Rng;
use kafka_protocol::records as theirs;
use ottla_protocol::compression::{Compression, compress};
use ottla_protocol::record::{
    BatchBuilder, FinishedBatch, HEADER_SIZE, Header, MessageMagic, MessageSetBuilder, ProducerStamp, RecordBatch,
    RecordError, TimestampType,
};

const LIMIT: usize = 16 << 20;

/// A record that owns its parts.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Timestamps do not fall: the oracle's batches begin at the lowest and ours at the first.
fn records(rng: &mut Rng, count: usize) -> Vec<Owned> {
    let mut timestamp = 1_700_000_000_000 + rng.below(1000) as i64;
    let mut records = Vec::new();
    for offset in 0..count {
        timestamp += rng.below(100_000) as i64;
        let headers = (0..rng.below(4)).map(|i| (format!("ħ{i}"), bytes(rng, 30))).collect();
        let (key, value) = (bytes(rng, 80), bytes(rng, 500));
        records.push(Owned { offset: offset as i64, timestamp, key, value, headers });
    }
    records
}

/// Null, empty, or some bytes that can be compressed.
fn bytes(rng: &mut Rng, most: usize) -> Option<Vec<u8>> {
    match rng.below(5) {
        0 => None,
        1 => Some(Vec::new()),
        _ => Some((0..rng.below(most)).map(|_| b'a' + rng.below(6) as u8).collect()),
    }
}

fn build(records: &[Owned], codec: Compression) -> FinishedBatch {
    let mut builder = BatchBuilder::with_capacity(100);
    for record in records {
        let headers: Vec<_> =
            record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
        let before = builder.len();
        let size = builder.size_of(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        assert_eq!(builder.len() - before, size, "the size is known before");
    }
    builder.finish(codec, None).expect("the codec is compiled in")
}

fn batch_of(bytes: impl Into<Bytes>) -> RecordBatch {
    RecordBatch::split_from(&mut bytes.into()).expect("a batch").expect("a whole one")
}

fn read(batch: &RecordBatch) -> Vec<Owned> {
    batch.verify_crc().expect("the checksum is right");
    let decoded = batch.decompress(LIMIT).expect("it can be decompressed");
    let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let read = decoded.records().map(|record| {
        let record = record.expect("a record");
        let headers = record.headers().map(|h| h.expect("a header")).map(|h| (h.key.to_owned(), own(h.value)));
        Owned {
            offset: record.offset,
            timestamp: record.timestamp,
            key: own(record.key),
            value: own(record.value),
            headers: headers.collect(),
        }
    });
    read.collect()
}

fn their_codec(codec: Compression) -> theirs::Compression {
    match codec {
        Compression::None => theirs::Compression::None,
        Compression::Gzip => theirs::Compression::Gzip,
        Compression::Snappy => theirs::Compression::Snappy,
        Compression::Lz4 => theirs::Compression::Lz4,
        Compression::Zstd => theirs::Compression::Zstd,
    }
}

const STAMP: ProducerStamp =
    ProducerStamp { producer_id: 4_000_000_007, epoch: 3, base_sequence: 41, transactional: true };

fn to_theirs(record: &Owned) -> theirs::Record {
    theirs::Record {
        transactional: STAMP.transactional,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: STAMP.producer_id,
        producer_epoch: STAMP.epoch,
        timestamp_type: theirs::TimestampType::Creation,
        offset: record.offset,
        sequence: STAMP.base_sequence + record.offset as i32,
        timestamp: record.timestamp,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers: record.headers.iter().map(|(k, v)| (k.clone().into(), v.clone().map(Bytes::from))).collect(),
    }
}

fn encode_theirs(records: &[Owned], codec: Compression) -> Bytes {
    let records: Vec<_> = records.iter().map(to_theirs).collect();
    let mut out = BytesMut::new();
    let options = theirs::RecordEncodeOptions { version: 2, compression: their_codec(codec) };
    theirs::RecordBatchEncoder::encode(&mut out, &records, &options).expect("their encoder takes it");
    out.freeze()
}

/// Puts the right checksum on a batch that was tampered with.
fn reseal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn patched(batch: &FinishedBatch, at: usize, with: &[u8]) -> RecordBatch {
    let mut bytes = batch.records().into_bytes().to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    reseal(&mut bytes);
    batch_of(bytes)
}

#[test]
fn our_batches_are_read_by_kafka_protocol_in_every_codec() {
    let mut rng = Rng(1);
    for codec in Compression::ALL {
        for count in [1, 2, 30, 300] {
            let records = records(&mut rng, count);
            let mut batch = build(&records, codec);
            batch.stamp(STAMP);
            let mut bytes = batch.records().into_bytes();
            assert_eq!(bytes.len(), batch.len());
            let set = theirs::RecordBatchDecoder::decode(&mut bytes).expect("their decoder takes it");
            assert_eq!((set.version, set.compression), (2, their_codec(codec)));
            assert_eq!(set.records, records.iter().map(to_theirs).collect::<Vec<_>>(), "{codec}");
            assert!(bytes.is_empty());
        }
    }
}

#[test]
fn their_batches_are_read_in_every_codec() {
    let mut rng = Rng(2);
    for codec in Compression::ALL {
        for count in [1, 2, 30, 300] {
            let records = records(&mut rng, count);
            let batch = batch_of(encode_theirs(&records, codec));
            assert_eq!(batch.compression(), Ok(codec));
            assert_eq!(batch.record_count() as usize, count);
            assert_eq!((batch.base_offset(), batch.last_offset()), (0, count as i64 - 1));
            assert_eq!((batch.producer_id(), batch.producer_epoch()), (STAMP.producer_id, STAMP.epoch));
            assert_eq!((batch.base_sequence(), batch.is_transactional()), (STAMP.base_sequence, true));
            assert_eq!(Some(batch.max_timestamp()), records.last().map(|r| r.timestamp));
            assert_eq!(read(&batch), records, "{codec}");
        }
    }
}

#[test]
fn without_compression_both_build_the_same_bytes() {
    let mut rng = Rng(3);
    for count in [1, 7, 200] {
        let records = records(&mut rng, count);
        let mut batch = build(&records, Compression::None);
        batch.stamp(STAMP);
        assert_eq!(batch.records().into_bytes(), encode_theirs(&records, Compression::None));
    }
}

#[test]
fn large_records_of_every_codec_survive() {
    let value: Vec<u8> = (0..3_000_000u32).map(|i| ((i / 7) ^ (i >> 9)) as u8).collect();
    let record = [Owned { offset: 0, timestamp: 5, key: None, value: Some(value), headers: vec![] }];
    for codec in Compression::ALL {
        let mut batch = build(&record, codec);
        batch.stamp(STAMP);
        assert_eq!(read(&batch_of(batch.records().into_bytes())), record, "{codec}");
        let set = theirs::RecordBatchDecoder::decode(&mut batch.records().into_bytes()).expect("their decoder");
        assert_eq!(set.records, record.each_ref().map(to_theirs), "{codec}");
        assert_eq!(read(&batch_of(encode_theirs(&record, codec))), record, "{codec}");
    }
}

#[test]
fn a_new_stamp_changes_the_header_and_nothing_else() {
    let mut rng = Rng(4);
    for codec in Compression::ALL {
        let mut batch = build(&records(&mut rng, 50), codec);
        let first = batch.records().into_bytes();
        batch.stamp(STAMP);
        batch.stamp(ProducerStamp { epoch: 9, base_sequence: 0, transactional: false, ..STAMP });
        let second = batch.records().into_bytes();
        batch_of(second.clone()).verify_crc().expect("the checksum is right");
        assert_eq!(first[HEADER_SIZE..], second[HEADER_SIZE..]);
        let changed: Vec<_> = (0..HEADER_SIZE).filter(|at| first[*at] != second[*at]).collect();
        assert!(changed.iter().all(|at| (17..21).contains(at) || (43..57).contains(at)), "{changed:?}");
        let back = ProducerStamp { producer_id: -1, epoch: -1, base_sequence: -1, transactional: false };
        batch.stamp(back);
        assert_eq!(batch.records().into_bytes(), first);
    }
}

#[test]
fn one_key_in_two_headers_is_two_headers_in_order() {
    let header = |value: &[u8]| ("same".to_owned(), Some(value.to_vec()));
    let headers = vec![header(b"1"), ("other".to_owned(), None), header(b"2"), header(b"")];
    let record = Owned { offset: 0, timestamp: 1, key: None, value: Some(vec![]), headers };
    assert_eq!(
        read(&batch_of(build(std::slice::from_ref(&record), Compression::None).records().into_bytes())),
        [record]
    );
}

#[test]
fn the_last_batch_may_be_cut_anywhere() {
    let mut rng = Rng(5);
    let batch = build(&records(&mut rng, 3), Compression::None).records().into_bytes();
    for end in 0..batch.len() {
        let mut fetched = Bytes::from([&batch[..], &batch[..end]].concat());
        assert!(matches!(RecordBatch::split_from(&mut fetched), Ok(Some(_))));
        assert!(matches!(RecordBatch::split_from(&mut fetched), Ok(None)), "cut at {end}");
    }
}

#[test]
fn a_flipped_bit_anywhere_after_the_checksum_is_noticed() {
    let mut rng = Rng(6);
    for codec in Compression::ALL {
        let batch = build(&records(&mut rng, 3), codec).records().into_bytes();
        for bit in 17 * 8..batch.len() * 8 {
            let mut bytes = batch.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(batch_of(bytes).verify_crc(), Err(RecordError::Crc { .. })), "{codec}, bit {bit}");
        }
    }
}

#[test]
fn lengths_and_magic_bytes_that_cannot_be_are_errors() {
    let batch = build(&records(&mut Rng(7), 1), Compression::None).records().into_bytes();
    let with = |at: usize, with: &[u8]| {
        let mut bytes = batch.to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        RecordBatch::split_from(&mut bytes.into()).map(|batch| batch.is_some())
    };
    assert_eq!(with(8, &(-1i32).to_be_bytes()), Err(RecordError::Truncated));
    assert_eq!(with(8, &i32::MIN.to_be_bytes()), Err(RecordError::Truncated));
    assert_eq!(with(8, &48i32.to_be_bytes()), Err(RecordError::Truncated), "shorter than a header");
    assert_eq!(with(8, &i32::MAX.to_be_bytes()), Ok(false), "the rest has not been fetched");
    for magic in [0u8, 1, 3, 0xff] {
        assert_eq!(with(16, &[magic]), Err(RecordError::Magic(magic as i8)));
    }
}

#[test]
fn bombs_are_refused_in_every_codec() {
    let bomb = Owned { offset: 0, timestamp: 0, key: None, value: Some(vec![0; 64 << 20]), headers: vec![] };
    for codec in Compression::ALL {
        let batch = batch_of(build(std::slice::from_ref(&bomb), codec).records().into_bytes());
        if codec != Compression::None {
            assert!(batch.bytes().len() < 4 << 20, "{codec}: {}", batch.bytes().len());
            let refused = batch.decompress(1 << 20).map(|batch| batch.len());
            assert_eq!(refused, Err(RecordError::TooLarge { limit: 1 << 20 }), "{codec}");
        }
        let size = 64 << 20..(64 << 20) + 50;
        assert!(size.contains(&batch.decompress(size.end).expect("it fits").len()), "{codec}");
    }
}

#[test]
fn a_snappy_header_that_claims_four_gigabytes_is_refused() {
    let batch = build(&records(&mut Rng(8), 4), Compression::Snappy);
    for claim in
        [&[0xff, 0xff, 0xff, 0xff, 0x0f, 0][..], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x06\xff\xff\xff\xff\x0f\0"]
    {
        let mut bytes = batch.records().into_bytes()[..HEADER_SIZE].to_vec();
        bytes.extend_from_slice(claim);
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        reseal(&mut bytes);
        assert!(batch_of(bytes.clone()).decompress(usize::MAX).is_err());
        assert_eq!(batch_of(bytes).decompress(LIMIT).map(|b| b.len()), Err(RecordError::TooLarge { limit: LIMIT }));
    }
}

#[test]
fn damaged_compressed_data_is_an_error_or_records_and_never_a_panic() {
    let mut rng = Rng(9);
    for codec in Compression::ALL {
        let batch = build(&records(&mut rng, 40), codec).records().into_bytes();
        for _ in 0..400 {
            let mut bytes = batch.to_vec();
            for _ in 0..=rng.below(3) {
                let at = HEADER_SIZE + rng.below(bytes.len() - HEADER_SIZE);
                bytes[at] ^= 1 << rng.below(8);
            }
            if let Ok(decoded) = batch_of(bytes).decompress(1 << 20) {
                assert!(decoded.records().count() <= 40);
                decoded.records().flatten().for_each(|record| assert!(record.headers().count() <= 100_000));
            }
        }
    }
}

/// A batch of one record with these bytes, after its length.
fn raw(record: &[u8]) -> RecordBatch {
    let mut bytes = build(&records(&mut Rng(10), 1), Compression::None).records().into_bytes()[..HEADER_SIZE].to_vec();
    bytes[27..35].copy_from_slice(&1000i64.to_be_bytes());
    bytes.push((record.len() * 2) as u8);
    bytes.extend_from_slice(record);
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    reseal(&mut bytes);
    batch_of(bytes)
}

fn first(batch: &RecordBatch) -> Result<(i64, usize), RecordError> {
    let decoded = batch.decompress(LIMIT)?;
    let record = decoded.records().next().expect("there is a record")?;
    Ok((record.timestamp, record.headers().count()))
}

#[test]
fn a_record_that_cannot_be_is_an_error_that_names_it() {
    // attributes, timestamp delta, offset delta, key, value, number of headers
    assert_eq!(first(&raw(&[0, 2, 0, 1, 1, 0])), Ok((1001, 0)));
    for (what, record) in [
        ("i32::MAX headers", &[0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f][..]),
        ("a negative number of headers", &[0, 0, 0, 1, 1, 1]),
        ("more headers than bytes", &[0, 0, 0, 1, 1, 4, 0, 1]),
        ("bytes after the record", &[0, 0, 0, 1, 1, 0, 0]),
        ("a key longer than the record", &[0, 0, 0, 20, 1, 0]),
        ("a key of length -2", &[0, 0, 0, 3, 1, 0]),
        ("a value of i32::MAX bytes", &[0, 0, 0, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0]),
        ("an offset delta of six bytes", &[0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0]),
        ("a timestamp delta of eleven bytes", &[0, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0, 0, 1, 1, 0]),
        ("a timestamp that overflows", &[0, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 1, 1, 0]),
        ("nothing", &[]),
    ] {
        let result = first(&raw(record));
        assert!(matches!(result, Err(RecordError::Record { index: 0, .. })), "{what}: {result:?}");
    }
}

#[test]
fn bytes_after_the_last_header_are_an_error() {
    let one_header = [0, 0, 0, 1, 1, 2, 2, b'k', 1];
    for (record, good) in [(&one_header[..], true), (&[&one_header[..], &[9]].concat(), false)] {
        let decoded = raw(record).decompress(LIMIT).expect("nothing is compressed");
        let record = decoded.records().next().expect("there is a record").expect("its headers are another matter");
        let headers: Vec<_> = record.headers().collect();
        assert_eq!(headers[0], Ok(Header { key: "k", value: None }));
        let reason = "bytes are left over after the last";
        let rest: &[_] = if good { &[] } else { &[Err(RecordError::Headers { offset: 0, reason })] };
        assert_eq!(&headers[1..], rest);
    }
}

#[test]
fn a_message_set_inside_of_a_batch_is_a_malformed_record() {
    let mut set = MessageSetBuilder::with_capacity(MessageMagic::V1, 100);
    set.append(5, Some(b"k"), Some(b"v")).expect("it fits");
    let set = set.finish(Compression::Gzip, None).expect("the codec is compiled in").into_bytes();
    for codec in Compression::ALL {
        let mut bytes = raw(&[]).bytes()[..HEADER_SIZE].to_vec();
        bytes[22] = codec.code();
        compress(codec, None, &set, &mut bytes).expect("the codec is compiled in");
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        reseal(&mut bytes);
        let result = first(&batch_of(bytes));
        assert!(matches!(result, Err(RecordError::Record { index: 0, .. })), "{codec}: {result:?}");
    }
}

#[test]
fn a_record_count_that_cannot_be_is_an_error() {
    let batch = build(&records(&mut Rng(11), 3), Compression::None);
    for count in [-1, i32::MIN, i32::MAX, 1_000_000] {
        let batch = patched(&batch, 57, &i32::to_be_bytes(count));
        let result = batch.decompress(LIMIT).map(|batch| batch.count());
        assert!(matches!(result, Err(RecordError::Record { .. })), "{count}: {result:?}");
    }
    for (count, good) in [(4, 3), (2, 2)] {
        let batch = patched(&batch, 57, &i32::to_be_bytes(count)).decompress(LIMIT).expect("the count is possible");
        let read: Vec<_> = batch.records().collect();
        assert_eq!(read.iter().filter(|record| record.is_ok()).count(), good);
        assert!(matches!(read.last(), Some(Err(RecordError::Record { .. }))), "{count}: {:?}", read.last());
        assert_eq!(read.len(), good + 1, "nothing comes after the error");
    }
}

#[test]
fn compaction_leaves_gaps_and_the_position_goes_past_them() {
    let mut kept = records(&mut Rng(12), 3);
    for (record, offset) in kept.iter_mut().zip([100, 105, 170]) {
        record.offset = offset;
    }
    let mut bytes = encode_theirs(&kept, Compression::Lz4).to_vec();
    // The cleaner keeps the offset of the last record that was there.
    bytes[23..27].copy_from_slice(&99i32.to_be_bytes());
    reseal(&mut bytes);
    let batch = batch_of(bytes);
    assert_eq!(read(&batch), kept);
    assert_eq!((batch.base_offset(), batch.last_offset(), batch.next_offset()), (100, 199, 200));
}

#[test]
fn a_batch_whose_records_are_all_gone_still_advances_the_position() {
    let batch = build(&records(&mut Rng(13), 5), Compression::Gzip);
    let mut bytes = batch.records().into_bytes()[..HEADER_SIZE].to_vec();
    bytes[8..12].copy_from_slice(&49i32.to_be_bytes());
    bytes[57..61].copy_from_slice(&0i32.to_be_bytes());
    reseal(&mut bytes);
    let batch = batch_of(bytes);
    assert_eq!(read(&batch), []);
    assert_eq!(batch.next_offset(), 5);
}

#[test]
fn log_append_time_is_the_time_of_every_record() {
    let batch = build(&records(&mut Rng(14), 4), Compression::None);
    let time = 1_800_000_000_000i64;
    let mut bytes = batch.records().into_bytes().to_vec();
    bytes[22] |= 0x08;
    bytes[35..43].copy_from_slice(&time.to_be_bytes());
    reseal(&mut bytes);
    let batch = batch_of(bytes);
    assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
    assert!(read(&batch).iter().all(|record| record.timestamp == time));
}

#[test]
fn the_longest_span_of_timestamps_survives() {
    let at = |offset, timestamp| Owned { offset, timestamp, key: None, value: None, headers: vec![] };
    let records = [at(0, i64::MAX), at(1, 0), at(2, i64::MAX)];
    let batch = build(&records, Compression::None);
    assert_eq!(batch.max_timestamp(), i64::MAX);
    assert_eq!(read(&batch_of(batch.records().into_bytes())), records);
}

#[test]
fn times_that_no_delta_spans_come_closer_together() {
    let at = |offset, timestamp| Owned { offset, timestamp, key: None, value: None, headers: vec![] };
    let batch = build(&[at(0, -10), at(1, i64::MAX)], Compression::None);
    assert_eq!(read(&batch_of(batch.records().into_bytes())), [at(0, -10), at(1, i64::MAX - 10)]);
}

#[test]
fn a_delete_horizon_is_what_the_times_are_counted_from() {
    let batch = build(&records(&mut Rng(16), 2), Compression::None);
    let times: Vec<_> = read(&batch_of(batch.records().into_bytes())).iter().map(|r| r.timestamp).collect();
    assert_eq!(batch_of(batch.records().into_bytes()).delete_horizon(), None);
    let mut bytes = batch.records().into_bytes().to_vec();
    bytes[22] |= 0x40;
    bytes[27..35].copy_from_slice(&(times[0] + 500).to_be_bytes());
    reseal(&mut bytes);
    let batch = batch_of(bytes);
    assert_eq!((batch.delete_horizon(), batch.base_timestamp()), (Some(times[0] + 500), times[0] + 500));
    assert_eq!(read(&batch)[0].timestamp, times[0] + 500);
}

#[test]
fn offsets_at_the_end_do_not_overflow() {
    let batch = patched(&build(&records(&mut Rng(15), 2), Compression::None), 0, &i64::MAX.to_be_bytes());
    assert_eq!((batch.last_offset(), batch.next_offset()), (i64::MAX, i64::MAX));
    assert_eq!(read(&batch).len(), 2);
}

#[test]
fn an_unknown_codec_is_an_error() {
    let batch = build(&records(&mut Rng(16), 1), Compression::None);
    for code in [5u8, 6, 7] {
        let batch = patched(&batch, 22, &[code]);
        assert_eq!(batch.decompress(LIMIT).map(|b| b.count()), Err(RecordError::Compression(code)));
    }
}

#[test]
fn control_batches_say_how_a_transaction_ended() {
    for (kind, commit) in [(0u8, false), (1, true)] {
        let (key, value) = ([0, 0, 0, kind], [0, 0, 0, 0, 0, 7]);
        let mut builder = BatchBuilder::with_capacity(100);
        builder.append(1, Some(&key), Some(&value), &[]);
        let batch = patched(&builder.finish(Compression::None, None).expect("no codec"), 22, &[0x30]);
        let marker = batch.control_marker().expect("a good record").expect("a marker");
        assert_eq!((marker.commit, marker.coordinator_epoch), (commit, 7));
    }
    let plain = build(&records(&mut Rng(17), 1), Compression::None).records().into_bytes();
    assert_eq!(batch_of(plain).control_marker(), Ok(None));
}
