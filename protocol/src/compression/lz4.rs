//! LZ4 frames: independent blocks of 64 KiB without checksums, as Kafka's `Lz4BlockOutputStream.java` writes them.
use std::io::{Result, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(input)?;
    encoder.finish().map(drop).map_err(Into::into)
}

/// Kafka's client reads frames of this magic number only. The decoder would take others, too, and 16 MiB of memory for
/// the blocks of a legacy frame, whatever is in it.
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

pub(super) fn reader(input: &[u8]) -> Option<FrameDecoder<&[u8]>> {
    input.starts_with(&MAGIC).then(|| FrameDecoder::new(input))
}
