//! Users with SCRAM passwords (KIP-554). Brokers 2.7 and newer.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::fmt;

use bytes::Bytes;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use ottla_protocol::messages::describe_user_scram_credentials::{DescribeUserScramCredentialsRequest, UserName};
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use super::call::{Round, Target, asked, outcome};
use super::{Admin, PerItem, owned};
use crate::error::{Error, Result};
use crate::secret::Secret;

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

/// A change of a user's password, for [`Admin::alter_scram_users`]. The password is not shown.
#[derive(Clone, Debug)]
pub struct ScramAlteration {
    user: String,
    mechanism: ScramMechanism,
    /// How often it is hashed, and what; none: it is taken away.
    password: Option<(u32, Secret)>,
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

    /// Gives users passwords or takes them away: all changes in one request, with one result per user. Passwords are hashed
    /// here, each with a new salt of 16 random bytes, and are not sent.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::{ScramAlteration, ScramMechanism};
    ///
    /// let changes = [
    ///     ScramAlteration::upsert("alice", ScramMechanism::Sha512, 8192, "her password"),
    ///     ScramAlteration::delete("bob", ScramMechanism::Sha256),
    /// ];
    /// for (user, result) in admin.alter_scram_users(&changes).await? {
    ///     println!("{user}: {result:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the controller could not be asked; per user [`Error::Misuse`] below 4096 or above 16384 iterations and for an
    /// empty name or password, and [`Error::Broker`]: `RESOURCE_NOT_FOUND` when there was no password to delete,
    /// `DUPLICATE_RESOURCE` when two changes are about the same mechanism.
    pub async fn alter_scram_users(&self, alterations: &[ScramAlteration]) -> Result<PerItem<String, ()>> {
        let api = ApiKey::AlterUserScramCredentials;
        let mut refused = PerItem::new();
        for alteration in alterations {
            if let Err(error) = alteration.check() {
                refused.insert(alteration.user.clone(), Err(error));
            }
        }
        let wanted = alterations.iter().filter(|alteration| !refused.contains_key(&alteration.user));
        // Hashed once, and not for each attempt.
        let ready: &Vec<(&str, Change)> = &wanted.map(|wanted| (wanted.user.as_str(), wanted.change())).collect();
        let users = ready.iter().map(|(user, _)| (*user).to_owned());
        let altered = self.each(
            api,
            users,
            |_| Target::Controller,
            |node, users| async move {
                let mut request = AlterUserScramCredentialsRequest::default();
                for (_, change) in ready.iter().filter(|(user, _)| users.iter().any(|wanted| wanted == user)) {
                    match change {
                        Change::Upsert(upsertion) => request.upsertions.push(upsertion.clone()),
                        Change::Delete(deletion) => request.deletions.push(deletion.clone()),
                    }
                }
                let (response, at) = self.send(node, None, |_| request).await?;
                let results = response.results.into_iter().map(|result| {
                    let outcome = outcome(result.error_code, api, of_user(&result.user), result.error_message, &at);
                    (result.user, outcome)
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        // A user that was never asked for says nothing of whether anybody could be asked.
        let mut altered = asked(altered.await)?;
        altered.extend(refused);
        Ok(altered)
    }

    /// [`alter_scram_users`](Self::alter_scram_users) for one password.
    ///
    /// # Errors
    /// When the controller could not be asked; those of the user.
    pub async fn upsert_scram_user(
        &self,
        user: &str,
        mechanism: ScramMechanism,
        iterations: u32,
        password: &str,
    ) -> Result<()> {
        self.alter_scram(ScramAlteration::upsert(user, mechanism, iterations, password)).await
    }

    /// [`alter_scram_users`](Self::alter_scram_users) that takes one password away.
    ///
    /// # Errors
    /// When the controller could not be asked; those of the user.
    pub async fn delete_scram_user(&self, user: &str, mechanism: ScramMechanism) -> Result<()> {
        self.alter_scram(ScramAlteration::delete(user, mechanism)).await
    }

    async fn alter_scram(&self, alteration: ScramAlteration) -> Result<()> {
        let altered = self.alter_scram_users(std::slice::from_ref(&alteration)).await?;
        altered.into_values().next().unwrap_or(Ok(()))
    }
}

impl ScramAlteration {
    /// Gives `user` a password for this mechanism, or another one, hashed so often.
    #[must_use]
    pub fn upsert(user: &str, mechanism: ScramMechanism, iterations: u32, password: &str) -> Self {
        Self { user: user.to_owned(), mechanism, password: Some((iterations, Secret::from(password))) }
    }

    /// Takes the password of this mechanism away from `user`.
    #[must_use]
    pub fn delete(user: &str, mechanism: ScramMechanism) -> Self {
        Self { user: user.to_owned(), mechanism, password: None }
    }

    fn check(&self) -> Result<()> {
        let user = &self.user;
        let (what, is_fine) = match &self.password {
            None => ("a password cannot be taken away".to_owned(), true),
            Some((iterations, password)) => (
                format!("a password of {user:?} with {iterations} iterations cannot be set"),
                (MIN_ITERATIONS..=MAX_ITERATIONS).contains(iterations) && !password.is_empty(),
            ),
        };
        if is_fine && !user.is_empty() {
            return Ok(());
        }
        let needed = format!("a name, a password and {MIN_ITERATIONS} to {MAX_ITERATIONS} iterations are needed");
        Err(Error::Misuse { reason: format!("{what}: {needed}") })
    }

    fn change(&self) -> Change {
        let (name, mechanism) = (self.user.clone(), self.mechanism as i8);
        let Some((iterations, password)) = &self.password else {
            return Change::Delete(ScramCredentialDeletion { name, mechanism });
        };
        let salt = salt();
        let salted_password =
            Bytes::from_owner(salted(self.mechanism, password.reveal().as_bytes(), &salt, *iterations));
        Change::Upsert(ScramCredentialUpsertion {
            name,
            mechanism,
            iterations: iterations.cast_signed(),
            salt: Bytes::copy_from_slice(&salt),
            salted_password,
        })
    }
}

/// A change as requests have it.
#[derive(Debug)]
enum Change {
    Upsert(ScramCredentialUpsertion),
    Delete(ScramCredentialDeletion),
}

/// 16 random bytes. A random UUID has fixed bits in two of its bytes: those are taken from another one.
fn salt() -> [u8; 16] {
    let (one, other) = (uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes());
    std::array::from_fn(|i| if i == 6 || i == 8 { other[i - 6] } else { one[i] })
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
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_bit_of_a_salt_is_random() {
        let salts: Vec<_> = (0..256).map(|_| salt()).collect();
        assert_eq!(salts.iter().collect::<HashSet<_>>().len(), salts.len());
        let (all, any) = salts.iter().fold(([0xff_u8; 16], [0_u8; 16]), |(all, any), salt| {
            (std::array::from_fn(|i| all[i] & salt[i]), std::array::from_fn(|i| any[i] | salt[i]))
        });
        assert_eq!((all, any), ([0; 16], [0xff; 16]), "a bit that is always the same");
    }

    /// The salted password of the example in RFC 7677 ("pencil", 4096 iterations), by way of its proof.
    #[test]
    fn passwords_are_salted_as_the_rfc_has_it() {
        let salt = [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
        let salted = salted(ScramMechanism::Sha256, b"pencil", &salt, 4096);
        let hex: String = salted.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d");
    }
}
