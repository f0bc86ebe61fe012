#![allow(clippy::disallowed_methods, reason = "this file is the broker's I/O: it reads the clock and spawns tasks")]
//! \[I/O\] Sockets in front of the cluster: one task per connection, which carries out its requests one after the
//! other, as Kafka does.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::cluster::{Cluster, ConnectionId, Outcome};
use super::request::{Reply, Request};
use super::versions::KafkaVersion;

/// `socket.request.max.bytes`: 100 MiB.
const MAX_FRAME: usize = 100 << 20;
/// Replies are written out when this many bytes have gathered, or when no further request waits.
const FLUSH_AT: usize = 1 << 20;
/// Free room asked for before each read.
const READ_SIZE: usize = 64 << 10;
/// A client that has not finished its TLS handshake by then is let go.
const TLS_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What all tasks of a broker share.
#[derive(Debug)]
pub(crate) struct Shared {
    cluster: Mutex<Cluster>,
    connections: Mutex<HashMap<ConnectionId, Arc<Notify>>>,
    next_connection: AtomicU64,
    /// Rung when something became due earlier than the clock task thinks.
    rewind: Notify,
    version: KafkaVersion,
    has_sasl: bool,
    /// `None`: in the clear.
    tls: Option<Arc<ServerConfig>>,
}

impl Shared {
    pub(crate) fn new(cluster: Cluster, tls: Option<Arc<ServerConfig>>) -> Arc<Self> {
        Arc::new(Self {
            version: cluster.version(),
            has_sasl: !cluster.config.sasl.mechanisms.is_empty(),
            tls,
            cluster: Mutex::new(cluster),
            connections: Mutex::default(),
            next_connection: AtomicU64::new(1),
            rewind: Notify::new(),
        })
    }

    pub(crate) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the machine, then wakes whom it names.
    pub(crate) fn with<R>(&self, action: impl FnOnce(&mut Cluster, Instant) -> R) -> R {
        let mut woken = Vec::new();
        let result = {
            let mut cluster = self.cluster();
            let before = cluster.poll_timeout();
            let result = action(&mut cluster, Instant::now());
            while let Some(connection) = cluster.poll_woken() {
                woken.push(connection);
            }
            if cluster.poll_timeout() < before {
                self.rewind.notify_one();
            }
            result
        };
        if !woken.is_empty() {
            let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            for notify in woken.iter().filter_map(|connection| connections.get(connection)) {
                notify.notify_one();
            }
        }
        result
    }

    fn register(&self) -> (ConnectionId, Arc<Notify>) {
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let notify = Arc::new(Notify::new());
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).insert(id, notify.clone());
        (id, notify)
    }

    fn unregister(&self, id: ConnectionId) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.with(|cluster, _| cluster.closed(id));
    }
}

/// Binds a listener on loopback; port 0 takes a free one.
pub(crate) fn bind(port: u16) -> io::Result<(std::net::TcpListener, u16)> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let listener = socket.listen(1024)?.into_std()?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Keeps the machine's time until `stop`.
pub(crate) async fn clock(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let until = shared.cluster().poll_timeout();
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.rewind.notified() => {}
            () = tokio::time::sleep_until(until.into()) => shared.with(|cluster, now| cluster.tick(now)),
        }
    }
}

/// Accepts connections of one node until `stop`.
pub(crate) async fn listen(
    shared: Arc<Shared>,
    node: i32,
    listener: std::net::TcpListener,
    paused: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(node, %error, "embedded broker can't listen"),
    };
    loop {
        let socket = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(node, %error, "embedded broker could not accept");
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        tokio::spawn(serve(shared.clone(), node, socket, paused.clone(), stop.clone()));
    }
}

async fn serve(
    shared: Arc<Shared>,
    node: i32,
    socket: TcpStream,
    paused: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let (id, woken) = shared.register();
    let serving = async {
        socket.set_nodelay(true)?;
        let socket = match &shared.tls {
            None => Socket::Plain(socket),
            Some(config) => {
                let accepting = TlsAcceptor::from(config.clone()).accept(socket);
                Socket::Tls(Box::new(tokio::time::timeout(TLS_PATIENCE, accepting).await??))
            }
        };
        let (input, output) = (BytesMut::with_capacity(READ_SIZE), BytesMut::new());
        Connection { shared: shared.clone(), node, id, woken, socket, paused, input, output }.run().await
    };
    tokio::select! {
        () = stop.cancelled() => {}
        ended = serving => {
            if let Err(error) = ended {
                tracing::debug!(node, connection = id, %error, "connection to embedded broker closed");
            }
        }
    }
    shared.unregister(id);
}

/// The bytes of a connection, in the clear or by TLS.
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    async fn read_buf(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read_buf(input).await,
            Self::Tls(socket) => socket.read_buf(input).await,
        }
    }

    async fn write_all(&mut self, output: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(output).await,
            Self::Tls(socket) => {
                socket.write_all(output).await?;
                socket.flush().await
            }
        }
    }

    /// Ends the stream properly, so that the last bytes arrive before the end.
    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown().await,
            Self::Tls(socket) => socket.shutdown().await,
        }
    }
}

struct Connection {
    shared: Arc<Shared>,
    node: i32,
    id: ConnectionId,
    woken: Arc<Notify>,
    socket: Socket,
    paused: watch::Receiver<bool>,
    input: BytesMut,
    output: BytesMut,
}

fn closed(reason: impl Into<String>) -> io::Error {
    io::Error::other(reason.into())
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            while let Some(frame) = self.next_frame()? {
                self.unpaused().await?;
                let outcome = self.carry_out(frame)?;
                self.act(outcome).await?;
                if self.output.len() >= FLUSH_AT {
                    self.flush().await?;
                }
            }
            self.flush().await?;
            self.read().await?;
        }
    }

    async fn unpaused(&mut self) -> io::Result<()> {
        self.paused.wait_for(|paused| !paused).await.map(drop).map_err(|_| closed("broker stopped"))
    }

    fn carry_out(&self, frame: Bytes) -> io::Result<Outcome> {
        if self.shared.has_sasl && self.shared.cluster().wants_token(self.id) {
            return Ok(self.shared.with(|cluster, now| cluster.token(now, self.id, &frame)));
        }
        let request = Request::decode(frame, self.shared.version).map_err(|reason| {
            tracing::warn!(node = self.node, reason, "request refused, connection closed");
            closed(reason)
        })?;
        Ok(self.shared.with(|cluster, now| cluster.handle(now, self.node, self.id, request)))
    }

    async fn act(&mut self, mut outcome: Outcome) -> io::Result<()> {
        loop {
            match outcome {
                Outcome::NoReply => return Ok(()),
                Outcome::Reply(reply) => return self.queue(&reply),
                Outcome::Token(token) => {
                    self.output.put_i32(token.len() as i32);
                    self.output.put_slice(&token);
                    return Ok(());
                }
                Outcome::LastReply(reply) => {
                    self.queue(&reply)?;
                    self.flush().await?;
                    self.socket.shutdown().await?;
                    return Err(closed("refused by the broker"));
                }
                Outcome::Throttled(reply, until) => {
                    self.queue(&reply)?;
                    self.flush().await?;
                    tokio::time::sleep_until(until.into()).await;
                    return Ok(());
                }
                Outcome::HangUp => {
                    self.flush().await?;
                    return Err(closed("hung up by the broker"));
                }
                Outcome::ReplyAt(at, reply) => {
                    self.flush().await?;
                    tokio::time::sleep_until(at.into()).await;
                    return self.queue(&reply);
                }
                Outcome::Park { until } => {
                    self.flush().await?;
                    self.parked(until).await?;
                    outcome = self.shared.with(|cluster, now| cluster.resume(now, self.id));
                }
            }
        }
    }

    fn queue(&mut self, reply: &Reply) -> io::Result<()> {
        reply.encode(&mut self.output).map_err(|reason| {
            tracing::error!(node = self.node, reason, "embedded broker can't encode its response");
            closed(reason)
        })
    }

    /// Waits for the parked request's turn; ends early if the client goes away.
    async fn parked(&mut self, until: Instant) -> io::Result<()> {
        let woken = self.woken.clone();
        loop {
            let room = self.input.len() < READ_SIZE;
            self.input.reserve(if room { 1024 } else { 0 });
            tokio::select! {
                () = woken.notified() => return self.unpaused().await,
                () = tokio::time::sleep_until(until.into()) => return self.unpaused().await,
                read = self.socket.read_buf(&mut self.input), if room => {
                    if read? == 0 {
                        return Err(closed("closed by the client"));
                    }
                }
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.unpaused().await?;
            self.socket.write_all(&self.output).await?;
            self.output.clear();
        }
        Ok(())
    }

    async fn read(&mut self) -> io::Result<()> {
        let missing = self.frame_length()?.map_or(0, |length| (4 + length).saturating_sub(self.input.len()));
        self.input.reserve(missing.max(READ_SIZE));
        if self.socket.read_buf(&mut self.input).await? == 0 {
            return Err(closed("closed by the client"));
        }
        Ok(())
    }

    fn frame_length(&self) -> io::Result<Option<usize>> {
        let Some(prefix) = self.input.get(..4).and_then(|bytes| bytes.try_into().ok()) else { return Ok(None) };
        let length = i32::from_be_bytes(prefix);
        match usize::try_from(length) {
            Ok(length) if length <= MAX_FRAME => Ok(Some(length)),
            _ => Err(closed(format!("frame of {length} bytes; at most {MAX_FRAME} are read"))),
        }
    }

    fn next_frame(&mut self) -> io::Result<Option<Bytes>> {
        let Some(length) = self.frame_length()? else { return Ok(None) };
        if self.input.len() < 4 + length {
            return Ok(None);
        }
        self.input.advance(4);
        Ok(Some(self.input.split_to(length).freeze()))
    }
}
