//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, `ScramSaslServer.java`).

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ring::{digest, hmac, pbkdf2};

use super::{Exchange, SaslConfig, SaslMechanism, ScramCredential, Step};

/// Kafka's default and least.
pub(super) const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

const REFUSED: &str = "Authentication failed during authentication due to invalid credentials with SASL mechanism";

/// One exchange.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scram {
    is_512: bool,
    /// After the client's first message.
    begun: Option<Begun>,
}

#[derive(Debug, PartialEq, Eq)]
struct Begun {
    user: String,
    /// Of a delegation token: when it ends.
    token_ends_ms: Option<i64>,
    salted_password: Vec<u8>,
    nonce: String,
    /// Both first messages, as the signatures cover them.
    messages: String,
    gs2_header: String,
}

impl Scram {
    pub(super) fn new(is_512: bool) -> Self {
        Self { is_512, begun: None }
    }

    fn name(&self) -> &'static str {
        if self.is_512 { "SCRAM-SHA-512" } else { "SCRAM-SHA-256" }
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = if self.is_512 { hmac::HMAC_SHA512 } else { hmac::HMAC_SHA256 };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
    }

    fn hash(&self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = if self.is_512 { &digest::SHA512 } else { &digest::SHA256 };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    fn salt(&self, password: &str, salt: &[u8]) -> Vec<u8> {
        let (algorithm, size) = if self.is_512 {
            (pbkdf2::PBKDF2_HMAC_SHA512, digest::SHA512_OUTPUT_LEN)
        } else {
            (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN)
        };
        let mut out = vec![0; size];
        pbkdf2::derive(algorithm, ITERATIONS, salt, password.as_bytes(), &mut out);
        out
    }

    fn credential(&self, config: &SaslConfig, user: &str) -> Option<ScramCredential> {
        let mechanism = if self.is_512 { SaslMechanism::ScramSha512 } else { SaslMechanism::ScramSha256 };
        if let Some(credential) = config.scram.get(&(user.to_owned(), mechanism)) {
            return Some(credential.clone());
        }
        let salt = self.hash(user.as_bytes());
        let salted_password = self.salt(config.users.get(user)?, &salt);
        Some(ScramCredential { iterations: ITERATIONS.get(), salt, salted_password })
    }

    /// Who a delegation token stands for, how it is proved, and when it ends (`DelegationTokenCredentialCallback`).
    fn of_token(&self, config: &SaslConfig, id: &str) -> Option<(String, ScramCredential, i64)> {
        let token = config.delegation.get(id)?;
        let salt = self.hash(id.as_bytes());
        let salted_password = self.salt(&token.password(), &salt);
        let credential = ScramCredential { iterations: ITERATIONS.get(), salt, salted_password };
        Some((token.owner.name.clone(), credential, token.expires_ms))
    }

    pub(super) fn step(self, config: &SaslConfig, nonce: u128, token: &[u8]) -> Result<Step, String> {
        let text = std::str::from_utf8(token).map_err(|_| "the message is not UTF-8")?;
        match &self.begun {
            None => self.first(config, nonce, text),
            Some(begun) => self.last(begun, text),
        }
    }

    fn first(self, config: &SaslConfig, nonce: u128, text: &str) -> Result<Step, String> {
        let malformed = || "the first message is not as in RFC 5802".to_owned();
        let mut parts = text.splitn(3, ',');
        let (flag, authorization) = (parts.next().unwrap_or_default(), parts.next().ok_or_else(malformed)?);
        let bare = parts.next().ok_or_else(malformed)?;
        if !matches!(flag, "n" | "y") {
            return Err("channel binding is not supported".to_owned());
        }
        let user = unescaped(attribute(bare, "n").ok_or_else(malformed)?);
        let theirs = attribute(bare, "r").filter(|nonce| !nonce.is_empty()).ok_or_else(malformed)?;
        if !authorization.is_empty() && authorization.strip_prefix("a=").map(unescaped).as_ref() != Some(&user) {
            return Err("one user may not act for another".to_owned());
        }
        let refused = || format!("{REFUSED} {}", self.name());
        let by_token = attribute(bare, "tokenauth") == Some("true");
        let (user, credential, token_ends_ms) = if by_token {
            let (owner, credential, ends_ms) = self.of_token(config, &user).ok_or_else(refused)?;
            (owner, credential, Some(ends_ms))
        } else {
            let credential = self.credential(config, &user).ok_or_else(refused)?;
            (user, credential, None)
        };
        let nonce = format!("{theirs}{nonce:032x}");
        let say = format!("r={nonce},s={},i={}", BASE64.encode(&credential.salt), credential.iterations);
        let begun = Begun {
            salted_password: credential.salted_password,
            user,
            token_ends_ms,
            nonce,
            messages: format!("{bare},{say}"),
            gs2_header: format!("{flag},{authorization},"),
        };
        Ok(Step::Challenge(say.into(), Exchange::Scram(Self { begun: Some(begun), ..self })))
    }

    fn last(&self, begun: &Begun, text: &str) -> Result<Step, String> {
        let malformed = || "the last message is not as in RFC 5802".to_owned();
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(malformed)?;
        let binding = attribute(without_proof, "c").ok_or_else(malformed)?;
        if BASE64.encode(&begun.gs2_header) != binding || attribute(without_proof, "r") != Some(&begun.nonce) {
            return Err("channel binding or nonce is not that of the first message".to_owned());
        }
        let proof = BASE64.decode(proof).map_err(|_| malformed())?;
        let message = format!("{},{without_proof}", begun.messages);
        let stored_key = self.hash(&self.hmac(&begun.salted_password, b"Client Key"));
        let signature = self.hmac(&stored_key, message.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(proof, signed)| proof ^ signed).collect();
        if proof.len() != signature.len() || self.hash(&client_key) != stored_key {
            return Err(format!("{REFUSED} {}", self.name()));
        }
        let server_key = self.hmac(&begun.salted_password, b"Server Key");
        let say = format!("v={}", BASE64.encode(self.hmac(&server_key, message.as_bytes())));
        let (user, ends_ms) = (begun.user.clone(), begun.token_ends_ms);
        Ok(Step::Done { user, say: Bytes::from(say), ends_ms, by_token: ends_ms.is_some() })
    }
}

fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

fn unescaped(name: &str) -> String {
    name.replace("=2C", ",").replace("=3D", "=")
}
