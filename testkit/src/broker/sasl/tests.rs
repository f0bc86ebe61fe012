#![allow(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;

const WALL_MS: i64 = 1_700_000_000_000;

fn config() -> SaslConfig {
    SaslConfig {
        mechanisms: SaslMechanism::ALL.to_vec(),
        users: BTreeMap::from([("user".to_owned(), "pencil".to_owned()), ("a,b=c".to_owned(), "x".to_owned())]),
        scram: BTreeMap::new(),
        delegation: DelegationTokens::default(),
        tokens: BTreeMap::from([("secret".to_owned(), "robot".to_owned())]),
        session_lifetime: Some(Duration::from_secs(60)),
    }
}

struct Talk {
    identities: Identities,
    config: SaslConfig,
    clock: Clock,
}

fn talk(mechanism: SaslMechanism) -> Talk {
    let mut identities = Identities::default();
    identities.begin(1, mechanism, false);
    Talk { identities, config: config(), clock: Clock { now: Instant::now(), wall_ms: WALL_MS } }
}

impl Talk {
    fn say(&mut self, token: &str) -> Result<String, String> {
        let answer = self.identities.authenticate(1, &self.config, self.clock, 7, token.as_bytes())?;
        Ok(String::from_utf8(answer.say.to_vec()).unwrap())
    }

    fn user(&self) -> Option<&str> {
        self.identities.user(1)
    }
}

fn jwt(claims: &str) -> String {
    format!("n,,\u{1}auth=Bearer e30.{}.\u{1}\u{1}", URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn plain_takes_the_right_password_only() {
    assert_eq!(talk(SaslMechanism::Plain).say("\0user\0pencil"), Ok(String::new()));
    for wrong in ["\0user\0pen", "\0nobody\0pencil", "other\0user\0pencil", "user\0pencil", "\0\0"] {
        let mut talk = talk(SaslMechanism::Plain);
        assert!(talk.say(wrong).is_err() && talk.user().is_none(), "{wrong:?}");
    }
}

/// The algorithms of a SCRAM mechanism.
struct Hash {
    hmac: ring::hmac::Algorithm,
    pbkdf2: ring::pbkdf2::Algorithm,
    digest: &'static ring::digest::Algorithm,
}

static SHA_256: Hash =
    Hash { hmac: ring::hmac::HMAC_SHA256, pbkdf2: ring::pbkdf2::PBKDF2_HMAC_SHA256, digest: &ring::digest::SHA256 };
static SHA_512: Hash =
    Hash { hmac: ring::hmac::HMAC_SHA512, pbkdf2: ring::pbkdf2::PBKDF2_HMAC_SHA512, digest: &ring::digest::SHA512 };

/// A client by the letter of RFC 5802, section 3.
fn scram(talk: &mut Talk, hash: &Hash, user: &str, password: &str) -> Result<(), String> {
    scram_with(talk, hash, user, password, "")
}

fn scram_with(talk: &mut Talk, hash: &Hash, user: &str, password: &str, extensions: &str) -> Result<(), String> {
    use ring::{digest, hmac, pbkdf2};
    let hmac = |key: &[u8], message: &[u8]| hmac::sign(&hmac::Key::new(hash.hmac, key), message).as_ref().to_vec();
    let bare = format!("n={user},r=nonce{extensions}");
    let first = talk.say(&format!("n,,{bare}"))?;
    let salt = STANDARD.decode(first.split(",s=").nth(1).unwrap().split(',').next().unwrap()).unwrap();
    let mut salted = vec![0; hash.digest.output_len()];
    pbkdf2::derive(hash.pbkdf2, 4096.try_into().unwrap(), &salt, password.as_bytes(), &mut salted);
    let nonce = first.split(',').next().unwrap();
    let message = format!("{bare},{first},c=biws,{nonce}");
    let client_key = hmac(&salted, b"Client Key");
    let stored = digest::digest(hash.digest, &client_key);
    let proof: Vec<u8> =
        client_key.iter().zip(hmac(stored.as_ref(), message.as_bytes())).map(|(key, signed)| key ^ signed).collect();
    let last = talk.say(&format!("c=biws,{nonce},p={}", STANDARD.encode(proof)))?;
    let expected = hmac(&hmac(&salted, b"Server Key"), message.as_bytes());
    assert_eq!(last, format!("v={}", STANDARD.encode(expected)));
    Ok(())
}

#[test]
fn scram_proves_the_password_both_ways() {
    for (mechanism, hash) in [(SaslMechanism::ScramSha256, &SHA_256), (SaslMechanism::ScramSha512, &SHA_512)] {
        let mut right = talk(mechanism);
        scram(&mut right, hash, "user", "pencil").unwrap();
        assert_eq!(right.user(), Some("user"));
        let mut escaped = talk(mechanism);
        scram(&mut escaped, hash, "a=2Cb=3Dc", "x").unwrap();
        assert_eq!(escaped.user(), Some("a,b=c"));
        assert!(scram(&mut talk(mechanism), hash, "user", "pen").is_err());
        assert!(scram(&mut talk(mechanism), hash, "nobody", "pencil").is_err());
    }
    assert!(scram(&mut talk(SaslMechanism::ScramSha512), &SHA_256, "user", "pencil").is_err(), "they are not the same");
}

#[test]
fn a_delegation_token_logs_its_owner_in_until_it_ends() {
    use super::super::delegation_tokens::{DelegationTokens, NewToken, Principal};
    let mut tokens = DelegationTokens::new("key");
    let new = NewToken { owner: None, renewers: Vec::new(), lifetime_ms: 30_000 };
    let token = tokens.create(WALL_MS, uuid::Uuid::from_u128(3), Principal::user("alice"), new).unwrap();
    let talk = || {
        let mut talk = talk(SaslMechanism::ScramSha256);
        talk.config.delegation = tokens.clone();
        talk
    };
    let mut right = talk();
    scram_with(&mut right, &SHA_256, &token.id, &token.password(), ",tokenauth=true").unwrap();
    assert_eq!((right.user(), right.identities.is_by_token(1)), (Some("alice"), true));
    assert!(right.identities.may_ask(1, right.clock.now + Duration::from_secs(29)));
    assert!(
        !right.identities.may_ask(1, right.clock.now + Duration::from_secs(30)),
        "it lives no longer than the token"
    );
    assert!(scram_with(&mut talk(), &SHA_256, &token.id, "wrong", ",tokenauth=true").is_err());
    assert!(scram_with(&mut talk(), &SHA_256, "user", "pencil", ",tokenauth=true").is_err(), "a user is no token");
    assert!(scram(&mut talk(), &SHA_256, &token.id, &token.password()).is_err(), "a token is no user");
}

#[test]
fn oauthbearer_takes_registered_and_unsecured_tokens() {
    let mut registered = talk(SaslMechanism::OAuthBearer);
    registered.say("n,,\u{1}auth=Bearer secret\u{1}\u{1}").unwrap();
    assert_eq!(registered.user(), Some("robot"));
    let mut unsecured = talk(SaslMechanism::OAuthBearer);
    unsecured.say(&jwt(r#"{"sub":"alice","exp":1700000030}"#)).unwrap();
    assert_eq!(unsecured.user(), Some("alice"));
    let almost = unsecured.clock.now + Duration::from_millis(29_999);
    assert!(unsecured.identities.may_ask(1, almost));
    assert!(!unsecured.identities.may_ask(1, almost + Duration::from_millis(1)), "the token's end comes first");
}

#[test]
fn refused_token_is_told_before_it_fails() {
    let mut expired = talk(SaslMechanism::OAuthBearer);
    let said = expired.say(&jwt(r#"{"sub":"alice","exp":1600000000}"#));
    assert_eq!(said.as_deref(), Ok(r#"{"status":"invalid_token"}"#));
    assert!(expired.say("\u{1}").is_err() && expired.user().is_none());
}

#[test]
fn session_ends_and_is_renewed_by_the_same_user_only() {
    let mut talk = talk(SaslMechanism::Plain);
    talk.say("\0user\0pencil").unwrap();
    assert!(talk.identities.may_ask(1, talk.clock.now));
    talk.clock.now += Duration::from_secs(60);
    assert!(!talk.identities.may_ask(1, talk.clock.now));
    talk.identities.begin(1, SaslMechanism::Plain, false);
    assert!(talk.say("\0a,b=c\0x").is_err());
    talk.identities.begin(1, SaslMechanism::Plain, false);
    talk.say("\0user\0pencil").unwrap();
    assert!(talk.identities.may_ask(1, talk.clock.now));
}
