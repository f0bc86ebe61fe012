#![allow(
    clippy::disallowed_methods,
    reason = "this file drives the machine: it asks tokio for the time and spawns tasks"
)]
//! \[I/O\] An embedded broker behind in-memory pipes, in tokio's time: with `#[tokio::test(start_paused = true)]` minutes of
//! latency, stalls and cuts pass in milliseconds.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{ApiKey, BrokerBuilder, Cluster, ConnectionId, Outcome, Request, StartError};

/// Node `i` listens on this port plus `i`.
const FIRST_PORT: u16 = 9092;
/// How much a pipe holds in each direction.
const PIPE: usize = 1 << 20;

/// What happens to requests and replies on their way. Chances are of 1000 requests.
#[derive(Clone, Debug)]
pub struct Weather {
    /// How long each way takes.
    pub latency: RangeInclusive<Duration>,
    /// The connection is cut and the broker never sees the request.
    pub cut_before: u32,
    /// The request is carried out and the connection is cut before its reply.
    pub cut_after: u32,
    /// The request is carried out and the connection is cut in the middle of its reply.
    pub cut_mid_reply: u32,
    /// The request is carried out and its reply waits for `stall_for`.
    pub stall: u32,
    /// See `stall`.
    pub stall_for: Duration,
}

impl Weather {
    /// A millisecond each way and no fault.
    pub fn fair() -> Self {
        let latency = Duration::from_micros(200)..=Duration::from_millis(1);
        Self { latency, cut_before: 0, cut_after: 0, cut_mid_reply: 0, stall: 0, stall_for: Duration::ZERO }
    }

    /// Up to 30 ms each way; of 1000 requests 60 lose their connection and 10 wait for longer than clients do.
    pub fn foul() -> Self {
        Self {
            latency: Duration::ZERO..=Duration::from_millis(30),
            cut_before: 20,
            cut_after: 20,
            cut_mid_reply: 20,
            stall: 10,
            stall_for: Duration::from_secs(45),
        }
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    CutBefore,
    CutAfter,
    CutMidReply,
    Stalls,
}

#[derive(Debug)]
struct Shared {
    cluster: Mutex<Cluster>,
    connections: Mutex<BTreeMap<ConnectionId, Arc<Notify>>>,
    /// What ends the connections of each node that is alive.
    alive: Mutex<BTreeMap<i32, CancellationToken>>,
    next_connection: AtomicU64,
    rewind: Notify,
    weather: Mutex<Weather>,
    rng: Mutex<fastrand::Rng>,
    stop: CancellationToken,
}

/// An embedded cluster without sockets. Dropping it ends it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ottla_testkit::{Broker, Simulation, Weather};
///
/// let simulation = Simulation::start(Broker::builder().nodes(3).topic("orders", 6), 42)?;
/// simulation.set_weather(Weather::foul());
/// let stream = simulation.connect("127.0.0.1:9093".parse()?)?; // a pipe to node 1, to speak Kafka over
/// # drop(stream);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Simulation {
    shared: Arc<Shared>,
    _stop: Arc<tokio_util::sync::DropGuard>,
}

impl Simulation {
    /// Starts in fair weather. All that is random on the way comes from `seed`.
    ///
    /// # Errors
    /// When the cluster can't be as described.
    pub fn start(builder: BrokerBuilder, seed: u64) -> Result<Self, StartError> {
        // Clients stamp records by the system's clock; a broker refuses what is far from its own.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut cluster = builder.seed(seed).build(now(), i64::try_from(wall).unwrap_or(i64::MAX))?;
        for node in &mut cluster.nodes {
            node.port = FIRST_PORT + u16::try_from(node.id).unwrap_or_default();
        }
        let stop = CancellationToken::new();
        let alive = cluster.nodes.iter().map(|node| (node.id, stop.child_token())).collect();
        let shared = Arc::new(Shared {
            cluster: Mutex::new(cluster),
            connections: Mutex::default(),
            alive: Mutex::new(alive),
            next_connection: AtomicU64::new(1),
            rewind: Notify::new(),
            weather: Mutex::new(Weather::fair()),
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            stop: stop.clone(),
        });
        tokio::spawn(keep_time(shared.clone()));
        Ok(Self { shared, _stop: Arc::new(stop.drop_guard()) })
    }

    /// The addresses of all nodes, which exist for [`connect`](Self::connect) only.
    pub fn bootstrap(&self) -> String {
        let nodes = lock(&self.shared.cluster).nodes.len();
        (0..nodes).map(|node| format!("127.0.0.1:{}", usize::from(FIRST_PORT) + node)).collect::<Vec<_>>().join(",")
    }

    /// A connection to the node at this address.
    ///
    /// # Errors
    /// `ConnectionRefused` when no node has it, or the node is down.
    pub fn connect(&self, address: SocketAddr) -> io::Result<DuplexStream> {
        let node = i32::from(address.port()) - i32::from(FIRST_PORT);
        let Some(stop) = lock(&self.shared.alive).get(&node).cloned() else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let (client, broker) = tokio::io::duplex(PIPE);
        tokio::spawn(serve(self.shared.clone(), node, broker, stop));
        Ok(client)
    }

    /// Kills a node: its connections end, what it leads and coordinates moves to other nodes where it can. False if it
    /// is not alive.
    pub fn kill_node(&self, id: i32) -> bool {
        let Some(stop) = lock(&self.shared.alive).remove(&id) else { return false };
        stop.cancel();
        self.shared.with(|cluster, _| cluster.node_died(id));
        true
    }

    /// Starts a killed node again, with its data. False if it is alive, or there is none with this id.
    pub fn restart_node(&self, id: i32) -> bool {
        let known = lock(&self.shared.cluster).node(id).is_some();
        let mut alive = lock(&self.shared.alive);
        if !known || alive.contains_key(&id) {
            return false;
        }
        alive.insert(id, self.shared.stop.child_token());
        drop(alive);
        self.shared.with(|cluster, _| cluster.node_returned(id));
        true
    }

    /// Changes the weather, for what is sent from now on.
    pub fn set_weather(&self, weather: Weather) {
        *lock(&self.shared.weather) = weather;
    }

    /// How many requests of this API the brokers have got.
    pub fn received(&self, api: ApiKey) -> u64 {
        lock(&self.shared.cluster).received(api)
    }

    /// Makes `node` lead a partition; false if there is no such partition.
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> bool {
        self.shared.with(|cluster, _| cluster.move_leader(topic, partition, node))
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Calls the machine, then wakes whom it names.
    fn with<R>(&self, action: impl FnOnce(&mut Cluster, Instant) -> R) -> R {
        let mut cluster = lock(&self.cluster);
        let before = cluster.poll_timeout();
        let result = action(&mut cluster, now());
        while let Some(connection) = cluster.poll_woken() {
            if let Some(notify) = lock(&self.connections).get(&connection) {
                notify.notify_one();
            }
        }
        if cluster.poll_timeout() < before {
            self.rewind.notify_one();
        }
        result
    }

    fn fate(&self) -> Fate {
        let weather = lock(&self.weather).clone();
        let mut drawn = lock(&self.rng).u32(0..1000);
        let chances = [
            (weather.cut_before, Fate::CutBefore),
            (weather.cut_after, Fate::CutAfter),
            (weather.cut_mid_reply, Fate::CutMidReply),
            (weather.stall, Fate::Stalls),
        ];
        for (chance, fate) in chances {
            if drawn < chance {
                return fate;
            }
            drawn -= chance;
        }
        Fate::Passes
    }

    async fn travel(&self) {
        let latency = lock(&self.weather).latency.clone();
        let micros = |duration: &Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let drawn = lock(&self.rng).u64(micros(latency.start())..=micros(latency.end()));
        tokio::time::sleep(Duration::from_micros(drawn)).await;
    }
}

async fn keep_time(shared: Arc<Shared>) {
    loop {
        let until = lock(&shared.cluster).poll_timeout();
        tokio::select! {
            // In order, not by chance: a seed shall tell the same story again.
            biased;
            () = shared.stop.cancelled() => return,
            () = shared.rewind.notified() => {}
            () = tokio::time::sleep_until(until.into()) => shared.with(|cluster, now| cluster.tick(now)),
        }
    }
}

async fn serve(shared: Arc<Shared>, node: i32, stream: DuplexStream, stop: CancellationToken) {
    let id = shared.next_connection.fetch_add(1, Ordering::Relaxed);
    let woken = Arc::new(Notify::new());
    lock(&shared.connections).insert(id, woken.clone());
    let mut connection = Connection { shared: shared.clone(), node, id, woken, stream };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        ended = connection.run() => tracing::debug!(node, connection = id, ?ended, "simulated connection ended"),
    }
    lock(&shared.connections).remove(&id);
    shared.with(|cluster, _| cluster.closed(id));
}

struct Connection {
    shared: Arc<Shared>,
    node: i32,
    id: ConnectionId,
    woken: Arc<Notify>,
    stream: DuplexStream,
}

impl Connection {
    /// One request after the other, until either side closes or the weather cuts.
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let length = self.stream.read_u32().await?;
            let mut frame = vec![0; length as usize];
            self.stream.read_exact(&mut frame).await?;
            let fate = self.shared.fate();
            self.shared.travel().await;
            if fate == Fate::CutBefore {
                return Ok(());
            }
            let Some(reply) = self.carry_out(frame.into()).await? else { continue };
            match fate {
                Fate::CutAfter => return Ok(()),
                Fate::CutMidReply => return self.stream.write_all(&reply[..reply.len() / 2]).await,
                Fate::Stalls => {
                    let pause = lock(&self.shared.weather).stall_for;
                    tokio::time::sleep(pause).await;
                }
                Fate::Passes | Fate::CutBefore => {}
            }
            self.shared.travel().await;
            self.stream.write_all(&reply).await?;
        }
    }

    async fn carry_out(&self, frame: Bytes) -> io::Result<Option<BytesMut>> {
        let version = lock(&self.shared.cluster).version();
        let request = Request::decode(frame, version).map_err(io::Error::other)?;
        let mut outcome = self.shared.with(|cluster, now| cluster.handle(now, self.node, self.id, request));
        loop {
            let reply = match outcome {
                Outcome::NoReply => return Ok(None),
                Outcome::HangUp => return Err(io::Error::other("hung up by the broker")),
                Outcome::Token(token) => {
                    let mut frame = BytesMut::from(&(token.len() as u32).to_be_bytes()[..]);
                    frame.extend_from_slice(&token);
                    return Ok(Some(frame));
                }
                Outcome::Reply(reply) | Outcome::LastReply(reply) | Outcome::Throttled(reply, _) => reply,
                Outcome::ReplyAt(at, reply) => {
                    tokio::time::sleep_until(at.into()).await;
                    reply
                }
                Outcome::Park { until } => {
                    tokio::select! {
                        biased;
                        () = self.woken.notified() => {}
                        () = tokio::time::sleep_until(until.into()) => {}
                    }
                    outcome = self.shared.with(|cluster, now| cluster.resume(now, self.id));
                    continue;
                }
            };
            let mut bytes = BytesMut::new();
            reply.encode(&mut bytes).map_err(io::Error::other)?;
            return Ok(Some(bytes));
        }
    }
}
