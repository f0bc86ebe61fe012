//! SASL: who we are. Kafka's `sasl.*` settings.
use std::sync::Arc;
use std::time::Duration;

use crate::network::sasl::{Credentials, TokenProvider};
use crate::secret::Secret;

/// Kafka's `sasl.mechanism`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// User name and password as they are: over TLS only.
    Plain,
    /// A proof of the password (RFC 5802); also for delegation tokens.
    ScramSha256,
    /// The same with SHA-512.
    ScramSha512,
    /// A bearer token of an identity provider (RFC 7628).
    OauthBearer,
    /// A mechanism of your own.
    Custom(Arc<dyn Credentials>),
}

impl SaslMechanism {
    /// Its registered name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Custom(credentials) => credentials.mechanism(),
        }
    }
}

impl std::str::FromStr for SaslMechanism {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512, Self::OauthBearer]
            .into_iter()
            .find(|m| m.name() == text)
            .ok_or_else(|| "it is one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER".to_owned())
    }
}

/// Who we are. Used when [`SecurityProtocol::has_sasl`](crate::SecurityProtocol::has_sasl).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SaslConfig {
    /// `sasl.mechanism`. Required; Kafka's default, GSSAPI, is none of ours.
    pub sasl_mechanism: Option<SaslMechanism>,
    /// For PLAIN and SCRAM: the user, or the id of a delegation token.
    pub username: String,
    /// For PLAIN and SCRAM: the password, or the HMAC of a delegation token in base64.
    pub password: Secret,
    /// `tokenauth=true` of Kafka's `ScramLoginModule`: the user and password are those of a delegation token.
    pub tokenauth: bool,
    /// `sasl.kerberos.service.name`: the first part of the brokers' principals, such as `kafka`. Nothing of Ottla reads it so
    /// far: it is for a GSSAPI mechanism of your own ([`SaslMechanism::Custom`]). Default: none.
    pub sasl_kerberos_service_name: Option<String>,
    /// For OAUTHBEARER: where tokens come from.
    pub token_provider: Option<Arc<dyn TokenProvider>>,
    /// `sasl.login.refresh.window.factor`: the part of a token's life after which a new one is fetched. Default: 0.8.
    pub sasl_login_refresh_window_factor: f64,
    /// `sasl.login.refresh.window.jitter`: at most this part more, at random. Default: 0.05.
    pub sasl_login_refresh_window_jitter: f64,
    /// `sasl.login.refresh.min.period.seconds`: a token is used for this long at least. Default: 60 s.
    pub sasl_login_refresh_min_period: Duration,
    /// `sasl.login.refresh.buffer.seconds`: a token is not used in the last part of its life. Default: 300 s. Ignored,
    /// with the minimal period, for tokens that do not live as long as both together.
    pub sasl_login_refresh_buffer: Duration,
    /// `sasl.login.retry.backoff.ms`: the first pause after the provider failed. Default: 100 ms.
    pub sasl_login_retry_backoff: Duration,
    /// `sasl.login.retry.backoff.max.ms`: the longest pause after the provider failed. Default: 10 s.
    pub sasl_login_retry_backoff_max: Duration,
}

impl Default for SaslConfig {
    fn default() -> Self {
        Self {
            sasl_mechanism: None,
            username: String::new(),
            password: Secret::default(),
            tokenauth: false,
            sasl_kerberos_service_name: None,
            token_provider: None,
            sasl_login_refresh_window_factor: 0.8,
            sasl_login_refresh_window_jitter: 0.05,
            sasl_login_refresh_min_period: Duration::from_secs(60),
            sasl_login_refresh_buffer: Duration::from_secs(300),
            sasl_login_retry_backoff: Duration::from_millis(100),
            sasl_login_retry_backoff_max: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let config = SaslConfig { username: "alice".into(), password: "hunter2".into(), ..SaslConfig::default() };
        let text = format!("{config:?}");
        assert!(text.contains("alice") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_mechanism_has_its_registered_name() {
        assert_eq!("SCRAM-SHA-512".parse::<SaslMechanism>().map(|m| m.name().to_owned()), Ok("SCRAM-SHA-512".into()));
        assert!("GSSAPI".parse::<SaslMechanism>().is_err());
    }
}
