//! What is logged: one event per change of state, not per retry (`design.md` §6).
#![allow(clippy::disallowed_methods, reason = "a test")]
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::future::{BoxFuture, FutureExt};
use ottla_protocol::messages::FindCoordinatorRequest;
use ottla_protocol::{ApiKey, ApiVersions};
use tracing_subscriber::fmt::format::FmtSpan;

use super::Lane;
use super::bench_tests::{BROKER, Bench, eventually, find, found};
use super::dial::{Dial, Stream};
use super::login::Login;
use super::open::Opener;
use super::sasl::{SaslError, Token, TokenProvider};
use crate::config::{ClientConfig, SaslConfig, SaslMechanism};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Takes what this thread logs from now on.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        tracing::callsite::rebuild_interest_cache();
        (lines, guard)
    }

    /// The levels of the events about this, in order.
    fn levels(&self, about: &str) -> Vec<String> {
        let events = self.about(about).into_iter();
        events.map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
    }

    fn about(&self, about: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(about)).map(str::to_owned).collect()
    }
}

/// What comes next, whether it is asked for a token or for a name.
#[derive(Debug)]
struct Script(Mutex<VecDeque<bool>>);

impl Script {
    fn new(next: &[bool]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(next.iter().copied().collect())))
    }

    fn succeeds(&self) -> bool {
        self.0.lock().unwrap().pop_front().unwrap()
    }
}

impl TokenProvider for Script {
    fn token(&self) -> BoxFuture<'_, Result<Token, SaslError>> {
        let now = SystemTime::now();
        // It has to be refreshed at once.
        let token = Token::new("t", now, now + Duration::from_millis(20));
        let given = if self.succeeds() { Ok(token) } else { Err(SaslError::new("the provider is away")) };
        std::future::ready(given).boxed()
    }
}

impl Dial for Script {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn canonical_name(&self, _address: SocketAddr) -> BoxFuture<'_, io::Result<String>> {
        let name = if self.succeeds() { Ok("b.test".to_owned()) } else { Err(io::Error::other("no such name")) };
        std::future::ready(name).boxed()
    }

    fn connect(&self, _address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())).boxed()
    }
}

#[tokio::test]
async fn of_failures_in_a_row_to_fetch_a_token_the_first_is_a_warning() {
    let (lines, _guard) = Lines::start();
    let script = [false, false, false, true, false];
    let config = SaslConfig {
        sasl_mechanism: Some(SaslMechanism::OauthBearer),
        token_provider: Some(Script::new(&script)),
        sasl_login_retry_backoff: Duration::ZERO,
        sasl_login_retry_backoff_max: Duration::ZERO,
        ..SaslConfig::default()
    };
    let login = Login::new(&config).unwrap();
    for _ in script {
        let _refused = login.begin("b", &ApiVersions::default(), "c").await;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(lines.levels("bearer token"), ["WARN", "INFO", "WARN"]);
}

#[tokio::test]
async fn of_failures_in_a_row_to_look_a_name_up_the_first_is_a_warning() {
    let (lines, _guard) = Lines::start();
    let script = [false, false, true, false];
    let mut config = ClientConfig::new("b:9092");
    config.dial = Some(Script::new(&script));
    let opener = Opener::new(&config).unwrap();
    for _ in script {
        opener.canonical_name(SocketAddr::from(([10, 0, 0, 1], 9092))).await;
    }
    assert_eq!(lines.levels("no canonical name"), ["WARN", "WARN"]);
}

#[tokio::test]
async fn of_failures_in_a_row_to_connect_the_first_is_a_warning_and_their_end_is_told_with_their_number() {
    let (lines, _guard) = Lines::start();
    let mut bench = Bench::new(|config| config.reconnect_backoff = Duration::ZERO);
    *bench.network.refusing.lock().unwrap() = true;
    for _ in 0..3 {
        bench.attempt().await;
    }
    assert_eq!(lines.levels("cannot connect"), ["WARN"]);
    assert_eq!(lines.about("refused").len(), 1, "whatever it is called");
    *bench.network.refusing.lock().unwrap() = false;
    let (connection, _peer) = bench.ready().await;
    let end = lines.about("connected after failures");
    assert!(matches!(&end[..], [line] if line.contains("INFO") && line.contains("failures=3")), "{end:?}");
    connection.close("the test wants it so");
    *bench.network.refusing.lock().unwrap() = true;
    bench.attempt().await;
    assert_eq!(lines.levels("cannot connect"), ["WARN", "WARN"], "it is a change again");
}

#[tokio::test]
async fn a_server_that_hangs_up_on_every_version_is_one_event() {
    let (lines, _guard) = Lines::start();
    let mut bench = Bench::new(|config| config.reconnect_backoff = Duration::ZERO);
    for _ in 0..2 {
        let opening = bench.open(BROKER, Lane::General);
        for _ in 0..4 {
            bench.peer().await.expect(ApiKey::ApiVersions).await;
        }
        opening.await.unwrap().unwrap_err();
    }
    assert_eq!(lines.levels("ottla_client"), ["WARN"], "{:?}", lines.about(""));
}

#[tokio::test]
async fn an_older_version_of_api_versions_is_one_event_for_an_address() {
    let (lines, _guard) = Lines::start();
    let mut bench = Bench::new(|_| {});
    for _ in 0..2 {
        let opening = bench.open(BROKER, Lane::General);
        bench.peer().await.expect(ApiKey::ApiVersions).await;
        let mut peer = bench.peer().await;
        peer.versions().await;
        opening.await.unwrap().unwrap().close("so that it is asked with the newest again");
    }
    assert_eq!(lines.levels("an older version of ApiVersions"), ["INFO"]);
}

#[tokio::test]
async fn a_connection_has_a_span_and_each_request_one_inside_of_it_until_it_is_answered() {
    let (lines, _guard) = Lines::start();
    let mut bench = Bench::new(|_| {});
    let (connection, mut peer) = bench.ready().await;
    let connected = r#"connection{broker=bootstrap address="broker:9092" lane=General}"#;
    let new = lines.about(connected);
    assert!(matches!(&new[..], [line] if line.contains("DEBUG") && line.ends_with(": new")), "{new:?}");
    let reply = connection.send(&find(7), 2).unwrap();
    let request = format!("{connected}:request{{api=FindCoordinator version=2 correlation_id=1}}");
    let new = lines.about(&request);
    assert!(matches!(&new[..], [line] if line.contains("TRACE") && line.ends_with(": new")), "{new:?}");
    let (header, body) = peer.expect(ApiKey::FindCoordinator).await;
    peer.answer::<FindCoordinatorRequest>(&header, &found(&body, 2)).await;
    reply.await.unwrap();
    let all = lines.about(&request);
    assert!(all.iter().any(|line| line.contains("answered") && line.contains("latency=")), "{all:?}");
    eventually("the request's span ends", || lines.about(&request).iter().any(|line| line.contains(": close "))).await;
    let is_closed = |line: &String| line.contains(": close ") && !line.contains("request{");
    assert!(!lines.about(connected).iter().any(is_closed), "the connection is still open");
    connection.close("the test wants it so");
    drop(connection);
    eventually("the reason is told", || !lines.about("the connection ended").is_empty()).await;
    let end = lines.about("the connection ended");
    assert!(end.iter().all(|line| line.contains(connected) && line.contains("the test wants it so")), "{end:?}");
}
