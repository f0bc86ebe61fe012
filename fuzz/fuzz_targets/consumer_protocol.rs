//! Bytes as what members of a group hand each other.
#![no_main]
#[path = "../common/mod.rs"]
mod common;

use std::fmt::Debug;

use bytes::Bytes;
use ottla_protocol::consumer_protocol::{
    ConsumerProtocolAssignment as Assignment, ConsumerProtocolSubscription as Subscription, CooperativeStickyUserData,
    StickyUserData,
};
use ottla_protocol::{DecodeError, EncodeError};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    twice(&bytes, Subscription::from_bytes, Subscription::to_bytes);
    twice(&bytes, Assignment::from_bytes, Assignment::to_bytes);
    twice(&bytes, StickyUserData::from_bytes, StickyUserData::to_bytes);
    twice(&bytes, CooperativeStickyUserData::from_bytes, CooperativeStickyUserData::to_bytes);
    if let Ok(subscription) = Subscription::from_bytes(bytes) {
        for version in 0..3 {
            let older = subscription.to_version(version).expect("what it cannot carry is dropped");
            let older = Subscription::from_bytes(older).expect("our own bytes");
            assert_eq!((&older.topics, &older.user_data), (&subscription.topics, &subscription.user_data));
        }
    }
});

/// What is read is written so that it reads the same.
fn twice<T: Debug + PartialEq>(
    bytes: &Bytes,
    read: fn(Bytes) -> Result<T, DecodeError>,
    write: fn(&T) -> Result<Bytes, EncodeError>,
) {
    let Ok(value) = common::bounded(bytes.len(), 0, || read(bytes.clone())) else { return };
    let written = common::bounded(bytes.len(), 0, || write(&value)).expect("it came from no more bytes");
    assert_eq!(read(written), Ok(value));
}
