//! Looking after a cluster: topics, configurations, offsets, transactions. One file per subject.
mod configs;
mod end_marker;
mod offsets;
mod topics;
mod transactions;

use std::collections::HashMap;

use crate::client::Client;
use crate::error::Result;

pub use configs::{ConfigEntry, ConfigResource};
pub use end_marker::{EndMarker, EndMarkerKind};
pub use offsets::{ListedOffset, OffsetSpec};
pub use topics::NewTopic;
pub(crate) use transactions::describe_transaction;
pub use transactions::{TransactionDescription, TransactionListing};

/// The result of each item of a call: one that fails does not hide the others.
pub type PerItem<K, V> = HashMap<K, Result<V>>;

/// Administration of the cluster of a [`Client`]. Every call retries what a retry may cure until
/// `default.api.timeout.ms` has passed, and may be cancelled at any time.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

impl Admin {
    /// Nothing is sent.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone() }
    }
}
