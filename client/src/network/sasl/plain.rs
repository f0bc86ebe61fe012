//! PLAIN (RFC 4616): user name and password as they are.
use futures_util::future::{BoxFuture, FutureExt};
use zeroize::Zeroizing;

use super::{Answer, Credentials, Mechanism, SaslError};
use crate::secret::Secret;

/// A user and a password, as they are.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) username: String,
    pub(crate) password: Secret,
}

impl Credentials for Plain {
    fn mechanism(&self) -> &'static str {
        "PLAIN"
    }

    fn start<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, Result<Box<dyn Mechanism>, SaslError>> {
        let exchange: Box<dyn Mechanism> = Box::new(self.clone());
        std::future::ready(Ok(exchange)).boxed()
    }
}

impl Mechanism for Plain {
    fn step(&mut self, challenge: Option<&[u8]>) -> Result<Answer, SaslError> {
        match challenge {
            None if self.username.contains('\0') || self.password.reveal().contains('\0') => {
                Err(SaslError::new("PLAIN cannot carry a user name or password with a zero byte in it"))
            }
            None => {
                let (user, password) = (self.username.as_bytes(), self.password.reveal().as_bytes());
                // Sized beforehand, so that no part of it stays behind in memory that was grown out of.
                let mut message = Zeroizing::new(Vec::with_capacity(user.len() + password.len() + 2));
                for part in [b"\0", user, b"\0", password] {
                    message.extend_from_slice(part);
                }
                Ok(Answer::Send(message))
            }
            Some(_) => Ok(Answer::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_sends_user_and_password_between_zero_bytes() {
        let mut plain = Plain { username: "tim".into(), password: "tanstaaftanstaaf".into() };
        let first = plain.step(None).unwrap();
        assert_eq!(first, Answer::Send(Zeroizing::new(b"\0tim\0tanstaaftanstaaf".to_vec())));
        assert_eq!(plain.step(Some(b"")), Ok(Answer::Done));
        assert_eq!(format!("{first:?}"), "Send(21 bytes)");
    }

    #[test]
    fn plain_refuses_zero_bytes() {
        let error = Plain { username: "t".into(), password: "a\0b".into() }.step(None).unwrap_err().to_string();
        assert!(!error.contains("a\0b"));
    }
}
