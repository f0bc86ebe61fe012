//! Zstandard.
use std::cell::RefCell;
use std::io::{BufReader, Result};

use zstd::bulk::{Compressor, Decompressor};
use zstd::stream::read::Decoder;
use zstd::zstd_safe::get_frame_content_size;

/// Kafka's `compression.zstd.level`.
const DEFAULT_LEVEL: i32 = 3;

thread_local! {
    // A context is a megabyte and more, and takes longer to make than a small batch to compress.
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let level = level.unwrap_or(DEFAULT_LEVEL);
    COMPRESSOR.with_borrow_mut(|slot| {
        let (_, compressor) = match slot.take_if(|(made_for, _)| *made_for == level) {
            Some(same) => slot.insert(same),
            None => slot.insert((level, Compressor::new(level)?)),
        };
        out.extend_from_slice(&compressor.compress(input)?);
        Ok(())
    })
}

/// Decompresses a frame that says how long its content is, if that is at most `limit`. `None`: it does not say so, or
/// what it says is not true.
pub(super) fn decompress_whole(input: &[u8], limit: usize) -> Option<Vec<u8>> {
    let length = get_frame_content_size(input).ok()??;
    let length = usize::try_from(length).ok().filter(|length| *length <= limit)?;
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress(input, length).ok()
    })
}

pub(super) fn reader(input: &[u8]) -> Result<Decoder<'static, BufReader<&[u8]>>> {
    Decoder::new(input)
}
