//! The task of a connection: writes what is queued and hands answers to who asked, in order.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use ottla_protocol::{ApiKey, FrameDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::authenticate::{Next, Refused, reauthenticate_after};
use super::connection::{Asker, Outgoing, Settings, Shared};
use super::dial::Stream;
use super::frame::Frame;
use super::in_flight::{InFlight, Waiting};
use super::login::{self, Login};
use super::session::Session;
use super::throttle;
use crate::clock;
use crate::metrics::meter::Alive;

pub(super) struct Task {
    shared: Arc<Shared>,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    frames: FrameDecoder,
    in_flight: InFlight<Sent>,
    /// What is being written: the segments, and the requests that end when so many bytes more are written.
    segments: VecDeque<Bytes>,
    writing: VecDeque<(usize, Outgoing)>,
    last_activity: Instant,
    max_in_flight: usize,
    /// What was written may be kept back by the stream; `None`: this stream never does that.
    unflushed: Option<bool>,
    /// Something is queued, and may be written from then on.
    unmute: Option<Instant>,
    session: Option<Session>,
    /// Who we are, for the session.
    login: Option<(Login, String)>,
    /// A request was answered, or the broker has let us in by SASL.
    answered: bool,
    _open: Alive,
}

/// A request that was written.
struct Sent {
    api: ApiKey,
    version: i16,
    at: Instant,
    span: tracing::Span,
    asker: Asker,
}

/// Segments in one call to the kernel.
const SLICES: usize = 32;

impl Task {
    pub(super) fn new(shared: Arc<Shared>, stream: Box<dyn Stream>, settings: Settings) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let now = clock::now();
        let (login, session) = match settings.session {
            Some((login, host, lifetime)) => (Some((login, host)), Some(Session::new(renewal(now, lifetime)))),
            None => (None, None),
        };
        Self {
            shared,
            reader,
            writer,
            frames: FrameDecoder::new(settings.max_response_bytes),
            in_flight: InFlight::new(),
            segments: VecDeque::new(),
            writing: VecDeque::new(),
            last_activity: now,
            max_in_flight: settings.max_in_flight,
            unflushed: settings.flush.then_some(false),
            unmute: None,
            session,
            login,
            answered: settings.authenticated,
            _open: settings.open,
        }
    }

    pub(super) async fn run(mut self) {
        let reason = loop {
            if let Err(reason) = self.step().await {
                break reason;
            }
        };
        self.shared.close(&reason);
        self.shared.counters.connection_close_total.add(1);
        tracing::debug!(reason, "the connection ended");
        self.fail_all(&reason);
        // The peer learns of it also when the stream is one that does not close on drop; it may be gone already.
        let _ = self.writer.shutdown().await;
    }

    /// Takes what is queued and does the next thing that can be done. `Err`: why the connection ends.
    async fn step(&mut self) -> Result<(), String> {
        self.take_queue()?;
        let timer = self.timer();
        let shared = Arc::clone(&self.shared);
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            *slice = IoSlice::new(segment);
        }
        let slices = &slices[..self.segments.len().min(SLICES)];
        tokio::select! {
            biased;
            read = self.reader.read_buf(self.frames.buffer()) => {
                let n = read.map_err(|e| e.to_string())?;
                if n == 0 { return Err(self.closed_by_broker()); }
                self.shared.counters.incoming_byte_total.add(n);
                self.on_read()
            }
            written = put(&mut self.writer, slices), if !slices.is_empty() || self.unflushed == Some(true) => {
                self.on_written(written.map_err(|e| e.to_string())?);
                Ok(())
            }
            next = work(&mut self.session), if self.session.is_some() => self.on_worked(next),
            () = shared.wake.notified(), if slices.is_empty() => Ok(()),
            () = sleep_until(timer) => self.on_timer(),
        }
    }

    /// A listener that wants SASL answers ApiVersions to anyone, and hangs up on what comes next.
    fn closed_by_broker(&self) -> String {
        let hint = if self.answered {
            ""
        } else {
            " before it had answered anything but its versions: the listener may want SASL (security.protocol, sasl.mechanism)"
        };
        format!("the broker closed it{hint}")
    }

    fn take_queue(&mut self) -> Result<(), String> {
        let mut state = self.shared.lock();
        if let Some(reason) = &state.closed {
            return Err(reason.clone());
        }
        self.unmute = None;
        if state.queue.is_empty() {
            return Ok(());
        }
        if let Some(until) = state.muted_until.filter(|until| *until > clock::now()) {
            self.unmute = Some(until);
            return Ok(());
        }
        state.muted_until = None;
        if let Some(session) = &mut self.session {
            if session.is_due(clock::now()) {
                session.work(reauthenticate(&self.shared, self.login.as_ref()));
            }
            if session.holds_back() {
                return Ok(());
            }
        }
        let room = self.max_in_flight.saturating_sub(self.in_flight.len() + self.writing.len());
        let taken = room.min(state.queue.len());
        for mut request in state.queue.drain(..taken) {
            let segments = request.frame.begin_write();
            self.writing.push_back((segments.iter().map(Bytes::len).sum(), request));
            self.segments.extend(segments);
        }
        Ok(())
    }

    /// The mechanism of a re-authentication has come to something.
    fn on_worked(&mut self, worked: Result<Next, Refused>) -> Result<(), String> {
        let counters = &self.shared.counters;
        let failed = |e: Refused| {
            counters.failed_reauthentication_total.add(1);
            format!("it could not be authenticated again (KIP-368): {}", e.reason)
        };
        let Some(session) = &mut self.session else { return Ok(()) };
        match worked.map_err(failed)? {
            Next::Send(mut authenticate) => {
                let correlation_id = self.shared.next_correlation_id();
                let segments = authenticate.frame(correlation_id).map_err(failed)?;
                let (api, timeout) = (authenticate.api(), self.shared.request_timeout);
                session.wait(authenticate);
                let length = segments.len();
                let mut frame = Frame::new(api, segments);
                self.segments.extend(frame.begin_write());
                let (version, span, asker) = (0, tracing::Span::none(), Asker::Session);
                let request = Outgoing { frame, correlation_id, api, version, timeout, span, asker };
                self.writing.push_back((length, request));
            }
            Next::Done { lifetime } => {
                counters.successful_reauthentication_total.add(1);
                tracing::debug!(address = %self.shared.address, ?lifetime, "authenticated again");
                match lifetime {
                    Some(lifetime) => session.renewed(renewal(clock::now(), lifetime)),
                    None => self.session = None,
                }
            }
        }
        Ok(())
    }

    fn on_read(&mut self) -> Result<(), String> {
        self.last_activity = clock::now();
        while let Some(frame) = self.frames.next_frame().map_err(|e| e.to_string())? {
            let Some(correlation_id) = frame.first_chunk::<4>().map(|id| i32::from_be_bytes(*id)) else {
                return Err("the broker sent an answer without a header".to_owned());
            };
            let sent = self
                .in_flight
                .complete(correlation_id)
                .map_err(|e| format!("the broker answered request {} where {:?} was next", e.received, e.expected))?;
            if let Some(throttle) = throttle::of_frame(sent.api, sent.version, &frame) {
                self.shared.mute(throttle);
            }
            self.answered = true;
            let latency = self.last_activity.saturating_duration_since(sent.at);
            self.shared.counters.answered(latency);
            tracing::trace!(parent: &sent.span, ?latency, bytes = frame.len(), "answered");
            match sent.asker {
                Asker::Reply(sender) => {
                    self.shared.lock().done(correlation_id);
                    // Whoever asked may have gone away.
                    let _ = sender.send(Ok(frame));
                }
                Asker::Session => self.on_session_answer(frame),
                Asker::Written(_) => {}
            }
        }
        Ok(())
    }

    fn on_session_answer(&mut self, frame: Bytes) {
        let Some(session) = &mut self.session else { return };
        if let Some((authenticate, frame)) = session.answered(frame) {
            session.work(Box::pin(login::answered(authenticate, frame)));
        }
    }

    fn on_written(&mut self, mut n: usize) {
        // Nothing left to write: it was flushed.
        self.unflushed = self.unflushed.map(|_| n > 0);
        if n == 0 {
            return;
        }
        self.last_activity = clock::now();
        self.shared.counters.outgoing_byte_total.add(n);
        let mut left = n;
        while let Some(segment) = self.segments.front_mut() {
            if left < segment.len() {
                segment.advance(left);
                break;
            }
            left -= segment.len();
            self.segments.pop_front();
        }
        while let Some((rest, _)) = self.writing.front_mut() {
            if n < *rest {
                *rest -= n;
                break;
            }
            n -= *rest;
            if let Some((_, request)) = self.writing.pop_front() {
                self.request_written(request);
            }
        }
    }

    fn request_written(&mut self, request: Outgoing) {
        self.shared.counters.request_total.add(1);
        match request.asker {
            Asker::Written(sender) => {
                self.shared.lock().done(request.correlation_id);
                let _ = sender.send(Ok(()));
            }
            asker => {
                self.in_flight.register(Waiting {
                    correlation_id: request.correlation_id,
                    deadline: self.last_activity + request.timeout,
                    asker: Sent {
                        api: request.api,
                        version: request.version,
                        at: self.last_activity,
                        span: request.span,
                        asker,
                    },
                });
            }
        }
    }

    /// When there is something to do without anything having happened.
    fn timer(&self) -> Option<Instant> {
        if self.is_busy() {
            // A peer that takes no bytes is given the time of one request.
            let stuck = (!self.writing.is_empty()).then(|| self.last_activity + self.shared.request_timeout);
            self.in_flight.deadline().into_iter().chain(stuck).chain(self.unmute).min()
        } else {
            let idle = self.shared.max_idle.map(|idle| self.last_activity + idle);
            self.unmute.or(idle)
        }
    }

    fn on_timer(&self) -> Result<(), String> {
        let now = clock::now();
        if self.in_flight.deadline().is_some_and(|at| at <= now) {
            return Err(format!("no answer came within {:?} (request.timeout.ms)", self.shared.request_timeout));
        }
        if !self.writing.is_empty() && self.last_activity + self.shared.request_timeout <= now {
            return Err(format!("the broker took no bytes for {:?} (request.timeout.ms)", self.shared.request_timeout));
        }
        let idle = self.shared.max_idle.is_some_and(|idle| self.last_activity + idle <= now);
        if idle && !self.is_busy() && self.shared.lock().queue.is_empty() {
            return Err("it was idle for connections.max.idle.ms".to_owned());
        }
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.in_flight.len() > 0 || !self.writing.is_empty() || self.session.as_ref().is_some_and(Session::holds_back)
    }

    /// One expired request closes the connection, and the others with it: answers come in order, so none of theirs can
    /// be told apart from one that comes late.
    fn fail_all(&mut self, reason: &str) {
        let shared = Arc::clone(&self.shared);
        for waiting in self.in_flight.drain() {
            let Sent { api, version, asker, .. } = waiting.asker;
            asker.fail(shared.disconnected((api, version), true, reason));
        }
        // No more of it is written; what holds a secret is overwritten when nothing else holds it.
        self.segments.clear();
        for (_, request) in self.writing.drain(..) {
            request.asker.fail(shared.disconnected((request.api, request.version), true, reason));
        }
        let mut state = shared.lock();
        state.unanswered.clear();
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        for request in queue {
            request.asker.fail(shared.disconnected((request.api, request.version), false, reason));
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Writes some of the bytes; without any, flushes and returns 0.
async fn put(writer: &mut WriteHalf<Box<dyn Stream>>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    if slices.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write_vectored(slices).await? {
        0 => Err(io::Error::new(io::ErrorKind::WriteZero, "nothing can be written to it")),
        n => Ok(n),
    }
}

/// When to authenticate again.
fn renewal(now: Instant, lifetime: Duration) -> Instant {
    now + reauthenticate_after(lifetime, fastrand::f64())
}

/// The start of a re-authentication, bounded by the time of a request.
fn reauthenticate(shared: &Arc<Shared>, login: Option<&(Login, String)>) -> BoxFuture<'static, Result<Next, Refused>> {
    let (shared, login) = (Arc::clone(shared), login.cloned());
    Box::pin(async move {
        let Some((login, host)) = login else { return Ok(Next::Done { lifetime: None }) };
        let begun = login.begin(&host, &shared.versions, &shared.client_id);
        match tokio::time::timeout(shared.request_timeout, begun).await {
            Ok(begun) => begun.map(Next::Send),
            Err(_) => Err(Refused { reason: format!("no credentials came within {:?}", shared.request_timeout) }),
        }
    })
}

async fn work(session: &mut Option<Session>) -> Result<Next, Refused> {
    match session.as_mut().and_then(Session::working) {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
