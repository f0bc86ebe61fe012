//! The task of a producer: drains batches into requests, takes answers in, and speaks with the coordinator.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use ottla_protocol::messages::produce::{ProduceRequest, ProduceResponse};
use ottla_protocol::{ApiKey, ErrorCode};

use super::accumulator::Membership;
use super::batch::ProducerBatch;
use super::completion::State;
use super::message_set::{check_codec, magic_of, message_set};
use super::produce::PartitionAnswer;
use super::sequence::Mode;
use super::transaction::{ControlKind, ControlResponse, TransactionVersion};
use super::{Acks, Shared, control, produce};
use crate::client::CoordinatorKind;
use crate::clock;
use crate::error::{Error, Place, Remedy, Result};
use crate::network::Lane;
use crate::network::connection::Connection;
use crate::types::{BrokerId, ProducerIdAndEpoch};

/// How long a broker is left alone after a connection failed; the pool's own back-off comes on top.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Sender {
    shared: Arc<Shared>,
    mode: Mode,
    rng: fastrand::Rng,
    /// Everything that is under way.
    tasks: FuturesUnordered<BoxFuture<'static, Done>>,
    dialing: HashSet<BrokerId>,
    /// Requests that are not answered. Other producers may share the connections: theirs do not count.
    in_flight: HashMap<BrokerId, usize>,
    /// The request for a producer id: when to send the next one, or that one is under way.
    id_request: IdRequest,
    requests: usize,
    /// When topics were last said to be in use.
    used: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum IdRequest {
    Due { at: Option<Instant>, failures: u32 },
    UnderWay { failures: u32 },
}

/// Something that ended.
enum Done {
    Dialed(BrokerId, Result<()>),
    Produced(Option<BrokerId>, Vec<ProducerBatch>, Result<Answered>),
    ProducerId(Result<ProducerIdAndEpoch>),
    Control(ControlKind, Result<ControlResponse>),
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>, mode: Mode) -> Self {
        Self {
            shared,
            mode,
            rng: fastrand::Rng::new(),
            tasks: FuturesUnordered::new(),
            dialing: HashSet::new(),
            in_flight: HashMap::new(),
            id_request: IdRequest::Due { at: None, failures: 0 },
            requests: 0,
            used: None,
        }
    }

    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut cluster = shared.client.cluster_changes();
        loop {
            let next = self.pass(clock::now());
            tokio::select! {
                // In order, not by chance: after each of them everything is looked at, and simulations are repeatable.
                biased;
                () = shared.stop.cancelled() => break,
                () = shared.wake.notified() => {}
                Some(done) = self.tasks.next(), if !self.tasks.is_empty() => self.take_in(done),
                changed = cluster.changed() => if changed.is_err() { break },
                () = sleep_until(next) => {}
            }
        }
        shared.lock().fail_everything(&super::closed());
        shared.stop.cancel();
        shared.changed.notify_waiters();
    }

    /// Does everything that can be done now; when to look again.
    fn pass(&mut self, now: Instant) -> Option<Instant> {
        let shared = Arc::clone(&self.shared);
        let cluster = shared.client.cluster();
        let (control_at, id_at) = {
            let mut state = shared.lock();
            state.accumulator.update_leaders(&cluster);
            state.fail_orphans();
            state.expire(now);
            state.resolve_sequences();
            state.show_memory();
            (self.speak_with_coordinator(&mut state, now), self.ask_for_id(&state, now))
        };
        self.say_what_is_used(now);
        let ready_at = self.send(now);
        let expires_at = shared.lock().expires_at();
        shared.changed.notify_waiters();
        [control_at, id_at, ready_at, expires_at].into_iter().flatten().min()
    }

    /// Topics that are sent to stay in the metadata (`metadata.max.idle.ms`, at least 5 s).
    fn say_what_is_used(&mut self, now: Instant) {
        if self.used.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1)) {
            let topics = self.shared.lock().accumulator.active_topics();
            if !topics.is_empty() {
                self.used = Some(now);
                self.shared.client.use_topics(topics.iter().map(|topic| &**topic));
            }
        }
    }

    /// Sends what is ready until nothing more can be.
    fn send(&mut self, now: Instant) -> Option<Instant> {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut requests = Vec::new();
            let mut state = shared.lock();
            let (id, version) = match &state.transactions {
                Some(transactions) if transactions.may_send() => (transactions.id(), Some(transactions.version())),
                Some(_) => return None,
                None => (state.id, None),
            };
            let ready = state.accumulator.ready(now, id, version == Some(TransactionVersion::V1));
            if ready.leader_is_missing {
                shared.client.refresh_metadata();
            }
            for (broker, mut keys) in ready.brokers {
                let Some(connection) = self.usable(broker) else {
                    state.accumulator.availability.refused(now, broker);
                    continue;
                };
                state.accumulator.availability.accepted(broker);
                // Another partition comes first each time, so that none is starved by the request size.
                self.requests = self.requests.wrapping_add(1);
                let first = self.requests % keys.len().max(1);
                keys.rotate_left(first);
                let batches = state.accumulator.drain(&mut keys, id);
                state.sent(&batches);
                if let Some(transactions) = &mut state.transactions {
                    transactions.batch_sent();
                }
                requests.push((connection, batches));
            }
            drop(state);
            if requests.is_empty() {
                return ready.next;
            }
            for (connection, batches) in requests {
                self.send_request(&connection, batches, version);
            }
        }
    }

    /// The connection to `broker`, if another request fits into it.
    fn usable(&mut self, broker: BrokerId) -> Option<Connection> {
        let client = &self.shared.client;
        if let Some(connection) = client.ready_connection(broker, Lane::Produce) {
            let limit = self.shared.config.max_in_flight_requests_per_connection;
            return (self.in_flight.get(&broker).is_none_or(|n| *n < limit)).then_some(connection);
        }
        if self.dialing.insert(broker) {
            let client = client.clone();
            self.tasks.push(Box::pin(async move {
                let opened = client.connection(broker, Lane::Produce).await.map(drop);
                if opened.is_err() {
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
                Done::Dialed(broker, opened)
            }));
        }
        None
    }

    /// Compresses the batches, once each, and hands them to the connection.
    fn send_request(
        &mut self,
        connection: &Connection,
        batches: Vec<ProducerBatch>,
        version: Option<TransactionVersion>,
    ) {
        let config = &self.shared.config;
        let cap = produce::version_cap(version.map_or(i16::MAX, TransactionVersion::produce_version), &batches);
        // Where no version is known sending says so.
        let produce_version = connection.choose::<ProduceRequest>(Some(cap)).unwrap_or(i16::MAX);
        let mut sealed = Vec::with_capacity(batches.len());
        for mut batch in batches {
            let records = match magic_of(produce_version) {
                None => check_codec(config.compression_type, produce_version, &batch)
                    .and_then(|()| batch.seal(config.compression_type, config.compression_level)),
                Some(magic) => message_set(&mut batch, magic, (config.compression_type, config.compression_level)),
            };
            match records {
                Ok(records) => sealed.push((batch, records)),
                Err(error) => {
                    self.tasks.push(Box::pin(std::future::ready(Done::Produced(None, vec![batch], Err(error)))));
                }
            }
        }
        let timeout = i32::try_from(self.shared.client.config().request_timeout.as_millis()).unwrap_or(i32::MAX);
        let head = (config.acks.code(), timeout, config.transactional_id.clone());
        let request = produce::request(head, &sealed);
        if sealed.is_empty() {
            return;
        }
        let handed_over = hand_over(connection, &request, cap, config.acks);
        let now = clock::now();
        if handed_over.is_ok() {
            self.shared.meters.sent(now, &sealed);
        }
        let batches: Vec<_> = sealed.into_iter().map(|(batch, _)| batch).collect();
        let task: BoxFuture<'static, Done> = match handed_over {
            Ok(answer) => {
                let broker = connection.broker();
                self.count_in_flight(broker, 1);
                let meters = Arc::clone(&self.shared.meters);
                Box::pin(async move {
                    let answer = answer.await;
                    if let Ok(Some((response, _))) = &answer {
                        meters.answered(clock::since(now), response.throttle_time_ms);
                    }
                    Done::Produced(Some(broker), batches, answer)
                })
            }
            Err(error) => Box::pin(std::future::ready(Done::Produced(None, batches, Err(error)))),
        };
        self.tasks.push(task);
    }

    fn count_in_flight(&mut self, broker: BrokerId, change: isize) {
        let in_flight = self.in_flight.entry(broker).or_default();
        *in_flight = in_flight.saturating_add_signed(change);
        let all: usize = self.in_flight.values().sum();
        #[allow(clippy::cast_precision_loss, reason = "a metric")]
        self.shared.meters.all.requests_in_flight.set(all as f64);
    }

    fn take_in(&mut self, done: Done) {
        let now = clock::now();
        match done {
            Done::Dialed(broker, opened) => {
                self.dialing.remove(&broker);
                if let Err(error) = opened {
                    self.shared.lock().accumulator.explain_wait(Some(broker), &error);
                }
            }
            Done::Produced(broker, batches, answer) => {
                broker.into_iter().for_each(|broker| self.count_in_flight(broker, -1));
                self.take_in_batches(now, batches, answer);
            }
            Done::ProducerId(answer) => self.take_in_id(now, answer),
            Done::Control(kind, answer) => self.take_in_control(now, kind, answer),
        }
    }

    fn take_in_batches(&self, now: Instant, batches: Vec<ProducerBatch>, answer: Result<Answered>) {
        let client = &self.shared.client;
        match answer {
            Ok(response) => {
                let (response, at) = response.unzip();
                let is_answered = response.is_some();
                let (mut answers, hints) =
                    response.map(|response| produce::answers(response, &batches)).unwrap_or_default();
                for refusal in answers.values_mut().filter(|answer| answer.code != ErrorCode::None) {
                    refusal.at.clone_from(&at);
                }
                let moved = !hints.is_empty() && client.apply_leader_hints(&hints);
                let cluster = client.cluster();
                let mut state = self.shared.lock();
                state.accumulator.update_leaders(&cluster);
                let mut stale = false;
                for batch in batches {
                    match answers.remove(batch.topic_partition()) {
                        Some(answer) => stale |= state.answered(now, batch, answer, moved),
                        None if is_answered => state.unanswered(now, batch, left_out(at.as_ref())),
                        None => stale |= state.answered(now, batch, WRITTEN, moved),
                    }
                }
                drop(state);
                if stale && !moved {
                    client.refresh_metadata();
                }
            }
            Err(error) => {
                if error.remedy() == Remedy::RefreshMetadata {
                    client.refresh_metadata();
                }
                let mut state = self.shared.lock();
                for batch in batches {
                    state.unanswered(now, batch, error.clone());
                }
            }
        }
    }

    // Producer ids and transactions.

    fn ask_for_id(&mut self, state: &State, now: Instant) -> Option<Instant> {
        let IdRequest::Due { at, failures } = self.id_request else { return None };
        let is_needed = self.mode == Mode::Idempotent
            && state.id == ProducerIdAndEpoch::NONE
            && state.accumulator.oldest().is_some();
        if !is_needed {
            return None;
        }
        if at.is_some_and(|at| at > now) {
            return at;
        }
        self.id_request = IdRequest::UnderWay { failures };
        let client = self.shared.client.clone();
        self.tasks.push(Box::pin(async move { Done::ProducerId(control::init_idempotent(&client).await) }));
        None
    }

    fn take_in_id(&mut self, now: Instant, answer: Result<ProducerIdAndEpoch>) {
        let failures = match self.id_request {
            IdRequest::UnderWay { failures } | IdRequest::Due { failures, .. } => failures,
        };
        self.id_request = IdRequest::Due { at: None, failures: 0 };
        match answer {
            Ok(id) => {
                if failures > 0 {
                    tracing::info!(failures, producer_id = id.producer_id, "the producer has an id now");
                }
                self.shared.lock().id = id;
            }
            // A cluster before 0.11.
            Err(error @ Error::UnsupportedVersion { .. }) if self.shared.config.enable_idempotence.is_none() => {
                tracing::warn!(
                    %error,
                    "enable.idempotence is off with these brokers: retries may double records; a partition has one batch in \
                     flight at a time, so that they do not swap them"
                );
                self.mode = Mode::Plain { one_in_flight: true };
                self.shared.lock().follow_mode(self.mode);
            }
            Err(error) if error.remedy() == Remedy::GiveUp && !matches!(error, Error::Authentication { .. }) => {
                self.shared.lock().fail_producer(&error);
            }
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%error, "no producer id yet: batches wait for it");
                }
                self.shared.lock().no_id_yet(now, &error);
                let delay = self.shared.client.config().retry().delay(failures, &mut self.rng);
                self.id_request = IdRequest::Due { at: Some(now + delay), failures: failures + 1 };
            }
        }
    }

    fn speak_with_coordinator(&mut self, state: &mut State, now: Instant) -> Option<Instant> {
        let is_complete = state.accumulator.is_complete();
        let members = std::mem::take(&mut state.accumulator.new_members);
        let members: Vec<_> = members.into_iter().map(|key| (key, state.accumulator.topic_partition(key))).collect();
        let transactions = state.transactions.as_mut()?;
        for (key, topic_partition) in members {
            transactions.want_partition(key, topic_partition);
        }
        let Some(request) = transactions.poll_request(now, is_complete) else {
            let at = transactions.poll_timeout().filter(|at| *at > now);
            state.follow_phase();
            return at;
        };
        let client = self.shared.client.clone();
        let id = transactions.transactional_id().to_owned();
        let timeout_ms = i32::try_from(transactions.timeout.as_millis()).unwrap_or(i32::MAX);
        self.tasks.push(Box::pin(async move {
            let kind = request.kind();
            Done::Control(kind, control::send(&client, &id, timeout_ms, request).await)
        }));
        None
    }

    fn take_in_control(&self, now: Instant, kind: ControlKind, answer: Result<ControlResponse>) {
        let client = &self.shared.client;
        let feature = TransactionVersion::of_feature(client.transaction_version());
        let mut state = self.shared.lock();
        let Some(transactions) = &mut state.transactions else { return };
        let effects = match answer {
            Ok(response) => transactions.handle_response(now, response, feature),
            Err(error) => transactions.handle_failure(now, &kind, error),
        };
        if effects.coordinator_is_lost {
            let id = transactions.transactional_id().to_owned();
            client.forget_coordinator(CoordinatorKind::Transaction, &id);
        }
        for key in effects.added {
            if let Some(queue) = state.accumulator.queue(key) {
                queue.membership = Membership::Added;
            }
        }
        if effects.ended {
            state.transaction_ended();
        }
        state.follow_phase();
    }
}

/// The end of the only answer that `acks=0` has: it was written to the socket.
const WRITTEN: PartitionAnswer = PartitionAnswer {
    code: ErrorCode::None,
    base_offset: -1,
    log_append_time: None,
    log_start_offset: -1,
    message: None,
    at: None,
};

/// What was answered, and where; none for a request without an answer.
type Answered = Option<(ProduceResponse, Place)>;

type Answer = BoxFuture<'static, Result<Answered>>;

fn hand_over(connection: &Connection, request: &ProduceRequest, cap: i16, acks: Acks) -> Result<Answer> {
    let version = connection.choose::<ProduceRequest>(Some(cap))?;
    if acks == Acks::None {
        let written = connection.send_oneway(request, version)?;
        return Ok(Box::pin(async move { written.await.map(|()| None) }));
    }
    let reply = connection.send(request, version)?;
    let at = connection.place(version);
    Ok(Box::pin(async move { reply.await.map(|response| Some((response, at))) }))
}

/// The broker answered for other partitions than we asked for.
fn left_out(at: Option<&Place>) -> Error {
    let (broker, version) = at.map(|at| (at.name(), at.version)).unwrap_or_default();
    let reason = "a partition of the request is missing in it".to_owned();
    Error::Malformed { broker, api: ApiKey::Produce, version, reason }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
