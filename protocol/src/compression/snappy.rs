//! Snappy, framed as Kafka's Java client does with xerial's `SnappyOutputStream`; raw snappy is read, too.
use std::cell::RefCell;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

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
    let mut total = 0;
    for block in Blocks::of(input) {
        let block = block?;
        let claimed = decompress_len(block).map_err(|_| RecordError::Decompress)?;
        if claimed > limit - total {
            return Err(RecordError::TooLarge { limit });
        }
        // Snappy cannot do better than 64 bytes from 3, so a larger claim is not worth taking memory for.
        if claimed > block.len().saturating_mul(32) {
            return Err(RecordError::Decompress);
        }
        total += claimed;
    }
    let mut out = vec![0; total];
    let mut place = &mut out[..];
    let mut decoder = Decoder::new();
    for block in Blocks::of(input) {
        let n = decoder.decompress(block?, place).map_err(|_| RecordError::Decompress)?;
        place = std::mem::take(&mut place).get_mut(n..).unwrap_or_default();
    }
    Ok(out)
}

/// The blocks, of which raw snappy is one.
enum Blocks<'a> {
    Raw(Option<&'a [u8]>),
    Framed(&'a [u8]),
}

impl<'a> Blocks<'a> {
    fn of(input: &'a [u8]) -> Self {
        match input.strip_prefix(&HEADER[..8]).and_then(|after_magic| after_magic.get(8..)) {
            Some(blocks) => Self::Framed(blocks),
            None => Self::Raw(Some(input)),
        }
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<&'a [u8], RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = match self {
            Self::Raw(block) => return block.take().map(Ok),
            Self::Framed([]) => return None,
            Self::Framed(rest) => rest,
        };
        let block = rest.split_first_chunk::<4>().and_then(|(length, data)| {
            let (block, after) = data.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            *rest = after;
            Some(block)
        });
        Some(block.ok_or(RecordError::Decompress))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Vec<u8> {
        (0..10_000).flat_map(|i| format!("order {} paid;", i % 997).into_bytes()).collect()
    }

    #[test]
    fn blocks_of_32_kib_are_written_behind_the_header_of_xerial() {
        let (content, mut out) = (content(), Vec::new());
        compress(&content, &mut out).unwrap();
        assert_eq!(out[..16], HEADER);
        let blocks: Vec<_> = Blocks::of(&out).map(|block| decompress_len(block.unwrap()).unwrap()).collect();
        let (last, full) = blocks.split_last().unwrap();
        assert!(full.len() == content.len() / BLOCK && full.iter().all(|length| *length == BLOCK), "{blocks:?}");
        assert_eq!(*last, content.len() % BLOCK);
        assert!(decompress(&out, content.len()).as_ref() == Ok(&content));
    }

    #[test]
    fn raw_snappy_is_read_too_and_blocks_may_be_of_any_length() {
        let content = content();
        let raw = Encoder::new().compress_vec(&content).unwrap();
        assert!(decompress(&raw, content.len()).as_ref() == Ok(&content));
        let mut framed = HEADER.to_vec();
        for block in content.chunks(50_001) {
            let block = Encoder::new().compress_vec(block).unwrap();
            framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
            framed.extend_from_slice(&block);
        }
        assert!(decompress(&framed, content.len()).as_ref() == Ok(&content));
        let limit = content.len() - 1;
        assert_eq!(decompress(&framed, limit), Err(RecordError::TooLarge { limit }));
    }
}
