//! What is logged: one event per change of state, not per retry (`design.md` §6).
#![allow(clippy::disallowed_methods, reason = "a test")]
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::future::{BoxFuture, FutureExt};
use ottla_protocol::ApiVersions;

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
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        tracing::callsite::rebuild_interest_cache();
        (lines, guard)
    }

    /// The levels of the events about this, in order.
    fn levels(&self, about: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let events = text.lines().filter(|line| line.contains(about));
        events.map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
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
        mechanism: Some(SaslMechanism::OauthBearer),
        token_provider: Some(Script::new(&script)),
        login_retry_backoff: Duration::ZERO,
        login_retry_backoff_max: Duration::ZERO,
        ..SaslConfig::default()
    };
    let login = Login::new(&config).unwrap();
    for _ in script {
        let _refused = login.begin("b", &ApiVersions::default(), "c").await;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(lines.levels("bearer token"), ["WARN", "DEBUG", "DEBUG", "INFO", "WARN"]);
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
    assert_eq!(lines.levels("no canonical name"), ["WARN", "DEBUG", "WARN"]);
}
