//! The embedded broker: a machine (`cluster`) and the sockets in front of it (`server`).

mod batch;
mod builder;
mod cluster;
mod config;
mod control;
mod denials;
mod fetch_session;
mod group;
mod groups;
mod handlers;
mod leader_epochs;
mod leadership;
mod log;
mod offsets;
mod partition;
mod producers;
mod records;
mod request;
mod rules;
mod sasl;
mod server;
mod tls;
mod topics;
mod transactions;
mod versions;

pub use builder::{Broker, BrokerBuilder, StartError};
pub use cluster::{Cluster, ConnectionId, Outcome};
pub use control::{Answer, Fault, Matcher};
pub use denials::{Access, Denial};
pub use kafka_protocol::ResponseError as ErrorCode;
pub use kafka_protocol::messages::ApiKey;
pub use request::{Reply, Request};
pub use rules::{Rule, RuleBuilder};
pub use sasl::SaslMechanism;
pub use versions::KafkaVersion;
