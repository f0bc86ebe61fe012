//! Requests and responses of which only their bytes are known.
mod common;

use bytes::Bytes;
use common::apis;
use common::generate::{Rng, encoding};
use ottla_protocol::messages::{
    AnyRequest, AnyResponse, ApiVersionsRequest, ApiVersionsResponse, HeartbeatRequest, HeartbeatResponse,
};
use ottla_protocol::{ApiKey, DecodeError, Request};

#[test]
fn every_request_is_read_and_written_as_a_frame() {
    let mut frames = 0usize;
    for api in apis() {
        for version in api.versions() {
            let mut rng = Rng(version.number as u64);
            let body = encoding(&api.request.kind, version, &mut rng);
            let whole = (api.frame)(body.into(), version);
            let (header, request) = AnyRequest::decode_frame(whole.slice(4..)).expect("a valid frame");
            assert_eq!((header.api_key, header.api_version), (api.key.code(), version.number));
            assert_eq!(request.api_key(), api.key);
            let again = request.encode_frame(version.number, header.correlation_id, header.client_id.as_deref());
            assert_eq!(again.expect("its own version").to_bytes(), whole, "{} v{}", api.key, version.number);
            frames += 1;
        }
    }
    println!("{frames} requests (API × version)");
    assert_eq!(
        frames,
        ApiKey::ALL.iter().map(|api| (api.versions().max - api.versions().min + 1) as usize).sum::<usize>()
    );
}

#[test]
fn every_response_is_read_and_written_as_a_frame() {
    for api in apis() {
        for version in api.versions() {
            let mut rng = Rng(version.number as u64);
            let body = encoding(&api.response.kind, version, &mut rng);
            // The header of an ApiVersions response never has tagged fields.
            let tags: &[u8] = if version.flexible && api.key != ApiKey::ApiVersions { &[0] } else { &[] };
            let frame = Bytes::from([&[0, 0, 0, 9], tags, &body].concat());
            let (header, response) = AnyResponse::decode_frame(api.key, version.number, frame.clone())
                .unwrap_or_else(|e| panic!("{} v{}: {e}", api.key, version.number));
            assert_eq!((header.correlation_id, response.api_key()), (9, api.key));
            let again = response.encode_frame(version.number, 9).expect("its own version").to_bytes();
            assert_eq!(again[..4], (frame.len() as u32).to_be_bytes());
            assert_eq!(again[4..], frame, "{} v{}", api.key, version.number);
        }
    }
}

#[test]
fn an_api_or_version_that_is_not_known_is_named() {
    let frame = |key: i16, version: i16| {
        let mut frame = HeartbeatRequest::default().encode_frame(0, 1, None).expect("a frame").to_bytes().to_vec();
        frame[4..6].copy_from_slice(&key.to_be_bytes());
        frame[6..8].copy_from_slice(&version.to_be_bytes());
        AnyRequest::decode_frame(Bytes::from(frame).slice(4..)).expect_err("not known")
    };
    assert_eq!(frame(999, 0).to_string(), "API 999 is not known");
    assert_eq!(frame(12, -1).to_string(), "version -1 of Heartbeat is not known");
    let response = AnyResponse::decode_frame(ApiKey::Heartbeat, 5, Bytes::from_static(&[0; 40]));
    assert_eq!(response, Err(DecodeError::Unknown { api_key: 12, version: 5 }));
}

#[test]
fn bytes_after_a_request_or_response_are_an_error() {
    let request = HeartbeatRequest::default().encode_frame(4, 1, None).expect("a frame").to_bytes();
    let longer = Bytes::from([&request[4..], &[0]].concat());
    assert_eq!(AnyRequest::decode_frame(longer), Err(DecodeError::Trailing(1)));
    let response = HeartbeatResponse::default();
    let response = HeartbeatRequest::encode_response_frame(&response, 4, 1).expect("a frame").to_bytes();
    let longer = Bytes::from([&response[4..], &[0, 0]].concat());
    assert_eq!(AnyResponse::decode_frame(ApiKey::Heartbeat, 4, longer), Err(DecodeError::Trailing(2)));
}

#[test]
fn bytes_after_a_tagged_field_that_is_known_are_an_error() {
    // Error, no API, throttle, one tagged field: the epoch of the finalized features.
    let body = |length: u8, epoch: &[u8]| Bytes::from([&[0, 0, 1, 0, 0, 0, 0, 1, 1, length], epoch].concat());
    let good = ApiVersionsRequest::decode_response(3, body(8, &[0, 0, 0, 0, 0, 0, 0, 9]));
    assert_eq!(good.map(|r| r.finalized_features_epoch), Ok(9));
    let longer = ApiVersionsRequest::decode_response(3, body(9, &[0, 0, 0, 0, 0, 0, 0, 9, 7]));
    assert_eq!(longer, Err(DecodeError::Trailing(1)));
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    // KIP-511: a broker that does not know the version asked for answers in version 0, with error 35.
    let reply = Bytes::from_static(&[0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
    for asked in 0..=5 {
        let (_, AnyResponse::ApiVersions(ApiVersionsResponse { error_code, api_keys, .. })) =
            AnyResponse::decode_frame(ApiKey::ApiVersions, asked, reply.clone()).expect("a version 0 reply")
        else {
            panic!("another API")
        };
        assert_eq!((error_code, api_keys.len(), api_keys[0].max_version), (35, 1, 4));
    }
}
