//! (API, version, bytes) as a response.
#![no_main]
#[path = "../common/mod.rs"]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| common::message(data, |api| api.response));
