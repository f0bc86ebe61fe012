//! OAUTHBEARER (RFC 7628): tokens the test registered, and unsecured JSON web tokens as
//! `OAuthBearerUnsecuredValidatorCallbackHandler.java` takes them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Deserialize;

use super::{Exchange, SaslConfig, Step};

#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since 1970.
    exp: f64,
}

pub(super) fn step(config: &SaslConfig, wall_ms: i64, message: &[u8]) -> Result<Step, String> {
    let text = std::str::from_utf8(message).map_err(|_| "the message is not UTF-8")?;
    let mut parts = text.split('\u{1}');
    let header = parts.next().unwrap_or_default();
    if !header.starts_with("n,") {
        return Err("the message does not begin with n,".to_owned());
    }
    let bearer = parts.find_map(|part| part.strip_prefix("auth=")).ok_or("the message carries no auth")?;
    let (scheme, token) = bearer.split_once(' ').ok_or("auth is not of the form Bearer TOKEN")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(format!("auth of scheme {scheme}, not Bearer"));
    }
    if let Some(user) = config.tokens.get(token.trim()) {
        return Ok(Step::Done { user: user.clone(), say: Bytes::new(), ends_ms: None, by_token: false });
    }
    match unsecured(token.trim(), wall_ms) {
        Some((user, ends_ms)) => Ok(Step::Done { user, say: Bytes::new(), ends_ms: Some(ends_ms), by_token: false }),
        // The client is told why before it fails (RFC 7628, 3.2.3).
        None => Ok(Step::Challenge(Bytes::from_static(br#"{"status":"invalid_token"}"#), Exchange::OAuthBearerRefused)),
    }
}

/// User and end of a token without signature that has not ended.
fn unsecured(token: &str, wall_ms: i64) -> Option<(String, i64)> {
    let mut parts = token.split('.');
    let (_, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if !signature.is_empty() || parts.next().is_some() {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let ends_ms = (claims.exp * 1000.0) as i64;
    (!claims.sub.is_empty() && ends_ms > wall_ms).then_some((claims.sub, ends_ms))
}
