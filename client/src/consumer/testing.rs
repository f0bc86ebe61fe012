//! Batches as a broker would store them, for tests.
use bytes::Bytes;
use ottla_protocol::compression::Compression;
use ottla_protocol::record::{BatchBuilder, ProducerStamp};

const EPOCH: i32 = 7;
/// Where `DefaultRecordBatch.java` has these fields.
const LEADER_EPOCH: std::ops::Range<usize> = 12..16;
const ATTRIBUTES: std::ops::Range<usize> = 21..23;

fn stored(base: i64, producer_id: i64, codec: Compression, records: &[(Option<&[u8]>, &[u8])]) -> Vec<u8> {
    let mut builder = BatchBuilder::with_capacity(1024);
    for (key, value) in records {
        builder.append(1000, *key, Some(value), &[]);
    }
    let mut batch = builder.finish(codec, None).unwrap();
    let transactional = producer_id >= 0;
    batch.stamp(ProducerStamp { producer_id, epoch: 0, base_sequence: 0, transactional });
    let mut bytes = batch.records().into_bytes().to_vec();
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes[LEADER_EPOCH].copy_from_slice(&EPOCH.to_be_bytes());
    bytes
}

pub(crate) fn values(base: i64, producer_id: i64, codec: Compression, values: &[&str]) -> Bytes {
    let records: Vec<_> = values.iter().map(|v| (None, v.as_bytes())).collect();
    stored(base, producer_id, codec, &records).into()
}

pub(crate) fn batch(base: i64, records: &[&str]) -> Bytes {
    values(base, -1, Compression::None, records)
}

pub(crate) fn transactional(base: i64, producer_id: i64, records: &[&str]) -> Bytes {
    values(base, producer_id, Compression::None, records)
}

/// The end of a transaction.
pub(crate) fn control(base: i64, producer_id: i64, commit: bool) -> Bytes {
    let mut bytes = stored(base, producer_id, Compression::None, &[(Some(&[0, 0, 0, u8::from(commit)]), &[0; 6])]);
    bytes[ATTRIBUTES.end - 1] |= 0x20;
    with_crc(bytes)
}

/// A batch whose records compaction has removed: its header stays, with the offsets that it had.
pub(crate) fn compacted(base: i64, last: i64) -> Bytes {
    let mut bytes = stored(base, -1, Compression::None, &[(None, b"gone")]);
    bytes.truncate(61);
    bytes[8..12].copy_from_slice(&49i32.to_be_bytes());
    bytes[23..27].copy_from_slice(&i32::try_from(last - base).unwrap().to_be_bytes());
    bytes[57..61].copy_from_slice(&0i32.to_be_bytes());
    with_crc(bytes)
}

fn with_crc(mut bytes: Vec<u8>) -> Bytes {
    let crc = crc32c(&bytes[ATTRIBUTES.start..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0x82f6_3b78 } else { c >> 1 })
    })
}
