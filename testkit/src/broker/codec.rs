//! Compression of record batches: only where the broker has to look into them, never on the way through.

use std::io::{self, Read, Write};

/// Nothing becomes larger than this: who sends a bomb is answered as who sends nonsense.
const LIMIT: u64 = 256 << 20;

const GZIP: i16 = 1;
const SNAPPY: i16 = 2;
const LZ4: i16 = 3;
const ZSTD: i16 = 4;

/// Before each run of snappy blocks (`SnappyOutputStream.java`): magic bytes, version, oldest readable version.
const XERIAL: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_BLOCK: usize = 32 << 10;

/// What `bytes` were before codec `kind` (of a batch's attributes); `None` if they never were anything.
pub(crate) fn decompressed(kind: i16, bytes: &[u8]) -> Option<Vec<u8>> {
    match kind {
        0 => Some(bytes.to_vec()),
        GZIP => all(flate2::read::MultiGzDecoder::new(bytes)),
        SNAPPY => from_snappy(bytes),
        LZ4 => all(lz4_flex::frame::FrameDecoder::new(bytes)),
        ZSTD => all(zstd::stream::read::Decoder::new(bytes).ok()?),
        _ => None,
    }
}

fn all(reader: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let read = reader.take(LIMIT + 1).read_to_end(&mut out).ok()?;
    (read as u64 <= LIMIT).then_some(out)
}

fn from_snappy(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = snap::raw::Decoder::new();
    let mut block = |bytes: &[u8]| {
        let fits = snap::raw::decompress_len(bytes).is_ok_and(|length| length as u64 <= LIMIT);
        if fits { decoder.decompress_vec(bytes).ok() } else { None }
    };
    let Some(mut rest) = bytes.strip_prefix(&XERIAL[..8]).and_then(|rest| rest.get(8..)) else { return block(bytes) };
    let mut out = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (compressed, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        out.extend(block(compressed)?);
        if out.len() as u64 > LIMIT {
            return None;
        }
        rest = after;
    }
    Some(out)
}

/// `bytes` by codec `kind`.
pub(crate) fn compressed(kind: i16, bytes: &[u8]) -> Option<Vec<u8>> {
    match kind {
        0 => Some(bytes.to_vec()),
        GZIP => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            writer.write_all(bytes).ok()?;
            writer.finish().ok()
        }
        SNAPPY => to_snappy(bytes),
        LZ4 => to_lz4(bytes).ok(),
        ZSTD => zstd::stream::encode_all(bytes, 3).ok(),
        _ => None,
    }
}

fn to_snappy(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = snap::raw::Encoder::new();
    let mut out = XERIAL.to_vec();
    for block in bytes.chunks(XERIAL_BLOCK) {
        let compressed = encoder.compress_vec(block).ok()?;
        out.extend_from_slice(&u32::try_from(compressed.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    Some(out)
}

/// Independent blocks, as `Lz4BlockOutputStream.java` wants them.
fn to_lz4(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let info = lz4_flex::frame::FrameInfo::new().block_mode(lz4_flex::frame::BlockMode::Independent);
    let mut writer = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    writer.write_all(bytes)?;
    writer.finish().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_gives_back_what_it_took() {
        for size in [0, 1, 100_000] {
            let bytes: Vec<u8> = (0..size).map(|at: u32| (at / 7) as u8).collect();
            for kind in 0..=4 {
                let packed = compressed(kind, &bytes).unwrap();
                assert_eq!(decompressed(kind, &packed).as_deref(), Some(&bytes[..]), "codec {kind}, {size} bytes");
            }
        }
    }

    #[test]
    fn nonsense_is_nothing() {
        for kind in [GZIP, SNAPPY, LZ4, ZSTD, 5] {
            assert_eq!(decompressed(kind, b"\xff\xff\xff nonsense"), None, "codec {kind}");
        }
        assert_eq!(compressed(5, b""), None);
    }

    /// What librdkafka writes: one block without a frame.
    #[test]
    fn raw_snappy_is_read() {
        let raw = snap::raw::Encoder::new().compress_vec(b"raw raw raw raw").unwrap();
        assert_eq!(decompressed(SNAPPY, &raw).as_deref(), Some(&b"raw raw raw raw"[..]));
    }
}
