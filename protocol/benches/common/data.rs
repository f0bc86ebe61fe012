//! 1000 records of 100 bytes with a key and a header.
use bytes::Bytes;
use ottla_protocol::compression::Compression;
use ottla_protocol::record::{BatchBuilder, Header};

pub(crate) const RECORDS: usize = 1000;
pub(crate) const BASE: i64 = 1_700_000_000_000;

/// Words and numbers, so that there is something to compress.
pub(crate) fn values() -> Vec<Vec<u8>> {
    let value = |i: usize| {
        let text =
            format!("{{\"id\":{i},\"user\":{},\"amount\":{},\"state\":\"paid\",\"note\":\"", i * 7919, i * 31 % 977);
        text.bytes().chain(std::iter::repeat(b'.')).take(100).collect()
    };
    (0..RECORDS).map(value).collect()
}

pub(crate) fn keys() -> Vec<Vec<u8>> {
    (0..RECORDS).map(|i| format!("key-{i:06}").into_bytes()).collect()
}

pub(crate) fn fill(builder: &mut BatchBuilder, keys: &[Vec<u8>], values: &[Vec<u8>]) {
    let headers = [Header { key: "trace", value: Some(b"0123456789abcdef") }];
    for (i, (key, value)) in keys.iter().zip(values).enumerate() {
        builder.append(BASE + i as i64, Some(key), Some(value), &headers);
    }
}

pub(crate) fn our_batch(codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(1 << 18);
    fill(&mut builder, &keys(), &values());
    builder.finish(codec, None).expect("the codec is compiled in").records().into_bytes()
}

/// What is compressed of a batch: its records, without the header.
pub(crate) fn plain() -> Bytes {
    our_batch(Compression::None).slice(61..)
}
