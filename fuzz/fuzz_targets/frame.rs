//! Bytes as what a connection reads, in pieces: the frames are the same however the pieces are cut.
#![no_main]
#[path = "../common/mod.rs"]
mod common;

use bytes::Bytes;
use ottla_protocol::{DecodeError, FrameDecoder};

const MAX_FRAME: usize = 1 << 20;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [piece, data @ ..] = data else { return };
    // A buffer of 64 KiB is made when 16 KiB of the one before are left.
    let besides = 256 << 10;
    let whole = common::bounded(data.len(), besides, || frames(data.chunks(data.len().max(1))));
    let cut = common::bounded(data.len(), besides, || frames(data.chunks(usize::from(*piece).max(1))));
    assert_eq!(whole, cut);
});

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, Option<DecodeError>) {
    let mut decoder = FrameDecoder::new(MAX_FRAME);
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}
