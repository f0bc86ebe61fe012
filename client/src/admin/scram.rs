//! Users with SCRAM passwords (KIP-554). Brokers 2.7 and newer.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::fmt;

use bytes::Bytes;
use ottla_protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use ottla_protocol::messages::describe_user_scram_credentials::{DescribeUserScramCredentialsRequest, UserName};
use ottla_protocol::{ApiKey, ErrorCode};
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use super::call::{Round, Target, outcome};
use super::{Admin, PerItem, owned};
use crate::error::{Error, Result};

/// The least that brokers accept.
const MIN_ITERATIONS: u32 = 4096;
/// The most that brokers accept.
const MAX_ITERATIONS: u32 = 16_384;

/// A SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScramMechanism {
    /// SCRAM-SHA-256.
    Sha256 = 1,
    /// SCRAM-SHA-512.
    Sha512 = 2,
}

impl fmt::Display for ScramMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        })
    }
}

/// What a broker tells of a user's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScramCredential {
    /// The mechanism it is for.
    pub mechanism: ScramMechanism,
    /// How often it was hashed.
    pub iterations: i32,
}

impl Admin {
    /// The users with SCRAM passwords; with no names, all of them.
    ///
    /// # Errors
    /// When no broker could be asked; per user [`Error::Broker`], `RESOURCE_NOT_FOUND` for one without a password.
    pub async fn describe_scram_users(&self, users: &[&str]) -> Result<PerItem<String, Vec<ScramCredential>>> {
        let api = ApiKey::DescribeUserScramCredentials;
        let users = Some(owned(users)).filter(|users| !users.is_empty());
        self.some_or_all(api, users, Target::Any, |node, users| async move {
            let users = users.map(|users| users.into_iter().map(|name| UserName { name }).collect());
            let request = DescribeUserScramCredentialsRequest { users };
            let (response, at) = self.send(node, None, |_| request).await?;
            outcome(response.error_code, api, "the users", response.error_message, &at)?;
            let results = response.results.into_iter().map(|user| {
                let credentials = user.credential_infos.iter().filter_map(|info| {
                    let mechanism = match info.mechanism {
                        1 => ScramMechanism::Sha256,
                        2 => ScramMechanism::Sha512,
                        _ => return None,
                    };
                    Some(ScramCredential { mechanism, iterations: info.iterations })
                });
                let result = outcome(user.error_code, api, of_user(&user.user), user.error_message, &at);
                let result = result.map(|()| credentials.collect());
                (user.user, result)
            });
            Ok(Round::new(response.throttle_time_ms, results))
        })
        .await
    }

    /// Gives a user a password, or another one. It is hashed here, with a new salt: the password is not sent.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::ScramMechanism;
    ///
    /// admin.upsert_scram_user("alice", ScramMechanism::Sha512, 8192, "her password").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Misuse`] below 4096 or above 16384 `iterations`, and for an empty name or password; [`Error::Broker`].
    pub async fn upsert_scram_user(
        &self,
        user: &str,
        mechanism: ScramMechanism,
        iterations: u32,
        password: &str,
    ) -> Result<()> {
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) || user.is_empty() || password.is_empty() {
            let reason = format!(
                "a password of {user:?} with {iterations} iterations cannot be set: a name, a password and \
                 {MIN_ITERATIONS} to {MAX_ITERATIONS} iterations are needed"
            );
            return Err(Error::Misuse { reason });
        }
        // Two random UUIDs have more than the 16 random bytes that are wanted.
        let mut salt = [0; 32];
        salt[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        salt[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        let salted_password = Bytes::from_owner(salted(mechanism, password.as_bytes(), &salt, iterations));
        let upsertion = ScramCredentialUpsertion {
            name: user.to_owned(),
            mechanism: mechanism as i8,
            iterations: iterations.cast_signed(),
            salt: Bytes::copy_from_slice(&salt),
            salted_password,
        };
        self.alter_scram(user, AlterUserScramCredentialsRequest { upsertions: vec![upsertion], ..Default::default() })
            .await
    }

    /// Takes the password of a mechanism away from a user.
    ///
    /// # Errors
    /// When the controller could not be asked; [`Error::Broker`], `RESOURCE_NOT_FOUND` when there was none.
    pub async fn delete_scram_user(&self, user: &str, mechanism: ScramMechanism) -> Result<()> {
        let deletion = ScramCredentialDeletion { name: user.to_owned(), mechanism: mechanism as i8 };
        self.alter_scram(user, AlterUserScramCredentialsRequest { deletions: vec![deletion], ..Default::default() })
            .await
    }

    async fn alter_scram(&self, user: &str, request: AlterUserScramCredentialsRequest) -> Result<()> {
        let request = &request;
        let api = ApiKey::AlterUserScramCredentials;
        self.once(&format!("{api} of {user}"), Target::Controller, |node| async move {
            let (response, at) = self.send(node, None, |_| request.clone()).await?;
            match response.results.into_iter().next() {
                Some(result) => outcome(result.error_code, api, of_user(user), result.error_message, &at),
                None => Err(Error::broker(ErrorCode::UnknownServerError, api, of_user(user)).at(&at)),
            }
        })
        .await
    }
}

fn of_user(user: &str) -> String {
    format!("user {user}")
}

/// `Hi` of RFC 5802, as `ScramFormatter.java` has it: the password's bytes are taken as they are.
fn salted(mechanism: ScramMechanism, password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
    let mut salted = Zeroizing::new(vec![0; if mechanism == ScramMechanism::Sha256 { 32 } else { 64 }]);
    match mechanism {
        ScramMechanism::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
        ScramMechanism::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut salted),
    }
    salted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The salted password of the example in RFC 7677 ("pencil", 4096 iterations), by way of its proof.
    #[test]
    fn passwords_are_salted_as_the_rfc_has_it() {
        let salt = [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
        let salted = salted(ScramMechanism::Sha256, b"pencil", &salt, 4096);
        let hex: String = salted.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d");
    }
}
