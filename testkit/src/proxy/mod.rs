//! \[I/O\] Faults on the wire: a TCP proxy in front of any Kafka, embedded or real.
#![allow(clippy::disallowed_methods, reason = "this file starts the proxy's tasks")]

mod conditions;
mod frames;
mod link;
mod pump;
mod rules;

pub use conditions::Direction;
pub use link::Link;
pub use rules::{ProxyRule, ProxyRuleBuilder};

use std::io;
use std::sync::{Arc, Mutex};

use kafka_protocol::messages::ApiKey;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use frames::Rewrite;
use rules::Rules;

/// A proxy with one [`Link`] per broker address.
///
/// What brokers say about their addresses is changed on the way, so that clients come through the proxy again. That
/// works for `127.0.0.1` without TLS; brokers whose traffic cannot be read must advertise the proxy themselves
/// (`kafka::KafkaBuilder::proxied`).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ottla_testkit::{ApiKey, Broker, Direction, Proxy};
/// use std::time::Duration;
///
/// let broker = Broker::builder().nodes(3).topic("orders", 6).start().await?;
/// let proxy = Proxy::start(&broker.bootstrap()).await?;
/// // Clients use proxy.bootstrap(). The second node is far away, and one batch is written but never acknowledged:
/// proxy.link(1).latency(Direction::Both, Duration::from_millis(40), Duration::from_millis(10));
/// let lost = proxy.on(ApiKey::Produce).cut_before_reply();
/// # assert_eq!(lost.hits(), 0);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Proxy {
    links: Vec<Arc<Link>>,
    rules: Arc<Mutex<Rules>>,
    stop: CancellationToken,
}

impl Proxy {
    /// Opens a port of 127.0.0.1 for each address of `bootstrap`, a list such as `127.0.0.1:9092,127.0.0.1:9093`.
    ///
    /// # Errors
    /// When no port can be opened, or `bootstrap` names none.
    pub async fn start(bootstrap: &str) -> io::Result<Self> {
        Self::start_seeded(bootstrap, 0).await
    }

    /// The same with another seed for everything random: jitter, and which byte is flipped.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_seeded(bootstrap: &str, seed: u64) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for upstream in bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()) {
            listeners.push((TcpListener::bind(("127.0.0.1", 0)).await?, upstream.to_owned()));
        }
        Self::run(listeners, seed)
    }

    /// On listeners that are there already.
    pub(crate) fn run(listeners: Vec<(TcpListener, String)>, seed: u64) -> io::Result<Self> {
        if listeners.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no broker address to be in front of"));
        }
        let mut rewrite = Rewrite::default();
        let mut links = Vec::new();
        for (index, (listener, upstream)) in listeners.iter().enumerate() {
            let port = listener.local_addr()?.port();
            rewrite.add(upstream, port);
            links.push(Arc::new(Link::new(index, port, upstream.clone(), seed)));
        }
        let (rewrite, rules) = (Arc::new(rewrite), Arc::new(Mutex::new(Rules::new(seed))));
        let stop = CancellationToken::new();
        for ((listener, _), link) in listeners.into_iter().zip(&links) {
            let serving = pump::listen(listener, link.clone(), rules.clone(), rewrite.clone(), stop.clone());
            tokio::spawn(serving);
        }
        Ok(Self { links, rules, stop })
    }

    /// The addresses of all links, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.links.iter().map(|link| link.address()).collect::<Vec<_>>().join(",")
    }

    /// The links in the order of the addresses they are in front of.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().map(AsRef::as_ref)
    }

    /// The link in front of the address at this place of the list.
    ///
    /// # Panics
    /// When there are not that many.
    pub fn link(&self, index: usize) -> &Link {
        &self.links[index]
    }

    /// A fault for the next request of this API, on any link.
    pub fn on(&self, api: ApiKey) -> ProxyRuleBuilder {
        ProxyRuleBuilder::new(self.rules.clone(), Some(api as i16))
    }

    /// A fault for the next request, whatever it asks.
    pub fn on_any(&self) -> ProxyRuleBuilder {
        ProxyRuleBuilder::new(self.rules.clone(), None)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
        self.links.iter().for_each(|link| link.cut());
    }
}
