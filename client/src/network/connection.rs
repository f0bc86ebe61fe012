//! One connection: a task that writes what is queued and hands answers to who asked, in order.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::VecDeque;
use std::io::IoSlice;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use ottla_protocol::{ApiKey, ApiVersions, FrameDecoder, Request, ResponseHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, oneshot};

use super::dial::Stream;
use super::in_flight::{InFlight, Waiting};
use crate::error::{Error, Place, Result};
use crate::types::BrokerId;

/// A handle of a connection. When the last one goes, the connection is closed.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker: BrokerId,
    address: Arc<str>,
    versions: ApiVersions,
    client_id: String,
    request_timeout: Duration,
    max_idle: Option<Duration>,
    next_correlation_id: AtomicI32,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Outgoing>,
    /// Requests queued or sent and not answered.
    unanswered: usize,
    /// Why nothing can be sent any more.
    closed: Option<String>,
}

#[derive(Debug)]
struct Outgoing {
    segments: Vec<Bytes>,
    correlation_id: i32,
    api: ApiKey,
    timeout: Duration,
    asker: Asker,
}

#[derive(Debug)]
enum Asker {
    /// Wants the answer.
    Reply(oneshot::Sender<Result<Bytes>>),
    /// There is no answer; wants to know when the request is written.
    Written(oneshot::Sender<Result<()>>),
}

/// What is needed to open a connection, but for the stream.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) broker: BrokerId,
    pub(crate) address: Arc<str>,
    pub(crate) client_id: String,
    pub(crate) request_timeout: Duration,
    pub(crate) max_idle: Option<Duration>,
    pub(crate) max_response_bytes: usize,
}

impl Connection {
    /// Starts the task of a connection whose handshake is done. `frames` holds what was read too much.
    pub(crate) fn start(settings: Settings, versions: ApiVersions, stream: Box<dyn Stream>) -> Self {
        let shared = Arc::new(Shared {
            broker: settings.broker,
            address: settings.address,
            versions,
            client_id: settings.client_id,
            request_timeout: settings.request_timeout,
            max_idle: settings.max_idle,
            next_correlation_id: AtomicI32::new(1),
            state: Mutex::default(),
            wake: Notify::new(),
        });
        let task = Task::new(Arc::clone(&shared), stream, settings.max_response_bytes);
        tokio::spawn(task.run());
        Self(Arc::new(Handle { shared }))
    }

    pub(crate) fn broker(&self) -> BrokerId {
        self.0.shared.broker
    }

    pub(crate) fn api_versions(&self) -> &ApiVersions {
        &self.0.shared.versions
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.shared.lock().closed.is_some()
    }

    /// Requests queued or sent and not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.shared.lock().unanswered
    }

    /// Who answers here, for the texts of errors.
    pub(crate) fn place(&self, version: i16) -> Place {
        Place { broker: format!("broker {} ({})", self.broker(), self.0.shared.address), version }
    }

    /// The newest version both sides speak, not above `cap`.
    pub(crate) fn choose<R: Request>(&self, cap: Option<i16>) -> Result<i16> {
        let broker = || format!("broker {} at {}", self.broker(), self.0.shared.address);
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
        Ok(Reply { receiver, version, address: Arc::clone(&self.0.shared.address), request: PhantomData })
    }

    /// Queues a request that the broker does not answer; done when it is written.
    pub(crate) fn send_oneway<R: Request>(&self, request: &R, version: i16) -> Result<Written> {
        let (sender, receiver) = oneshot::channel();
        self.queue(request, version, self.0.shared.request_timeout, Asker::Written(sender))?;
        Ok(Written { receiver, api: R::API_KEY, address: Arc::clone(&self.0.shared.address) })
    }

    fn queue<R: Request>(&self, request: &R, version: i16, timeout: Duration, asker: Asker) -> Result<()> {
        let shared = &self.0.shared;
        let correlation_id = shared.next_correlation_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let client_id = Some(shared.client_id.as_str());
        let frame = request.encode_frame(version, correlation_id, client_id).map_err(|e| Error::Misuse {
            reason: format!("{} cannot be sent to broker {}: {e}", R::API_KEY, shared.broker),
        })?;
        let mut state = shared.lock();
        if let Some(reason) = &state.closed {
            return Err(shared.disconnected(R::API_KEY, false, reason));
        }
        state.unanswered += 1;
        state.queue.push_back(Outgoing { segments: frame.0, correlation_id, api: R::API_KEY, timeout, asker });
        drop(state);
        shared.wake.notify_one();
        Ok(())
    }

    /// Closes the connection: what was not answered yet fails.
    pub(crate) fn close(&self, reason: &str) {
        self.0.shared.close(reason);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close("it is not used any more");
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, reason: &str) {
        self.lock().closed.get_or_insert_with(|| reason.to_owned());
        self.wake.notify_one();
    }

    fn disconnected(&self, api: ApiKey, written: bool, reason: &str) -> Error {
        Error::Disconnected {
            broker: format!("broker {} at {}", self.broker, self.address),
            api,
            written,
            reason: reason.to_owned(),
        }
    }
}

/// The answer to a request, decoded by whoever waits for it. Dropping it drops the answer.
#[derive(Debug)]
#[must_use = "the answer has to be looked at"]
pub(crate) struct Reply<R> {
    receiver: oneshot::Receiver<Result<Bytes>>,
    version: i16,
    address: Arc<str>,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Future for Reply<R> {
    type Output = Result<R::Response>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let received = std::task::ready!(Pin::new(&mut self.receiver).poll(context));
        Poll::Ready(received.unwrap_or_else(|_| Err(gone(R::API_KEY, &self.address))).and_then(|mut frame| {
            ResponseHeader::decode(R::API_KEY, self.version, &mut frame)
                .and_then(|_| R::decode_response(self.version, frame))
                .map_err(|error| Error::Malformed {
                    broker: format!("the broker at {}", self.address),
                    api: R::API_KEY,
                    version: self.version,
                    reason: error.to_string(),
                })
        }))
    }
}

/// Done when a request is written.
#[derive(Debug)]
#[must_use = "a request that could not be written has to be looked at"]
pub(crate) struct Written {
    receiver: oneshot::Receiver<Result<()>>,
    api: ApiKey,
    address: Arc<str>,
}

impl Future for Written {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let received = std::task::ready!(Pin::new(&mut self.receiver).poll(context));
        Poll::Ready(received.unwrap_or_else(|_| Err(gone(self.api, &self.address))))
    }
}

/// The task is gone, which happens when the runtime shuts down.
fn gone(api: ApiKey, address: &str) -> Error {
    let reason = "the runtime that ran it has stopped".to_owned();
    Error::Disconnected { broker: format!("the broker at {address}"), api, written: true, reason }
}

struct Task {
    shared: Arc<Shared>,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    frames: FrameDecoder,
    in_flight: InFlight<(ApiKey, Asker)>,
    /// What is being written: the segments, and the requests that end when so many bytes more are written.
    segments: VecDeque<Bytes>,
    writing: VecDeque<(usize, Outgoing)>,
    last_activity: Instant,
}

/// Segments in one call to the kernel.
const SLICES: usize = 32;

impl Task {
    fn new(shared: Arc<Shared>, stream: Box<dyn Stream>, max_response_bytes: usize) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            shared,
            reader,
            writer,
            frames: FrameDecoder::new(max_response_bytes),
            in_flight: InFlight::new(),
            segments: VecDeque::new(),
            writing: VecDeque::new(),
            last_activity: Instant::now(),
        }
    }

    async fn run(mut self) {
        let reason = loop {
            if let Err(reason) = self.step().await {
                break reason;
            }
        };
        self.shared.close(&reason);
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
                if n == 0 { return Err("the broker closed it".to_owned()); }
                self.on_read()
            }
            written = self.writer.write_vectored(slices), if !slices.is_empty() => {
                let n = written.map_err(|e| e.to_string())?;
                if n == 0 { return Err("nothing can be written to it".to_owned()); }
                self.on_written(n);
                Ok(())
            }
            () = shared.wake.notified(), if slices.is_empty() => Ok(()),
            () = sleep_until(timer) => self.on_timer(),
        }
    }

    fn take_queue(&mut self) -> Result<(), String> {
        let mut state = self.shared.lock();
        if let Some(reason) = &state.closed {
            return Err(reason.clone());
        }
        for mut request in state.queue.drain(..) {
            let segments = std::mem::take(&mut request.segments);
            self.writing.push_back((segments.iter().map(Bytes::len).sum(), request));
            self.segments.extend(segments);
        }
        Ok(())
    }

    fn on_read(&mut self) -> Result<(), String> {
        self.last_activity = Instant::now();
        while let Some(frame) = self.frames.next_frame().map_err(|e| e.to_string())? {
            let Some(correlation_id) = frame.first_chunk::<4>().map(|id| i32::from_be_bytes(*id)) else {
                return Err("the broker sent an answer without a header".to_owned());
            };
            let (_, asker) = self
                .in_flight
                .complete(correlation_id)
                .map_err(|e| format!("the broker answered request {} where {:?} was next", e.received, e.expected))?;
            self.shared.lock().unanswered -= 1;
            if let Asker::Reply(sender) = asker {
                // Whoever asked may have gone away.
                let _ = sender.send(Ok(frame));
            }
        }
        Ok(())
    }

    fn on_written(&mut self, mut n: usize) {
        self.last_activity = Instant::now();
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
        match request.asker {
            Asker::Written(sender) => {
                self.shared.lock().unanswered -= 1;
                let _ = sender.send(Ok(()));
            }
            asker => self.in_flight.register(Waiting {
                correlation_id: request.correlation_id,
                deadline: self.last_activity + request.timeout,
                asker: (request.api, asker),
            }),
        }
    }

    /// When there is something to do without anything having happened.
    fn timer(&self) -> Option<Instant> {
        if self.in_flight.len() > 0 || !self.writing.is_empty() {
            // A peer that takes no bytes is given the time of one request.
            let stuck = (!self.writing.is_empty()).then(|| self.last_activity + self.shared.request_timeout);
            self.in_flight.deadline().into_iter().chain(stuck).min()
        } else {
            self.shared.max_idle.map(|idle| self.last_activity + idle)
        }
    }

    fn on_timer(&self) -> Result<(), String> {
        if self.in_flight.len() == 0 && self.writing.is_empty() {
            return Err("it was idle for connections.max.idle.ms".to_owned());
        }
        Err(format!("no answer came within {:?} (request.timeout.ms)", self.shared.request_timeout))
    }

    /// One expired request closes the connection, and the others with it: answers come in order, so none of theirs can
    /// be told apart from one that comes late.
    fn fail_all(&mut self, reason: &str) {
        let shared = Arc::clone(&self.shared);
        for waiting in self.in_flight.drain() {
            let (api, asker) = waiting.asker;
            asker.fail(shared.disconnected(api, true, reason));
        }
        for (_, request) in self.writing.drain(..) {
            request.asker.fail(shared.disconnected(request.api, true, reason));
        }
        let mut state = shared.lock();
        state.unanswered = 0;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        for request in queue {
            request.asker.fail(shared.disconnected(request.api, false, reason));
        }
    }
}

impl Asker {
    fn fail(self, error: Error) {
        // Whoever asked may have gone away.
        let _ = match self {
            Self::Reply(sender) => sender.send(Err(error)).map_err(drop),
            Self::Written(sender) => sender.send(Err(error)).map_err(drop),
        };
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
