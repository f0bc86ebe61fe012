//! Kafka's frames around SASL, against a scripted broker.
use ottla_protocol::messages::sasl_handshake::SaslHandshakeResponse;
use ottla_protocol::messages::{
    ApiVersionsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
    api_versions::ApiVersion,
};
use ottla_protocol::{Encoder, RequestHeader, Wire};

use super::*;
use crate::network::sasl::plain::Plain;

fn offering(handshake: i16, authenticate: Option<i16>) -> ApiVersions {
    let range = |api_key: ApiKey, max_version| ApiVersion { api_key: api_key.code(), min_version: 0, max_version };
    let mut api_keys = vec![range(ApiKey::SaslHandshake, handshake)];
    api_keys.extend(authenticate.map(|max| range(ApiKey::SaslAuthenticate, max)));
    ApiVersions::from_response(&ApiVersionsResponse { api_keys, ..Default::default() })
}

fn begin(versions: &ApiVersions) -> Authenticate {
    let plain = Plain { username: "alice".into(), password: "hunter2".into() };
    Authenticate::begin(Box::new(plain), "PLAIN", versions, "c").unwrap()
}

fn answer<R: Request<Response: Wire>>(version: i16, response: &R::Response) -> Bytes {
    let mut out = Encoder::new();
    out.put_slice(&0i32.to_be_bytes());
    if R::version(version).flexible {
        out.put_slice(&[0]);
    }
    response.encode(&mut out, R::version(version)).unwrap();
    out.into_segments().concat().into()
}

fn chosen(version: i16) -> Bytes {
    answer::<SaslHandshakeRequest>(version, &SaslHandshakeResponse::default())
}

fn next(authenticate: Authenticate, frame: Bytes) -> Authenticate {
    match authenticate.answered(frame).unwrap() {
        Next::Send(next) => next,
        Next::Done { .. } => panic!("there is more to send"),
    }
}

fn refusal(result: Result<Next, Refused>) -> String {
    result.err().expect("it is refused").reason
}

fn header(authenticate: &mut Authenticate) -> (RequestHeader, Bytes) {
    let mut frame = authenticate.frame(0).unwrap().to_bytes().slice(4..);
    (RequestHeader::decode(&mut frame).unwrap(), frame)
}

#[test]
fn handshake_v1_goes_on_with_sasl_authenticate() {
    for version in 0..=2 {
        let mut first = begin(&offering(1, Some(version)));
        let (head, _) = header(&mut first);
        assert_eq!((head.api_key, head.api_version), (17, 1));
        let mut second = next(first, chosen(1));
        let (head, body) = header(&mut second);
        assert_eq!((head.api_key, head.api_version, head.correlation_id), (36, version, 0));
        assert!(body.windows(14).any(|w| w == b"\0alice\0hunter2"));
        let response = SaslAuthenticateResponse { session_lifetime_ms: 4000, ..Default::default() };
        let Ok(Next::Done { lifetime }) = second.answered(answer::<SaslAuthenticateRequest>(version, &response)) else {
            panic!("it is done")
        };
        assert_eq!(lifetime, (version >= 1).then_some(Duration::from_secs(4)));
    }
}

#[test]
fn handshake_v0_goes_on_with_bare_tokens() {
    for versions in [offering(0, None), offering(0, Some(2)), offering(1, None)] {
        let mut first = begin(&versions);
        assert_eq!(header(&mut first).0.api_version, 0);
        let mut second = next(first, chosen(0));
        assert_eq!(&second.frame(0).unwrap().to_bytes()[..], b"\0\0\0\x0e\0alice\0hunter2");
        assert!(matches!(second.answered(Bytes::new()), Ok(Next::Done { lifetime: None })));
    }
}

#[test]
fn the_answer_to_another_request_is_no_answer() {
    let mut first = begin(&offering(1, Some(2)));
    first.frame(3).unwrap();
    let text = refusal(first.answered(chosen(1)));
    assert!(text.contains("it answered request 0, and SaslHandshake 3 was the one that waits"), "{text}");
}

#[test]
fn an_unsupported_mechanism_lists_what_the_broker_offers() {
    let response = SaslHandshakeResponse { error_code: 33, mechanisms: vec!["SCRAM-SHA-256".into(), "GSSAPI".into()] };
    let text = refusal(begin(&offering(1, Some(2))).answered(answer::<SaslHandshakeRequest>(1, &response)));
    assert!(text.contains("sasl.mechanism") && text.contains("SCRAM-SHA-256, GSSAPI"), "{text}");
}

#[test]
fn a_listener_without_sasl_says_so() {
    let response = SaslHandshakeResponse { error_code: 34, mechanisms: vec![] };
    let text = refusal(begin(&offering(1, Some(2))).answered(answer::<SaslHandshakeRequest>(1, &response)));
    assert!(text.contains("security.protocol"), "{text}");
}

#[test]
fn a_wrong_password_is_told_in_the_brokers_words() {
    let second = next(begin(&offering(1, Some(2))), chosen(1));
    let response = SaslAuthenticateResponse {
        error_code: 58,
        error_message: Some("Authentication failed: Invalid username or password".into()),
        ..Default::default()
    };
    let text = refusal(second.answered(answer::<SaslAuthenticateRequest>(2, &response)));
    assert_eq!(
        text,
        "SASL_AUTHENTICATION_FAILED (58): Authentication failed: Invalid username or password; check the user name and the \
         password (sasl.jaas.config)"
    );
}

#[test]
fn a_session_is_renewed_before_it_ends() {
    assert_eq!(reauthenticate_after(Duration::from_secs(4), 0.0), Duration::from_millis(3400));
    assert_eq!(reauthenticate_after(Duration::from_secs(4), 1.0), Duration::from_millis(3800));
}

#[test]
fn a_frame_is_overwritten_where_nobody_else_holds_it() {
    let frame = next(begin(&offering(1, Some(2))), chosen(1)).frame(0).unwrap();
    let held = frame.0[0].clone();
    wipe(frame);
    assert!(held.windows(7).any(|w| w == b"hunter2"), "a frame that somebody holds stays");
}
