//! Snappy, framed as Kafka's Java client does with xerial's `SnappyOutputStream`; raw snappy is read, too.
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use crate::record::RecordError;

/// The magic bytes, the version and the oldest version that can read it.
const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const BLOCK: usize = 32 << 10;

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), snap::Error> {
    out.extend_from_slice(&HEADER);
    let mut encoder = Encoder::new();
    for block in input.chunks(BLOCK) {
        let start = out.len();
        out.resize(start + 4 + max_compress_len(block.len()), 0);
        let (length, data) = out.split_at_mut(start + 4);
        let n = encoder.compress(block, data)?;
        if let Some(place) = length.last_chunk_mut::<4>() {
            *place = (n as u32).to_be_bytes();
        }
        out.truncate(start + 4 + n);
    }
    Ok(())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::new();
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
