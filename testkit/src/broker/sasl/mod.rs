//! The broker's side of SASL: who a connection is, for how long, and how it said so (`SaslServerAuthenticator.java`,
//! KIP-152, KIP-368).

mod oauthbearer;
mod plain;
mod scram;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::cluster::ConnectionId;
use super::delegation_tokens::DelegationTokens;
use scram::{ITERATIONS, Scram};

/// A SASL mechanism the broker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// Name and password as they are.
    Plain,
    /// Proof of a password, by SHA-256.
    ScramSha256,
    /// Proof of a password, by SHA-512.
    ScramSha512,
    /// A token.
    OAuthBearer,
}

impl SaslMechanism {
    /// Every mechanism.
    pub const ALL: [Self; 4] = [Self::Plain, Self::ScramSha256, Self::ScramSha512, Self::OAuthBearer];

    /// The name on the wire, e.g. `SCRAM-SHA-256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

/// Who may come in, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct SaslConfig {
    /// Empty: no SASL at all.
    pub(crate) mechanisms: Vec<SaslMechanism>,
    /// Passwords by user.
    pub(crate) users: BTreeMap<String, String>,
    /// SCRAM credentials that were set by AlterUserScramCredentials; they go before those of `users`.
    pub(crate) scram: BTreeMap<(String, SaslMechanism), ScramCredential>,
    /// Users by token, for OAUTHBEARER.
    pub(crate) tokens: BTreeMap<String, String>,
    /// Tokens that log in by SCRAM.
    pub(crate) delegation: DelegationTokens,
    /// `connections.max.reauth.ms`.
    pub(crate) session_lifetime: Option<Duration>,
}

/// What a broker keeps of a password for SCRAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScramCredential {
    pub(crate) iterations: u32,
    pub(crate) salt: Vec<u8>,
    pub(crate) salted_password: Vec<u8>,
}

impl SaslConfig {
    /// Users that may log in by SCRAM, with mechanisms and iterations.
    pub(crate) fn scram_users(&self) -> BTreeMap<String, Vec<(SaslMechanism, u32)>> {
        let mut users: BTreeMap<String, Vec<(SaslMechanism, u32)>> = BTreeMap::new();
        let by_password = self.users.keys().flat_map(|user| {
            [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512]
                .map(|mechanism| ((user, mechanism), ITERATIONS.get()))
        });
        let by_password =
            by_password.filter(|((user, mechanism), _)| !self.scram.contains_key(&((*user).clone(), *mechanism)));
        let set = self.scram.iter().map(|((user, mechanism), credential)| ((user, *mechanism), credential.iterations));
        for ((user, mechanism), iterations) in by_password.chain(set) {
            users.entry(user.clone()).or_default().push((mechanism, iterations));
        }
        users
    }
}

/// What one token of the client led to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Say this and wait for more.
    Challenge(Bytes, Exchange),
    /// The client is this user; say this last. The time is the wall clock's when its credential ends.
    Done { user: String, say: Bytes, ends_ms: Option<i64>, by_token: bool },
}

/// Where an exchange stands.
#[derive(Debug, PartialEq, Eq)]
enum Exchange {
    Plain,
    Scram(Scram),
    OAuthBearer,
    /// The token was refused; the client's next word ends it.
    OAuthBearerRefused,
}

impl Exchange {
    fn new(mechanism: SaslMechanism) -> Self {
        match mechanism {
            SaslMechanism::Plain => Self::Plain,
            SaslMechanism::ScramSha256 => Self::Scram(Scram::new(false)),
            SaslMechanism::ScramSha512 => Self::Scram(Scram::new(true)),
            SaslMechanism::OAuthBearer => Self::OAuthBearer,
        }
    }

    fn step(self, config: &SaslConfig, wall_ms: i64, nonce: u128, token: &[u8]) -> Result<Step, String> {
        match self {
            Self::Plain => plain::step(config, token),
            Self::Scram(scram) => scram.step(config, nonce, token),
            Self::OAuthBearer => oauthbearer::step(config, wall_ms, token),
            Self::OAuthBearerRefused => Err("the token was refused".to_owned()),
        }
    }
}

/// One connection's identity.
#[derive(Debug, Default)]
struct Session {
    exchange: Option<(SaslMechanism, Exchange)>,
    /// Tokens come as frames of their own: what SaslHandshake v0 begins.
    bare: bool,
    known: Option<(SaslMechanism, String)>,
    /// It logged in by a delegation token.
    by_token: bool,
    ends: Option<Instant>,
}

/// The answer to a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) say: Bytes,
    /// Milliseconds until the client must authenticate again; 0 = never.
    pub(crate) lifetime_ms: i64,
}

/// Time as an exchange needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now: Instant,
    pub(crate) wall_ms: i64,
}

/// Who the connections are.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    sessions: BTreeMap<ConnectionId, Session>,
}

impl Identities {
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.sessions.remove(&connection);
    }

    /// The user of a connection that authenticated.
    pub(crate) fn user(&self, connection: ConnectionId) -> Option<&str> {
        self.sessions.get(&connection)?.known.as_ref().map(|(_, user)| user.as_str())
    }

    /// Whether the connection logged in by a delegation token.
    pub(crate) fn is_by_token(&self, connection: ConnectionId) -> bool {
        self.sessions.get(&connection).is_some_and(|session| session.by_token)
    }

    /// Whether requests other than those of authentication are carried out.
    pub(crate) fn may_ask(&self, connection: ConnectionId, now: Instant) -> bool {
        self.sessions.get(&connection).is_some_and(|session| {
            session.known.is_some() && session.exchange.is_none() && session.ends.is_none_or(|ends| now < ends)
        })
    }

    /// Whether a handshake may begin: at first, and again where sessions end.
    pub(crate) fn may_begin(&self, connection: ConnectionId) -> bool {
        self.sessions.get(&connection).is_none_or(|session| session.known.is_none() || session.ends.is_some())
    }

    /// A handshake chose this mechanism.
    pub(crate) fn begin(&mut self, connection: ConnectionId, mechanism: SaslMechanism, bare: bool) {
        let session = self.sessions.entry(connection).or_default();
        session.bare = bare;
        session.exchange = Some((mechanism, Exchange::new(mechanism)));
    }

    /// Whether the connection's next frame is a token and no request.
    pub(crate) fn wants_token(&self, connection: ConnectionId) -> bool {
        self.sessions.get(&connection).is_some_and(|session| session.bare && session.exchange.is_some())
    }

    /// Whether a handshake has begun and its exchange is not over.
    pub(crate) fn is_authenticating(&self, connection: ConnectionId) -> bool {
        self.sessions.get(&connection).is_some_and(|session| session.exchange.is_some())
    }

    /// A token of the client. The error is a sentence for it; the connection is to be closed after it.
    pub(crate) fn authenticate(
        &mut self,
        connection: ConnectionId,
        config: &SaslConfig,
        clock: Clock,
        nonce: u128,
        token: &[u8],
    ) -> Result<Answer, String> {
        let session = self.sessions.entry(connection).or_default();
        let (mechanism, exchange) = session.exchange.take().ok_or("no mechanism was chosen before the token came")?;
        match exchange.step(config, clock.wall_ms, nonce, token)? {
            Step::Challenge(say, exchange) => {
                session.exchange = Some((mechanism, exchange));
                Ok(Answer { say, lifetime_ms: 0 })
            }
            Step::Done { user, say, ends_ms, by_token } => {
                // KIP-368: a connection keeps its user and mechanism.
                let is_other = |known: &(SaslMechanism, String)| *known != (mechanism, user.clone());
                if session.known.as_ref().is_some_and(is_other) {
                    return Err("user or mechanism may not change when a connection authenticates again".to_owned());
                }
                let of_credential =
                    ends_ms.map(|ends| Duration::from_millis(ends.saturating_sub(clock.wall_ms).max(0) as u64));
                let lifetime = [config.session_lifetime, of_credential].into_iter().flatten().min();
                session.known = Some((mechanism, user));
                session.by_token = by_token;
                session.ends = lifetime.map(|lifetime| clock.now + lifetime);
                let lifetime_ms =
                    lifetime.map_or(0, |lifetime| i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX));
                Ok(Answer { say, lifetime_ms })
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
