//! Zstandard.
use std::io::{BufReader, Result};

use zstd::stream::read::Decoder;

/// Kafka's `compression.zstd.level`.
const DEFAULT_LEVEL: i32 = 3;

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    zstd::stream::copy_encode(input, out, level.unwrap_or(DEFAULT_LEVEL))
}

pub(super) fn reader(input: &[u8]) -> Result<Decoder<'static, BufReader<&[u8]>>> {
    Decoder::new(input)
}
