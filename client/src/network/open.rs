//! Opening a connection: TCP, TLS, the broker's versions, SASL, and its versions once more.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::{ApiVersions, FrameDecoder, Segments};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::authenticate::{Authenticate, Next, wipe};
use super::dial::{Dial, Stream, Tcp, secure};
use super::foreign;
use super::handshake::{AskVersions, Identity, Step};
use super::login::{Login, answered};
use super::tls::{self, Tls};
use crate::config::ClientConfig;
use crate::error::{CONNECTING, Result};
use crate::sync::lock;

/// The longest answer while a connection opens: no broker comes near it.
const MAX_HANDSHAKE_FRAME: usize = 1 << 20;

/// How far it came, once there was a connection.
const SECURING: &str = "agreeing on TLS";
const ASKING: &str = "asking for its versions";
const AUTHENTICATING: &str = "authenticating";

/// What all connections are opened with.
#[derive(Debug)]
pub(crate) struct Opener {
    dial: Arc<dyn Dial>,
    tls: Option<Tls>,
    login: Option<Login>,
    /// Addresses that had no name when it was last looked for.
    nameless: Mutex<BTreeSet<SocketAddr>>,
}

/// Whom to connect to.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) host: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) address: SocketAddr,
    /// The version of ApiVersions it answered to before, if not to the newest.
    pub(crate) remembered: Option<i16>,
    /// Who it should be (KIP-1242).
    pub(crate) identity: Option<Identity>,
}

/// An open connection.
pub(crate) struct Opened {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) address: SocketAddr,
    pub(crate) versions: ApiVersions,
    /// The version of ApiVersions that the broker answered to.
    pub(crate) asked_with: i16,
    /// How long the broker wants to be left alone first.
    pub(crate) throttle: Option<Duration>,
    /// How long the broker lets this authentication live.
    pub(crate) session_lifetime: Option<Duration>,
}

/// Why no connection was opened.
#[derive(Debug)]
pub(crate) enum NotOpened {
    Connect(String),
    /// There is no version of ApiVersions that both know.
    TooOld(String),
    Authentication(String),
    /// It is not the broker, or not of the cluster, that it should be: said in this version of ApiVersions.
    WrongBroker(i16),
}

impl Opener {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self> {
        let protocol = config.security_protocol;
        let tcp =
            || Arc::new(Tcp { send_buffer: config.send_buffer_bytes, receive_buffer: config.receive_buffer_bytes });
        Ok(Self {
            dial: config.dial.clone().unwrap_or_else(|| tcp()),
            tls: protocol.has_tls().then(|| Tls::new(&config.tls)).transpose()?,
            login: protocol.has_sasl().then(|| Login::new(&config.sasl)).transpose()?,
            nameless: Mutex::default(),
        })
    }

    pub(crate) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        match self.dial.resolve(host, port).await {
            Ok(found) if found.is_empty() => Err(format!("the name {host} has no address")),
            Ok(found) => Ok(found),
            Err(error) => Err(format!("the name {host} cannot be resolved: {error}")),
        }
    }

    /// The name that an address leads back to, or the address itself.
    pub(crate) async fn canonical_name(&self, address: SocketAddr) -> String {
        let looked_up = self.dial.canonical_name(address).await;
        let mut nameless = lock(&self.nameless);
        match looked_up {
            Ok(name) => {
                nameless.remove(&address);
                if name.is_empty() { address.ip().to_string() } else { name }
            }
            Err(error) => {
                // Every attempt to connect comes here: one event per change of state (`design.md` §6).
                if nameless.insert(address) {
                    tracing::warn!(%address, %error, "the address has no canonical name (client.dns.lookup)");
                }
                address.ip().to_string()
            }
        }
    }

    /// Opens a connection. `phase` says how far it came, for when this future is dropped.
    pub(crate) async fn open(&self, target: Target<'_>, phase: &mut &'static str) -> Result<Opened, NotOpened> {
        let mut ask = AskVersions::new(target.remembered, target.client_id.to_owned(), target.identity.clone());
        let (mut stream, versions, asked_with, throttle) = loop {
            let mut stream = self.stream(&target, phase).await.map_err(NotOpened::Connect)?;
            *phase = ASKING;
            match ask_versions(&mut stream, ask, target.host).await? {
                Asked::Ready(versions, version, throttle) => break (stream, versions, version, throttle),
                Asked::Closed(closed) => match closed.closed() {
                    Some(older) => ask = older,
                    None => return Err(NotOpened::Connect(self.hangs_up())),
                },
            }
        };
        let address = target.address;
        let Some(login) = &self.login else {
            return Ok(Opened { stream, address, versions, asked_with, throttle, session_lifetime: None });
        };
        *phase = AUTHENTICATING;
        let session_lifetime = self.authenticate(&mut stream, login, &target, &versions).await?;
        *phase = ASKING;
        let ask = AskVersions::new(Some(asked_with), target.client_id.to_owned(), target.identity.clone());
        match ask_versions(&mut stream, ask, target.host).await? {
            Asked::Ready(versions, asked_with, throttle) => {
                Ok(Opened { stream, address, versions, asked_with, throttle, session_lifetime })
            }
            Asked::Closed(_) => {
                Err(NotOpened::Connect("it hung up right after the authentication: look at its log".to_owned()))
            }
        }
    }

    async fn stream(&self, target: &Target<'_>, phase: &mut &'static str) -> Result<Box<dyn Stream>, String> {
        *phase = CONNECTING;
        let connected = self.dial.connect(target.address).await;
        let stream = connected.map_err(|error| format!("{}: {error}", target.address))?;
        let Some(tls) = &self.tls else { return Ok(stream) };
        *phase = SECURING;
        secure(tls, stream, target.host).await
    }

    async fn authenticate(
        &self,
        stream: &mut Box<dyn Stream>,
        login: &Login,
        target: &Target<'_>,
        versions: &ApiVersions,
    ) -> Result<Option<Duration>, NotOpened> {
        let refused = |reason: String| NotOpened::Authentication(reason);
        let host = target.host;
        let mut state = login.begin(host, versions, target.client_id).await.map_err(|e| refused(e.reason))?;
        // ApiVersions was 0.
        let mut correlation_id = 0;
        loop {
            correlation_id += 1;
            let frame = state.frame(correlation_id).map_err(|e| refused(e.reason))?;
            let answer = round_trip(stream, frame, host).await.map_err(NotOpened::Connect)?;
            let answer = answer.ok_or_else(|| hung_up(&state))?;
            match answered(state, answer).await.map_err(|e| refused(e.reason))? {
                Next::Send(next) => state = next,
                Next::Done { lifetime } => return Ok(lifetime),
            }
        }
    }

    fn hangs_up(&self) -> String {
        let other = if self.tls.is_some() { "" } else { ", or the port wants TLS (security.protocol)" };
        format!(
            "it hangs up on every version of the first request: it is not a Kafka broker of 0.10 or newer (a ZooKeeper or \
             a controller, perhaps){other}"
        )
    }
}

/// A broker before 1.0 hangs up on a wrong password and says no more. A newer one answers: that the connection is gone says
/// nothing of who we are.
fn hung_up(state: &Authenticate) -> NotOpened {
    match (state.round(), state.is_answered_in_words()) {
        (0, _) => NotOpened::Connect(
            "it hung up when SASL began: it may have gone, or security.protocol may be wrong for this listener"
                .to_owned(),
        ),
        (_, true) => NotOpened::Connect("it hung up during the authentication: look at its log".to_owned()),
        (_, false) => NotOpened::Authentication(
            "it hung up during the authentication: the user name or password may be wrong".to_owned(),
        ),
    }
}

/// What to look at where a phase took too long.
pub(crate) fn slow(phase: &str) -> &'static str {
    match phase {
        SECURING => ": the port may not speak TLS (security.protocol), or the broker may be overloaded",
        ASKING => {
            ": the port may be none of a Kafka broker, or want TLS (security.protocol), or the broker may be overloaded"
        }
        AUTHENTICATING => ": the token provider, the Kerberos service or the broker may be slow",
        _ => "",
    }
}

enum Asked {
    Ready(ApiVersions, i16, Option<Duration>),
    Closed(AskVersions),
}

async fn ask_versions(stream: &mut Box<dyn Stream>, mut ask: AskVersions, host: &str) -> Result<Asked, NotOpened> {
    loop {
        let version = ask.version();
        let frame = ask.frame().map_err(|error| NotOpened::Connect(error.to_string()))?;
        match round_trip(stream, frame, host).await.map_err(NotOpened::Connect)? {
            Some(answer) => match ask.answered(answer) {
                Step::Ready(versions, throttle) => return Ok(Asked::Ready(versions, version, throttle)),
                Step::Again(next) => ask = next,
                Step::Failed(reason) => return Err(NotOpened::Connect(reason)),
                Step::TooOld(reason) => return Err(NotOpened::TooOld(reason)),
                Step::WrongBroker => return Err(NotOpened::WrongBroker(version)),
            },
            None => return Ok(Asked::Closed(ask)),
        }
    }
}

/// The answer to a frame; `None`: the peer hung up without one.
async fn round_trip(stream: &mut Box<dyn Stream>, frame: Segments, host: &str) -> Result<Option<Bytes>, String> {
    let mut written = Ok(());
    for segment in &frame.0 {
        written = written.and(stream.write_all(segment).await);
    }
    let written = written.and(stream.flush().await);
    wipe(frame);
    let mut frames = FrameDecoder::new(MAX_HANDSHAKE_FRAME);
    // What the peer said before it hung up says more than that it did, so that reading goes on after a failed write.
    loop {
        match frames.next_frame() {
            Ok(Some(answer)) => return Ok(Some(answer)),
            Ok(None) => {}
            Err(error) => {
                let seen = foreign::explain(frames.buffer());
                return Err(seen.unwrap_or_else(|| format!("its answer is not Kafka's: {error}")));
            }
        }
        let read = stream.read_buf(frames.buffer()).await;
        if let Some(why) = written.as_ref().err().or_else(|| read.as_ref().err()).and_then(|e| tls::explain(e, host)) {
            return Err(why);
        }
        match read {
            Ok(0) => return ended(&mut frames),
            Err(error) if is_hang_up(&error) => return ended(&mut frames),
            Err(error) => return Err(error.to_string()),
            Ok(_) => {}
        }
    }
}

fn ended(frames: &mut FrameDecoder) -> Result<Option<Bytes>, String> {
    if frames.pending() == 0 {
        return Ok(None);
    }
    let seen = foreign::explain(frames.buffer());
    Err(seen.unwrap_or_else(|| "it hung up in the middle of an answer".to_owned()))
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof | K::NotConnected
    )
}
