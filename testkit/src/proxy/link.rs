//! The wire between clients and one broker.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::conditions::{Conditions, Direction};
use super::rules::lock;

/// The wire between clients and one broker. Changes hold for the connections there are and for those to come.
#[derive(Debug)]
pub struct Link {
    index: usize,
    port: u16,
    upstream: String,
    to_broker: watch::Sender<Conditions>,
    to_client: watch::Sender<Conditions>,
    refuses: AtomicBool,
    /// Ends the connections there are; each cut brings a new one.
    life: Mutex<CancellationToken>,
    pub(super) connections: AtomicUsize,
    rng: Mutex<fastrand::Rng>,
}

impl Link {
    pub(super) fn new(index: usize, port: u16, upstream: String, seed: u64) -> Self {
        Self {
            index,
            port,
            upstream,
            to_broker: watch::Sender::default(),
            to_client: watch::Sender::default(),
            refuses: AtomicBool::new(false),
            life: Mutex::default(),
            connections: AtomicUsize::new(0),
            rng: Mutex::new(fastrand::Rng::with_seed(seed.wrapping_add(index as u64))),
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The broker behind it.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Bytes are under way for `latency` and up to `jitter` more. They stay in order.
    pub fn latency(&self, direction: Direction, latency: Duration, jitter: Duration) {
        self.change(direction, |conditions| (conditions.latency, conditions.jitter) = (latency, jitter));
    }

    /// At most this many bytes per second pass on each connection; `None` = no bound.
    pub fn bandwidth(&self, direction: Direction, bytes_per_second: Option<u64>) {
        self.change(direction, |conditions| conditions.bandwidth = bytes_per_second);
    }

    /// Nothing passes and nothing is closed, as when a cable is pulled: what is sent waits.
    pub fn silence(&self, direction: Direction) {
        self.change(direction, |conditions| conditions.silent = true);
    }

    /// The wire is perfect again, and what has waited passes. Connections that a rule has silenced stay so.
    pub fn restore(&self) {
        self.change(Direction::Both, |conditions| *conditions = Conditions::default());
        self.refuses.store(false, Ordering::Relaxed);
    }

    /// Closes all connections now, wherever they are in a frame.
    pub fn cut(&self) {
        std::mem::take(&mut *lock(&self.life)).cancel();
    }

    /// Closes all connections, and those to come at once, until [`restore`](Self::restore).
    pub fn refuse(&self) {
        self.refuses.store(true, Ordering::Relaxed);
        self.cut();
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }

    pub(super) fn life(&self) -> CancellationToken {
        lock(&self.life).child_token()
    }

    pub(super) fn watch(&self, direction: Direction) -> watch::Receiver<Conditions> {
        if direction == Direction::ToBroker { self.to_broker.subscribe() } else { self.to_client.subscribe() }
    }

    pub(super) fn delay(&self, conditions: &Conditions) -> Duration {
        conditions.delay(&mut lock(&self.rng))
    }

    fn change(&self, direction: Direction, change: impl Fn(&mut Conditions)) {
        if direction.includes(Direction::ToBroker) {
            self.to_broker.send_modify(&change);
        }
        if direction.includes(Direction::ToClient) {
            self.to_client.send_modify(&change);
        }
    }
}
