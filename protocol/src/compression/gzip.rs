//! gzip.
use std::io::{Result, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let level = level.and_then(|level| u32::try_from(level).ok()).map(|level| level.min(9));
    let level = level.map_or_else(Default::default, flate2::Compression::new);
    let mut encoder = GzEncoder::new(out, level);
    encoder.write_all(input)?;
    encoder.finish().map(drop)
}

pub(super) fn reader(input: &[u8]) -> MultiGzDecoder<&[u8]> {
    MultiGzDecoder::new(input)
}
