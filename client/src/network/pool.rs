//! The connections of a client, one per broker and lane, opened when first used.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ottla_protocol::{ApiVersions, FrameDecoder, Segments};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Lane;
use super::connection::{Connection, Settings};
use super::dial::{Stream, dial};
use super::handshake::{AskVersions, Step};
use crate::config::{ClientConfig, split_address};
use crate::error::{Error, Result};
use crate::types::BrokerId;

/// The longest answer to the first request: no broker comes near it.
const MAX_HANDSHAKE_FRAME: usize = 1 << 20;

/// The feature that turns the transactions of KIP-890 part 2 on.
const TRANSACTION_VERSION: &str = "transaction.version";

#[derive(Debug)]
pub(crate) struct Pool {
    config: Arc<ClientConfig>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<(BrokerId, Lane), Slot>,
    addresses: HashMap<BrokerId, (String, u16)>,
    health: HashMap<BrokerId, Health>,
    /// The version of ApiVersions that an address answered to.
    remembered: HashMap<String, i16>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    /// Held while somebody dials, so that others wait for that one attempt.
    dialing: Arc<tokio::sync::Mutex<()>>,
}

/// How connecting to a broker went lately.
#[derive(Debug, Default)]
struct Health {
    failures: u32,
    attempts: u64,
    not_before: Option<Instant>,
    last_error: Option<Error>,
}

impl Pool {
    /// A pool that knows the bootstrap servers, as brokers -1, -2 and so on.
    pub(crate) fn new(config: Arc<ClientConfig>) -> Result<Self> {
        let mut state = State::default();
        for (i, server) in config.bootstrap_servers.iter().enumerate() {
            state.addresses.insert(bootstrap_id(i), split_address(server)?);
        }
        Ok(Self { config, state: Mutex::new(state) })
    }

    /// The brokers of the cluster and where they listen now. A connection to an address that is no longer the broker's
    /// is closed.
    pub(crate) fn set_addresses<'a>(&self, brokers: impl Iterator<Item = (BrokerId, &'a str, u16)>) {
        let mut state = self.lock();
        for (id, host, port) in brokers {
            let new = (host.to_owned(), port);
            let old = state.addresses.insert(id, new.clone());
            if old.is_some_and(|old| old != new) {
                for (_, slot) in state.slots.iter_mut().filter(|((broker, _), _)| *broker == id) {
                    slot.connection = None;
                }
            }
        }
    }

    /// An open connection, if there is one.
    pub(crate) fn ready(&self, broker: BrokerId, lane: Lane) -> Option<Connection> {
        let state = self.lock();
        state.slots.get(&(broker, lane))?.connection.clone().filter(|c| !c.is_closed())
    }

    /// The open connection with the fewest requests in flight, of any broker.
    pub(crate) fn least_loaded(&self) -> Option<Connection> {
        let state = self.lock();
        let open = state
            .slots
            .iter()
            .filter(|((_, lane), _)| *lane == Lane::General)
            .filter_map(|(_, slot)| slot.connection.as_ref());
        open.filter(|c| !c.is_closed()).min_by_key(|c| c.in_flight()).cloned()
    }

    /// Whether `broker` is being left alone after failures.
    pub(crate) fn is_backing_off(&self, broker: BrokerId) -> bool {
        self.lock().health.get(&broker).and_then(|h| h.not_before).is_some_and(|t| t > Instant::now())
    }

    /// An open connection, opened now if need be. Cancel safe.
    ///
    /// # Errors
    /// When one attempt fails. Attempts keep a growing distance from each other.
    pub(crate) async fn connection(&self, broker: BrokerId, lane: Lane) -> Result<Connection> {
        if let Some(connection) = self.ready(broker, lane) {
            return Ok(connection);
        }
        let (gate, seen) = {
            let mut state = self.lock();
            let seen = state.health.get(&broker).map_or(0, |h| h.attempts);
            (Arc::clone(&state.slots.entry((broker, lane)).or_default().dialing), seen)
        };
        let _dialing = gate.lock().await;
        if let Some(connection) = self.ready(broker, lane) {
            return Ok(connection);
        }
        if let Some(error) = self.failed_since(broker, seen) {
            return Err(error);
        }
        let not_before = self.lock().health.get(&broker).and_then(|h| h.not_before);
        if let Some(until) = not_before {
            tokio::time::sleep_until(until.into()).await;
        }
        let opened = self.open(broker).await;
        self.attempt_ended(broker, lane, opened)
    }

    /// What the transaction feature's level is, by the broker whose news is the latest; 0: it is absent.
    pub(crate) fn transaction_version(&self) -> i16 {
        let state = self.lock();
        let open = state.slots.values().filter_map(|slot| slot.connection.as_ref()).filter(|c| !c.is_closed());
        open.map(|c| c.api_versions())
            .max_by_key(|v| v.finalized_features_epoch())
            .and_then(|v| v.finalized_feature(TRANSACTION_VERSION))
            .unwrap_or(0)
    }

    /// Closes all connections; none is opened any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for slot in state.slots.values_mut() {
            if let Some(connection) = slot.connection.take() {
                connection.close("the client was closed");
            }
        }
    }

    fn failed_since(&self, broker: BrokerId, seen: u64) -> Option<Error> {
        let state = self.lock();
        let health = state.health.get(&broker)?;
        if health.attempts > seen { health.last_error.clone() } else { None }
    }

    fn attempt_ended(&self, broker: BrokerId, lane: Lane, opened: Result<Connection>) -> Result<Connection> {
        let mut state = self.lock();
        let closed = state.closed;
        let health = state.health.entry(broker).or_default();
        health.attempts += 1;
        match &opened {
            Ok(_) if closed => return Err(Error::Closed { what: "the client".to_owned() }),
            Ok(connection) => {
                *health = Health { attempts: health.attempts, ..Health::default() };
                state.slots.entry((broker, lane)).or_default().connection = Some(connection.clone());
            }
            Err(error) => {
                let delay = self.config.reconnect().delay(health.failures, &mut fastrand::Rng::new());
                health.failures += 1;
                health.not_before = Some(Instant::now() + delay);
                health.last_error = Some(error.clone());
                tracing::debug!(%broker, failures = health.failures, %error, "cannot connect");
            }
        }
        opened
    }

    async fn open(&self, broker: BrokerId) -> Result<Connection> {
        let (address, failures) = {
            let state = self.lock();
            if state.closed {
                return Err(Error::Closed { what: "the client".to_owned() });
            }
            (state.addresses.get(&broker).cloned(), state.health.get(&broker).map_or(0, |h| h.failures))
        };
        let Some((host, port)) = address else {
            return Err(Error::Connect {
                broker: format!("broker {broker}"),
                phase: "looking up its address",
                reason: "the cluster's metadata does not name it; it may be down".to_owned(),
            });
        };
        let limit = self.config.setup().delay(failures, &mut fastrand::Rng::new());
        let address: Arc<str> = format!("{host}:{port}").into();
        let mut phase = "connecting";
        let opened = tokio::time::timeout(limit, self.open_address(&host, port, &address, &mut phase)).await;
        let (stream, versions) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(reason)) => return Err(Error::Connect { broker: address.to_string(), phase, reason }),
            Err(_) => {
                let reason = format!("nothing came of it within {limit:?} while {phase}");
                return Err(Error::Connect { broker: address.to_string(), phase, reason });
            }
        };
        let settings = Settings {
            broker,
            address,
            client_id: self.config.client_id.clone(),
            request_timeout: self.config.request_timeout,
            max_idle: self.config.connections_max_idle,
            max_response_bytes: self.config.max_response_bytes,
        };
        Ok(Connection::start(settings, versions, stream))
    }

    /// Dials and asks for the broker's versions, with older questions as long as the broker hangs up on them.
    async fn open_address(
        &self,
        host: &str,
        port: u16,
        address: &str,
        phase: &mut &'static str,
    ) -> Result<(Box<dyn Stream>, ApiVersions), String> {
        let remembered = self.lock().remembered.get(address).copied();
        let mut ask = AskVersions::new(remembered, self.config.client_id.clone());
        loop {
            *phase = "connecting";
            let mut stream = dial(host, port).await?;
            *phase = "asking for its versions";
            let version = ask.version();
            match ask_versions(&mut stream, ask).await {
                Asked::Ready(versions, version) => {
                    self.lock().remembered.insert(address.to_owned(), version);
                    return Ok((stream, versions));
                }
                Asked::Failed(reason) => return Err(reason),
                Asked::Closed(closed) => match closed.closed() {
                    Some(older) => {
                        tracing::info!(address, version, next = older.version(), "the broker hung up on ApiVersions");
                        ask = older;
                    }
                    None => {
                        return Err(
                            "it hangs up on every version of the first request: it is not a Kafka broker of 0.10 \
                                    or newer, or the port wants TLS or SASL (security.protocol)"
                                .to_owned(),
                        );
                    }
                },
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id that stands for the `i`th bootstrap server.
pub(crate) fn bootstrap_id(i: usize) -> BrokerId {
    BrokerId(-1 - i32::try_from(i).unwrap_or(i32::MAX - 1))
}

enum Asked {
    Ready(ApiVersions, i16),
    Closed(AskVersions),
    Failed(String),
}

async fn ask_versions(stream: &mut Box<dyn Stream>, mut ask: AskVersions) -> Asked {
    loop {
        let version = ask.version();
        let frame = match ask.frame() {
            Ok(frame) => frame,
            Err(error) => return Asked::Failed(error.to_string()),
        };
        match round_trip(stream, &frame).await {
            Ok(Some(answer)) => match ask.answered(answer) {
                Step::Ready(versions) => return Asked::Ready(versions, version),
                Step::Again(next) => ask = next,
                Step::Failed(reason) => return Asked::Failed(format!("its answer is not Kafka's: {reason}")),
            },
            Ok(None) => return Asked::Closed(ask),
            Err(reason) => return Asked::Failed(reason),
        }
    }
}

/// The answer to a frame; `None`: the peer hung up without one.
async fn round_trip(stream: &mut Box<dyn Stream>, frame: &Segments) -> Result<Option<bytes::Bytes>, String> {
    if stream.write_all(&frame.to_bytes()).await.is_err() {
        return Ok(None);
    }
    let mut frames = FrameDecoder::new(MAX_HANDSHAKE_FRAME);
    loop {
        if let Some(answer) = frames.next_frame().map_err(|e| format!("its answer is not Kafka's: {e}"))? {
            return Ok(Some(answer));
        }
        match stream.read_buf(frames.buffer()).await {
            Ok(0) | Err(_) if frames.pending() == 0 => return Ok(None),
            Ok(0) | Err(_) => return Err("it hung up in the middle of its first answer".to_owned()),
            Ok(_) => {}
        }
    }
}

/// Pauses, here because machines have no clock.
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
