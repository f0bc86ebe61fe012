//! The codec crates on their own, as their documentation uses them, with what can be reused reused. Snappy has no frames that
//! Kafka knows: it gets the blocks of 32 KiB, each behind its length, that Kafka's framing has.
use std::io::{Read, Write};

use ottla_protocol::compression::Compression;

type Codec = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

pub(crate) fn compressor(codec: Compression) -> Codec {
    match codec {
        Compression::Lz4 => Box::new(|input| {
            let info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::with_capacity(1 << 18));
            encoder.write_all(input).expect("lz4");
            encoder.finish().expect("lz4")
        }),
        Compression::Snappy => {
            let mut encoder = snap::raw::Encoder::new();
            Box::new(move |input| {
                let mut out = Vec::with_capacity(1 << 18);
                for block in input.chunks(32 << 10) {
                    let compressed = encoder.compress_vec(block).expect("snappy");
                    out.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
                    out.extend(compressed);
                }
                out
            })
        }
        Compression::Zstd => {
            let mut encoder = zstd::bulk::Compressor::new(3).expect("zstd");
            Box::new(move |input| encoder.compress(input).expect("zstd"))
        }
        _ => Box::new(|input| {
            let out = Vec::with_capacity(1 << 18);
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
            encoder.write_all(input).expect("gzip");
            encoder.finish().expect("gzip")
        }),
    }
}

/// For what ours has compressed.
pub(crate) fn decompressor(codec: Compression) -> Codec {
    match codec {
        Compression::Lz4 => Box::new(|input| read_all(lz4_flex::frame::FrameDecoder::new(input))),
        Compression::Snappy => Box::new(|input| {
            let (mut decoder, mut rest, mut out) =
                (snap::raw::Decoder::new(), &input[16..], Vec::with_capacity(1 << 18));
            while let Some((length, data)) = rest.split_first_chunk() {
                let (block, after) = data.split_at(u32::from_be_bytes(*length) as usize);
                out.extend(decoder.decompress_vec(block).expect("snappy"));
                rest = after;
            }
            out
        }),
        Compression::Zstd => {
            let mut decoder = zstd::bulk::Decompressor::new().expect("zstd");
            Box::new(move |input| decoder.decompress(input, 1 << 18).expect("zstd"))
        }
        _ => Box::new(|input| read_all(flate2::read::GzDecoder::new(input))),
    }
}

fn read_all(mut reader: impl Read) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 18);
    reader.read_to_end(&mut out).expect("it can be decompressed");
    out
}
