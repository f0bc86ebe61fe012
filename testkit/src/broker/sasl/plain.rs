//! PLAIN (RFC 4616).

use bytes::Bytes;

use super::{SaslConfig, Step};

pub(super) fn step(config: &SaslConfig, token: &[u8]) -> Result<Step, String> {
    let text = std::str::from_utf8(token).map_err(|_| "the token is not UTF-8")?;
    let parts: Vec<&str> = text.split('\0').collect();
    let [authorization, user, password] = parts[..] else {
        return Err("the token is not of the form [authzid] NUL user NUL password".to_owned());
    };
    if !(authorization.is_empty() || authorization == user) {
        return Err("one user may not act for another".to_owned());
    }
    if user.is_empty() || config.users.get(user).is_none_or(|known| known != password) {
        return Err("Authentication failed: Invalid username or password".to_owned());
    }
    Ok(Step::Done { user: user.to_owned(), say: Bytes::new(), ends_ms: None, by_token: false })
}
