//! SASL: what is said in an authentication, one mechanism per file. The mechanisms know nothing of Kafka; Kafka's frames
//! around their messages are in `authenticate.rs`.
pub(crate) mod oauthbearer;
pub(crate) mod plain;
pub(crate) mod scram;

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use zeroize::Zeroizing;

pub use oauthbearer::{Token, TokenProvider};

/// What starts an authentication on each connection: a user with a password, a ticket, a source of tokens. Implement it,
/// with [`Mechanism`], for a mechanism that Ottla does not have, and set it with
/// [`SaslMechanism::Custom`](crate::SaslMechanism::Custom).
pub trait Credentials: Debug + Send + Sync {
    /// The registered name of the mechanism, such as `PLAIN`.
    fn mechanism(&self) -> &str;

    /// Begins one authentication with the broker at `host`. It is called for each connection, and again each time the
    /// broker wants to know anew (KIP-368); the principal has to stay the same then.
    fn start<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Box<dyn Mechanism>, SaslError>>;
}

/// One authentication, from our side.
pub trait Mechanism: Send {
    /// What to send after the broker's `challenge`, which is `None` at first and may be empty. It may compute for some
    /// milliseconds: no other task is held up by it.
    ///
    /// # Errors
    /// When the broker's message is not right. The error must not contain a secret.
    fn step(&mut self, challenge: Option<&[u8]>) -> Result<Answer, SaslError>;
}

/// The next thing in an authentication.
#[derive(PartialEq, Eq)]
pub enum Answer {
    /// This is sent; the broker answers.
    Send(Zeroizing<Vec<u8>>),
    /// The broker's last message was right, and nothing more is to be sent.
    Done,
}

/// Why an authentication cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SaslError(String);

impl SaslError {
    /// An error with this text, which must not contain a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Messages carry secrets: their length is all that is shown.
impl Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Send(message) => write!(f, "Send({} bytes)", message.len()),
            Self::Done => f.write_str("Done"),
        }
    }
}
