//! What can go wrong, by who is at fault; each error says what happened where and what to do.
mod advice;
pub(crate) mod table;

use std::sync::Arc;
use std::time::Duration;

use ottla_protocol::{ApiKey, ErrorCode, VersionRange};

use self::advice::advice;
use self::table::flags;
pub(crate) use self::table::{Action, Context, action, is_possibly_written};
use crate::types::{BrokerId, TopicPartition};

/// The result of most calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The phase of a [`Error::Connect`] that no other attempt changes: the broker knows no version of ApiVersions.
pub(crate) const NO_COMMON_VERSION: &str = "agreeing on a version of ApiVersions";

/// The phases in which nothing of the broker was seen yet.
pub(crate) const RESOLVING: &str = "looking up its name";
pub(crate) const CONNECTING: &str = "connecting";

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting has a value that it cannot have.
    #[error("{key} = {value:?} is not valid: {range}")]
    Config {
        /// Kafka's name of the setting.
        key: String,
        /// The value given; a secret is left out.
        value: String,
        /// What it may be, or which setting was meant.
        range: String,
    },
    /// No connection could be opened.
    #[error("cannot connect to {broker}: {reason}{}", advice::of_phase(phase))]
    Connect {
        /// Its number and address; before the cluster is known the address alone, or all of them.
        broker: String,
        /// How far it came.
        phase: &'static str,
        /// What each attempt met.
        reason: String,
    },
    /// The broker refused who we are.
    #[error("{broker} refused the authentication with {mechanism}: {reason}")]
    Authentication {
        /// The broker.
        broker: String,
        /// The SASL mechanism.
        mechanism: String,
        /// The broker's words.
        reason: String,
    },
    /// A broker sent bytes that are not what it should have sent. The connection was closed.
    #[error(
        "{broker} sent a malformed answer to {api} version {version}: {reason}; please report it with the broker's version"
    )]
    Malformed {
        /// The broker.
        broker: String,
        /// The request it answered.
        api: ApiKey,
        /// In this version.
        version: i16,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// A broker answered with an error.
    #[error("{}", refused(*code, *api, *version, subject, broker.as_deref(), message.as_deref()))]
    Broker {
        /// Kafka's error code.
        code: ErrorCode,
        /// The request it answered.
        api: ApiKey,
        /// In this version, where it is known.
        version: Option<i16>,
        /// Who answered: number and address, where it is known.
        broker: Option<String>,
        /// What it was about: a partition, an id, a group.
        subject: String,
        /// The broker's words, if it sent any.
        message: Option<String>,
    },
    /// The broker does not speak a version that is needed.
    #[error("{broker} cannot do this: {api} is needed in version {ours}, and the broker {}", offer(*ours, *theirs))]
    UnsupportedVersion {
        /// The API.
        api: ApiKey,
        /// What Ottla could use.
        ours: VersionRange,
        /// What the broker offers.
        theirs: Option<VersionRange>,
        /// The broker.
        broker: String,
    },
    /// The connection went away before the answer came.
    #[error("the connection to {broker} was lost {} {api} v{version} was answered: {reason}; the next request opens a new one: if this repeats, look at the broker's log and at the network", if *written { "after it was sent and before" } else { "before it was sent, so" })]
    Disconnected {
        /// The broker.
        broker: String,
        /// The request.
        api: ApiKey,
        /// In this version.
        version: i16,
        /// Whether it may have reached the broker.
        written: bool,
        /// Why the connection went away.
        reason: String,
    },
    /// Something took longer than it may.
    #[error("{what} did not succeed within {after:?}{}", last.as_ref().map(|e| format!("; the last error was: {e}")).unwrap_or_default())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// What the last attempt met.
        #[source]
        last: Option<Box<Self>>,
    },
    /// A newer producer or member has taken over.
    #[error("{id} is fenced: {reason}")]
    Fenced {
        /// The transactional id or member.
        id: String,
        /// By what, and what to do.
        reason: String,
    },
    /// Something in a transaction failed: nothing of it may be committed.
    #[error(
        "the transaction of {transactional_id} can only be aborted now (abort_transaction, then begin again): {cause}"
    )]
    Abortable {
        /// Whose transaction.
        transactional_id: String,
        /// What failed.
        #[source]
        cause: Box<Self>,
    },
    /// A record could not be delivered.
    #[error("a record for {topic_partition} failed ({certainty}) after {} in {after:.1?}: {cause}", attempts_text(*attempts))]
    Delivery {
        /// Whether it may be in the log.
        certainty: Certainty,
        /// How often it was sent.
        attempts: u32,
        /// How long ago its batch was begun.
        after: Duration,
        /// Where it should have gone.
        topic_partition: TopicPartition,
        /// Why.
        #[source]
        cause: Box<Self>,
    },
    /// A batch that a broker sent cannot be read. The position stays in front of it.
    #[error(
        "the batch at offset {offset} of {topic_partition}{} cannot be read: {reason}; seek past it to go on without it",
        broker.as_ref().map(|b| format!(", which {b} sent,")).unwrap_or_default()
    )]
    CorruptRecords {
        /// The partition.
        topic_partition: TopicPartition,
        /// The first offset of the batch.
        offset: i64,
        /// Who sent it: number and address, where it is known.
        broker: Option<String>,
        /// What is wrong with it.
        reason: String,
    },
    /// A position is not in the log, and there is no policy for that.
    #[error(
        "offset {offset} of {topic_partition} is out of range{}, and auto.offset.reset is none: seek, or set a policy",
        broker.as_ref().map(|b| format!(" at {b}")).unwrap_or_default()
    )]
    OffsetOutOfRange {
        /// The partition.
        topic_partition: TopicPartition,
        /// The position.
        offset: i64,
        /// Who says so: number and address, where it is known.
        broker: Option<String>,
    },
    /// What was asked is closed.
    #[error("{what} is closed: to go on, make a new one")]
    Closed {
        /// The client, producer or consumer.
        what: String,
    },
    /// A call that makes no sense now.
    #[error("{reason}")]
    Misuse {
        /// Why not, and what to do.
        reason: String,
    },
}

/// What an application can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same call may succeed later.
    Retriable,
    /// The transaction has to be aborted; the producer lives.
    Abortable,
    /// This producer, consumer or configuration is finished.
    Fatal,
}

/// Whether a record that failed may be in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// It is not.
    NotWritten,
    /// It may be.
    PossiblyWritten,
    /// It is, though its offset is not known.
    Written,
}

impl std::fmt::Display for Certainty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotWritten => "not written",
            Self::PossiblyWritten => "possibly written",
            Self::Written => "written",
        })
    }
}

/// What a retry loop does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Back off, same target.
    Wait,
    /// Refresh metadata, back off, route anew.
    RefreshMetadata,
    /// Find the coordinator, back off, repeat.
    FindCoordinator,
    /// No retry.
    GiveUp,
}

impl Error {
    /// The broker's error code, if one is behind this. That a broker has no version in common with us is one too: it would
    /// have answered so.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            Self::UnsupportedVersion { .. } => Some(ErrorCode::UnsupportedVersion),
            Self::Delivery { cause, .. } | Self::Abortable { cause, .. } => cause.code(),
            Self::Timeout { last, .. } => last.as_ref().and_then(|e| e.code()),
            _ => None,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Connect { phase, .. } if *phase == NO_COMMON_VERSION => Class::Fatal,
            Self::Connect { .. } | Self::Disconnected { .. } | Self::Timeout { .. } => Class::Retriable,
            Self::Delivery { cause, .. } => cause.class(),
            Self::Abortable { .. } => Class::Abortable,
            Self::Broker { code, .. } if *code == ErrorCode::TransactionAbortable => Class::Abortable,
            Self::Broker { code, .. } if flags(*code).retriable => Class::Retriable,
            _ => Class::Fatal,
        }
    }

    /// The same call may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.class() == Class::Retriable
    }

    /// The transaction has to be aborted.
    #[must_use]
    pub fn is_abortable(&self) -> bool {
        self.class() == Class::Abortable
    }

    /// Neither retriable nor abortable.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.class() == Class::Fatal
    }

    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            // The client has begun again with its bootstrap servers already.
            Self::Broker { code: ErrorCode::RebootstrapRequired, .. } => Remedy::RefreshMetadata,
            Self::Broker { code, .. } => remedy_of(*code),
            Self::Connect { phase, .. } if *phase == NO_COMMON_VERSION => Remedy::GiveUp,
            Self::Connect { .. } | Self::Disconnected { .. } => Remedy::RefreshMetadata,
            Self::Timeout { .. } => Remedy::Wait,
            _ => Remedy::GiveUp,
        }
    }

    /// An error that a broker answered with.
    pub(crate) fn broker(code: ErrorCode, api: ApiKey, subject: impl ToString) -> Self {
        Self::Broker { code, api, version: None, broker: None, subject: subject.to_string(), message: None }
    }

    /// With the broker's words, if it sent any.
    pub(crate) fn message(mut self, words: Option<String>) -> Self {
        if let Self::Broker { message, .. } = &mut self {
            *message = words.filter(|words| !words.is_empty());
        }
        self
    }

    /// With who answered, and in which version.
    pub(crate) fn at(mut self, place: &Place) -> Self {
        if let Self::Broker { broker, version, .. } = &mut self {
            (*broker, *version) = (Some(place.name()), Some(place.version));
        }
        self
    }

    /// A setting with a value that it cannot have.
    pub(crate) fn config(key: impl Into<String>, value: impl ToString, range: impl Into<String>) -> Self {
        Self::Config { key: key.into(), value: value.to_string(), range: range.into() }
    }
}

/// Who answered, and in which version of the API. Put into words for an error only: every answer has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) broker: BrokerId,
    pub(crate) address: Arc<str>,
    pub(crate) version: i16,
}

impl Place {
    /// The broker, as texts name it.
    pub(crate) fn name(&self) -> String {
        peer_name(self.broker, &self.address)
    }
}

/// Whom we connect to, as texts name it: a bootstrap server has no number yet.
pub(crate) fn peer_name(broker: BrokerId, address: &str) -> String {
    if broker.0 < 0 { address.to_owned() } else { format!("broker {broker} ({address})") }
}

/// What a retry loop does about a code that has no table of its own.
pub(crate) fn remedy_of(code: ErrorCode) -> Remedy {
    match action(code, Context::Admin) {
        Action::Refresh => Remedy::RefreshMetadata,
        Action::FindCoordinator => Remedy::FindCoordinator,
        Action::Retry => Remedy::Wait,
        _ => Remedy::GiveUp,
    }
}

fn attempts_text(attempts: u32) -> String {
    match attempts {
        0 => "no attempt".to_owned(),
        1 => "1 attempt".to_owned(),
        n => format!("{n} attempts"),
    }
}

/// What a broker offers of an API, and what to do.
fn offer(ours: VersionRange, theirs: Option<VersionRange>) -> String {
    match theirs {
        None => "does not have it; upgrade the broker, or go without".to_owned(),
        Some(theirs) if theirs.min > ours.max => format!("offers {theirs}; upgrade Ottla"),
        Some(theirs) => format!("offers {theirs}; upgrade the broker, or go without"),
    }
}

fn refused(
    code: ErrorCode,
    api: ApiKey,
    version: Option<i16>,
    subject: &str,
    broker: Option<&str>,
    message: Option<&str>,
) -> String {
    let version = version.map(|v| format!(" v{v}")).unwrap_or_default();
    let broker = broker.map(|b| format!(" at {b}")).unwrap_or_default();
    let words = message.map(|m| format!(" (the broker says: {m})")).unwrap_or_default();
    format!("{api}{version} of {subject}{broker}: {code}: {}{words}; {}", code.sentence(), advice(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of `Errors.java` whose exception is a `RetriableException`.
    const RETRIABLE: [i16; 32] = [
        2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 88, 89, 100, 103,
        106, 122, 123, 133,
    ];

    #[test]
    fn every_code_has_the_class_of_its_flags() {
        for &code in ErrorCode::ALL {
            let error = Error::broker(code, ApiKey::Produce, "t-0");
            let expected = match code {
                ErrorCode::TransactionAbortable => Class::Abortable,
                code if RETRIABLE.contains(&code.code()) => Class::Retriable,
                _ => Class::Fatal,
            };
            assert_eq!(error.class(), expected, "{code}");
        }
    }

    #[test]
    fn an_unknown_code_is_not_retriable() {
        assert!(Error::broker(ErrorCode::Unknown(999), ApiKey::Fetch, "t-0").is_fatal());
    }

    #[test]
    fn an_error_says_what_happened_where_and_what_to_do() {
        let place = Place { broker: BrokerId(1), address: "127.0.0.1:9092".into(), version: 12 };
        let refused = Error::broker(ErrorCode::NotEnoughReplicas, ApiKey::Produce, "orders-3").at(&place);
        assert_eq!(
            refused.to_string(),
            "Produce v12 of orders-3 at broker 1 (127.0.0.1:9092): NOT_ENOUGH_REPLICAS (19): fewer replicas are in sync \
             than min.insync.replicas asks for; bring the missing brokers back, or lower min.insync.replicas"
        );
        let words = Error::broker(ErrorCode::InvalidConfig, ApiKey::CreateTopics, "orders").message(Some("no".into()));
        assert!(words.to_string().contains("not valid (the broker says: no); check the names"), "{words}");
        let config = Error::config("linger.ms", -1, "it must be at least 0");
        assert_eq!(config.to_string(), "linger.ms = \"-1\" is not valid: it must be at least 0");
        let what = "committing group g".to_owned();
        let late = Error::Timeout { what, after: Duration::from_secs(60), last: Some(Box::new(refused)) };
        assert!(
            late.to_string().starts_with("committing group g did not succeed within 60s; the last error was: Produce")
        );
    }

    #[test]
    fn a_connect_error_says_what_to_do_by_how_far_it_came() {
        let connect = |broker: &str, phase, reason: &str| {
            let (broker, reason) = (broker.to_owned(), reason.to_owned());
            Error::Connect { broker, phase, reason }.to_string()
        };
        assert_eq!(
            connect(
                &peer_name(BrokerId(2), "kafka-2:9092"),
                CONNECTING,
                "10.0.0.2:9092: Connection refused (os error 111)"
            ),
            "cannot connect to broker 2 (kafka-2:9092): 10.0.0.2:9092: Connection refused (os error 111); check that it \
             runs, that the address in its advertised.listeners (or in bootstrap.servers) can be reached from here, and \
             that no firewall is between"
        );
        assert_eq!(
            connect(&peer_name(BrokerId(-1), "kafka:9092"), RESOLVING, "the name kafka cannot be resolved: unknown"),
            "cannot connect to kafka:9092: the name kafka cannot be resolved: unknown; check the name in its \
             advertised.listeners (or in bootstrap.servers), and that this machine's name service knows it"
        );
        // From then on there is more to see, and the reason says what to do.
        assert_eq!(connect("b:1", "authenticating", "why: do that"), "cannot connect to b:1: why: do that");
    }

    #[test]
    fn every_error_of_a_connection_says_what_to_do() {
        let broker = || "broker 1 at b:9092".to_owned();
        let (api, range) = (ApiKey::Fetch, |min, max| VersionRange { min, max });
        let unsupported =
            |theirs| Error::UnsupportedVersion { api, ours: range(4, 17), theirs, broker: broker() }.to_string();
        let theirs = None;
        let error = Error::UnsupportedVersion { api, ours: range(4, 17), theirs, broker: broker() };
        assert_eq!((error.code(), error.class()), (Some(ErrorCode::UnsupportedVersion), Class::Fatal));
        assert!(unsupported(None).ends_with("the broker does not have it; upgrade the broker, or go without"));
        assert!(unsupported(Some(range(0, 3))).ends_with("offers 0-3; upgrade the broker, or go without"));
        assert!(unsupported(Some(range(18, 20))).ends_with("offers 18-20; upgrade Ottla"));
        let malformed = Error::Malformed { broker: broker(), api, version: 4, reason: "short".to_owned() };
        assert!(malformed.to_string().ends_with("short; please report it with the broker's version"), "{malformed}");
        let lost =
            Error::Disconnected { broker: broker(), api, version: 3, written: false, reason: "reset".to_owned() };
        assert!(lost.to_string().ends_with("if this repeats, look at the broker's log and at the network"), "{lost}");
        assert!(lost.to_string().contains("was lost before it was sent, so Fetch v3 was answered: reset"), "{lost}");
        let closed = Error::Closed { what: "the client".to_owned() };
        assert_eq!(closed.to_string(), "the client is closed: to go on, make a new one");
    }

    #[test]
    fn what_an_error_was_caused_by_is_its_source() {
        let cause = || Box::new(Error::broker(ErrorCode::NotEnoughReplicas, ApiKey::Produce, "orders-3"));
        let (after, transactional_id) = (Duration::from_secs(1), "shop".to_owned());
        let topic_partition = TopicPartition::new("orders", 3);
        let certainty = Certainty::NotWritten;
        for error in [
            Error::Timeout { what: "sending".to_owned(), after, last: Some(cause()) },
            Error::Abortable { transactional_id, cause: cause() },
            Error::Delivery { certainty, attempts: 1, after, topic_partition, cause: cause() },
        ] {
            let source = std::error::Error::source(&error).expect("it has a source");
            assert_eq!(source.to_string(), cause().to_string(), "{error}");
        }
        let late = Error::Timeout { what: "sending".to_owned(), after, last: None };
        assert!(std::error::Error::source(&late).is_none());
    }
}
