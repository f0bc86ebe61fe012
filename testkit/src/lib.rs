//! Kafka for tests.
//!
//! [`Broker`] is a Kafka cluster inside the test's own process, ready within milliseconds. Any Kafka client may use it:
//! give it the address as `bootstrap.servers`.
//!
//! ```toml
//! [dev-dependencies]
//! ottla-testkit = "0.1"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! ```
//!
//! ```
//! #[tokio::test]
//! async fn orders_are_written() {
//!     let broker = ottla_testkit::Broker::builder().topic("orders", 6).start().await.unwrap();
//!     my_service(&broker.bootstrap()).await; // what you test, with a client of your choice
//!     let (start, end) = broker.offsets("orders", 0).unwrap();
//!     assert_eq!(end - start, 1, "one record in partition 0");
//! } // dropping the broker stops it
//! # async fn my_service(bootstrap: &str) {}
//! ```
//!
//! Then make its life hard:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use ottla_testkit::{ApiKey, Broker, ErrorCode};
//!
//! let mut broker = Broker::builder().nodes(3).topic("orders", 6).start().await?;
//! println!("bootstrap.servers={}", broker.bootstrap());
//!
//! // The next two writes to the topic fail, and every fetch is answered late.
//! broker.on(ApiKey::Produce).topic("orders").fail(ErrorCode::NotLeaderOrFollower).times(2);
//! broker.on(ApiKey::Fetch).delay(Duration::from_millis(50)).always();
//!
//! // The node that leads partition 0 dies; another one takes over; the first comes back.
//! let leader = broker.leader("orders", 0).ok_or("no leader")?;
//! broker.kill_node(leader);
//! assert_ne!(broker.leader("orders", 0), Some(leader));
//! broker.restart_node(leader).await?;
//!
//! // What your service did can be looked at.
//! assert_eq!(broker.offsets("orders", 0), Some((0, 0)));
//! assert!(broker.committed("my-group").is_empty());
//! # Ok(()) }
//! ```
//!
//! | to | use |
//! |---|---|
//! | play an older Kafka | [`BrokerBuilder::as_version`], `0.11` to `4.1` |
//! | answer wrongly, late or never | [`Broker::on`] and the [`RuleBuilder`] it gives |
//! | kill, pause and restart nodes, move leaders and coordinators | [`Broker::kill_node`], [`Broker::pause_node`], [`Broker::restart_node`], [`Broker::move_leader`], [`Broker::move_group_coordinator`], [`Broker::move_transaction_coordinator`] |
//! | lose data as Kafka does | [`Broker::truncate`], [`Broker::delete_records_before`], [`Broker::compact`], [`Broker::delete_topic`] |
//! | send readers to followers | [`BrokerBuilder::racks`], [`Broker::prefer_replica`] |
//! | ask for passwords, tokens or certificates | [`BrokerBuilder::sasl_user`], [`BrokerBuilder::sasl_token`], [`BrokerBuilder::tls`] |
//! | let delegation tokens log in | [`BrokerBuilder::delegation_tokens`] |
//! | forbid, and slow down | [`Broker::deny`], [`BrokerBuilder::authorizer`], [`Broker::throttle`] |
//! | see what clients tell of their metrics | [`BrokerBuilder::telemetry`], [`Broker::pushed_metrics`] |
//! | keep groups from changing their protocol | [`BrokerBuilder::group_migration`] |
//! | let minutes of faults pass in milliseconds | [`Simulation`] |
//! | run real brokers | feature `docker`, module `kafka` |
//! | break the connection itself | [`Proxy`] |
//!
//! It holds topics, idempotent and transactional writes of both protocols, fetch sessions and long polls, classic and
//! consumer groups (KIP-848) and those with members of both, and administration. Share groups are not played. It keeps
//! everything in memory; replication is instantaneous.
//!
//! Other languages use the same broker as a program: `ottla-broker --nodes 3 --port 9092 --as-version 3.9`.
//!
//! It speaks through [`kafka_protocol`], a codec this project's own client does not use, so that a mistake in ours can't
//! hide in our mock. [`Cluster`] is the same broker without sockets, clock or tasks, for simulations.

mod broker;
mod certificates;
pub mod checker;
#[cfg(feature = "docker")]
pub mod kafka;
mod proxy;
mod simulation;

pub use broker::{
    Access, Answer, ApiKey, Broker, BrokerBuilder, Cluster, ConnectionId, Denial, ErrorCode, Fault, GroupMigration,
    KafkaVersion, Matcher, Outcome, Reply, Request, Rule, RuleBuilder, SaslMechanism, StartError,
};
pub use certificates::{Certificate, CertificateAuthority, CertificateError};
pub use kafka_protocol;
pub use proxy::{Direction, Link, Proxy, ProxyRule, ProxyRuleBuilder};
pub use simulation::{Simulation, Weather};
