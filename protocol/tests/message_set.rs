//! Message sets of magic 0 and 1: ours at `kafka-protocol` 0.15, the last that reads them, theirs at ours, sets written
//! out by hand, and sets that are damaged.
#[path = "common/generate.rs"]
#[allow(dead_code, reason = "only its random numbers are used here")]
mod generate;
#[path = "common/hex.rs"]
mod hex;

use bytes::{Bytes, BytesMut};
use generate::Rng;
use hex::hex;
use kafka_protocol_3_9::records as theirs;
use ottla_protocol::compression::{Compression, decompress};
use ottla_protocol::record::{
    MessageMagic, MessageSetBuilder, RecordBatch, RecordError, TimestampType, is_message_set, take_message_set,
};

const LIMIT: usize = 1 << 20;
const MAGICS: [MessageMagic; 2] = [MessageMagic::V0, MessageMagic::V1];
const CODECS: [Compression; 4] = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4];

type Owned = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Offset, timestamp, key and value; timestamps rise and fall.
fn records(rng: &mut Rng, count: usize) -> Vec<Owned> {
    let record = |offset| {
        let timestamp = 1_400_000_000_000 + rng.below(100_000_000) as i64;
        (offset, timestamp, bytes(rng, 60), bytes(rng, 900))
    };
    (0..count as i64).map(record).collect()
}

fn bytes(rng: &mut Rng, most: usize) -> Option<Vec<u8>> {
    match rng.below(5) {
        0 => None,
        1 => Some(Vec::new()),
        _ => Some((0..rng.below(most)).map(|_| b'a' + rng.below(6) as u8).collect()),
    }
}

fn build(magic: MessageMagic, codec: Compression, records: &[Owned]) -> Bytes {
    let mut set = MessageSetBuilder::with_capacity(magic, 100);
    for (_, timestamp, key, value) in records {
        let (before, size) = (set.len(), set.size_of(key.as_deref(), value.as_deref()));
        set.append(*timestamp, key.as_deref(), value.as_deref()).expect("it is not too long");
        assert_eq!(set.len(), before + size, "the size is known before");
    }
    assert_eq!(set.count(), records.len() as i64);
    set.finish(codec, None).expect("the codec is compiled in").into_bytes()
}

fn batches(mut set: Bytes) -> Result<Vec<RecordBatch>, RecordError> {
    let mut batches = Vec::new();
    while let Some(batch) = take_message_set(&mut set, true, LIMIT)? {
        batches.push(batch);
    }
    Ok(batches)
}

fn read(set: impl Into<Bytes>) -> Result<Vec<Owned>, RecordError> {
    let mut records = Vec::new();
    for batch in batches(set.into())? {
        batch.verify_crc()?;
        let decoded = batch.decompress(LIMIT)?;
        for record in decoded.records() {
            let record = record?;
            assert_eq!(record.headers().count(), 0);
            let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            records.push((record.offset, record.timestamp, own(record.key), own(record.value)));
        }
    }
    Ok(records)
}

/// Magic 0 has no timestamps.
fn as_read(magic: MessageMagic, records: &[Owned]) -> Vec<Owned> {
    let timestamp = |t| if magic == MessageMagic::V0 { -1 } else { t };
    records.iter().cloned().map(|(offset, t, key, value)| (offset, timestamp(t), key, value)).collect()
}

fn their_codec(codec: Compression) -> theirs::Compression {
    match codec {
        Compression::None => theirs::Compression::None,
        Compression::Gzip => theirs::Compression::Gzip,
        Compression::Snappy => theirs::Compression::Snappy,
        _ => theirs::Compression::Lz4,
    }
}

/// All magics and codecs that the oracle can write. It has no LZ4 for magic 0.
fn shared() -> impl Iterator<Item = (MessageMagic, Compression)> {
    let all = MAGICS.into_iter().flat_map(|magic| CODECS.map(|codec| (magic, codec)));
    all.filter(|pair| *pair != (MessageMagic::V0, Compression::Lz4))
}

/// The oracle does not decompress message sets: it gets what is inside of the message around them.
fn unwrapped(magic: MessageMagic, codec: Compression, set: Bytes) -> Bytes {
    let value = if magic == MessageMagic::V0 { 26.. } else { 34.. };
    match codec {
        Compression::None => set,
        codec => decompress(codec, &set[value], LIMIT).expect("it is compressed").into(),
    }
}

#[test]
fn our_sets_are_read_by_kafka_protocol_0_15() {
    let mut rng = Rng(1);
    for (magic, codec) in shared() {
        for count in [1, 2, 40, 300] {
            let records = records(&mut rng, count);
            let mut set = unwrapped(magic, codec, build(magic, codec, &records));
            let mut seen = Vec::new();
            while !set.is_empty() {
                let theirs = theirs::RecordBatchDecoder::decode(&mut set)
                    .unwrap_or_else(|e| panic!("{magic:?} {codec} {count}: {e}"));
                assert_eq!(theirs.version, magic as i8);
                seen.extend(theirs.records);
            }
            let own = |bytes: Option<Bytes>| bytes.map(|b| b.to_vec());
            let seen: Vec<Owned> =
                seen.into_iter().map(|r| (r.offset, r.timestamp, own(r.key), own(r.value))).collect();
            assert_eq!(seen, as_read(magic, &records), "{magic:?} {codec}");
        }
    }
}

#[test]
fn sets_of_kafka_protocol_0_15_are_read() {
    let mut rng = Rng(2);
    for (magic, codec) in shared() {
        for count in [1, 2, 40, 300] {
            // The oracle writes offset 0 everywhere.
            let records: Vec<Owned> =
                records(&mut rng, count).into_iter().map(|(_, t, key, value)| (0, t, key, value)).collect();
            let to_theirs = |(_, timestamp, key, value): &Owned| theirs::Record {
                transactional: false,
                control: false,
                partition_leader_epoch: -1,
                producer_id: -1,
                producer_epoch: -1,
                timestamp_type: theirs::TimestampType::Creation,
                offset: 0,
                sequence: -1,
                timestamp: *timestamp,
                key: key.clone().map(Bytes::from),
                value: value.clone().map(Bytes::from),
                headers: Default::default(),
            };
            let encoded: Vec<_> = records.iter().map(to_theirs).collect();
            let mut out = BytesMut::new();
            let options = theirs::RecordEncodeOptions { version: magic as i8, compression: their_codec(codec) };
            theirs::RecordBatchEncoder::encode(&mut out, &encoded, &options).expect("their encoder takes it");
            assert_eq!(read(out.freeze()), Ok(as_read(magic, &records)), "{magic:?} {codec}");
        }
    }
}

#[test]
fn every_magic_and_codec_comes_back() {
    let mut rng = Rng(3);
    for magic in MAGICS {
        for codec in CODECS {
            let records = records(&mut rng, 100);
            let set = build(magic, codec, &records);
            assert!(is_message_set(&set));
            assert_eq!(read(set), Ok(as_read(magic, &records)), "{magic:?} {codec}");
        }
    }
}

#[test]
fn a_run_that_is_not_compressed_is_one_batch() {
    let records = records(&mut Rng(4), 50);
    let batches = batches(build(MessageMagic::V1, Compression::None, &records)).expect("a good set");
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].base_offset(), batches[0].last_offset(), batches[0].record_count()), (0, 49, 50));
    assert_eq!(Some(batches[0].max_timestamp()), records.iter().map(|r| r.1).max());
    assert_eq!(batches[0].timestamp_type(), TimestampType::CreateTime);
    assert_eq!((batches[0].producer_id(), batches[0].partition_leader_epoch()), (-1, -1));
    assert!(!batches[0].is_transactional() && !batches[0].is_control());
}

#[test]
fn a_message_of_magic_0_is_as_kafka_0_8_wrote_it() {
    let expected = hex("
        0000000000000000 // offset
        00000010         // length
        1fecd70a         // CRC-32 of what follows
        00 00            // magic, attributes
        00000001 6b      // key: k
        00000001 76      // value: v
    ");
    let set = build(MessageMagic::V0, Compression::None, &[(0, 0, Some(b"k".into()), Some(b"v".into()))]);
    assert_eq!(set, expected);
    assert_eq!(read(expected), Ok(vec![(0, -1, Some(b"k".into()), Some(b"v".into()))]));
}

/// The header of an LZ4 frame: magic number, flags (version 1, independent blocks), block size 64 KiB, checksum.
#[test]
fn lz4_has_the_wrong_header_checksum_in_magic_0_and_the_right_one_in_magic_1() {
    let wrapper = |magic| build(magic, Compression::Lz4, &[(0, 5, None, Some(b"v".into()))]);
    // The wrapper: 12 bytes, checksum, magic, attributes, in magic 1 a timestamp, null key, length of the value.
    assert_eq!(wrapper(MessageMagic::V0)[26..33], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x1a]);
    assert_eq!(wrapper(MessageMagic::V1)[34..41], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
}

/// Changes a byte of the set and mends the checksum of its first message.
fn patched(set: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut set = set.to_vec();
    set[at..at + with.len()].copy_from_slice(with);
    reseal(&mut set);
    set
}

fn reseal(set: &mut [u8]) {
    let length = u32::from_be_bytes(set[8..12].try_into().expect("four bytes")) as usize;
    let crc = crc32fast::hash(&set[16..12 + length]);
    set[12..16].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn both_lz4_header_checksums_are_read_and_no_other() {
    let record = [(0, -1, None, Some(b"v".to_vec()))];
    let set = build(MessageMagic::V0, Compression::Lz4, &record);
    assert_eq!(read(set.clone()), Ok(record.to_vec()));
    assert_eq!(read(patched(&set, 32, &[0x82])), Ok(record.to_vec()));
    assert_eq!(read(patched(&set, 32, &[0x83])), Err(RecordError::Decompress));
}

/// A message without compression, which may have any magic and attributes.
fn message(offset: i64, magic: u8, attributes: u8, timestamp: i64, value: &[u8]) -> Vec<u8> {
    let mut body = vec![magic, attributes];
    if magic == 1 {
        body.extend_from_slice(&timestamp.to_be_bytes());
    }
    body.extend_from_slice(&[0xff; 4]);
    body.extend_from_slice(&(value.len() as u32).to_be_bytes());
    body.extend_from_slice(value);
    let head = [&offset.to_be_bytes()[..], &(body.len() as u32 + 4).to_be_bytes()].concat();
    [head, crc32fast::hash(&body).to_be_bytes().to_vec(), body].concat()
}

fn gzip(set: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ottla_protocol::compression::compress(Compression::Gzip, None, set, &mut out).expect("gzip");
    out
}

const GZIP: u8 = 1;

fn offsets_and_times(set: Vec<u8>) -> Vec<(i64, i64)> {
    read(set).expect("a good set").into_iter().map(|record| (record.0, record.1)).collect()
}

#[test]
fn offsets_inside_are_relative_in_magic_1_and_absolute_in_magic_0() {
    // Compaction has removed the second of four and, in magic 1, nothing can remove the last one alone.
    let inner = |magic, base| [0, 2, 3].map(|i| message(base + i, magic, 0, 70 + i, b"v")).concat();
    let relative = message(103, 1, GZIP, 73, &gzip(&inner(1, 0)));
    assert_eq!(offsets_and_times(relative), [(100, 70), (102, 72), (103, 73)]);
    let absolute = message(103, 0, GZIP, -1, &gzip(&inner(0, 100)));
    assert_eq!(offsets_and_times(absolute), [(100, -1), (102, -1), (103, -1)]);
}

#[test]
fn the_position_goes_past_the_offset_of_the_wrapper() {
    let inner = message(100, 0, 0, -1, b"v");
    let batches = batches(message(107, 0, GZIP, -1, &gzip(&inner)).into()).expect("a good set");
    assert_eq!((batches[0].base_offset(), batches[0].next_offset(), batches[0].record_count()), (100, 108, 1));
}

#[test]
fn the_append_time_of_the_wrapper_is_the_time_of_every_record() {
    let inner = [message(0, 1, 0, 70, b"a"), message(1, 1, 0, 71, b"b")].concat();
    let set = message(9, 1, GZIP | 8, 500, &gzip(&inner));
    assert_eq!(offsets_and_times(set.clone()), [(8, 500), (9, 500)]);
    let batches = batches(set.into()).expect("a good set");
    assert_eq!((batches[0].timestamp_type(), batches[0].max_timestamp()), (TimestampType::LogAppendTime, 500));
    // Without compression each message has its own.
    let single = [message(0, 1, 8, 70, b"a"), message(1, 1, 8, 71, b"b"), message(2, 1, 0, 7, b"c")].concat();
    assert_eq!(offsets_and_times(single), [(0, 70), (1, 71), (2, 7)]);
}

#[test]
fn magics_that_change_in_a_log_are_read_one_after_the_other() {
    let set = [message(0, 0, 0, 0, b"a"), message(1, 1, 0, 5, b"b"), message(2, 0, 0, 0, b"c")].concat();
    assert_eq!(offsets_and_times(set.clone()), [(0, -1), (1, 5), (2, -1)]);
    let mut new = ottla_protocol::record::BatchBuilder::with_capacity(100);
    new.append(1, None, None, &[]);
    let new = new.finish(Compression::None, None).expect("no codec").records().into_bytes();
    let mut log = Bytes::from([&set[..], &new].concat());
    for _ in 0..3 {
        assert!(is_message_set(&log));
        assert!(matches!(take_message_set(&mut log, true, LIMIT), Ok(Some(_))));
    }
    assert!(!is_message_set(&log));
    assert_eq!(take_message_set(&mut log, true, LIMIT).map(|b| b.is_some()), Err(RecordError::Magic(2)));
    assert!(matches!(RecordBatch::split_from(&mut log), Ok(Some(_))));
}

#[test]
fn the_last_message_may_be_cut_anywhere() {
    let set = [message(0, 1, 0, 5, b"whole"), message(1, 1, 0, 5, b"cut")].concat();
    let whole = message(0, 1, 0, 5, b"whole").len();
    for end in whole..set.len() {
        assert_eq!(read(set[..end].to_vec()).map(|records| records.len()), Ok(1), "cut at {end}");
    }
    for end in 0..whole {
        assert_eq!(read(set[..end].to_vec()), Ok(vec![]), "cut at {end}");
    }
}

#[test]
fn a_damaged_message_is_told_once_those_in_front_of_it_are_read() {
    let mut set = [message(0, 1, 0, 5, b"good"), message(1, 1, 0, 5, b"bad")].concat();
    *set.last_mut().expect("it is not empty") ^= 1;
    let mut set = Bytes::from(set);
    let first = take_message_set(&mut set, true, LIMIT).expect("it is good").expect("it is whole");
    assert_eq!((first.record_count(), first.next_offset()), (1, 1));
    let left = set.clone();
    let error = take_message_set(&mut set, true, LIMIT).map(|batch| batch.is_some());
    assert!(matches!(error, Err(RecordError::Crc { .. })), "{error:?}");
    assert_eq!(set, left, "nothing was taken");
    assert!(matches!(take_message_set(&mut set, false, LIMIT), Ok(Some(_))), "it is read if one insists");
}

#[test]
fn a_flipped_bit_in_a_message_is_noticed() {
    let set = message(0, 1, 0, 5, b"value");
    for bit in 12 * 8..set.len() * 8 {
        let mut set = set.clone();
        set[bit / 8] ^= 1 << (bit % 8);
        assert!(read(set).is_err(), "bit {bit}");
    }
}

#[test]
fn messages_that_cannot_be_are_errors() {
    let inner = message(0, 1, 0, 5, b"v");
    let compressed = message(0, 1, GZIP, 5, &gzip(&inner));
    let wrap = |magic, codec, value: &[u8]| message(0, magic, codec, 5, value);
    let mut null = message(0, 1, GZIP, 5, b"");
    let at = null.len() - 4;
    null = patched(&null, at, &[0xff; 4]);
    for (what, set) in [
        ("compressed in compressed", wrap(1, GZIP, &gzip(&compressed))),
        ("magic 0 in magic 1", wrap(1, GZIP, &gzip(&message(0, 0, 0, 0, b"v")))),
        ("magic 2 in magic 1", wrap(1, GZIP, &gzip(&message(0, 2, 0, 0, b"v")))),
        ("nothing in a compressed message", wrap(1, GZIP, &gzip(b""))),
        ("no value in a compressed message", null),
        ("an inner message that is cut", wrap(1, GZIP, &gzip(&inner[..inner.len() - 1]))),
        ("noise for gzip", wrap(1, GZIP, b"noise")),
        ("zstd", wrap(1, 4, b"")),
        ("a codec that there is not", wrap(1, 7, b"")),
        ("a negative length", patched(&message(0, 1, 0, 5, b"v"), 30, &[0x80; 4])),
        ("a value longer than the message", patched(&message(0, 1, 0, 5, b"v"), 30, &[0, 0, 0, 2])),
        ("bytes after the value", patched(&message(0, 1, 0, 5, b"vv"), 30, &[0, 0, 0, 1])),
        ("an inner offset that overflows", {
            let ends = [message(i64::MIN, 1, 0, 5, b"v"), message(i64::MAX, 1, 0, 5, b"v")].concat();
            wrap(1, GZIP, &gzip(&ends))
        }),
        ("inner offsets too far apart", {
            let far = [message(0, 0, 0, 5, b"v"), message(1 << 40, 0, 0, 5, b"v")].concat();
            wrap(0, GZIP, &gzip(&far))
        }),
        ("inner offsets that fall", {
            let fall = [message(5, 0, 0, 5, b"v"), message(4, 0, 0, 5, b"v")].concat();
            wrap(0, GZIP, &gzip(&fall))
        }),
    ] {
        let result = read(set);
        assert!(result.is_err(), "{what}: {result:?}");
    }
    for length in [-1i32, i32::MIN, 0, 13] {
        let mut set = message(0, 1, 0, 5, b"v");
        set[8..12].copy_from_slice(&length.to_be_bytes());
        assert!(read(set).is_err(), "length {length}");
    }
    let mut longer = message(0, 1, 0, 5, b"v");
    longer[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert_eq!(read(longer), Ok(vec![]), "the rest has not been fetched");
}

#[test]
fn any_timestamp_and_offset_survives() {
    let set = [i64::MIN, 0, i64::MAX, -1].map(|t| message(i64::MAX, 1, 0, t, b"v")).concat();
    assert_eq!(offsets_and_times(set), [i64::MIN, 0, i64::MAX, -1].map(|t| (i64::MAX, t)));
}

#[test]
fn a_bomb_is_an_error() {
    let inner = message(0, 1, 0, 5, &vec![0; 8 << 20]);
    for codec in [Compression::Gzip, Compression::Lz4] {
        let mut out = Vec::new();
        ottla_protocol::compression::compress(codec, None, &inner, &mut out).expect("a codec");
        let bomb = message(0, 1, codec.code(), 5, &out);
        assert_eq!(read(bomb), Err(RecordError::TooLarge { limit: LIMIT }), "{codec}");
    }
}

#[test]
fn zstd_is_not_written_for_brokers_that_do_not_know_it() {
    let set = MessageSetBuilder::with_capacity(MessageMagic::V1, 10);
    let error = set.finish(Compression::Zstd, None).expect_err("no zstd");
    assert_eq!(error.to_string(), "compression failed: zstd needs record batches: a broker of 2.1 or later");
}
