//! One connection, as those see it who use it: requests are queued, and a task (`task.rs`) writes them.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::{ApiKey, ApiVersions, Request, ResponseHeader};
use tokio::sync::{Notify, oneshot};
use tracing::Instrument;

use super::Lane;
use super::dial::Stream;
use super::frame::Frame;
use super::login::Login;
use super::task::Task;
use super::throttle;
use crate::clock;
use crate::error::{Error, Place, Result, peer_name};
use crate::metrics::Counters;
use crate::metrics::meter::Alive;
use crate::sync::lock;
use crate::types::BrokerId;

/// A handle of a connection. When the last one goes, the connection is closed.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) broker: BrokerId,
    pub(super) address: Arc<str>,
    pub(super) socket: SocketAddr,
    pub(super) versions: ApiVersions,
    pub(super) client_id: String,
    pub(super) request_timeout: Duration,
    pub(super) max_idle: Option<Duration>,
    pub(super) counters: Arc<Counters>,
    pub(super) span: tracing::Span,
    pub(super) next_correlation_id: AtomicI32,
    pub(super) state: Mutex<State>,
    pub(super) wake: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<Outgoing>,
    /// Requests queued or sent and not answered, with when they were queued.
    pub(super) unanswered: VecDeque<Unanswered>,
    /// The broker wants to be left alone until then.
    pub(super) muted_until: Option<Instant>,
    /// Why nothing can be sent any more.
    pub(super) closed: Option<String>,
}

/// A request that is not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unanswered {
    correlation_id: i32,
    pub(crate) api: ApiKey,
    pub(crate) since: Instant,
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) frame: Frame,
    pub(super) correlation_id: i32,
    pub(super) api: ApiKey,
    pub(super) version: i16,
    pub(super) timeout: Duration,
    pub(super) span: tracing::Span,
    pub(super) asker: Asker,
}

#[derive(Debug)]
pub(super) enum Asker {
    /// Wants the answer.
    Reply(oneshot::Sender<Result<Bytes>>),
    /// There is no answer; wants to know when the request is written.
    Written(oneshot::Sender<Result<()>>),
    /// The connection itself, which authenticates again.
    Session,
}

/// What is needed to open a connection, but for the stream.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) broker: BrokerId,
    pub(crate) lane: Lane,
    pub(crate) counters: Arc<Counters>,
    /// Lives as long as the connection.
    pub(crate) open: Alive,
    pub(crate) address: Arc<str>,
    /// What the address was resolved to.
    pub(crate) socket: SocketAddr,
    pub(crate) client_id: String,
    pub(crate) request_timeout: Duration,
    pub(crate) max_idle: Option<Duration>,
    pub(crate) max_response_bytes: usize,
    /// Requests that may wait for their answers at once.
    pub(crate) max_in_flight: usize,
    /// The stream keeps bytes back until it is flushed, as TLS does.
    pub(crate) flush: bool,
    /// The broker knows who we are by SASL.
    pub(crate) authenticated: bool,
    /// How to authenticate again, with which host, and how long an authentication lives.
    pub(crate) session: Option<(Login, String, Duration)>,
}

impl Connection {
    /// Starts the task of a connection whose handshake is done. `frames` holds what was read too much.
    pub(crate) fn start(settings: Settings, versions: ApiVersions, stream: Box<dyn Stream>) -> Self {
        settings.counters.connection_creation_total.add(1);
        let (broker, address, lane) = (settings.broker, &*settings.address, settings.lane);
        let shared = Arc::new(Shared {
            counters: Arc::clone(&settings.counters),
            span: tracing::debug_span!("connection", %broker, address, ?lane),
            broker,
            address: Arc::clone(&settings.address),
            socket: settings.socket,
            versions,
            client_id: settings.client_id.clone(),
            request_timeout: settings.request_timeout,
            max_idle: settings.max_idle,
            next_correlation_id: AtomicI32::new(1),
            state: Mutex::default(),
            wake: Notify::new(),
        });
        let span = shared.span.clone();
        let task = Task::new(Arc::clone(&shared), stream, settings);
        tokio::spawn(task.run().instrument(span));
        Self(Arc::new(Handle { shared }))
    }

    pub(crate) fn broker(&self) -> BrokerId {
        self.0.shared.broker
    }

    /// The `host:port` that was asked for.
    pub(super) fn address(&self) -> &str {
        &self.0.shared.address
    }

    pub(crate) fn api_versions(&self) -> &ApiVersions {
        &self.0.shared.versions
    }

    /// What its broker's name was resolved to.
    pub(crate) fn socket(&self) -> SocketAddr {
        self.0.shared.socket
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.shared.lock().closed.is_some()
    }

    /// Requests queued or sent and not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.shared.lock().unanswered.len()
    }

    /// How long the broker wants to be left alone still.
    pub(crate) fn muted_for(&self, now: Instant) -> Option<Duration> {
        let until = self.0.shared.lock().muted_until?;
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// The request that has waited the longest, and how many wait.
    pub(crate) fn oldest(&self) -> Option<(Unanswered, usize)> {
        let state = self.0.shared.lock();
        state.unanswered.front().map(|oldest| (*oldest, state.unanswered.len()))
    }

    /// Who answers here, for the texts of errors.
    pub(crate) fn place(&self, version: i16) -> Place {
        Place { broker: self.broker(), address: Arc::clone(&self.0.shared.address), version }
    }

    /// The newest version both sides speak, not above `cap`.
    pub(crate) fn choose<R: Request>(&self, cap: Option<i16>) -> Result<i16> {
        let broker = || self.0.shared.name();
        self.api_versions().choose::<R>(cap).map_err(|e| Error::UnsupportedVersion {
            api: e.api,
            ours: e.ours,
            theirs: e.theirs,
            broker: broker(),
        })
    }

    /// Queues a request. The queue is in the order of the calls.
    pub(crate) fn send<R: Request>(&self, request: &R, version: i16) -> Result<Reply<R>> {
        self.send_with_timeout(request, version, self.0.shared.request_timeout)
    }

    /// Queues a request whose answer may take `timeout` from when it is written.
    pub(crate) fn send_with_timeout<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<Reply<R>> {
        let (sender, receiver) = oneshot::channel();
        self.queue(request, version, timeout, Asker::Reply(sender))?;
        Ok(Reply { receiver, version, shared: Arc::clone(&self.0.shared), request: PhantomData })
    }

    /// Queues a request that the broker does not answer; done when it is written.
    pub(crate) fn send_oneway<R: Request>(&self, request: &R, version: i16) -> Result<Written> {
        let (sender, receiver) = oneshot::channel();
        self.queue(request, version, self.0.shared.request_timeout, Asker::Written(sender))?;
        Ok(Written { receiver, api: (R::API_KEY, version), shared: Arc::clone(&self.0.shared) })
    }

    fn queue<R: Request>(&self, request: &R, version: i16, timeout: Duration, asker: Asker) -> Result<()> {
        let shared = &self.0.shared;
        let correlation_id = shared.next_correlation_id();
        let client_id = Some(shared.client_id.as_str());
        let segments = request.encode_frame(version, correlation_id, client_id).map_err(|e| Error::Misuse {
            reason: format!("{} cannot be sent to broker {}: {e}", R::API_KEY, shared.broker),
        })?;
        let frame = Frame::new(R::API_KEY, segments);
        let mut state = shared.lock();
        if let Some(reason) = &state.closed {
            return Err(shared.disconnected((R::API_KEY, version), false, reason));
        }
        let api = R::API_KEY;
        state.unanswered.push_back(Unanswered { correlation_id, api, since: clock::now() });
        let span = tracing::trace_span!(parent: &shared.span, "request", %api, version, correlation_id);
        state.queue.push_back(Outgoing { frame, correlation_id, api, version, timeout, span, asker });
        drop(state);
        shared.wake.notify_one();
        Ok(())
    }

    /// Writes nothing for so long, as a throttling broker wants it.
    pub(super) fn mute(&self, throttle: Duration) {
        self.0.shared.mute(throttle);
    }

    /// Closes the connection: what was not answered yet fails.
    pub(crate) fn close(&self, reason: &str) {
        self.0.shared.close(reason);
    }
}

impl State {
    /// The request is answered, or needs no answer any more.
    pub(super) fn done(&mut self, correlation_id: i32) {
        // Answers come in order, but for requests that have none.
        if let Some(at) = self.unanswered.iter().position(|u| u.correlation_id == correlation_id) {
            self.unanswered.remove(at);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close("it is not used any more");
    }
}

impl Shared {
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn next_correlation_id(&self) -> i32 {
        self.next_correlation_id.fetch_add(1, Ordering::Relaxed) & i32::MAX
    }

    pub(super) fn close(&self, reason: &str) {
        self.lock().closed.get_or_insert_with(|| reason.to_owned());
        self.wake.notify_one();
    }

    /// Nothing more is written for so long.
    pub(super) fn mute(&self, throttle: Duration) {
        let until = clock::now() + throttle;
        let mut state = self.lock();
        state.muted_until = state.muted_until.max(Some(until));
    }

    /// The broker, as texts name it.
    fn name(&self) -> String {
        peer_name(self.broker, &self.address)
    }

    /// The task is gone, which happens when the runtime shuts down.
    fn gone(&self, api: (ApiKey, i16)) -> Error {
        self.disconnected(api, true, "the runtime that ran it has stopped")
    }

    pub(super) fn disconnected(&self, (api, version): (ApiKey, i16), written: bool, reason: &str) -> Error {
        Error::Disconnected { broker: self.name(), api, version, written, reason: reason.to_owned() }
    }
}

/// The answer to a request, decoded by whoever waits for it. Dropping it drops the answer.
#[derive(Debug)]
#[must_use = "the answer has to be looked at"]
pub(crate) struct Reply<R> {
    receiver: oneshot::Receiver<Result<Bytes>>,
    version: i16,
    shared: Arc<Shared>,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Future for Reply<R> {
    type Output = Result<R::Response>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let received = std::task::ready!(Pin::new(&mut self.receiver).poll(context));
        let response =
            received.unwrap_or_else(|_| Err(self.shared.gone((R::API_KEY, self.version)))).and_then(|mut frame| {
                ResponseHeader::decode(R::API_KEY, self.version, &mut frame)
                    .and_then(|_| R::decode_response(self.version, frame))
                    .map_err(|error| Error::Malformed {
                        broker: self.shared.name(),
                        api: R::API_KEY,
                        version: self.version,
                        reason: error.to_string(),
                    })
            });
        if let Err(error @ Error::Malformed { .. }) = &response {
            // Whoever misreads one answer may misread the next.
            self.shared.close(&error.to_string());
        }
        if let Some(throttle) = response.as_ref().ok().and_then(|r| throttle::of_response(self.version, r)) {
            self.shared.mute(throttle);
        }
        Poll::Ready(response)
    }
}

/// Done when a request is written.
#[derive(Debug)]
#[must_use = "a request that could not be written has to be looked at"]
pub(crate) struct Written {
    receiver: oneshot::Receiver<Result<()>>,
    api: (ApiKey, i16),
    shared: Arc<Shared>,
}

impl Future for Written {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let received = std::task::ready!(Pin::new(&mut self.receiver).poll(context));
        Poll::Ready(received.unwrap_or_else(|_| Err(self.shared.gone(self.api))))
    }
}

impl Asker {
    pub(super) fn fail(self, error: Error) {
        // Whoever asked may have gone away.
        let _ = match self {
            Self::Reply(sender) => sender.send(Err(error)).map_err(drop),
            Self::Written(sender) => sender.send(Err(error)).map_err(drop),
            Self::Session => Ok(()),
        };
    }
}
