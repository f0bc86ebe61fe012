//! What the targets share: messages of every API, and memory that is counted.
#![allow(dead_code, reason = "each target uses a part of it")]

#[path = "../../protocol/tests/common/mod.rs"]
mod messages;

use std::alloc::System;
use std::cell::OnceCell;

use bytes::Bytes;
use messages::generate::{Rng, encoding};
use messages::{Api, Message, apis};
use ottla_protocol::Version;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Runs `work` on an input of `length` bytes and panics if it takes more memory than such an input may cost.
pub(crate) fn bounded<T>(length: usize, besides: usize, work: impl FnOnce() -> T) -> T {
    let region = Region::new(ALLOCATOR);
    let result = work();
    let taken = region.change().bytes_allocated;
    assert!(taken <= 16 * length + (1 << 20) + besides, "{taken} bytes of memory for {length} bytes of input");
    result
}

/// Takes an API and a version off the front, decodes the rest as the message of them that `pick` names, encodes what
/// comes out, and decodes that: both encodings have to be the same. The high bit of the version makes of the rest changes
/// to a valid encoding, so that what lies deep is reached without a corpus.
pub(crate) fn message(data: &[u8], pick: fn(&Api) -> Message) {
    thread_local! {
        static APIS: OnceCell<Vec<Api>> = const { OnceCell::new() };
    }
    let [api, flags, bytes @ ..] = data else { return };
    APIS.with(|all| {
        let all = all.get_or_init(apis);
        let api = &all[usize::from(*api) % all.len()];
        let number = api.min + i16::from(*flags & 0x7f) % (api.max - api.min + 1);
        let version = Version { number, flexible: number >= api.flexible_from };
        let message = pick(api);
        let bytes = if *flags & 0x80 == 0 { bytes.to_vec() } else { changed(message, version, bytes) };
        recode_twice(message, version, bytes.into());
    });
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
