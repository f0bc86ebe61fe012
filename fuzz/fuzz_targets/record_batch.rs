//! Bytes as the records of a Fetch response. The first byte gives half of the batches a header that fits, so that the
//! codecs and records behind it are reached.
#![no_main]
#[path = "../common/mod.rs"]
mod common;

use bytes::Bytes;
use common::{LIMIT, decompression};
use ottla_protocol::compression::Compression;
use ottla_protocol::record::{BatchBuilder, DecodedBatch, HEADER_SIZE, Header, RecordBatch};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [mode, data @ ..] = data else { return };
    let mut records = if *mode & 0x80 == 0 { Bytes::copy_from_slice(data) } else { framed(*mode, data) };
    while let Ok(Some(batch)) = RecordBatch::split_from(&mut records) {
        let (decoded, _marker) = common::bounded(batch.bytes().len(), 2 * decompression(LIMIT), || {
            let _ = (batch.verify_crc(), batch.next_offset());
            (batch.decompress(LIMIT), batch.control_marker())
        });
        if let Ok(decoded) = decoded {
            read(&decoded);
        }
    }
});

/// `data` as the records of a batch that says so.
fn framed(mode: u8, data: &[u8]) -> Bytes {
    let mut bytes = vec![0; HEADER_SIZE];
    bytes[8..12].copy_from_slice(&((HEADER_SIZE - 12 + data.len()) as i32).to_be_bytes());
    bytes[16] = 2;
    bytes[22] = mode & 0x0f;
    bytes[60] = mode >> 4 & 7;
    bytes.extend_from_slice(data);
    bytes.into()
}

/// Reads all records, and writes those that are good into another batch, which has to hold the same.
fn read(batch: &DecodedBatch) {
    let mut builder = BatchBuilder::with_capacity(1024);
    let mut good = Vec::new();
    for record in batch.records().flatten() {
        let headers: Vec<Header<'_>> = record.headers().flatten().collect();
        // Nobody writes one before 1970: the producer refuses it.
        let timestamp = record.timestamp.max(0);
        builder.append(timestamp, record.key, record.value, &headers);
        good.push((timestamp, record.key, record.value, headers));
    }
    assert!(good.len() <= batch.count() as usize);
    if good.is_empty() {
        return;
    }
    let mut bytes = builder.finish(Compression::None, None).expect("nothing is compressed").records().into_bytes();
    let again = RecordBatch::split_from(&mut bytes).expect("our own batch").expect("a whole one");
    assert_eq!(again.verify_crc(), Ok(()));
    let again = again.decompress(LIMIT).expect("nothing is compressed");
    let again: Vec<_> = again.records().map(|record| record.expect("our own record")).collect();
    assert_eq!(again.len(), good.len());
    for (record, (timestamp, key, value, headers)) in again.iter().zip(good) {
        assert_eq!((record.timestamp, record.key, record.value), (timestamp, key, value));
        assert!(record.headers().map(|header| header.expect("our own header")).eq(headers));
    }
}
