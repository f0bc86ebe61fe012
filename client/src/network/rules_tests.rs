//! The rules of connections (`client.md` §3), each against a broker that does what the test says.
#![allow(clippy::disallowed_methods, reason = "a test")]
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialUpsertion,
};
use ottla_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FindCoordinatorRequest, MetadataRequest, MetadataResponse,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use ottla_protocol::{ApiKey, ErrorCode, Request, RequestHeader, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Lane;
use super::bench_tests::{BROKER, Bench, LONG, Peer, at, eventually, find, found, offer};
use super::least_loaded::Standing;
use crate::error::Error;
use crate::types::BrokerId;

#[tokio::test]
async fn opening_asks_for_versions_before_and_after_sasl() {
    let mut bench = Bench::new(Bench::sasl);
    let opening = bench.open(BROKER, Lane::General);
    let mut peer = bench.peer().await;
    peer.versions().await;
    peer.sasl(Duration::ZERO).await;
    assert!(!opening.is_finished(), "not ready yet");
    peer.versions().await;
    assert!(!opening.await.unwrap().unwrap().is_closed());
}

#[tokio::test]
async fn setup_timeout_covers_sasl_too_and_doubles_with_failures() {
    let mut bench = Bench::new(|config| {
        Bench::sasl(config);
        config.socket_connection_setup_timeout = Duration::from_millis(100);
        config.reconnect_backoff = Duration::from_millis(1);
    });
    let mut times = Vec::new();
    for _ in 0..2 {
        let opening = bench.open(BROKER, Lane::General);
        let mut peer = bench.peer().await;
        let started = Instant::now();
        peer.versions().await;
        let text = opening.await.unwrap().unwrap_err().to_string();
        assert!(text.contains("while authenticating"), "{text}");
        times.push(started.elapsed());
    }
    assert!(times[0] >= Duration::from_millis(70) && times[1] >= Duration::from_millis(150), "{times:?}");
}

#[tokio::test]
async fn unknown_api_versions_version_falls_back_on_close_and_is_remembered() {
    let mut bench = Bench::new(|_| {});
    let opening = bench.open(BROKER, Lane::General);
    let mut versions = Vec::new();
    for _ in 0..2 {
        versions.push(bench.peer().await.expect(ApiKey::ApiVersions).await.0.api_version);
    }
    let mut peer = bench.peer().await;
    versions.push(peer.versions().await.0);
    assert_eq!(versions, [5, 4, 3]);
    let first = opening.await.unwrap().unwrap();
    let opening = bench.open(BROKER, Lane::Produce);
    let mut peer = bench.peer().await;
    assert_eq!(peer.versions().await.0, 3, "another connection to it asks with 3 at once");
    opening.await.unwrap().unwrap().close("the test is over with it");
    // Once no connection is left the broker may be a newer one.
    first.close("the test is over with it");
    let opening = bench.open(BROKER, Lane::General);
    let mut peer = bench.peer().await;
    assert_eq!(peer.versions().await.0, 5);
    opening.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_older_version_of_an_address_is_known_whatever_the_broker_is_called() {
    let mut bench = Bench::new(|_| {});
    bench.pool.set_addresses([(BrokerId(4), "broker4", 9092)].into_iter());
    let opening = bench.open(BROKER, Lane::General);
    for _ in 0..2 {
        bench.peer().await.expect(ApiKey::ApiVersions).await;
    }
    let mut peer = bench.peer().await;
    assert_eq!(peer.versions().await.0, 3);
    let _bootstrap = opening.await.unwrap().unwrap();
    let opening = bench.open(BrokerId(4), Lane::General);
    assert_eq!(bench.peer().await.versions().await.0, 3, "it is the same address");
    opening.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broker_that_refuses_version_0_too_is_given_up() {
    let mut bench = Bench::new(|_| {});
    let opening = bench.open(BROKER, Lane::General);
    let mut peer = bench.peer().await;
    for version in [5, 0] {
        let (header, _) = peer.expect(ApiKey::ApiVersions).await;
        assert_eq!(header.api_version, version);
        // Whatever the version was, such an answer is in version 0.
        let header = RequestHeader { api_version: 0, ..header };
        let refused = ApiVersionsResponse { error_code: 35, ..Default::default() };
        peer.answer::<ApiVersionsRequest>(&header, &refused).await;
    }
    let error = opening.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && error.is_fatal(), "{error:?}");
    assert!(error.to_string().contains("upgrade it"), "{error}");
}

#[tokio::test]
async fn refused_authentications_in_a_row_say_since_when() {
    let mut bench = Bench::new(|config| {
        Bench::sasl(config);
        config.reconnect_backoff = Duration::from_millis(1);
    });
    let mut texts = Vec::new();
    for _ in 0..2 {
        let opening = bench.open(BROKER, Lane::General);
        let mut peer = bench.peer().await;
        peer.versions().await;
        let (header, _) = peer.expect(ApiKey::SaslHandshake).await;
        peer.answer::<SaslHandshakeRequest>(&header, &SaslHandshakeResponse::default()).await;
        let (header, _) = peer.expect(ApiKey::SaslAuthenticate).await;
        let refused = SaslAuthenticateResponse { error_code: 58, ..Default::default() };
        peer.answer::<SaslAuthenticateRequest>(&header, &refused).await;
        let error = opening.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Authentication { .. }), "{error}");
        texts.push(error.to_string());
    }
    assert!(!texts[0].contains("in a row"), "{}", texts[0]);
    assert!(texts[1].contains("(failure 2 in a row, the first ") && texts[1].ends_with(" ago)"), "{}", texts[1]);
}

#[tokio::test]
async fn each_attempt_takes_the_next_address_and_the_name_is_resolved_again_when_they_are_used_up() {
    let bench = Bench::new(|config| config.reconnect_backoff = Duration::from_millis(1));
    *bench.network.names.lock().unwrap() = VecDeque::from([vec![at(1), at(2)], vec![at(3)]]);
    *bench.network.refusing.lock().unwrap() = true;
    for _ in 0..3 {
        bench.attempt().await;
    }
    assert_eq!(bench.addresses(), [1, 2, 3]);
    assert_eq!(*bench.network.resolved.lock().unwrap(), 2);
}

#[tokio::test]
async fn the_name_is_resolved_again_after_a_connection_was_ready() {
    let mut bench = Bench::new(|_| {});
    *bench.network.names.lock().unwrap() = VecDeque::from([vec![at(1), at(2)], vec![at(7)]]);
    let (connection, peer) = bench.ready().await;
    drop(peer);
    eventually("the connection ends", || connection.is_closed()).await;
    bench.ready().await;
    assert_eq!(bench.addresses(), [1, 7], "not the second address of the old list");
}

#[tokio::test]
async fn attempts_keep_a_growing_distance_until_one_is_ready() {
    let bench = Bench::new(|config| config.reconnect_backoff = Duration::from_millis(40));
    *bench.network.refusing.lock().unwrap() = true;
    for _ in 0..4 {
        bench.attempt().await;
    }
    let dialed = bench.network.dialed.lock().unwrap().clone();
    let gaps: Vec<_> = dialed.windows(2).map(|w| w[1].1.duration_since(w[0].1).as_millis()).collect();
    assert!(gaps[0] >= 32 && gaps[1] >= 64 && gaps[2] >= 128, "{gaps:?}");
}

#[tokio::test]
async fn a_broker_is_told_who_it_is_taken_for_and_may_refuse() {
    let mut bench = Bench::new(|_| {});
    bench.pool.set_cluster_id(Some("abc"));
    bench.pool.set_addresses([(BrokerId(4), "broker4", 9092)].into_iter());
    let opening = bench.open(BrokerId(4), Lane::General);
    let mut peer = bench.peer().await;
    let (header, mut body) = peer.expect(ApiKey::ApiVersions).await;
    let asked: ApiVersionsRequest = Wire::decode(&mut body, ApiVersionsRequest::version(5)).unwrap();
    assert_eq!((asked.cluster_id.as_deref(), asked.node_id), (Some("abc"), 4));
    let refused = ApiVersionsResponse { error_code: 129, ..Default::default() };
    peer.answer::<ApiVersionsRequest>(&header, &refused).await;
    let refused = opening.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::RebootstrapRequired));
    assert!(refused.to_string().contains("ApiVersions v5 of who we take the broker for at broker 4 (broker4:9092)"));
    // A bootstrap server may be any broker of any cluster.
    let opening = bench.open(BROKER, Lane::General);
    let (_, asked) = bench.peer().await.versions().await;
    assert_eq!((asked.cluster_id, asked.node_id), (None, -1));
    opening.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_being_opened_to_an_old_broker_is_left_too_when_a_client_begins_again() {
    let mut bench = Bench::new(|_| {});
    bench.pool.set_addresses([(BrokerId(4), "broker4", 9092)].into_iter());
    let opening = bench.open(BrokerId(4), Lane::General);
    let mut peer = bench.peer().await;
    bench.pool.rebootstrap();
    peer.versions().await;
    let error = opening.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(bench.pool.ready(BrokerId(4), Lane::General).is_none());
    assert!(peer.request().await.is_none(), "the client hangs up");
}

#[tokio::test]
async fn a_reconnect_backoff_of_0_is_no_wait() {
    let bench = Bench::new(|config| config.reconnect_backoff = Duration::ZERO);
    *bench.network.refusing.lock().unwrap() = true;
    for _ in 0..12 {
        bench.attempt().await;
        let standing = bench.pool.standings([BROKER]);
        assert_eq!(standing, [(BROKER, Standing::CanConnect { reached: false })]);
    }
}

#[tokio::test]
async fn a_broker_is_ready_connecting_backing_off_or_reached_in_another_way() {
    let mut bench = Bench::new(|config| config.reconnect_backoff = Duration::from_secs(60));
    let standing = |bench: &Bench| bench.pool.standings([BROKER])[0].1;
    assert_eq!(standing(&bench), Standing::CanConnect { reached: false });
    let opening = bench.open(BROKER, Lane::General);
    let mut peer = bench.peer().await;
    assert_eq!(standing(&bench), Standing::Connecting);
    peer.versions().await;
    let connection = opening.await.unwrap().unwrap();
    assert_eq!(standing(&bench), Standing::Ready { muted: false, in_flight: 0 });
    connection.mute(LONG);
    assert_eq!(standing(&bench), Standing::Ready { muted: true, in_flight: 0 });
    let opening = bench.open(BROKER, Lane::Produce);
    let mut other = bench.peer().await;
    other.versions().await;
    let _reached = opening.await.unwrap().unwrap();
    connection.close("the test wants it so");
    assert_eq!(standing(&bench), Standing::CanConnect { reached: true });
    *bench.network.refusing.lock().unwrap() = true;
    bench.attempt().await;
    assert_eq!(standing(&bench), Standing::BackingOff { reached: true });
}

#[tokio::test]
async fn every_lane_of_a_broker_is_a_connection_of_its_own() {
    let mut bench = Bench::new(|_| {});
    let mut kept = Vec::new();
    for lane in [Lane::General, Lane::Produce, Lane::Fetch(0), Lane::Fetch(1), Lane::Coordinator] {
        let opening = bench.open(BROKER, lane);
        let mut peer = bench.peer().await;
        peer.versions().await;
        kept.push((opening.await.unwrap().unwrap(), peer));
    }
    assert_eq!(bench.addresses().len(), 5);
}

#[tokio::test]
async fn another_answer_than_the_next_poisons_the_connection() {
    let mut bench = Bench::new(|_| {});
    let (connection, mut peer) = bench.ready().await;
    let replies = [connection.send(&find(1), 2).unwrap(), connection.send(&find(2), 2).unwrap()];
    peer.expect(ApiKey::FindCoordinator).await;
    let (second, body) = peer.expect(ApiKey::FindCoordinator).await;
    peer.answer::<FindCoordinatorRequest>(&second, &found(&body, 2)).await;
    for reply in replies {
        assert!(matches!(reply.await, Err(Error::Disconnected { written: true, .. })));
    }
    assert!(connection.is_closed());
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_poisons_the_connection() {
    let mut bench = Bench::new(|_| {});
    let (connection, mut peer) = bench.ready().await;
    let (unread, behind) = (connection.send(&find(1), 2).unwrap(), connection.send(&find(2), 2).unwrap());
    let (header, _) = peer.expect(ApiKey::FindCoordinator).await;
    let frame = [&header.correlation_id.to_be_bytes()[..], &[0, 0]].concat();
    peer.stream.write_all(&(frame.len() as u32).to_be_bytes()).await.unwrap();
    peer.stream.write_all(&frame).await.unwrap();
    assert!(matches!(unread.await, Err(Error::Malformed { .. })));
    let text = behind.await.unwrap_err().to_string();
    assert!(text.contains("FindCoordinator"), "it says what could not be read: {text}");
    assert!(connection.is_closed());
}

#[tokio::test]
async fn one_expired_request_ends_the_connection_and_the_others_are_possibly_done() {
    let mut bench = Bench::new(|config| config.request_timeout = Duration::from_secs(60));
    let (connection, mut peer) = bench.ready().await;
    let patient = connection.send(&find(1), 2).unwrap();
    let hasty = connection.send_with_timeout(&find(2), 2, Duration::from_millis(50)).unwrap();
    peer.expect(ApiKey::FindCoordinator).await;
    for reply in [patient, hasty] {
        let error = timeout(LONG, reply).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Disconnected { written: true, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_reply_that_nobody_waits_for_hurts_nobody() {
    let mut bench = Bench::new(|_| {});
    let (connection, mut peer) = bench.ready().await;
    drop(connection.send(&find(1), 2).unwrap());
    let kept = connection.send(&find(2), 2).unwrap();
    for _ in 0..2 {
        let (header, body) = peer.expect(ApiKey::FindCoordinator).await;
        peer.answer::<FindCoordinatorRequest>(&header, &found(&body, 2)).await;
    }
    assert_eq!(kept.await.unwrap().node_id, 2);
}

#[tokio::test]
async fn a_throttled_connection_writes_nothing_until_the_time_is_over() {
    let mut bench = Bench::new(|_| {});
    let (connection, mut peer) = bench.ready().await;
    for (version, muted) in [(5, false), (6, true)] {
        let reply = connection.send(&MetadataRequest::default(), version).unwrap();
        let (header, _) = peer.expect(ApiKey::Metadata).await;
        let throttled = MetadataResponse { throttle_time_ms: 300, ..Default::default() };
        let answered = Instant::now();
        peer.answer::<MetadataRequest>(&header, &throttled).await;
        reply.await.unwrap();
        let next = connection.send(&find(1), 2).unwrap();
        let (header, body) = peer.expect(ApiKey::FindCoordinator).await;
        assert_eq!(answered.elapsed() >= Duration::from_millis(300), muted, "Metadata v{version}");
        peer.answer::<FindCoordinatorRequest>(&header, &found(&body, 2)).await;
        next.await.unwrap();
    }
}

#[tokio::test]
async fn the_answer_that_opens_a_connection_throttles_it_too() {
    let mut bench = Bench::new(|_| {});
    let opening = bench.open(BROKER, Lane::General);
    let mut peer = bench.peer().await;
    let (header, _) = peer.expect(ApiKey::ApiVersions).await;
    let throttled = ApiVersionsResponse { throttle_time_ms: 300, ..offer() };
    let answered = Instant::now();
    peer.answer::<ApiVersionsRequest>(&header, &throttled).await;
    let _reply = opening.await.unwrap().unwrap().send(&find(1), 2).unwrap();
    peer.expect(ApiKey::FindCoordinator).await;
    assert!(answered.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_request_that_waits_in_the_queue_shows_none_of_its_bytes() {
    let mut bench = Bench::new(|_| {});
    let (connection, _peer) = bench.ready().await;
    connection.mute(Duration::from_secs(60));
    let upsertion = ScramCredentialUpsertion { salted_password: Bytes::from_static(b"hunter2"), ..Default::default() };
    let request = AlterUserScramCredentialsRequest { upsertions: vec![upsertion], ..Default::default() };
    let _reply = connection.send(&request, 0).unwrap();
    let text = format!("{:?} {connection:?}", bench.pool);
    assert!(text.contains("AlterUserScramCredentials") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn the_general_lane_has_at_most_100_requests_in_flight() {
    let mut bench = Bench::new(|_| {});
    let (connection, mut peer) = bench.ready().await;
    let mut replies = Vec::new();
    for key in 0..101 {
        replies.push(connection.send(&find(key), 2).unwrap());
    }
    let mut asked = Vec::new();
    for _ in 0..100 {
        asked.push(peer.expect(ApiKey::FindCoordinator).await);
    }
    assert!(peer.is_quiet_for(Duration::from_millis(100)).await);
    let (header, body) = &asked[0];
    peer.answer::<FindCoordinatorRequest>(header, &found(body, 2)).await;
    asked.push(peer.expect(ApiKey::FindCoordinator).await);
    for (header, body) in &asked[1..] {
        peer.answer::<FindCoordinatorRequest>(header, &found(body, 2)).await;
    }
    for (key, reply) in replies.into_iter().enumerate() {
        assert_eq!(usize::try_from(reply.await.unwrap().node_id), Ok(key));
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_never_with_something_in_flight() {
    let mut bench = Bench::new(|config| config.connections_max_idle = Some(Duration::from_millis(100)));
    let (connection, mut peer) = bench.ready().await;
    let reply = connection.send(&find(1), 2).unwrap();
    let (header, body) = peer.expect(ApiKey::FindCoordinator).await;
    assert!(peer.is_quiet_for(Duration::from_millis(300)).await && !connection.is_closed());
    peer.answer::<FindCoordinatorRequest>(&header, &found(&body, 2)).await;
    reply.await.unwrap();
    assert!(peer.request().await.is_none(), "it is closed");
    assert!(connection.is_closed());
}

#[tokio::test]
async fn reauthentication_loses_and_reorders_nothing() {
    let mut bench = Bench::new(Bench::sasl);
    let opening = bench.open(BROKER, Lane::General);
    let mut peer = bench.peer().await;
    let lifetime = Duration::from_millis(300);
    peer.versions().await;
    peer.sasl(lifetime).await;
    peer.versions().await;
    let connection = opening.await.unwrap().unwrap();
    let broker = tokio::spawn(serve_slowly(peer, lifetime));
    let mut replies = VecDeque::new();
    let started = Instant::now();
    let mut key = 0;
    while started.elapsed() < Duration::from_millis(1200) {
        replies.push_back((key, connection.send(&find(key), 2).unwrap()));
        key += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
        if replies.len() > 50 {
            let (key, reply) = replies.pop_front().unwrap();
            assert_eq!(usize::try_from(reply.await.unwrap().node_id), Ok(key));
        }
    }
    for (key, reply) in replies {
        assert_eq!(usize::try_from(reply.await.unwrap().node_id), Ok(key));
    }
    drop(connection);
    bench.pool.close();
    let (seen, authentications) = broker.await.unwrap();
    assert_eq!(seen, (0..key).collect::<Vec<_>>(), "every request, once and in order");
    assert!(authentications >= 3, "{authentications}");
    let metrics = bench.pool.metrics(None);
    assert_eq!(metrics.total.successful_reauthentication_total, authentications);
}

/// Answers five requests behind, so that some are in flight whenever SASL comes; nothing may come between its frames.
async fn serve_slowly(mut peer: Peer, lifetime: Duration) -> (Vec<usize>, u64) {
    let (mut seen, mut authentications, mut behind) = (Vec::new(), 0, VecDeque::new());
    loop {
        while let Some((header, body)) = if behind.len() > 5 { behind.pop_front() } else { None } {
            peer.answer::<FindCoordinatorRequest>(&header, &found(&body, 2)).await;
        }
        let read = timeout(Duration::from_millis(20), peer.stream.read_buf(peer.frames.buffer())).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            return (seen, authentications);
        }
        if read.is_err()
            && let Some((header, body)) = behind.pop_front()
        {
            peer.answer::<FindCoordinatorRequest>(&header, &found(&body, 2)).await;
        }
        while let Some(mut frame) = peer.frames.next_frame().unwrap() {
            let header = RequestHeader::decode(&mut frame).unwrap();
            if header.api_key == ApiKey::FindCoordinator.code() {
                seen.push(usize::try_from(found(&frame, 2).node_id).unwrap());
                behind.push_back((header, frame));
                continue;
            }
            assert_eq!(header.api_key, ApiKey::SaslHandshake.code());
            assert_eq!(peer.frames.pending(), 0, "nothing is written behind the handshake");
            for (header, body) in behind.drain(..) {
                peer.answer::<FindCoordinatorRequest>(&header, &found(&body, 2)).await;
            }
            peer.let_in(&header, lifetime).await;
            authentications += 1;
        }
    }
}

#[tokio::test]
async fn a_failed_reauthentication_ends_the_connection_and_says_why() {
    let mut bench = Bench::new(Bench::sasl);
    let opening = bench.open(BROKER, Lane::General);
    let mut peer = bench.peer().await;
    peer.versions().await;
    peer.sasl(Duration::from_millis(50)).await;
    peer.versions().await;
    let connection = opening.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let reply = connection.send(&find(1), 2).unwrap();
    let (header, _) = peer.expect(ApiKey::SaslHandshake).await;
    peer.answer::<SaslHandshakeRequest>(&header, &SaslHandshakeResponse::default()).await;
    let (header, _) = peer.expect(ApiKey::SaslAuthenticate).await;
    let refused =
        SaslAuthenticateResponse { error_code: 58, error_message: Some("no more".into()), ..Default::default() };
    peer.answer::<SaslAuthenticateRequest>(&header, &refused).await;
    let error = reply.await.unwrap_err();
    assert!(matches!(error, Error::Disconnected { written: false, .. }), "{error}");
    assert!(error.to_string().contains("no more") && !error.to_string().contains("secret"), "{error}");
    assert_eq!(bench.pool.metrics(None).total.failed_reauthentication_total, 1);
}
