//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), and delegation tokens (KIP-48).
//!
//! As Kafka does it: without channel binding, and without SASLprep of the name and the password.
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::{BoxFuture, FutureExt};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use super::{Answer, Credentials, Mechanism, SaslError};
use crate::secret::Secret;

/// Fewer make guessing the password from a listened-in exchange cheap; Kafka's brokers have 4096 at least.
const MIN_ITERATIONS: u32 = 4096;
/// More would let a false broker keep us busy.
const MAX_ITERATIONS: u32 = 1_000_000;

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

/// A user and a password that is never sent.
#[derive(Clone, Debug)]
pub(crate) struct Scram {
    pub(crate) hash: Hash,
    pub(crate) username: String,
    pub(crate) password: Secret,
    /// The user and password are those of a delegation token.
    pub(crate) tokenauth: bool,
}

impl Credentials for Scram {
    fn mechanism(&self) -> &'static str {
        match self.hash {
            Hash::Sha256 => "SCRAM-SHA-256",
            Hash::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn start<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, Result<Box<dyn Mechanism>, SaslError>> {
        // 244 bits of the system's randomness.
        let nonce = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let exchange: Box<dyn Mechanism> = Box::new(Exchange::new(self.clone(), nonce));
        std::future::ready(Ok(exchange)).boxed()
    }
}

/// One authentication.
struct Exchange {
    scram: Scram,
    nonce: String,
    state: State,
}

enum State {
    Start,
    /// The first message is out.
    First {
        bare: String,
    },
    /// The proof is out; the broker has to show that it knows the password too.
    Proof {
        server_signature: Zeroizing<Vec<u8>>,
    },
    Done,
}

impl Exchange {
    fn new(scram: Scram, nonce: String) -> Self {
        Self { scram, nonce, state: State::Start }
    }

    fn first(&mut self) -> Answer {
        let name = self.scram.username.replace('=', "=3D").replace(',', "=2C");
        let extension = if self.scram.tokenauth { ",tokenauth=true" } else { "" };
        let bare = format!("n={name},r={}{extension}", self.nonce);
        let message = format!("n,,{bare}").into_bytes();
        self.state = State::First { bare };
        Answer::Send(Zeroizing::new(message))
    }

    /// The proof that we know the password, for the broker's `challenge`.
    fn proof(&mut self, bare: &str, challenge: &str) -> Result<Answer, SaslError> {
        let ServerFirst { nonce, salt, iterations } = ServerFirst::parse(challenge, &self.nonce)?;
        let hash = self.scram.hash;
        let without_proof = format!("c=biws,r={nonce}");
        let authenticated = format!("{bare},{challenge},{without_proof}");
        let salted = hash.salted(self.scram.password.reveal().as_bytes(), &salt, iterations);
        let client_key = hash.mac(&salted, b"Client Key");
        let signature = hash.mac(&hash.digest(&client_key), authenticated.as_bytes());
        let proof: Zeroizing<Vec<u8>> =
            Zeroizing::new(client_key.iter().zip(&*signature).map(|(a, b)| a ^ b).collect());
        let server_signature = hash.mac(&hash.mac(&salted, b"Server Key"), authenticated.as_bytes());
        self.state = State::Proof { server_signature };
        let proof = Zeroizing::new(BASE64.encode(&*proof));
        Ok(Answer::Send(Zeroizing::new(format!("{without_proof},p={}", *proof).into_bytes())))
    }
}

impl Mechanism for Exchange {
    fn step(&mut self, challenge: Option<&[u8]>) -> Result<Answer, SaslError> {
        let Some(challenge) = challenge else { return Ok(self.first()) };
        let text = std::str::from_utf8(challenge).map_err(|_| wrong("it is not UTF-8"))?;
        match std::mem::replace(&mut self.state, State::Done) {
            State::First { bare } => self.proof(&bare, text),
            State::Proof { server_signature } => {
                verify(text, &server_signature)?;
                Ok(Answer::Done)
            }
            State::Start | State::Done => Err(wrong("it comes out of turn")),
        }
    }
}

/// What the broker answers first.
struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    fn parse(text: &'a str, ours: &str) -> Result<Self, SaslError> {
        let mut parts = text.split(',');
        let mut part = |name: &str| parts.next().and_then(|p| p.strip_prefix(name));
        let nonce = part("r=").ok_or_else(|| wrong("it has no nonce"))?;
        if nonce.len() <= ours.len() || !nonce.starts_with(ours) {
            return Err(wrong("its nonce does not begin with ours"));
        }
        let salt = part("s=").and_then(|s| BASE64.decode(s).ok()).ok_or_else(|| wrong("it has no salt"))?;
        let iterations = part("i=").and_then(|i| i.parse().ok()).ok_or_else(|| wrong("it has no iteration count"))?;
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            let range = format!("{MIN_ITERATIONS} to {MAX_ITERATIONS} are allowed");
            return Err(wrong(&format!("it asks for {iterations} iterations, and {range}")));
        }
        Ok(Self { nonce, salt, iterations })
    }
}

fn verify(text: &str, expected: &[u8]) -> Result<(), SaslError> {
    if let Some(error) = text.strip_prefix("e=") {
        return Err(SaslError::new(format!("the broker answered {error}")));
    }
    let signature = text.strip_prefix("v=").and_then(|v| BASE64.decode(v.split(',').next()?).ok());
    let signature = signature.ok_or_else(|| wrong("it has no signature"))?;
    let differs = signature.iter().zip(expected).fold(0, |acc, (a, b)| acc | (a ^ b));
    if signature.len() == expected.len() && differs == 0 {
        return Ok(());
    }
    Err(SaslError::new(
        "the broker's signature is wrong: it does not know the password, so it is not the broker it says",
    ))
}

fn wrong(what: &str) -> SaslError {
    SaslError::new(format!("the broker's SCRAM message is not right: {what}"))
}

impl Hash {
    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
        let mut salted = Zeroizing::new(vec![0; if self == Self::Sha256 { 32 } else { 64 }]);
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut salted),
        }
        salted
    }

    fn mac(self, key: &[u8], data: &[u8]) -> Zeroizing<Vec<u8>> {
        fn mac<M: Mac + hmac::digest::KeyInit>(key: &[u8], data: &[u8]) -> Zeroizing<Vec<u8>> {
            // An HMAC takes a key of any length.
            let Ok(mac) = <M as Mac>::new_from_slice(key) else { return Zeroizing::default() };
            Zeroizing::new(mac.chain_update(data).finalize().into_bytes().to_vec())
        }
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, data),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, data),
        }
    }

    fn digest(self, data: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(hash: Hash, tokenauth: bool, nonce: &str) -> Exchange {
        let scram = Scram { hash, username: "user".into(), password: "pencil".into(), tokenauth };
        Exchange::new(scram, nonce.into())
    }

    fn sent(answer: Result<Answer, SaslError>) -> String {
        match answer.unwrap() {
            Answer::Send(message) => String::from_utf8(message.to_vec()).unwrap(),
            Answer::Done => panic!("there is something to send"),
        }
    }

    /// The example of RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const FIRST: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn scram_sha_256_speaks_the_example_of_rfc_7677() {
        let mut scram = exchange(Hash::Sha256, false, NONCE);
        assert_eq!(sent(scram.step(None)), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(sent(scram.step(Some(FIRST))), proof);
        assert_eq!(scram.step(Some(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")), Ok(Answer::Done));
    }

    /// Computed with Python's `hashlib` and `hmac` for the same nonces, salt and password.
    #[test]
    fn scram_sha_512_agrees_with_another_implementation() {
        let mut scram = exchange(Hash::Sha512, false, NONCE);
        scram.step(None).unwrap();
        let proof = sent(scram.step(Some(FIRST)));
        assert_eq!(proof.split(",p=").nth(1).unwrap(), SHA_512_PROOF);
        assert_eq!(scram.step(Some(format!("v={SHA_512_SIGNATURE}").as_bytes())), Ok(Answer::Done));
    }
    const SHA_512_PROOF: &str =
        "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
    const SHA_512_SIGNATURE: &str =
        "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";

    #[test]
    fn a_broker_that_does_not_know_the_password_is_found_out() {
        let mut scram = exchange(Hash::Sha256, false, NONCE);
        scram.step(None).unwrap();
        scram.step(Some(FIRST)).unwrap();
        let error = scram.step(Some(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=")).unwrap_err().to_string();
        assert!(error.contains("signature") && !error.contains("pencil"), "{error}");
    }

    #[test]
    fn scram_iterations_outside_4096_to_1000000_are_refused() {
        for (iterations, allowed) in [(0, false), (4095, false), (4096, true), (1_000_001, false), (u32::MAX, false)] {
            let mut scram = exchange(Hash::Sha256, false, "abc");
            scram.step(None).unwrap();
            let challenge = format!("r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={iterations}");
            let answer = scram.step(Some(challenge.as_bytes()));
            assert_eq!(answer.is_ok(), allowed, "{iterations}: {answer:?}");
        }
    }

    #[test]
    fn wrong_messages_are_errors() {
        for message in
            ["", "r=abc,s=AAAA,i=4096", "r=xyzabc,s=AAAA,i=4096", "r=abcd,i=4096", "r=abcd,s=*,i=4096", "e=no"]
        {
            let mut scram = exchange(Hash::Sha256, false, "abc");
            scram.step(None).unwrap();
            assert!(scram.step(Some(message.as_bytes())).is_err(), "{message}");
        }
    }

    #[test]
    fn a_delegation_token_says_so() {
        assert_eq!(sent(exchange(Hash::Sha256, true, "abc").step(None)), "n,,n=user,r=abc,tokenauth=true");
    }

    #[test]
    fn names_with_signs_are_escaped() {
        let mut scram = exchange(Hash::Sha256, false, "abc");
        scram.scram.username = "a=b,c".into();
        assert_eq!(sent(scram.step(None)), "n,,n=a=3Db=2Cc,r=abc");
    }
}
