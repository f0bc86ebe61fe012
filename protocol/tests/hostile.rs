//! Bytes that nobody honest sends: an error or a value, never a panic, and never much more memory than there is input.
mod common;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use common::generate::{Rng, encoding};
use common::{Message, apis};
use ottla_protocol::compression::{Compression, decompress};
use ottla_protocol::messages::*;
use ottla_protocol::record::{BatchBuilder, RecordBatch, RecordError};
use ottla_protocol::{ApiKey, DecodeError, FrameDecoder, Request, RequestHeader, ResponseHeader, Version};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that decoding may take in all, freed ones included: so much for each byte of input, and so much besides.
const PER_BYTE: usize = 64;
const BESIDES: usize = 64 << 10;

/// What is allocated is counted for the whole process, so one test runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decodes and encodes again: what comes out has to be stable.
fn try_on(message: Message, version: Version, bytes: &Bytes) {
    let region = Region::new(ALLOCATOR);
    let recoded = (message.recode)(bytes.clone(), version);
    let taken = region.change().bytes_allocated;
    // Encoding takes its own buffer, which grows by doubling.
    let allowed = bytes.len() * (PER_BYTE + 8) + BESIDES;
    assert!(taken <= allowed, "{} v{}: {taken} bytes for {bytes:x?}", message.name, version.number);
    let Ok(recoded) = recoded else { return };
    let Ok(encoded) = recoded.encoded else {
        panic!("{} v{}: a decoded value does not encode: {recoded:?} {bytes:x?}", message.name, version.number)
    };
    let again = (message.recode)(encoded.clone(), version).expect("what was encoded decodes");
    assert_eq!(again.encoded, Ok(encoded), "{} v{}: {bytes:x?}", message.name, version.number);
}

/// Two valid encodings of every message in every version.
fn each(mut test: impl FnMut(Message, Version, Bytes, &mut Rng)) {
    for api in apis() {
        for version in api.versions() {
            for message in api.messages() {
                let mut rng = Rng(u64::from(version.number.unsigned_abs()));
                for _ in 0..2 {
                    let mut bytes = encoding(&message.kind, version, &mut rng);
                    bytes.truncate(1500);
                    test(message, version, bytes.into(), &mut rng);
                }
            }
        }
    }
}

#[test]
fn a_message_cut_anywhere_is_an_error() {
    let _alone = alone();
    each(|message, version, bytes, _| {
        let whole = (message.recode)(bytes.clone(), version).is_ok();
        for end in 0..bytes.len() {
            let cut = (message.recode)(bytes.slice(..end), version);
            assert!(cut.is_err() || !whole, "{} v{}: cut at {end}", message.name, version.number);
        }
    });
}

#[test]
fn flipped_bits_give_an_error_or_a_value() {
    let _alone = alone();
    each(|message, version, bytes, rng| {
        for _ in 0..60 {
            let mut bytes = bytes.to_vec();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
            try_on(message, version, &bytes.into());
        }
    });
}

#[test]
fn huge_lengths_anywhere_take_no_memory() {
    const LENGTHS: [&[u8]; 5] = [
        &i32::MAX.to_be_bytes(),
        &i32::MIN.to_be_bytes(),
        &[0x7f, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0x7f],
    ];
    let _alone = alone();
    each(|message, version, bytes, _| {
        // Long messages are sampled.
        for at in (0..bytes.len()).step_by(bytes.len() / 60 + 1) {
            for length in LENGTHS {
                let mut bytes = bytes.to_vec();
                bytes.splice(at..(at + length.len()).min(bytes.len()), length.iter().copied());
                try_on(message, version, &bytes.into());
            }
        }
    });
}

#[test]
fn noise_gives_an_error_or_a_value() {
    let _alone = alone();
    each(|message, version, _, rng| {
        for _ in 0..10 {
            // Small numbers make lengths that fit.
            let most = if rng.one_in(2) { 256 } else { 4 };
            let bytes: Vec<u8> = (0..rng.below(400)).map(|_| rng.below(most) as u8).collect();
            try_on(message, version, &bytes.into());
        }
    });
}

/// As many items as the input can hold, each as short as it can be: what a peer gains most memory from.
#[test]
fn many_tiny_items_take_a_bounded_multiple_of_the_input() {
    let _alone = alone();
    each(|message, version, _, _| {
        for fill in [0u8, 1, 2, 0xff] {
            let mut bytes = vec![fill; 4000];
            bytes.splice(..0, if version.flexible { vec![0x80, 0x10] } else { 1000i32.to_be_bytes().to_vec() });
            for skip in 0..5 {
                let bytes: Bytes = [vec![0; skip], bytes.clone()].concat().into();
                try_on(message, version, &bytes);
            }
        }
    });
}

#[test]
fn six_bytes_that_claim_two_billion_apis_are_an_error() {
    let _alone = alone();
    let region = Region::new(ALLOCATOR);
    let reply = Bytes::from_static(&[0, 0, 0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(ApiVersionsRequest::decode_response(0, reply), Err(DecodeError::Length(i64::from(i32::MAX))));
    let compact = Bytes::from_static(&[0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(ApiVersionsRequest::decode_response(3, compact), Err(DecodeError::Length(i64::from(u32::MAX) - 1)));
    let metadata = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(MetadataRequest::decode_response(1, metadata), Err(DecodeError::Length(i64::from(i32::MAX))));
    let fetch = Bytes::from_static(&[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(FetchRequest::decode_response(4, fetch), Err(DecodeError::Length(i64::from(i32::MAX))));
    assert!(region.change().bytes_allocated < 1024);
}

#[test]
fn bytes_after_a_message_are_an_error() {
    let _alone = alone();
    let reply = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(ApiVersionsRequest::decode_response(0, reply), Err(DecodeError::Trailing(1)));
}

#[test]
fn a_tag_that_comes_twice_is_an_error_and_an_unknown_one_is_skipped() {
    let _alone = alone();
    // throttle time, error code, tags: 77 of three bytes, and again.
    let twice = [0, 0, 0, 5, 0, 0, 2, 77, 3, 1, 2, 3, 77, 0];
    let reply = Bytes::copy_from_slice(&twice);
    assert_eq!(HeartbeatRequest::decode_response(4, reply), Err(DecodeError::DuplicateTag(77)));
    let once = Bytes::from_static(&[0, 0, 0, 5, 0, 0, 1, 77, 3, 1, 2, 3]);
    let expected = HeartbeatResponse { throttle_time_ms: 5, ..Default::default() };
    assert_eq!(HeartbeatRequest::decode_response(4, once), Ok(expected));
}

#[test]
fn null_where_a_version_has_none_is_an_error() {
    let _alone = alone();
    // Metadata 0 asks for all topics with an empty list; null came with version 1.
    let null = Bytes::from_static(&[0xff; 4]);
    let decode = |version| {
        <MetadataRequest as ottla_protocol::Wire>::decode(&mut null.clone(), MetadataRequest::version(version))
    };
    assert_eq!(decode(0), Err(DecodeError::Null));
    assert_eq!(decode(1).map(|request| request.topics), Ok(None));
}

#[test]
fn a_struct_is_there_unless_its_marker_is_negative() {
    let _alone = alone();
    // As in Java (MessageDataGenerator.java); kafka-protocol 0.18 takes all but 1 for null.
    for (marker, is_there) in [(-1_i8, false), (-128, false), (0, true), (1, true), (127, true)] {
        let mut body = vec![0; 4 + 2 + 1 + 1 + 4 + 4];
        body.push(marker.cast_unsigned());
        // No partitions, and no tagged fields of the assignment.
        body.extend(if is_there { &[1, 0][..] } else { &[] });
        body.push(0);
        let response = ConsumerGroupHeartbeatRequest::decode_response(1, Bytes::from(body));
        assert_eq!(response.map(|response| response.assignment.is_some()), Ok(is_there), "{marker}");
    }
}

#[test]
fn headers_survive_noise() {
    let _alone = alone();
    let mut rng = Rng(3);
    for _ in 0..20_000 {
        let bytes: Bytes = (0..rng.below(40)).map(|_| rng.next() as u8 & 0x83).collect();
        let region = Region::new(ALLOCATOR);
        let _ = RequestHeader::decode(&mut bytes.clone());
        let _ = ResponseHeader::decode(ApiKey::Fetch, 12, &mut bytes.clone());
        assert!(region.change().bytes_allocated < 4096);
    }
}

#[test]
fn frames_cut_anywhere_come_out_as_they_went_in() {
    let _alone = alone();
    let mut rng = Rng(4);
    for _ in 0..200 {
        let frames: Vec<Vec<u8>> = (0..6).map(|_| (0..rng.below(3000)).map(|_| rng.next() as u8).collect()).collect();
        let mut wire = Bytes::from_iter(frames.iter().flat_map(|f| [&(f.len() as u32).to_be_bytes()[..], f].concat()));
        let mut decoder = FrameDecoder::new(3000);
        let mut seen = Vec::new();
        while wire.has_remaining() {
            let piece = wire.split_to((1 + rng.below(900)).min(wire.len()));
            decoder.buffer().extend_from_slice(&piece);
            while let Some(frame) = decoder.next_frame().expect("the frames are good") {
                seen.push(frame.to_vec());
            }
        }
        assert_eq!(seen, frames);
        assert_eq!(decoder.pending(), 0);
    }
}

#[test]
fn a_frame_too_long_or_negative_is_an_error_and_takes_no_memory() {
    let _alone = alone();
    for (length, error) in [
        (1001u32, DecodeError::FrameTooLong(1001)),
        (i32::MAX as u32, DecodeError::FrameTooLong(i32::MAX as usize)),
        (0x8000_0000, DecodeError::Length(i64::from(i32::MIN))),
        (u32::MAX, DecodeError::Length(-1)),
    ] {
        let mut decoder = FrameDecoder::new(1000);
        let region = Region::new(ALLOCATOR);
        decoder.buffer().extend_from_slice(&length.to_be_bytes());
        assert_eq!(decoder.next_frame(), Err(error));
        decoder.buffer();
        assert!(region.change().bytes_allocated <= 256 << 10, "{:?}", region.change());
    }
}

#[test]
fn a_decompression_bomb_takes_no_more_than_a_small_multiple_of_the_limit() {
    let _alone = alone();
    const LIMIT: usize = 1 << 20;
    for codec in Compression::ALL {
        let mut bomb = BatchBuilder::with_capacity(32 << 20);
        bomb.append(0, None, Some(&vec![0; 32 << 20]), &[]);
        let mut bytes = bomb.finish(codec, None).expect("the codec is compiled in").records().into_bytes();
        let batch = RecordBatch::split_from(&mut bytes).expect("a batch").expect("a whole one");
        let region = Region::new(ALLOCATOR);
        assert_eq!(batch.decompress(LIMIT).is_err(), codec != Compression::None);
        let taken = region.change().bytes_allocated;
        assert!(taken <= 3 * LIMIT, "{codec}: {taken}");
    }
}

/// A block of a legacy frame may hold 8 MiB, for which a decoder takes memory before it has read any.
#[test]
fn an_lz4_frame_of_the_legacy_format_is_an_error_and_takes_no_memory() {
    let _alone = alone();
    let frame = [&0x184c_2102u32.to_le_bytes()[..], &[4, 0, 0, 0, 0x10, 0, 0, 0]].concat();
    let region = Region::new(ALLOCATOR);
    assert_eq!(decompress(Compression::Lz4, &frame, 64 << 20), Err(RecordError::Decompress));
    assert!(region.change().bytes_allocated < 1024, "{:?}", region.change());
}
