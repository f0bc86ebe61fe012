//! OAUTHBEARER (RFC 7628, KIP-255): a bearer token, with extensions for the broker (KIP-342).
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use zeroize::Zeroizing;

use super::{Answer, Mechanism, SaslError};
use crate::secret::Secret;

/// Where bearer tokens come from: an identity provider, a file, a metadata service.
pub trait TokenProvider: Debug + Send + Sync {
    /// A new token, for the same principal each time. Ottla keeps it for as long as it is fresh, and asks again for the
    /// next connection or re-authentication after that.
    fn token(&self) -> BoxFuture<'_, Result<Token, SaslError>>;
}

/// A bearer token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Token {
    /// What is sent, such as a JWT in its compact form.
    pub value: Secret,
    /// When its life began.
    pub start: SystemTime,
    /// When it ends.
    pub expiry: SystemTime,
    /// What else the broker is told; names are letters, values printable.
    pub extensions: BTreeMap<String, String>,
}

impl Token {
    /// A token with this life and no extensions.
    #[must_use]
    pub fn new(value: impl Into<Secret>, start: SystemTime, expiry: SystemTime) -> Self {
        Self { value: value.into(), start, expiry, extensions: BTreeMap::new() }
    }
}

/// When a token is replaced: Kafka's `sasl.login.refresh.*`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefreshPolicy {
    pub(crate) factor: f64,
    pub(crate) jitter: f64,
    pub(crate) min_period: Duration,
    pub(crate) buffer: Duration,
}

impl RefreshPolicy {
    /// When to fetch the next token after one that was fetched at `now`; `random` is in 0..1 (`ExpiringCredentialRefreshingLogin.java`).
    pub(crate) fn refresh_at(&self, token: &Token, now: SystemTime, random: f64) -> SystemTime {
        let life = token.expiry.duration_since(token.start).unwrap_or_default();
        let part = (self.factor + self.jitter * random).clamp(0.0, 1.0);
        let proposed = token.start + life.mul_f64(part);
        let left = token.expiry.duration_since(now).unwrap_or_default();
        if left <= self.min_period + self.buffer {
            return proposed;
        }
        let latest = token.expiry - self.buffer;
        proposed.min(latest).max(now + self.min_period)
    }
}

/// One authentication.
pub(crate) struct Exchange {
    token: Token,
    started: bool,
}

impl Exchange {
    /// With a token that has been checked to be valid still.
    pub(crate) fn new(token: Token) -> Self {
        Self { token, started: false }
    }

    fn first(&self) -> Result<Answer, SaslError> {
        let value = self.token.value.reveal();
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(SaslError::new("the token is empty or has characters in it that a bearer token cannot have"));
        }
        let extensions: usize = self.token.extensions.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let mut message = Zeroizing::new(Vec::with_capacity(value.len() + extensions + 24));
        message.extend_from_slice(b"n,,\x01auth=Bearer ");
        message.extend_from_slice(value.as_bytes());
        message.push(1);
        for (name, value) in &self.token.extensions {
            check_extension(name, value)?;
            message.extend_from_slice(format!("{name}={value}\x01").as_bytes());
        }
        message.push(1);
        Ok(Answer::Send(message))
    }
}

fn check_extension(name: &str, value: &str) -> Result<(), SaslError> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphabetic()) || name == "auth" {
        return Err(SaslError::new(format!("an extension cannot have the name {name:?}: letters only, and not auth")));
    }
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic() || b" \t\r\n".contains(&b)) {
        return Err(SaslError::new(format!(
            "the value of the extension {name} is empty or has unprintable characters"
        )));
    }
    Ok(())
}

impl Mechanism for Exchange {
    fn step(&mut self, challenge: Option<&[u8]>) -> Result<Answer, SaslError> {
        match challenge {
            None => {
                self.started = true;
                self.first()
            }
            Some([]) if self.started => Ok(Answer::Done),
            // A refusal, as JSON: the client acknowledges it, and the broker ends the authentication with its reason.
            Some(_) if self.started => Ok(Answer::Send(Zeroizing::new(vec![1]))),
            Some(_) => Err(SaslError::new("the broker spoke first")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use super::*;

    fn token(life: u64) -> Token {
        Token::new("a.b.c", SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(life))
    }

    #[test]
    fn the_token_and_its_extensions_are_sent() {
        let mut token = token(100);
        token.extensions.insert("traceId".into(), "123".into());
        let mut exchange = Exchange::new(token);
        let Ok(Answer::Send(first)) = exchange.step(None) else { panic!("sends") };
        assert_eq!(*first, b"n,,\x01auth=Bearer a.b.c\x01traceId=123\x01\x01".to_vec());
        assert_eq!(exchange.step(Some(b"")), Ok(Answer::Done));
    }

    #[test]
    fn a_refusal_is_acknowledged() {
        let mut exchange = Exchange::new(token(100));
        exchange.step(None).unwrap();
        let answer = exchange.step(Some(br#"{"status":"invalid_token"}"#));
        assert_eq!(answer, Ok(Answer::Send(Zeroizing::new(vec![1]))));
    }

    #[test]
    fn bad_tokens_and_extensions_are_refused_without_showing_the_token() {
        let mut bad = token(100);
        bad.value = "se cret".into();
        let error = Exchange::new(bad).step(None).unwrap_err().to_string();
        assert!(!error.contains("cret"), "{error}");
        for (name, value) in [("auth", "x"), ("a1", "x"), ("", "x"), ("a", ""), ("a", "\x01")] {
            let mut bad = token(100);
            bad.extensions.insert(name.into(), value.into());
            assert!(Exchange::new(bad).step(None).is_err(), "{name:?}={value:?}");
        }
    }

    #[test]
    fn a_token_is_refreshed_after_its_factor_and_not_in_the_buffer_and_not_too_soon() {
        let policy = RefreshPolicy {
            factor: 0.8,
            jitter: 0.05,
            min_period: Duration::from_secs(60),
            buffer: Duration::from_secs(300),
        };
        let at = |life, now, random| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
            let at = policy.refresh_at(&token(life), now, random);
            at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
        };
        assert_eq!(at(3600, 0, 0.0), 2880);
        assert_eq!(at(3600, 0, 1.0), 3060);
        assert_eq!(at(1000, 0, 0.0), 700, "not in the last 300 s");
        assert_eq!(at(400, 30, 0.0), 100, "not in the last 300 s");
        assert_eq!(at(3600, 2900, 0.0), 2960, "used for 60 s at least");
        assert_eq!(at(100, 0, 0.0), 80, "too short a life for both rules");
    }
}
