//! gzip.
use std::cell::RefCell;
use std::io::{Error, Result};

use flate2::read::MultiGzDecoder;
use flate2::{Compress, FlushCompress, Status};

/// Magic number, deflate, no flags, no time, nothing of the level, an unknown system: as Java's `GZIPOutputStream`.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const LARGEST: u32 = 9;
/// Output at once.
const STEP: usize = 16 << 10;

thread_local! {
    // It is 300 KB and more, and takes longer to make than a small batch to compress.
    static COMPRESSOR: RefCell<Option<(Option<i32>, Compress)>> = const { RefCell::new(None) };
}

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    COMPRESSOR.with_borrow_mut(|slot| {
        let (_, compressor) = match slot.take_if(|(made_for, _)| *made_for == level) {
            Some(same) => slot.insert(same),
            None => slot.insert((level, new(level))),
        };
        out.extend_from_slice(&HEADER);
        let mut rest = input;
        compressor.reset();
        loop {
            out.reserve(STEP);
            let before = compressor.total_in();
            let status = compressor.compress_vec(rest, out, FlushCompress::Finish).map_err(Error::other)?;
            let taken = usize::try_from(compressor.total_in() - before).map_err(Error::other)?;
            rest = rest.get(taken..).unwrap_or_default();
            if status == Status::StreamEnd {
                break;
            }
        }
        out.extend_from_slice(&crc32fast::hash(input).to_le_bytes());
        // The length modulo 2^32, as the format has it.
        out.extend_from_slice(&(input.len() as u32).to_le_bytes());
        Ok(())
    })
}

fn new(level: Option<i32>) -> Compress {
    let level = level.and_then(|level| u32::try_from(level).ok()).map(|level| level.min(LARGEST));
    Compress::new(level.map_or_else(Default::default, flate2::Compression::new), false)
}

pub(super) fn reader(input: &[u8]) -> MultiGzDecoder<&[u8]> {
    MultiGzDecoder::new(input)
}
