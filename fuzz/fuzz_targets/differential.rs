//! Messages and record batches at ours and at `kafka-protocol` 0.18. It takes memory for whatever length it reads, does not
//! hold a tagged field to its length, takes all but 1 for a null struct, and counts unknown fields above `i32::MAX` that
//! it does not write. So it gets messages as ours writes them, not as the fuzzer does.
#![no_main]
#[path = "../common/mod.rs"]
mod common;
#[path = "../../protocol/tests/common/theirs.rs"]
#[macro_use]
mod theirs;
#[path = "../../protocol/tests/common/newest.rs"]
mod newest;

use std::cell::OnceCell;

use bytes::Bytes;
use common::LIMIT;
use kafka_protocol::records::{RecordBatchDecoder, TimestampType};
use ottla_protocol::record::{HEADER_SIZE, Header, RecordBatch};
use theirs::Theirs;

libfuzzer_sys::fuzz_target!(|data: &[u8]| match data {
    [0, data @ ..] => message(data, |api| api.request),
    [1, data @ ..] => message(data, |api| api.response),
    [mode, data @ ..] => batch(*mode, data),
    [] => {}
});

fn message(data: &[u8], pick: fn(&common::Api) -> common::Message) {
    thread_local! {
        static THEIRS: OnceCell<Vec<Theirs>> = const { OnceCell::new() };
    }
    let Some((message, version, bytes)) = common::choose(data, pick) else { return };
    let Ok(read) = common::bounded(bytes.len(), 0, || (message.recode)(bytes.clone(), version)) else { return };
    let ours = read.encoded.expect("it was read in this version");
    THEIRS.with(|theirs| {
        let known = theirs.get_or_init(newest::newest).iter().find(|theirs| theirs.name == message.name);
        let Some(known) = known.filter(|known| known.versions.contains(&version.number)) else { return };
        let back = |bytes: Bytes| (known.convert)(bytes, version.number, version.number);
        let theirs = back(ours.clone()).unwrap_or_else(|e| panic!("{} v{}: {e}", message.name, version.number));
        assert_eq!(ours, theirs, "{} v{}", message.name, version.number);
    });
}

/// `data` as the records of a batch with a right header.
fn batch(mode: u8, data: &[u8]) {
    let mut bytes = vec![0; HEADER_SIZE];
    bytes[8..12].copy_from_slice(&((HEADER_SIZE - 12 + data.len()) as u32).to_be_bytes());
    bytes[16] = 2;
    bytes[22] = mode & 0x10;
    bytes[57..61].copy_from_slice(&u32::from(mode & 0x0f).to_be_bytes());
    bytes.extend_from_slice(data);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let mut bytes = Bytes::from(bytes);
    let mut theirs = bytes.clone();
    let batch = RecordBatch::split_from(&mut bytes).expect("a good header").expect("a whole batch");
    let Ok(batch) = common::bounded(data.len(), 0, || batch.decompress(LIMIT)) else { return };
    let Ok(records) = batch.records().collect::<Result<Vec<_>, _>>() else { return };
    let headers: Result<Vec<Vec<Header<'_>>>, _> = records.iter().map(|record| record.headers().collect()).collect();
    // Theirs keeps the last of the headers with one key.
    let Ok(headers) = headers else { return };
    if headers.iter().any(|list| list.iter().enumerate().any(|(i, h)| list[..i].iter().any(|g| g.key == h.key))) {
        return;
    }
    let theirs = RecordBatchDecoder::decode(&mut theirs).expect("ours has read it").records;
    assert_eq!(theirs.len(), records.len());
    for ((ours, headers), theirs) in records.iter().zip(headers).zip(&theirs) {
        assert_eq!((ours.offset, ours.timestamp), (theirs.offset, theirs.timestamp));
        assert_eq!((ours.key, ours.value), (theirs.key.as_deref(), theirs.value.as_deref()));
        assert_eq!(theirs.timestamp_type, TimestampType::Creation);
        assert!(
            headers.iter().map(|h| (h.key, h.value)).eq(theirs.headers.iter().map(|(k, v)| (&k[..], v.as_deref())))
        );
    }
}
