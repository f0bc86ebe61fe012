//! Bytes as compressed data, and as data to compress.
#![no_main]
#[path = "../common/mod.rs"]
mod common;

use common::{LIMIT, decompression};
use ottla_protocol::compression::{Compression, compress, decompress};
use ottla_protocol::record::RecordError;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [mode, data @ ..] = data else { return };
    let codec = Compression::ALL[usize::from(mode % 5)];
    let limit = LIMIT >> (mode / 5 % 16);
    if let Ok(out) = common::bounded(data.len(), decompression(limit), || decompress(codec, data, limit)) {
        assert!(out.len() <= limit);
    }
    if mode & 0x80 != 0 {
        return;
    }
    let mut compressed = Vec::new();
    compress(codec, None, data, &mut compressed).expect("anything can be compressed");
    assert_eq!(decompress(codec, &compressed, data.len()).as_deref(), Ok(data), "{codec}");
    if let Some(limit) = data.len().checked_sub(1) {
        assert_eq!(decompress(codec, &compressed, limit), Err(RecordError::TooLarge { limit }), "{codec}");
    }
});
