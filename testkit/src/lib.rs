//! Kafka for tests.
//!
//! [`Broker`] is a Kafka cluster inside the test's own process, ready within milliseconds:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = ottla_testkit::Broker::builder().nodes(3).topic("orders", 6).start().await?;
//! println!("bootstrap.servers={}", broker.bootstrap());
//! # Ok(()) }
//! ```
//!
//! It speaks through `kafka-protocol`, a codec this project's own client does not use, so that a mistake in ours can't
//! hide in our mock. [`Cluster`] is the same broker without sockets, clock or tasks, for simulations.

mod broker;
mod certificates;
pub mod checker;
#[cfg(feature = "docker")]
pub mod kafka;
mod proxy;
mod simulation;

pub use broker::{
    Access, Answer, ApiKey, Broker, BrokerBuilder, Cluster, ConnectionId, Denial, ErrorCode, Fault, KafkaVersion,
    Matcher, Outcome, Reply, Request, Rule, RuleBuilder, SaslMechanism, StartError,
};
pub use certificates::{Certificate, CertificateAuthority, CertificateError};
pub use kafka_protocol;
pub use proxy::{Direction, Link, Proxy, ProxyRule, ProxyRuleBuilder};
pub use simulation::{Simulation, Weather};
