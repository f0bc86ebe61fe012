//! Connections to brokers.
pub(crate) mod addresses;
mod answered_versions;
pub(crate) mod authenticate;
#[cfg(test)]
mod bench_tests;
pub(crate) mod connection;
pub(crate) mod dial;
mod foreign;
mod frame;
pub(crate) mod handshake;
pub(crate) mod in_flight;
pub(crate) mod least_loaded;
#[cfg(test)]
mod log_tests;
pub(crate) mod login;
mod names;
pub(crate) mod open;
pub(crate) mod pool;
#[cfg(feature = "tls")]
mod private_key;
#[cfg(test)]
mod rules_tests;
pub(crate) mod sasl;
mod session;
mod task;
mod throttle;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
pub(crate) mod tls;
#[cfg(feature = "tls")]
mod verifier;

/// What a connection carries. Each broker has one for each: a JoinGroup may block for minutes, and a fetch that waits
/// for data must delay no heartbeat and no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    /// Metadata, admin calls, lookups.
    General,
    /// Batches.
    Produce,
    /// Fetches of one consumer, by its number: they wait at the broker, and what is queued behind them waits too.
    Fetch(u32),
    /// Groups and transactions.
    Coordinator,
}
