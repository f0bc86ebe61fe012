//! Who we are, on every connection: begins authentications and keeps the bearer token while it is fresh.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::{BoxFuture, FutureExt};
use ottla_protocol::ApiVersions;
use tokio::sync::Mutex;

use super::authenticate::{Authenticate, Next, Refused};
use super::sasl::oauthbearer::{self, RefreshPolicy};
use super::sasl::plain::Plain;
use super::sasl::scram::{Hash, Scram};
use super::sasl::{Credentials, Mechanism, SaslError, Token, TokenProvider};
use crate::backoff::ExponentialBackoff;
use crate::config::{SaslConfig, SaslMechanism};
use crate::error::{Error, Result};

/// How connections authenticate.
#[derive(Clone, Debug)]
pub(crate) struct Login(Arc<dyn Credentials>);

impl Login {
    pub(crate) fn new(config: &SaslConfig) -> Result<Self> {
        let invalid = |key: &str, reason: &str| Error::config(key, "", reason);
        let Some(mechanism) = &config.sasl_mechanism else {
            return Err(invalid(
                "sasl.mechanism",
                "it is required when security.protocol is SASL_PLAINTEXT or SASL_SSL: PLAIN, SCRAM-SHA-256, \
                 SCRAM-SHA-512 or OAUTHBEARER",
            ));
        };
        let user = || {
            if config.username.is_empty() || config.password.is_empty() {
                return Err(invalid("sasl.jaas.config", "PLAIN and SCRAM need a user name and a password"));
            }
            Ok((config.username.clone(), config.password.clone()))
        };
        let scram = |hash| {
            let (username, password) = user()?;
            Ok(Arc::new(Scram { hash, username, password, tokenauth: config.tokenauth }))
        };
        Ok(Self(match mechanism {
            SaslMechanism::Plain => {
                let (username, password) = user()?;
                Arc::new(Plain { username, password })
            }
            SaslMechanism::ScramSha256 => scram(Hash::Sha256)?,
            SaslMechanism::ScramSha512 => scram(Hash::Sha512)?,
            SaslMechanism::OauthBearer => {
                let provider = config.token_provider.clone();
                let provider = provider.ok_or_else(|| {
                    invalid("sasl.login.callback.handler.class", "OAUTHBEARER needs a token provider (token_provider)")
                })?;
                Arc::new(Tokens::new(provider, config))
            }
            SaslMechanism::Custom(credentials) => Arc::clone(credentials),
        }))
    }

    pub(crate) fn mechanism(&self) -> &str {
        self.0.mechanism()
    }

    /// Begins an authentication with the broker at `host`.
    pub(crate) async fn begin(
        &self,
        host: &str,
        versions: &ApiVersions,
        client_id: &str,
    ) -> Result<Authenticate, Refused> {
        let exchange = self.0.start(host).await.map_err(|e| Refused { reason: e.to_string() })?;
        Authenticate::begin(exchange, self.mechanism(), versions, client_id)
    }
}

/// What follows from the broker's answer. Mechanisms may compute for long, which must hold no other task up.
pub(crate) async fn answered(authenticate: Authenticate, frame: bytes::Bytes) -> Result<Next, Refused> {
    let computed = tokio::task::spawn_blocking(move || authenticate.answered(frame)).await;
    computed.unwrap_or_else(|error| Err(Refused { reason: format!("the mechanism failed: {error}") }))
}

/// Bearer tokens, fetched when they are needed: an idle client fetches none.
#[derive(Debug)]
struct Tokens {
    provider: Arc<dyn TokenProvider>,
    policy: RefreshPolicy,
    retry: ExponentialBackoff,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// The token, and when to fetch the next one.
    token: Option<(Token, SystemTime)>,
    failures: u32,
    /// The provider is left alone until then.
    failed: Option<(SystemTime, SaslError)>,
}

impl Tokens {
    fn new(provider: Arc<dyn TokenProvider>, config: &SaslConfig) -> Self {
        Self {
            provider,
            policy: RefreshPolicy {
                factor: config.sasl_login_refresh_window_factor,
                jitter: config.sasl_login_refresh_window_jitter,
                min_period: config.sasl_login_refresh_min_period,
                buffer: config.sasl_login_refresh_buffer,
            },
            retry: ExponentialBackoff {
                initial: config.sasl_login_retry_backoff,
                max: config.sasl_login_retry_backoff_max,
            },
            cache: Mutex::default(),
        }
    }

    /// A token that is valid now: the cached one while it is fresh or while no newer one can be had.
    async fn token(&self) -> Result<Token, SaslError> {
        let mut cache = self.cache.lock().await;
        let now = SystemTime::now();
        if let Some((token, refresh_at)) = &cache.token
            && (now < *refresh_at || now < token.expiry && cache.failed.as_ref().is_some_and(|(until, _)| now < *until))
        {
            return Ok(token.clone());
        }
        if let Some((until, error)) = &cache.failed
            && now < *until
        {
            return Err(error.clone());
        }
        let fetched = self.provider.token().await.and_then(|token| valid(token, SystemTime::now()));
        let now = SystemTime::now();
        match fetched {
            Ok(token) => {
                if cache.failures > 0 {
                    tracing::info!(failures = cache.failures, "bearer tokens can be had again");
                }
                let refresh_at = self.policy.refresh_at(&token, now, fastrand::f64());
                *cache = Cache { token: Some((token.clone(), refresh_at)), ..Cache::default() };
                Ok(token)
            }
            Err(error) => {
                let pause = self.retry.delay(cache.failures, &mut fastrand::Rng::new());
                cache.failures += 1;
                cache.failed = Some((now + pause, error.clone()));
                // One event per change of state, not per retry (`design.md` §6).
                if cache.failures == 1 {
                    tracing::warn!(%error, "no bearer token could be had");
                }
                match &cache.token {
                    Some((token, _)) if now < token.expiry => Ok(token.clone()),
                    _ => Err(error),
                }
            }
        }
    }
}

/// An expired token is found out here: the broker's refusal would say less.
fn valid(token: Token, now: SystemTime) -> Result<Token, SaslError> {
    match now.duration_since(token.expiry) {
        Ok(past) => {
            let past = Duration::from_secs(past.as_secs());
            Err(SaslError::new(format!("the bearer token that the provider gave expired {past:?} ago")))
        }
        Err(_) => Ok(token),
    }
}

impl Credentials for Tokens {
    fn mechanism(&self) -> &'static str {
        "OAUTHBEARER"
    }

    fn start<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, Result<Box<dyn Mechanism>, SaslError>> {
        async move {
            let exchange: Box<dyn Mechanism> = Box::new(oauthbearer::Exchange::new(self.token().await?));
            Ok(exchange)
        }
        .boxed()
    }
}
