//! Connections to brokers.
pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod handshake;
pub(crate) mod in_flight;
pub(crate) mod pool;

/// What a connection carries. Each broker has one for each: a JoinGroup may block for minutes, and a fetch that waits
/// for data must delay no heartbeat and no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Metadata, admin calls, lookups.
    General,
    /// Batches.
    Produce,
    /// Fetches, which wait at the broker.
    Fetch,
    /// Groups and transactions.
    Coordinator,
}
