//! LZ4 frames: independent blocks of 64 KiB without checksums, as Kafka's `Lz4BlockOutputStream.java` writes them.
use std::io::{Chain, Read, Result, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

/// Kafka's client reads frames of this magic number only. The decoder would take others, too, and 16 MiB of memory for
/// the blocks of a legacy frame, whatever is in it.
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// The longest header in front of its checksum: magic number, flags, block size, content size, dictionary id.
const LONGEST: usize = 18;
const CONTENT_SIZE: u8 = 1 << 3;
const DICTIONARY: u8 = 1;

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(input)?;
    encoder.finish().map(drop).map_err(Into::into)
}

pub(super) fn reader(input: &[u8]) -> Option<FrameDecoder<Chain<Header, &[u8]>>> {
    let (header, body) = split_header(input)?;
    Some(FrameDecoder::new(header.chain(body)))
}

/// A frame's header with its checksum, and what is behind it. Before message sets of magic 1 the checksum was computed
/// with the magic number in front, and is read here, too (KIP-57).
fn split_header(input: &[u8]) -> Option<(Header, &[u8])> {
    let flags = *input.strip_prefix(&MAGIC)?.first()?;
    let at = checksum_place(flags);
    let mut header = Header { bytes: [0; LONGEST + 1], length: at + 1, read: 0 };
    header.bytes[..=at].copy_from_slice(input.get(..=at)?);
    if header.bytes[at] == checksum(&header.bytes[..at]) {
        header.bytes[at] = checksum(&header.bytes[MAGIC.len()..at]);
    }
    Some((header, input.get(at + 1..)?))
}

/// Writes the checksum that brokers before 0.10 expect into the header of a frame.
pub(super) fn break_checksum(frame: &mut [u8]) {
    let Some(at) = frame.get(MAGIC.len()).map(|flags| checksum_place(*flags)) else { return };
    if let Some((header, [place, ..])) = frame.split_at_mut_checked(at) {
        *place = checksum(header);
    }
}

fn checksum_place(flags: u8) -> usize {
    let size = if flags & CONTENT_SIZE == 0 { 0 } else { 8 };
    let dictionary = if flags & DICTIONARY == 0 { 0 } else { 4 };
    MAGIC.len() + 2 + size + dictionary
}

fn checksum(header: &[u8]) -> u8 {
    (XxHash32::oneshot(0, header) >> 8) as u8
}

/// The bytes of a header, read before the rest of the frame.
#[derive(Debug)]
pub(super) struct Header {
    bytes: [u8; LONGEST + 1],
    length: usize,
    read: usize,
}

impl Read for Header {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let n = (&self.bytes[self.read..self.length]).read(out)?;
        self.read += n;
        Ok(n)
    }
}
