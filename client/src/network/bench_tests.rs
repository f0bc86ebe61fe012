//! A client's connections and the brokers at their other ends, for tests that say what those do.
#![allow(clippy::disallowed_methods, reason = "a test")]
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use ottla_protocol::messages::api_versions::ApiVersion;
use ottla_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FindCoordinatorRequest, FindCoordinatorResponse, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use ottla_protocol::{ApiKey, Encoder, FrameDecoder, Request, RequestHeader, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Lane;
use super::connection::Connection;
use super::dial::{Dial, Stream};
use super::pool::Pool;
use crate::config::{ClientConfig, SaslMechanism, SecurityProtocol};
use crate::error::{Error, Result};
use crate::types::BrokerId;

pub(super) const LONG: Duration = Duration::from_secs(20);

/// A network that a test holds in its hands: what names mean, and who answers.
#[derive(Debug)]
pub(super) struct Network {
    /// What the name is resolved to, in turn; the last stays.
    pub(super) names: Mutex<VecDeque<Vec<SocketAddr>>>,
    pub(super) resolved: Mutex<usize>,
    /// The addresses that were connected to, and when.
    pub(super) dialed: Mutex<Vec<(SocketAddr, Instant)>>,
    pub(super) refusing: Mutex<bool>,
    pub(super) peers: UnboundedSender<Peer>,
}

impl Dial for Network {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        *self.resolved.lock().unwrap() += 1;
        let mut names = self.names.lock().unwrap();
        let found = if names.len() > 1 { names.pop_front() } else { names.front().cloned() };
        std::future::ready(Ok(found.unwrap())).boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        self.dialed.lock().unwrap().push((address, Instant::now()));
        if *self.refusing.lock().unwrap() {
            return std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())).boxed();
        }
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        self.peers.send(Peer { stream: theirs, frames: FrameDecoder::new(1 << 20) }).unwrap();
        let stream: Box<dyn Stream> = Box::new(ours);
        std::future::ready(Ok(stream)).boxed()
    }
}

/// The broker's end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) stream: DuplexStream,
    pub(super) frames: FrameDecoder,
}

impl Peer {
    /// The next request; `None`: the client hung up.
    pub(super) async fn request(&mut self) -> Option<(RequestHeader, Bytes)> {
        let read = async {
            loop {
                if let Some(mut frame) = self.frames.next_frame().unwrap() {
                    return Some((RequestHeader::decode(&mut frame).unwrap(), frame));
                }
                if self.stream.read_buf(self.frames.buffer()).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        };
        timeout(LONG, read).await.expect("the client sends something or hangs up")
    }

    pub(super) async fn expect(&mut self, api: ApiKey) -> (RequestHeader, Bytes) {
        let (header, body) = self.request().await.expect("the client sends a request");
        assert_eq!(header.api_key, api.code(), "{api} is due");
        (header, body)
    }

    pub(super) async fn is_quiet_for(&mut self, time: Duration) -> bool {
        let pending = self.frames.pending();
        pending == 0 && timeout(time, self.stream.read_buf(self.frames.buffer())).await.is_err()
    }

    pub(super) async fn answer<R: Request<Response: Wire>>(&mut self, header: &RequestHeader, response: &R::Response) {
        let version = R::version(header.api_version);
        let mut out = Encoder::new();
        out.put_slice(&header.correlation_id.to_be_bytes());
        if version.flexible && R::API_KEY != ApiKey::ApiVersions {
            out.put_slice(&[0]);
        }
        response.encode(&mut out, version).unwrap();
        let frame = out.into_segments().concat();
        self.stream.write_all(&(frame.len() as u32).to_be_bytes()).await.unwrap();
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Answers the first request; returns its version and what it says of whom we take the broker for.
    pub(super) async fn versions(&mut self) -> (i16, ApiVersionsRequest) {
        let (header, mut body) = self.expect(ApiKey::ApiVersions).await;
        self.answer::<ApiVersionsRequest>(&header, &offer()).await;
        (header.api_version, Wire::decode(&mut body, ApiVersionsRequest::version(header.api_version)).unwrap())
    }

    /// Lets the client in by SASL, for so long.
    pub(super) async fn sasl(&mut self, lifetime: Duration) {
        let (header, _) = self.expect(ApiKey::SaslHandshake).await;
        self.let_in(&header, lifetime).await;
    }

    pub(super) async fn let_in(&mut self, handshake: &RequestHeader, lifetime: Duration) {
        self.answer::<SaslHandshakeRequest>(handshake, &SaslHandshakeResponse::default()).await;
        let (header, _) = self.expect(ApiKey::SaslAuthenticate).await;
        let session_lifetime_ms = i64::try_from(lifetime.as_millis()).unwrap();
        let response = SaslAuthenticateResponse { session_lifetime_ms, ..Default::default() };
        self.answer::<SaslAuthenticateRequest>(&header, &response).await;
    }
}

pub(super) fn offer() -> ApiVersionsResponse {
    let range = |api_key: ApiKey, max_version| ApiVersion { api_key: api_key.code(), min_version: 0, max_version };
    let api_keys = vec![
        range(ApiKey::ApiVersions, 5),
        range(ApiKey::Metadata, 12),
        range(ApiKey::FindCoordinator, 3),
        range(ApiKey::SaslHandshake, 1),
        range(ApiKey::SaslAuthenticate, 2),
    ];
    ApiVersionsResponse { api_keys, ..Default::default() }
}

pub(super) fn at(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 9092))
}

pub(super) struct Bench {
    pub(super) pool: Arc<Pool>,
    pub(super) network: Arc<Network>,
    pub(super) peers: UnboundedReceiver<Peer>,
}

/// The one broker, by its bootstrap address.
pub(super) const BROKER: BrokerId = BrokerId(-1);

impl Bench {
    pub(super) fn new(change: impl FnOnce(&mut ClientConfig)) -> Self {
        let (sender, peers) = unbounded_channel();
        let network = Arc::new(Network {
            names: Mutex::new(VecDeque::from([vec![at(1)]])),
            resolved: Mutex::default(),
            dialed: Mutex::default(),
            refusing: Mutex::default(),
            peers: sender,
        });
        let mut config = ClientConfig::new("broker:9092");
        config.dial = Some(Arc::clone(&network) as Arc<dyn Dial>);
        change(&mut config);
        Self { pool: Arc::new(Pool::new(Arc::new(config)).unwrap()), network, peers }
    }

    pub(super) fn sasl(config: &mut ClientConfig) {
        config.security_protocol = SecurityProtocol::SaslPlaintext;
        config.sasl.sasl_mechanism = Some(SaslMechanism::Plain);
        config.sasl.username = "alice".to_owned();
        config.sasl.password = "secret".into();
    }

    pub(super) fn open(&self, broker: BrokerId, lane: Lane) -> JoinHandle<Result<Connection>> {
        let pool = Arc::clone(&self.pool);
        tokio::spawn(async move { pool.connection(broker, lane).await })
    }

    pub(super) async fn peer(&mut self) -> Peer {
        timeout(LONG, self.peers.recv()).await.unwrap().expect("a connection is opened")
    }

    pub(super) async fn ready(&mut self) -> (Connection, Peer) {
        let opening = self.open(BROKER, Lane::General);
        let mut peer = self.peer().await;
        peer.versions().await;
        (opening.await.unwrap().unwrap(), peer)
    }

    pub(super) async fn attempt(&self) -> Error {
        timeout(LONG, self.pool.connection(BROKER, Lane::General)).await.unwrap().unwrap_err()
    }

    pub(super) fn addresses(&self) -> Vec<u8> {
        let dialed = self.network.dialed.lock().unwrap();
        dialed.iter().map(|(a, _)| if let SocketAddr::V4(v4) = a { v4.ip().octets()[3] } else { 0 }).collect()
    }
}

pub(super) fn find(key: usize) -> FindCoordinatorRequest {
    FindCoordinatorRequest { key: key.to_string(), ..Default::default() }
}

pub(super) fn found(body: &Bytes, version: i16) -> FindCoordinatorResponse {
    let request: FindCoordinatorRequest =
        Wire::decode(&mut body.clone(), FindCoordinatorRequest::version(version)).unwrap();
    FindCoordinatorResponse { node_id: request.key.parse().unwrap(), ..Default::default() }
}

pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
