//! Bytes as a message set of magic 0 or 1. The first byte puts half of them into a compressed message with the right
//! checksum, so that the codecs and what lies behind them are reached.
#![no_main]
#[path = "../common/mod.rs"]
mod common;

use bytes::Bytes;
use common::{LIMIT, decompression};
use ottla_protocol::compression::{Compression, compress};
use ottla_protocol::record::{DecodedBatch, MessageMagic, MessageSetBuilder, take_message_set};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [mode, data @ ..] = data else { return };
    let mut set = if *mode & 0x80 == 0 { Bytes::copy_from_slice(data) } else { wrapped(*mode, data) };
    let check_crcs = *mode & 0x40 != 0;
    let mut left = set.len() + 1;
    while let Ok(Some(batch)) =
        common::bounded(set.len(), 2 * decompression(LIMIT), || take_message_set(&mut set, check_crcs, LIMIT))
    {
        assert!(set.len() < left, "it goes on");
        left = set.len();
        assert_eq!(batch.verify_crc(), Ok(()));
        assert!(batch.next_offset() > batch.base_offset() || batch.next_offset() == i64::MAX);
        assert!(batch.bytes().len() <= LIMIT.max(data.len() + 100) + 100, "no longer than the messages were");
        write(&batch.decompress(usize::MAX).expect("nothing is compressed"));
    }
});

/// `data` as what is in a compressed message, before or after compression.
fn wrapped(mode: u8, data: &[u8]) -> Bytes {
    let codec = Compression::ALL[usize::from(mode >> 1 & 3) + 1];
    let mut value = data.to_vec();
    if mode & 0x20 != 0 {
        value.clear();
        compress(codec, None, data, &mut value).expect("anything can be compressed");
    }
    let mut body = vec![mode & 1, codec.code() | mode >> 1 & 8];
    body.extend_from_slice(&[0; 8][..usize::from(mode & 1) * 8]);
    body.extend_from_slice(&[0xff; 4]);
    body.extend_from_slice(&(value.len() as u32).to_be_bytes());
    body.append(&mut value);
    let head = [&7i64.to_be_bytes()[..], &(body.len() as u32 + 4).to_be_bytes()].concat();
    [head, crc32fast::hash(&body).to_be_bytes().to_vec(), body].concat().into()
}

/// Writes the records into a set of magic 1, which has to hold the same.
fn write(batch: &DecodedBatch) {
    let mut builder = MessageSetBuilder::with_capacity(MessageMagic::V1, 1024);
    let records: Vec<_> = batch.records().map(|record| record.expect("it was written by us")).collect();
    assert_eq!(records.len(), batch.count() as usize);
    for record in &records {
        builder.append(record.timestamp, record.key, record.value).expect("it was a message before");
    }
    let mut set = builder.finish(Compression::None, None).expect("nothing is compressed").into_bytes();
    let mut again = records.iter();
    while let Some(batch) = take_message_set(&mut set, true, LIMIT).expect("our own set") {
        for record in batch.decompress(usize::MAX).expect("nothing is compressed").records() {
            let (record, before) = (record.expect("our own record"), again.next().expect("no more than there were"));
            assert_eq!((record.timestamp, record.key, record.value), (before.timestamp, before.key, before.value));
        }
    }
    assert_eq!(again.len(), 0);
}
