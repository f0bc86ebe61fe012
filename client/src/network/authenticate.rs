//! Kafka's frames around a SASL exchange: SaslHandshake, then SaslAuthenticate or, for brokers before 1.0, bare tokens.
//! The same states serve a new connection and one that authenticates again (KIP-368).
use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use ottla_protocol::{ApiKey, ApiVersions, ErrorCode, Request, ResponseHeader, Segments};
use zeroize::{Zeroize, Zeroizing};

use super::sasl::{Answer, Mechanism};

/// An authentication that has a frame to send and an answer to wait for.
#[must_use = "an authentication that is not gone on with leaves the connection useless"]
pub(crate) struct Authenticate {
    exchange: Box<dyn Mechanism>,
    mechanism: String,
    client_id: String,
    tokens: Tokens,
    asks: Asks,
    round: u32,
    /// The correlation id of the last frame.
    asked: i32,
}

/// How tokens travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tokens {
    /// In SaslAuthenticate of this version.
    Framed(i16),
    /// With their length only.
    Bare,
}

enum Asks {
    /// For the mechanism.
    Handshake,
    /// Whether this message of the mechanism is right.
    Token(Zeroizing<Vec<u8>>),
}

/// What an answer leads to.
pub(crate) enum Next {
    /// There is another frame to send.
    Send(Authenticate),
    /// We are who we say; for so long, if the broker sets a limit.
    Done { lifetime: Option<Duration> },
}

/// The broker, or the mechanism, does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: String,
}

impl Refused {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl Authenticate {
    pub(crate) fn begin(
        exchange: Box<dyn Mechanism>,
        mechanism: &str,
        versions: &ApiVersions,
        client_id: &str,
    ) -> Result<Self, Refused> {
        let handshake = versions.choose::<SaslHandshakeRequest>(None).map_err(|e| {
            Refused::new(format!("it does not offer SASL ({e}); security.protocol may be wrong for this listener"))
        })?;
        let tokens = match versions.choose::<SaslAuthenticateRequest>(None) {
            Ok(version) if handshake >= 1 => Tokens::Framed(version),
            _ => Tokens::Bare,
        };
        let (mechanism, client_id) = (mechanism.to_owned(), client_id.to_owned());
        Ok(Self { exchange, mechanism, client_id, tokens, asks: Asks::Handshake, round: 0, asked: 0 })
    }

    /// The API of the frame that is sent, for errors.
    pub(crate) fn api(&self) -> ApiKey {
        match self.asks {
            Asks::Handshake => ApiKey::SaslHandshake,
            Asks::Token(_) => ApiKey::SaslAuthenticate,
        }
    }

    /// Which messages were sent before.
    pub(crate) fn round(&self) -> u32 {
        self.round
    }

    /// A refusal would come as an answer: brokers before 1.0 only hang up.
    pub(crate) fn is_answered_in_words(&self) -> bool {
        self.tokens != Tokens::Bare
    }

    /// What to send. Overwrite it with [`wipe`] once it is sent.
    pub(crate) fn frame(&mut self, correlation_id: i32) -> Result<Segments, Refused> {
        self.asked = correlation_id;
        let client_id = Some(self.client_id.as_str());
        let frame = match (&self.asks, self.tokens) {
            (Asks::Handshake, tokens) => {
                let request = SaslHandshakeRequest { mechanism: self.mechanism.clone() };
                request.encode_frame(i16::from(tokens != Tokens::Bare), correlation_id, client_id)
            }
            (Asks::Token(token), Tokens::Framed(version)) => {
                let request = SaslAuthenticateRequest { auth_bytes: Bytes::from(token.to_vec()) };
                let frame = request.encode_frame(version, correlation_id, client_id);
                wipe(Segments(vec![request.auth_bytes]));
                frame
            }
            (Asks::Token(token), Tokens::Bare) => {
                let length = i32::try_from(token.len()).map_err(|_| Refused::new("the token is too long"))?;
                Ok(Segments(vec![[&length.to_be_bytes()[..], token].concat().into()]))
            }
        };
        frame.map_err(|e| Refused::new(e.to_string()))
    }

    /// The broker answered with `frame`. Computes for as long as the mechanism does.
    pub(crate) fn answered(self, frame: Bytes) -> Result<Next, Refused> {
        match (&self.asks, self.tokens) {
            (Asks::Handshake, _) => self.handshake_answered(frame),
            (Asks::Token(_), Tokens::Framed(version)) => self.token_answered(version, frame),
            (Asks::Token(_), Tokens::Bare) => self.step(Some(&frame), None),
        }
    }

    fn handshake_answered(self, frame: Bytes) -> Result<Next, Refused> {
        let version = i16::from(self.tokens != Tokens::Bare);
        let response = decode::<SaslHandshakeRequest>(version, self.asked, frame)?;
        match ErrorCode::from(response.error_code) {
            ErrorCode::None => self.step(None, None),
            ErrorCode::UnsupportedSaslMechanism => {
                let offered = response.mechanisms.join(", ");
                Err(Refused::new(format!("it does not offer this mechanism (sasl.mechanism); it offers {offered}")))
            }
            ErrorCode::IllegalSaslState => Err(Refused::new(
                "its listener does not authenticate with SASL: security.protocol should be PLAINTEXT or SSL there",
            )),
            code => Err(Refused::new(format!("it answered SaslHandshake with {code}: {}", code.sentence()))),
        }
    }

    fn token_answered(self, version: i16, frame: Bytes) -> Result<Next, Refused> {
        let response = decode::<SaslAuthenticateRequest>(version, self.asked, frame)?;
        let code = ErrorCode::from(response.error_code);
        if code != ErrorCode::None {
            let words = response.error_message.filter(|m| !m.is_empty());
            let words = words.unwrap_or_else(|| code.sentence().to_owned());
            return Err(Refused::new(format!("{code}: {words}; {}", self.advice())));
        }
        let lifetime = u64::try_from(response.session_lifetime_ms).ok().filter(|ms| *ms > 0);
        self.step(Some(&response.auth_bytes), lifetime.map(Duration::from_millis))
    }

    fn advice(&self) -> &'static str {
        match self.mechanism.as_str() {
            "OAUTHBEARER" => {
                "the token may have expired, or be for another issuer, audience or scope: look at its provider"
            }
            "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => "check the user name and the password (sasl.jaas.config)",
            _ => "check the credentials",
        }
    }

    fn step(mut self, challenge: Option<&[u8]>, lifetime: Option<Duration>) -> Result<Next, Refused> {
        match self.exchange.step(challenge).map_err(|e| Refused::new(e.to_string()))? {
            Answer::Send(token) => {
                let round = self.round + 1;
                Ok(Next::Send(Self { asks: Asks::Token(token), round, ..self }))
            }
            Answer::Done => Ok(Next::Done { lifetime }),
        }
    }
}

fn decode<R: Request>(version: i16, asked: i32, mut frame: Bytes) -> Result<R::Response, Refused> {
    let malformed = |e| Refused::new(format!("its answer to {} is not Kafka's: {e}", R::API_KEY));
    let header = ResponseHeader::decode(R::API_KEY, version, &mut frame).map_err(malformed)?;
    if header.correlation_id != asked {
        return Err(Refused::new(format!(
            "it answered request {}, and {} {asked} was the one that waits",
            header.correlation_id,
            R::API_KEY
        )));
    }
    R::decode_response(version, frame).map_err(malformed)
}

/// Overwrites a frame that carried a secret, where nobody else holds it.
pub(crate) fn wipe(frame: Segments) {
    for segment in frame.0 {
        if let Ok(mut bytes) = segment.try_into_mut() {
            bytes.zeroize();
        }
    }
}

/// How long after an authentication to do it again, for a session that lives so long; `random` is in 0..1 (KIP-368).
pub(crate) fn reauthenticate_after(lifetime: Duration, random: f64) -> Duration {
    lifetime.mul_f64(0.85 + 0.10 * random)
}

#[cfg(test)]
#[path = "authenticate_tests.rs"]
mod tests;
