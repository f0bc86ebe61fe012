//! LZ4 frames: independent blocks of 64 KiB without checksums, as Kafka's `Lz4BlockOutputStream.java` writes them.
use std::io::{Result, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(input)?;
    encoder.finish().map(drop).map_err(Into::into)
}

pub(super) fn reader(input: &[u8]) -> FrameDecoder<&[u8]> {
    FrameDecoder::new(input)
}
