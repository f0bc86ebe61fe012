//! LZ4 frames: independent blocks of 64 KiB without checksums, as Kafka's `Lz4BlockOutputStream.java` writes them. Frames
//! are cut here and only blocks left to the codec, so that what comes out takes no more memory than it is long.
use std::cell::RefCell;
use std::io;

use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};
use twox_hash::XxHash32;

use super::give_back;
use crate::record::RecordError;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Bits of the flags, of which the two highest are the version.
const VERSION: u8 = 1 << 6;
const INDEPENDENT: u8 = 1 << 5;
const BLOCK_CHECKSUMS: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED: u8 = 1 << 1;
const DICTIONARY: u8 = 1;
/// What a frame of ours has in its header: its flags, and that blocks are of 64 KiB.
const HEADER: [u8; 2] = [VERSION | INDEPENDENT, 4 << 4];
const BLOCK: usize = 64 << 10;
/// In the length of a block: it is not compressed.
const PLAIN: u32 = 1 << 31;
/// How far back a match may lie.
const WINDOW: usize = 64 << 10;
/// No block grows by more: each byte of a length stands for so many.
const BEST_RATIO: usize = 255;

thread_local! {
    /// The table of what was seen, and a block's place.
    static COMPRESSOR: RefCell<Option<(CompressTable, Vec<u8>)>> = const { RefCell::new(None) };
    /// Where a block is decompressed, as its length is not known before.
    static PLACE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&HEADER);
    out.push(checksum(&HEADER));
    COMPRESSOR.with_borrow_mut(|slot| {
        let (table, place) =
            slot.get_or_insert_with(|| (CompressTable::large(), vec![0; get_maximum_output_size(BLOCK)]));
        for block in input.chunks(BLOCK) {
            let n = compress_into_with_table(block, place, table).map_err(io::Error::other)?;
            // A block is 64 KiB at most, so that its length fits.
            match place.get(..n) {
                Some(compressed) if n < block.len() => {
                    out.extend_from_slice(&(n as u32).to_le_bytes());
                    out.extend_from_slice(compressed);
                }
                _ => {
                    out.extend_from_slice(&(block.len() as u32 | PLAIN).to_le_bytes());
                    out.extend_from_slice(block);
                }
            }
        }
        out.extend_from_slice(&[0; 4]);
        Ok(())
    })
}

pub(super) fn decompress(mut input: &[u8], limit: usize) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::new();
    PLACE.with_borrow_mut(|place| {
        loop {
            Frame::open(&mut input).ok_or(RecordError::Decompress)?.read(&mut input, limit, place, &mut out)?;
            if input.is_empty() {
                break;
            }
        }
        // The estimate is wrong after a front that compresses far better than the rest.
        give_back(&mut out);
        Ok(out)
    })
}

/// The header of a frame.
struct Frame {
    flags: u8,
    largest_block: usize,
    content_size: Option<u64>,
}

impl Frame {
    /// Takes a header off the front. Before message sets of magic 1 its checksum was computed with the magic number in
    /// front, and is read here, too (KIP-57). Like Kafka's client this reads frames of this magic number only.
    fn open(input: &mut &[u8]) -> Option<Self> {
        let flags = *input.strip_prefix(&MAGIC)?.first()?;
        let (header, rest) = input.split_at_checked(checksum_place(flags))?;
        let (&stated, rest) = rest.split_first()?;
        let fields = header.get(MAGIC.len()..)?;
        let size = *fields.get(1)?;
        let is_known =
            flags & 0b1100_0000 == VERSION && flags & (RESERVED | DICTIONARY) == 0 && size & 0b1000_1111 == 0;
        if !is_known || !(4..=7).contains(&(size >> 4)) || ![checksum(fields), checksum(header)].contains(&stated) {
            return None;
        }
        let content_size = fields.get(2..10).and_then(|size| size.try_into().ok()).map(u64::from_le_bytes);
        *input = rest;
        Some(Self { flags, largest_block: 1 << (8 + 2 * (size >> 4)), content_size })
    }

    /// Takes the blocks off the front, to the end of the frame.
    fn read(&self, input: &mut &[u8], limit: usize, place: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), RecordError> {
        let start = out.len();
        loop {
            let length = take_u32(input).ok_or(RecordError::Decompress)?;
            if length == 0 {
                break;
            }
            let block = take(input, (length & !PLAIN) as usize).ok_or(RecordError::Decompress)?;
            if block.len() > self.largest_block || !self.confirm(BLOCK_CHECKSUMS, block, input) {
                return Err(RecordError::Decompress);
            }
            let plain = if length & PLAIN == 0 {
                self.decompress_block(block, out.get(start..).unwrap_or_default(), place)?
            } else {
                block
            };
            let left = limit - out.len();
            if plain.len() > left {
                return Err(RecordError::TooLarge { limit });
            }
            if out.capacity() - out.len() < plain.len() {
                out.reserve_exact(estimate(plain.len(), block.len(), input.len()).min(left));
            }
            out.extend_from_slice(plain);
        }
        if place.len() > BLOCK {
            // Large ones are rare: no thread keeps the room for them.
            *place = Vec::new();
        }
        let content = out.get(start..).unwrap_or_default();
        let is_whole = self.content_size.is_none_or(|size| size == content.len() as u64);
        if is_whole && self.confirm(CONTENT_CHECKSUM, content, input) { Ok(()) } else { Err(RecordError::Decompress) }
    }

    /// `before`: what came out of the frame so far.
    fn decompress_block<'p>(
        &self,
        block: &[u8],
        before: &[u8],
        place: &'p mut Vec<u8>,
    ) -> Result<&'p [u8], RecordError> {
        let room = block.len().saturating_mul(BEST_RATIO).min(self.largest_block);
        if place.len() < room {
            place.resize(room, 0);
        }
        let place = place.get_mut(..room).unwrap_or_default();
        let result = if self.flags & INDEPENDENT == 0 && !before.is_empty() {
            let window = before.get(before.len().saturating_sub(WINDOW)..).unwrap_or_default();
            decompress_linked(block, place, window)
        } else {
            decompress_independent(block, place)
        };
        let n = result.map_err(|_| RecordError::Decompress)?;
        place.get(..n).ok_or(RecordError::Decompress)
    }

    /// Takes a checksum off the front, if the flags say that there is one, and compares it.
    fn confirm(&self, flag: u8, bytes: &[u8], input: &mut &[u8]) -> bool {
        self.flags & flag == 0 || take_u32(input) == Some(XxHash32::oneshot(0, bytes))
    }
}

/// The two stay apart, as the codec is inlined here: side by side in one function neither is optimized to the end.
#[inline(never)]
fn decompress_independent(block: &[u8], place: &mut [u8]) -> Result<usize, DecompressError> {
    decompress_into(block, place)
}

#[inline(never)]
fn decompress_linked(block: &[u8], place: &mut [u8], window: &[u8]) -> Result<usize, DecompressError> {
    decompress_into_with_dict(block, place, window)
}

/// How much will come out from a block on, whose length is known before and after: what is left of the input is taken to
/// compress as it did, and a little worse.
fn estimate(plain: usize, compressed: usize, left: usize) -> usize {
    let rest = left.saturating_mul(plain) / compressed.max(1);
    plain.saturating_add(rest).saturating_add(rest / 16)
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(taken)
}

fn take_u32(input: &mut &[u8]) -> Option<u32> {
    take(input, 4)?.try_into().ok().map(u32::from_le_bytes)
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

    use super::*;

    /// Words that come again near and far, and 70 KiB that do not compress: several blocks of every kind.
    fn content() -> Vec<u8> {
        let mut seed = 1u32;
        let noise = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        });
        let words = (0..20_000).flat_map(|i| format!("order {} paid;", i % 997).into_bytes());
        words.chain(noise.take(70 << 10)).collect()
    }

    /// Every kind of frame that the other implementation writes.
    fn frames(content: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max4MB] {
            for mode in [BlockMode::Independent, BlockMode::Linked] {
                for checksums in [false, true] {
                    let info = FrameInfo::new().block_size(size).block_mode(mode).block_checksums(checksums);
                    let info = info.content_checksum(checksums);
                    let info = info.content_size(checksums.then_some(content.len() as u64));
                    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                    encoder.write_all(content).unwrap();
                    frames.push(encoder.finish().unwrap());
                }
            }
        }
        frames
    }

    #[test]
    fn what_is_written_is_what_the_other_implementation_writes_and_reads() {
        let content = content();
        for content in [&content[..], &content[..100], &content[..0]] {
            let mut ours = Vec::new();
            compress(content, &mut ours).unwrap();
            let mut read = Vec::new();
            FrameDecoder::new(&ours[..]).read_to_end(&mut read).unwrap();
            assert_eq!(read, content);
            assert_eq!(decompress(&ours, content.len()), Ok(content.to_vec()));
            assert_eq!(ours[..7], frames(b"x")[0][..7], "the header");
        }
    }

    #[test]
    fn frames_of_every_kind_are_read_also_one_behind_the_other() {
        let content = content();
        for frame in frames(&content) {
            assert!(decompress(&frame, content.len()).as_ref() == Ok(&content));
            let limit = content.len() - 1;
            assert_eq!(decompress(&frame, limit), Err(RecordError::TooLarge { limit }));
            let twice = decompress(&[&frame[..], &frame].concat(), 2 * content.len()).unwrap();
            assert!(twice == [&content[..], &content].concat());
        }
    }

    #[test]
    fn a_frame_cut_anywhere_or_with_a_wrong_checksum_is_an_error() {
        let content = &content()[..3000];
        for frame in frames(content) {
            for end in 0..frame.len() {
                assert_eq!(decompress(&frame[..end], 1 << 20), Err(RecordError::Decompress), "{end}");
            }
        }
        // The last kind has checksums: of its content at the end, and of its block in front of the end mark.
        let frame = frames(content).pop().unwrap();
        for place in [1, 9] {
            let mut wrong = frame.clone();
            let at = wrong.len() - place;
            wrong[at] ^= 1;
            assert_eq!(decompress(&wrong, 1 << 20), Err(RecordError::Decompress));
        }
    }

    #[test]
    fn a_small_block_takes_no_memory_for_a_large_one() {
        let mut frame = MAGIC.to_vec();
        let header = [VERSION | INDEPENDENT, 7 << 4];
        frame.extend_from_slice(&header);
        frame.push(checksum(&header));
        frame.extend_from_slice(&[2, 0, 0, 0, 0x10, b'x', 0, 0, 0, 0]);
        let out = decompress(&frame, 64 << 20).unwrap();
        assert_eq!(out, b"x");
        assert!(out.capacity() <= 2 * BEST_RATIO, "{}", out.capacity());
    }

    #[test]
    fn what_comes_out_takes_little_more_memory_than_it_is_long() {
        let content = content();
        let capacity = |content: &[u8]| {
            let mut frame = Vec::new();
            compress(content, &mut frame).unwrap();
            decompress(&frame, 64 << 20).unwrap().capacity()
        };
        assert!(capacity(&content[..100]) < 130);
        assert!(capacity(&content[..200_000]) < 220_000);
        assert!(capacity(&content) <= 2 * content.len(), "the end does not compress as the front does");
    }
}
