//! Delegation tokens: passwords that a program hands on to its helpers (KIP-48).
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::messages::create_delegation_token::{CreatableRenewers, CreateDelegationTokenRequest};
use ottla_protocol::messages::describe_delegation_token::{
    DescribeDelegationTokenOwner, DescribeDelegationTokenRequest,
};
use ottla_protocol::messages::expire_delegation_token::ExpireDelegationTokenRequest;
use ottla_protocol::messages::renew_delegation_token::RenewDelegationTokenRequest;
use ottla_protocol::{ApiKey, Segments};
use zeroize::Zeroizing;

use super::Admin;
use super::call::{Target, outcome, wire_millis};
use crate::error::{Error, Result};
use crate::network::authenticate::wipe;

/// A token. It logs in with SCRAM as the user `token_id` with its secret as the password. `Debug` does not show the
/// secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DelegationToken {
    /// Its name.
    pub token_id: String,
    /// Who it speaks for, such as `User:alice`.
    pub owner: String,
    /// Who may renew it besides.
    pub renewers: Vec<String>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub issued_at: i64,
    /// When it ends unless it is renewed.
    pub expires_at: i64,
    /// When it ends for good.
    pub max_lifetime_at: i64,
    hmac: Zeroizing<Vec<u8>>,
}

impl DelegationToken {
    /// The secret.
    #[must_use]
    pub fn hmac(&self) -> &[u8] {
        &self.hmac
    }
}

impl fmt::Debug for DelegationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelegationToken")
            .field("token_id", &self.token_id)
            .field("owner", &self.owner)
            .field("renewers", &self.renewers)
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .field("max_lifetime_at", &self.max_lifetime_at)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// Makes a token for ourselves, or for `owner` (brokers 3.3 and newer). Those named in `renewers` may renew it.
    /// `max_lifetime` is at most the broker's, and that by default. Not possible over a connection that a token
    /// authenticated, nor over one without authentication.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// let token = admin.create_delegation_token(&["User:helper"], None, None).await?;
    /// admin.renew_delegation_token(token.hmac(), Duration::from_secs(3600)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When no broker could be asked; [`Error::Misuse`] for a principal without a type; [`Error::Broker`], such as
    /// `DELEGATION_TOKEN_AUTH_DISABLED`.
    pub async fn create_delegation_token(
        &self,
        renewers: &[&str],
        max_lifetime: Option<Duration>,
        owner: Option<&str>,
    ) -> Result<DelegationToken> {
        let owner = owner.map(principal).transpose()?;
        let others = renewers.iter().map(|renewer| {
            let (principal_type, principal_name) = principal(renewer)?;
            Ok(CreatableRenewers { principal_type, principal_name })
        });
        let request = &CreateDelegationTokenRequest {
            owner_principal_type: owner.as_ref().map(|(kind, _)| kind.clone()),
            owner_principal_name: owner.map(|(_, name)| name),
            renewers: others.collect::<Result<_>>()?,
            max_lifetime_ms: max_lifetime.map_or(-1, wire_millis),
        };
        let api = ApiKey::CreateDelegationToken;
        self.once("CreateDelegationToken", Target::Controller, |node| async move {
            let build = |version| {
                let mut request = request.clone();
                // Before version 3 an owner cannot be named, and leaving it out is not null.
                if version < 3 && request.owner_principal_name.is_none() {
                    (request.owner_principal_type, request.owner_principal_name) =
                        (Some(String::new()), Some(String::new()));
                }
                request
            };
            let (response, at) = self.send(node, None, build).await?;
            outcome(response.error_code, api, "a token", None, &at)?;
            Ok(DelegationToken {
                token_id: response.token_id,
                owner: format!("{}:{}", response.principal_type, response.principal_name),
                renewers: renewers.iter().map(|renewer| (*renewer).to_owned()).collect(),
                issued_at: response.issue_timestamp_ms,
                expires_at: response.expiry_timestamp_ms,
                max_lifetime_at: response.max_timestamp_ms,
                hmac: secret(response.hmac),
            })
        })
        .await
    }

    /// Lets a token live `period` from now, but not beyond its end for good. When it ends now, in milliseconds since the
    /// Unix epoch.
    ///
    /// # Errors
    /// When no broker could be asked; [`Error::Broker`], such as `DELEGATION_TOKEN_NOT_FOUND`.
    pub async fn renew_delegation_token(&self, hmac: &[u8], period: Duration) -> Result<i64> {
        let request =
            RenewDelegationTokenRequest { hmac: Bytes::copy_from_slice(hmac), renew_period_ms: wire_millis(period) };
        let asked = &request;
        let renewed = self.once("RenewDelegationToken", Target::Controller, |node| async move {
            let (response, at) = self.send(node, None, |_| asked.clone()).await?;
            outcome(response.error_code, ApiKey::RenewDelegationToken, "a token", None, &at)?;
            Ok(response.expiry_timestamp_ms)
        });
        let renewed = renewed.await;
        wipe(Segments(vec![request.hmac]));
        renewed
    }

    /// Lets a token end in `period`; `None`: at once. When it ends now, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When no broker could be asked; [`Error::Broker`], such as `DELEGATION_TOKEN_NOT_FOUND`.
    pub async fn expire_delegation_token(&self, hmac: &[u8], period: Option<Duration>) -> Result<i64> {
        let request = ExpireDelegationTokenRequest {
            hmac: Bytes::copy_from_slice(hmac),
            expiry_time_period_ms: period.map_or(-1, wire_millis),
        };
        let asked = &request;
        let expired = self.once("ExpireDelegationToken", Target::Controller, |node| async move {
            let (response, at) = self.send(node, None, |_| asked.clone()).await?;
            outcome(response.error_code, ApiKey::ExpireDelegationToken, "a token", None, &at)?;
            Ok(response.expiry_timestamp_ms)
        });
        let expired = expired.await;
        wipe(Segments(vec![request.hmac]));
        expired
    }

    /// The tokens that these own or may renew, as far as we may see them; `None`: of everyone.
    ///
    /// # Errors
    /// When no broker could be asked; [`Error::Misuse`] for a principal without a type; [`Error::Broker`].
    pub async fn describe_delegation_tokens(&self, owners: Option<&[&str]>) -> Result<Vec<DelegationToken>> {
        let owner = |owner: &&str| {
            let (principal_type, principal_name) = principal(owner)?;
            Ok(DescribeDelegationTokenOwner { principal_type, principal_name })
        };
        let owners = owners.map(|owners| owners.iter().map(owner).collect::<Result<_>>()).transpose()?;
        let request = &DescribeDelegationTokenRequest { owners };
        self.once("DescribeDelegationToken", Target::Any, |node| async move {
            let (response, at) = self.send(node, None, |_| request.clone()).await?;
            outcome(response.error_code, ApiKey::DescribeDelegationToken, "the tokens", None, &at)?;
            let tokens = response.tokens.into_iter().map(|token| {
                let renewers = token.renewers.into_iter();
                DelegationToken {
                    token_id: token.token_id,
                    owner: format!("{}:{}", token.principal_type, token.principal_name),
                    renewers: renewers.map(|r| format!("{}:{}", r.principal_type, r.principal_name)).collect(),
                    issued_at: token.issue_timestamp,
                    expires_at: token.expiry_timestamp,
                    max_lifetime_at: token.max_timestamp,
                    hmac: secret(token.hmac),
                }
            });
            Ok(tokens.collect())
        })
        .await
    }
}

/// A copy that is overwritten when it goes; the answer that it came in is overwritten now, where nobody else holds it.
fn secret(hmac: Bytes) -> Zeroizing<Vec<u8>> {
    let copy = Zeroizing::new(hmac.to_vec());
    wipe(Segments(vec![hmac]));
    copy
}

/// The type and the name of `User:alice`.
fn principal(text: &str) -> Result<(String, String)> {
    match text.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok((kind.to_owned(), name.to_owned())),
        _ => Err(Error::Misuse { reason: format!("{text:?} is no principal: write it as User:name") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_a_token_is_not_shown() {
        let token = DelegationToken {
            token_id: "id".into(),
            owner: "User:alice".into(),
            renewers: Vec::new(),
            issued_at: 0,
            expires_at: 0,
            max_lifetime_at: 0,
            hmac: Zeroizing::new(b"hunter2".to_vec()),
        };
        let text = format!("{token:?}");
        assert!(text.contains("User:alice") && !text.contains("hunter2") && !text.contains("hmac"), "{text}");
    }

    #[test]
    fn a_principal_has_a_type() {
        assert_eq!(principal("User:a:b").unwrap(), ("User".to_owned(), "a:b".to_owned()));
        for bad in ["alice", ":alice", "User:", ""] {
            assert!(principal(bad).unwrap_err().to_string().contains("User:name"), "{bad}");
        }
    }
}
