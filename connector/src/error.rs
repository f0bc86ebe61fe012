//! What can go wrong in a connector: what happened where, since when, and what to do.
use std::fmt;

use crate::contract::{CheckpointId, Loss, Timestamp};

/// The result of most calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the log said about a transaction whose coordinator could not tell how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witnessed {
    /// Nobody had to ask it.
    NotAsked,
    /// It holds the commit marker.
    Committed,
    /// It holds the abort marker.
    Aborted,
    /// It holds neither, or no witness record is known, or it may not be read.
    Undecided,
}

impl fmt::Display for Witnessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "witness: {self:?}")
    }
}

/// Why a source, a sink or a pipeline failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is set that cannot be, or not set that has to be. Found while building.
    #[error("{reason}")]
    Config {
        /// What is wrong and what it may be.
        reason: String,
    },
    /// The Kafka client failed.
    #[error("{context}: {source}")]
    Client {
        /// What was being done: subtask, request, partition or id.
        context: String,
        /// The client's error.
        source: ottla_client::Error,
    },
    /// Bytes of a checkpoint cannot be read.
    #[error("the state of {what} cannot be read: {reason}; restore an earlier checkpoint")]
    State {
        /// Whose state.
        what: &'static str,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// State of a version that this crate does not know.
    #[error(
        "the state of {what} has version {found}, this crate reads up to {supported}: use the crate version that wrote it, or a newer one"
    )]
    StateVersion {
        /// Whose state.
        what: &'static str,
        /// The version of the bytes.
        found: u16,
        /// The newest version this crate reads.
        supported: u16,
    },
    /// State was given to a subtask that does not own it.
    #[error(
        "misrouted state: {what} of subtask {of} was given to subtask {subtask} of {parallelism}; the engine has to route index s to s mod P"
    )]
    MisroutedState {
        /// Which state.
        what: &'static str,
        /// The subtask that wrote it.
        of: u32,
        /// The subtask that got it.
        subtask: u32,
        /// The parallelism now.
        parallelism: u32,
    },
    /// More snapshots are unfinished than the pool of transactional ids allows.
    #[error(
        "Too many ongoing snapshots. Increase kafka producers pool size or decrease number of concurrent checkpoints. All {size} transactional ids are in use; not finished: {}", pending.join(", ")
    )]
    PoolExhausted {
        /// `pool_size`.
        size: u16,
        /// The transactional ids of prepared transactions that are not finished.
        pending: Vec<String>,
    },
    /// A prepared transaction of a durable checkpoint can never become visible: its output is lost.
    #[error(
        "the prepared transaction {id} is lost: {reason}; it was begun at {started_at} ms with a timeout of {timeout} ms ({witness}). Its records will never be visible: replay their input, or accept the loss with OnLost::Skip"
    )]
    TransactionLost {
        /// The transactional id.
        id: String,
        /// How.
        reason: Loss,
        /// When it was begun, milliseconds since the epoch.
        started_at: Timestamp,
        /// Its timeout in milliseconds.
        timeout: i64,
        /// What the log said.
        witness: Witnessed,
    },
    /// A checkpoint file is damaged or not of this job.
    #[error(
        "checkpoint {file} cannot be used: {reason}; restore an earlier one (restore_from, or on_corrupt = Previous, which may repeat output), or remove the file"
    )]
    CheckpointCorrupt {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint store could not do its work.
    #[error("checkpoint store {path}: {reason}")]
    CheckpointStore {
        /// The directory or file.
        path: String,
        /// What failed and what to do.
        reason: String,
    },
    /// Too many checkpoints failed in a row.
    #[error("checkpoint {id} failed: {reason}")]
    CheckpointFailed {
        /// Which one.
        id: CheckpointId,
        /// Why.
        reason: String,
    },
    /// The source failed for a reason of its own.
    #[error("{reason}")]
    Source {
        /// What happened where, and what to do.
        reason: String,
    },
    /// The sink failed for a reason of its own.
    #[error("{reason}")]
    Sink {
        /// What happened where, and what to do.
        reason: String,
    },
    /// A record cannot be (de)serialized.
    #[error(
        "the record at offset {offset} of {topic}-{partition} cannot be read: {reason}; a restart meets it again unless the bad-record policy is Skip or DeadLetter"
    )]
    BadRecord {
        /// Its topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// What the schema said.
        reason: String,
    },
    /// The user's function failed.
    #[error("the function failed: {reason}")]
    Function {
        /// Its words.
        reason: String,
    },
    /// The user's function, a source or a sink panicked.
    #[error("the function, the source or the sink panicked: {reason}")]
    Panicked {
        /// The panic's message.
        reason: String,
    },
}

impl Error {
    /// Something cannot be built like this.
    pub fn config(reason: impl Into<String>) -> Self {
        Self::Config { reason: reason.into() }
    }

    /// Wraps an error of the client with what was being done.
    pub fn client(context: impl Into<String>) -> impl FnOnce(ottla_client::Error) -> Self {
        let context = context.into();
        move |source| Self::Client { context, source }
    }

    /// The user's function cannot go on.
    pub fn function(reason: impl fmt::Display) -> Self {
        Self::Function { reason: reason.to_string() }
    }

    /// Whether starting again from the last checkpoint may help. Construction errors, missing rights and lost
    /// transactions need a person (J9).
    #[must_use]
    pub fn may_be_retried(&self) -> bool {
        match self {
            Self::Client { source, .. } => !needs_a_person(source),
            Self::Config { .. }
            | Self::State { .. }
            | Self::StateVersion { .. }
            | Self::MisroutedState { .. }
            | Self::TransactionLost { .. }
            | Self::CheckpointCorrupt { .. } => false,
            _ => true,
        }
    }
}

fn needs_a_person(error: &ottla_client::Error) -> bool {
    use ottla_client::{Error as E, ErrorCode as C};
    // A transaction that can only be aborted is one with a cause, and so is a record that was not written.
    if let E::Abortable { cause, .. } | E::Delivery { cause, .. } = error {
        return needs_a_person(cause);
    }
    if matches!(error, E::Config { .. } | E::Authentication { .. } | E::UnsupportedVersion { .. }) {
        return true;
    }
    matches!(
        error.code(),
        Some(
            C::TopicAuthorizationFailed
                | C::GroupAuthorizationFailed
                | C::ClusterAuthorizationFailed
                | C::TransactionalIdAuthorizationFailed
                | C::SaslAuthenticationFailed
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k15_the_text_of_an_exhausted_pool() {
        let text = Error::PoolExhausted { size: 5, pending: vec!["app-0-0".into(), "app-0-1".into()] }.to_string();
        assert!(text.contains(
            "Too many ongoing snapshots. Increase kafka producers pool size or decrease number of concurrent checkpoints."
        ));
        assert!(text.contains("app-0-0, app-0-1"));
    }

    #[test]
    fn j9_what_needs_a_person_is_not_retried() {
        let denied = ottla_client::Error::Broker {
            code: ottla_client::ErrorCode::TransactionalIdAuthorizationFailed,
            api: ottla_client::ApiKey::InitProducerId,
            version: None,
            broker: None,
            subject: "app-0-0".into(),
            message: None,
        };
        assert!(!Error::client("begin")(denied.clone()).may_be_retried());
        let abortable = ottla_client::Error::Abortable { transactional_id: "app-0-0".into(), cause: Box::new(denied) };
        assert!(!Error::client("init")(abortable).may_be_retried());
        assert!(!Error::config("pool_size").may_be_retried());
        let lost = ottla_client::Error::Closed { what: "connection".into() };
        assert!(Error::client("send")(lost).may_be_retried());
    }
}
