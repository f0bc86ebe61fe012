//! Snappy, framed as Kafka's Java client does with xerial's `SnappyOutputStream`; raw snappy is read, too.
use std::cell::RefCell;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::usual_room;
use crate::record::RecordError;

/// The magic bytes, the version and the oldest version that can read it.
const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const BLOCK: usize = 32 << 10;

thread_local! {
    /// The table of what was seen, and a block's place.
    static COMPRESSOR: RefCell<Option<(Encoder, Vec<u8>)>> = const { RefCell::new(None) };
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), snap::Error> {
    out.extend_from_slice(&HEADER);
    COMPRESSOR.with_borrow_mut(|slot| {
        let (encoder, place) = slot.get_or_insert_with(|| (Encoder::new(), vec![0; max_compress_len(BLOCK)]));
        for block in input.chunks(BLOCK) {
            let n = encoder.compress(block, place)?;
            out.extend_from_slice(&(n as u32).to_be_bytes());
            out.extend_from_slice(place.get(..n).unwrap_or_default());
        }
        Ok(())
    })
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::with_capacity(usual_room(input, limit));
    let Some(mut rest) = input.strip_prefix(&HEADER[..8]).and_then(|after_magic| after_magic.get(8..)) else {
        append_block(input, limit, &mut out)?;
        return Ok(out);
    };
    while !rest.is_empty() {
        let (length, data) = rest.split_first_chunk::<4>().ok_or(RecordError::Decompress)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| RecordError::Decompress)?;
        let (block, after) = data.split_at_checked(length).ok_or(RecordError::Decompress)?;
        append_block(block, limit, &mut out)?;
        rest = after;
    }
    Ok(out)
}

fn append_block(block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), RecordError> {
    // Snappy cannot do better than 64 bytes from 3, so a larger claim is not worth taking memory for.
    let claimed = decompress_len(block).map_err(|_| RecordError::Decompress)?;
    let start = out.len();
    if claimed > limit.saturating_sub(start) {
        return Err(RecordError::TooLarge { limit });
    }
    if claimed > block.len().saturating_mul(32) {
        return Err(RecordError::Decompress);
    }
    out.resize(start + claimed, 0);
    let n = Decoder::new().decompress(block, &mut out[start..]).map_err(|_| RecordError::Decompress)?;
    out.truncate(start + n);
    Ok(())
}
