//! What the targets share: messages of every API, and memory that is counted.
#![allow(dead_code, reason = "each target uses a part of it")]

#[path = "../../protocol/tests/common/mod.rs"]
mod messages;

use std::alloc::System;
use std::cell::OnceCell;

use bytes::Bytes;
use messages::apis;
use messages::generate::{Rng, encoding};
pub(crate) use messages::{Api, Message};
use ottla_protocol::Version;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The cap on what is decompressed.
pub(crate) const LIMIT: usize = 1 << 20;
/// What decompressing to `limit` may take besides: the buffer grows, an LZ4 frame may name blocks of 4 MiB, and codecs make
/// what they keep for each thread.
pub(crate) const fn decompression(limit: usize) -> usize {
    4 * limit + (5 << 20)
}

/// Memory for each byte of a message: a name that is empty is one byte, and three words when it is read, in an array that
/// grows by doubling; a struct has more fields than its shortest form has bytes. And some for what is encoded again.
const PER_BYTE: usize = 72;
const BESIDES: usize = 64 << 10;

/// Runs `work` on an input of `length` bytes and panics if it takes more memory than such an input may cost.
pub(crate) fn bounded<T>(length: usize, besides: usize, work: impl FnOnce() -> T) -> T {
    let region = Region::new(ALLOCATOR);
    let result = work();
    let taken = region.change().bytes_allocated;
    assert!(taken <= PER_BYTE * length + BESIDES + besides, "{taken} bytes of memory for {length} bytes of input");
    result
}

/// Decodes the message that the input stands for ([`choose`]), encodes what comes out, and decodes that: both encodings
/// have to be the same.
pub(crate) fn message(data: &[u8], pick: fn(&Api) -> Message) {
    if let Some((message, version, bytes)) = choose(data, pick) {
        recode_twice(message, version, bytes);
    }
}

/// Takes an API and a version off the front; the rest is the message of them that `pick` names. The high bit of the
/// version makes of the rest changes to a valid encoding, so that what lies deep is reached without a corpus.
pub(crate) fn choose(data: &[u8], pick: fn(&Api) -> Message) -> Option<(Message, Version, Bytes)> {
    thread_local! {
        static APIS: OnceCell<Vec<Api>> = const { OnceCell::new() };
    }
    let [api, flags, bytes @ ..] = data else { return None };
    APIS.with(|all| {
        let all = all.get_or_init(apis);
        let api = &all[usize::from(*api) % all.len()];
        let number = api.min + i16::from(*flags & 0x7f) % (api.max - api.min + 1);
        let version = Version { number, flexible: number >= api.flexible_from };
        let message = pick(api);
        let bytes = if *flags & 0x80 == 0 { bytes.to_vec() } else { changed(message, version, bytes) };
        Some((message, version, bytes.into()))
    })
}

/// A valid encoding that the first byte chooses; three bytes each are a place in it, and what is put there.
fn changed(message: Message, version: Version, bytes: &[u8]) -> Vec<u8> {
    let [seed, changes @ ..] = bytes else { return Vec::new() };
    let mut encoding = encoding(&message.kind, version, &mut Rng(u64::from(*seed)));
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % encoding.len().max(1);
        if let Some(byte) = encoding.get_mut(at) {
            *byte = change[2];
        }
    }
    encoding
}

fn recode_twice(message: Message, version: Version, bytes: Bytes) {
    let Ok(first) = bounded(bytes.len(), 0, || (message.recode)(bytes.clone(), version)) else { return };
    let encoded = first.encoded.unwrap_or_else(|e| panic!("{} v{}: {e}", message.name, version.number));
    let second = (message.recode)(encoded.clone(), version)
        .unwrap_or_else(|e| panic!("{} v{}: its own encoding: {e}", message.name, version.number));
    assert_eq!(second.left, 0, "{} v{}", message.name, version.number);
    assert_eq!(second.encoded, Ok(encoded), "{} v{}", message.name, version.number);
}
