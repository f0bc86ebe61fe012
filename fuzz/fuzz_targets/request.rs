//! (API, version, bytes) as a request, and the bytes as the header of one.
#![no_main]
#[path = "../common/mod.rs"]
mod common;

use bytes::Bytes;
use ottla_protocol::RequestHeader;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes::copy_from_slice(data);
    let _ = common::bounded(data.len(), 0, || RequestHeader::decode(&mut bytes));
    common::message(data, |api| api.request);
});
