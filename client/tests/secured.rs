//! TLS and SASL against the embedded broker: whom a client lets itself be led to, who it is, and what it says otherwise.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{BoxFuture, FutureExt};
use ottla_client::{
    Admin, Client, ClientConfig, Producer, ProducerConfig, ProducerRecord, SaslError, SaslMechanism, SecurityProtocol,
    TlsVersion, Token, TokenProvider,
};
use ottla_testkit::{Broker, Certificate, CertificateAuthority};

const HOURS: Duration = Duration::from_secs(7200);

async fn serving(certificate: &Certificate) -> Broker {
    Broker::builder().topic("t", 1).tls(certificate.chain(), certificate.key()).start().await.unwrap()
}

fn trusting(broker: &Broker, authority: &CertificateAuthority) -> ClientConfig {
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.security_protocol = SecurityProtocol::Ssl;
    config.tls.ssl_truststore_certificates = Some(authority.pem().to_owned());
    config
}

async fn refusal(config: ClientConfig) -> String {
    let started = Instant::now();
    let error = Client::connect(config).await.map(drop).expect_err("it is refused").to_string();
    assert!(started.elapsed() < Duration::from_secs(10), "within the setup timeout: {error}");
    error
}

async fn writes(client: &Client, count: usize) {
    let producer = Producer::new(client, ProducerConfig::default()).unwrap();
    for _ in 0..count {
        producer.send(ProducerRecord::new("t").value("v")).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert!(producer.take_failure().is_none());
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_for_the_right_name_is_taken_in_both_versions_of_tls() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let broker = serving(&authority.server(&["127.0.0.1"]).unwrap()).await;
    for versions in [vec![TlsVersion::Tls12], vec![TlsVersion::Tls13], vec![TlsVersion::Tls12, TlsVersion::Tls13]] {
        let mut config = trusting(&broker, &authority);
        config.tls.ssl_enabled_protocols = versions;
        writes(&Client::connect(config).await.unwrap(), 100).await;
    }
    // More than a record of TLS holds, written at once.
    let mut config = ProducerConfig::default();
    config.batch_size = 1 << 20;
    let producer = Producer::new(&Client::connect(trusting(&broker, &authority)).await.unwrap(), config).unwrap();
    let value = "x".repeat(900_000);
    for _ in 0..5 {
        producer.send(ProducerRecord::new("t").value(&value)).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert!(producer.take_failure().is_none());
}

/// Which cryptography a process has by default is its own choice.
#[cfg(feature = "tls")]
#[tokio::test]
async fn no_provider_of_cryptography_is_installed_for_the_process() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let broker = serving(&authority.server(&["127.0.0.1"]).unwrap()).await;
    writes(&Client::connect(trusting(&broker, &authority)).await.unwrap(), 1).await;
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

#[tokio::test]
async fn a_certificate_error_names_the_broker_the_expected_and_the_presented_names() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let broker = serving(&authority.server(&["kafka.test", "10.1.2.3"]).unwrap()).await;
    let error = refusal(trusting(&broker, &authority)).await;
    for part in [broker.bootstrap().as_str(), "for kafka.test, 10.1.2.3", "not for the expected 127.0.0.1"] {
        assert!(error.contains(part), "{part} in: {error}");
    }
    let mut config = trusting(&broker, &authority);
    config.tls.dangerous_disable_endpoint_identification();
    writes(&Client::connect(config).await.unwrap(), 1).await;
}

#[tokio::test]
async fn without_the_check_of_names_the_authority_is_checked_nevertheless() {
    let (authority, other) = (CertificateAuthority::new("CA").unwrap(), CertificateAuthority::new("Other").unwrap());
    let broker = serving(&authority.server(&["127.0.0.1"]).unwrap()).await;
    let mut config = trusting(&broker, &other);
    config.tls.dangerous_disable_endpoint_identification();
    let error = refusal(config).await;
    assert!(error.contains("which is for 127.0.0.1, is not signed by an authority we trust"), "{error}");
}

/// The system's or the bundled ones: neither knows the authority of a test.
#[tokio::test]
async fn without_a_truststore_public_authorities_are_trusted() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let broker = serving(&authority.server(&["127.0.0.1"]).unwrap()).await;
    let mut config = trusting(&broker, &authority);
    config.tls.ssl_truststore_certificates = None;
    let error = refusal(config).await;
    assert!(error.contains("which is for 127.0.0.1, is not signed by an authority we trust"), "{error}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let broker = serving(&authority.expired_server(&["kafka-1.example", "127.0.0.1"]).unwrap()).await;
    let error = refusal(trusting(&broker, &authority)).await;
    let named = "the certificate that 127.0.0.1 presents, which is for kafka-1.example, 127.0.0.1, has expired: ";
    assert!(error.contains(named) && error.contains("the broker needs a new one"), "{error}");
}

#[tokio::test]
async fn pem_files_serve_as_well_as_texts() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let (server, mine) = (authority.server(&["127.0.0.1"]).unwrap(), authority.client("alice").unwrap());
    let broker =
        Broker::builder().topic("t", 1).tls(server.chain(), server.key()).tls_client_authorities(authority.pem());
    let broker = broker.start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (truststore, keystore) = (folder.path().join("ca.pem"), folder.path().join("alice.pem"));
    std::fs::write(&truststore, authority.pem()).unwrap();
    std::fs::write(&keystore, format!("{}{}", mine.key(), mine.chain())).unwrap();
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.security_protocol = SecurityProtocol::Ssl;
    config.tls.ssl_truststore_location = Some(truststore);
    config.tls.ssl_keystore_location = Some(keystore.clone());
    writes(&Client::connect(config.clone()).await.unwrap(), 10).await;
    config.tls.ssl_keystore_location = None;
    let error = refusal(config.clone()).await;
    assert!(error.contains("client certificate") && error.contains("ssl.keystore.location"), "{error}");

    // What is in the files is looked at before anything is connected to.
    for (content, part) in [
        ("nothing", "there is no private key in PEM format in it"),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "its password is needed",
        ),
    ] {
        std::fs::write(&keystore, content).unwrap();
        config.tls.ssl_keystore_location = Some(keystore.clone());
        let error = refusal(config.clone()).await;
        assert!(error.contains("ssl.keystore.location") && error.contains(part), "{error}");
    }
    config.tls.ssl_truststore_location = Some(folder.path().join("missing.pem"));
    let error = refusal(config.clone()).await;
    assert!(error.contains("missing.pem") && error.contains("cannot be read"), "{error}");
    std::fs::write(folder.path().join("missing.pem"), "PK").unwrap();
    let error = refusal(config).await;
    assert!(error.contains("ssl.truststore.location") && error.contains("JKS and PKCS#12 are not read"), "{error}");
}

/// Hands out one token, and counts.
#[derive(Debug)]
struct Counting {
    value: &'static str,
    life: Duration,
    age: Duration,
    calls: AtomicUsize,
    fails_from: usize,
}

impl Counting {
    fn new(life: Duration, age: Duration, fails_from: usize) -> Arc<Self> {
        Arc::new(Self { value: "the.token", life, age, calls: AtomicUsize::new(0), fails_from })
    }
}

impl TokenProvider for Counting {
    fn token(&self) -> BoxFuture<'_, Result<Token, SaslError>> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let start = SystemTime::now() - self.age;
        let token = Token::new(self.value, start, start + self.life);
        let failed = || SaslError::new("the identity provider is down");
        std::future::ready(if call < self.fails_from { Ok(token) } else { Err(failed()) }).boxed()
    }
}

fn bearing(broker: &Broker, provider: &Arc<Counting>) -> ClientConfig {
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.security_protocol = SecurityProtocol::SaslPlaintext;
    config.sasl.sasl_mechanism = Some(SaslMechanism::OauthBearer);
    config.sasl.token_provider = Some(Arc::clone(provider) as Arc<dyn TokenProvider>);
    config
}

#[tokio::test]
async fn a_fresh_token_serves_all_connections_and_one_that_is_not_is_replaced() {
    let broker = Broker::builder().topic("t", 1).sasl_token("the.token", "alice").start().await.unwrap();
    let fresh = Counting::new(HOURS, Duration::ZERO, usize::MAX);
    let client = Client::connect(bearing(&broker, &fresh)).await.unwrap();
    writes(&client, 1).await;
    assert!(client.metrics().total.successful_authentication_total >= 2, "several connections");
    assert_eq!(fresh.calls.load(Ordering::Relaxed), 1);
    // 95 % of its life are over, and it can be used for one more minute at least.
    let old = Counting::new(HOURS, HOURS.mul_f64(0.95), usize::MAX);
    let mut config = bearing(&broker, &old);
    config.sasl.sasl_login_refresh_min_period = Duration::ZERO;
    writes(&Client::connect(config).await.unwrap(), 1).await;
    assert!(old.calls.load(Ordering::Relaxed) >= 2);
}

#[tokio::test]
async fn an_old_token_serves_while_no_newer_one_can_be_had() {
    let broker = Broker::builder().topic("t", 1).sasl_token("the.token", "alice").start().await.unwrap();
    let provider = Counting::new(HOURS, HOURS.mul_f64(0.95), 1);
    let mut config = bearing(&broker, &provider);
    config.sasl.sasl_login_refresh_min_period = Duration::ZERO;
    writes(&Client::connect(config).await.unwrap(), 1).await;
    assert!(provider.calls.load(Ordering::Relaxed) >= 2, "it was asked and failed");
}

#[tokio::test]
async fn a_token_that_has_expired_or_cannot_be_had_is_said_to_be_so_without_showing_it() {
    let broker = Broker::builder().topic("t", 1).sasl_token("the.token", "alice").start().await.unwrap();
    let expired = Counting::new(Duration::from_secs(60), Duration::from_secs(90), usize::MAX);
    let error = refusal(bearing(&broker, &expired)).await;
    assert!(error.contains("the bearer token that the provider gave expired 30s ago"), "{error}");
    assert!(!error.contains("the.token"), "{error}");
    let error = refusal(bearing(&broker, &Counting::new(HOURS, Duration::ZERO, 0))).await;
    assert!(error.contains("the identity provider is down"), "{error}");
}

#[tokio::test]
async fn every_mechanism_goes_on_over_sessions_that_end() {
    let lifetime = Duration::from_millis(600);
    let broker = Broker::builder().topic("t", 1).sasl_user("alice", "secret").sasl_token("the.token", "alice");
    let broker = broker.sasl_session_lifetime(lifetime).start().await.unwrap();
    let provider = Counting::new(HOURS, Duration::ZERO, usize::MAX);
    for mechanism in
        [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512, SaslMechanism::OauthBearer]
    {
        let name = mechanism.name().to_owned();
        let mut config = bearing(&broker, &provider);
        config.sasl.sasl_mechanism = Some(mechanism);
        config.sasl.username = "alice".to_owned();
        config.sasl.password = "secret".into();
        let client = Client::connect(config).await.unwrap();
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while client.metrics().total.successful_reauthentication_total < 2 {
            assert!(Instant::now() < deadline, "{name}: {}", client.describe());
            producer.send(ProducerRecord::new("t").value("v")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        producer.flush().await.unwrap();
        assert!(producer.take_failure().is_none(), "{name}");
        assert_eq!(client.metrics().total.failed_reauthentication_total, 0, "{name}");
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_named_before_anything_is_connected_to() {
    let mut config = ClientConfig::new("127.0.0.1:1");
    config.security_protocol = SecurityProtocol::SaslPlaintext;
    let error = refusal(config.clone()).await;
    assert!(error.contains("sasl.mechanism") && error.contains("required"), "{error}");
    config.sasl.sasl_mechanism = Some(SaslMechanism::Plain);
    let error = refusal(config.clone()).await;
    assert!(error.contains("user name and a password"), "{error}");
    config.sasl.sasl_mechanism = Some(SaslMechanism::OauthBearer);
    let error = refusal(config).await;
    assert!(error.contains("token provider"), "{error}");
}

#[tokio::test]
async fn a_delegation_token_logs_its_owner_in_and_makes_no_other_token() {
    let broker = Broker::builder().topic("t", 1).sasl_user("alice", "secret").delegation_tokens("key").start();
    let broker = broker.await.unwrap();
    let config = |user: &str, password: &str, tokenauth| {
        let mut config = ClientConfig::new(&broker.bootstrap());
        config.security_protocol = SecurityProtocol::SaslPlaintext;
        config.sasl.sasl_mechanism = Some(SaslMechanism::ScramSha512);
        config.sasl.username = user.into();
        config.sasl.password = password.into();
        config.sasl.tokenauth = tokenauth;
        config
    };
    let alice = Client::connect(config("alice", "secret", false)).await.unwrap();
    let token = Admin::new(&alice).create_delegation_token(&[], None, None).await.unwrap();
    assert_eq!(token.owner, "User:alice");
    let by_token = Client::connect(config(&token.token_id, &STANDARD.encode(token.hmac()), true)).await.unwrap();
    writes(&by_token, 10).await;
    let refused = Admin::new(&by_token).create_delegation_token(&[], None, None).await.unwrap_err();
    assert!(refused.to_string().contains("DELEGATION_TOKEN_REQUEST_NOT_ALLOWED"), "{refused}");
}

/// The key was encrypted by OpenSSL; the certificates live for a hundred years.
#[tokio::test]
async fn an_encrypted_private_key_serves_with_its_password_and_a_wrong_one_is_named() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let server = authority.server(&["127.0.0.1"]).unwrap();
    let clients = include_str!("../testdata/tls/ca.pem");
    let broker = Broker::builder().topic("t", 1).tls(server.chain(), server.key()).tls_client_authorities(clients);
    let broker = broker.start().await.unwrap();
    let mut config = trusting(&broker, &authority);
    config.tls.ssl_keystore_certificate_chain = Some(include_str!("../testdata/tls/alice_chain.pem").to_owned());
    config.tls.ssl_keystore_key = Some(include_str!("../testdata/tls/alice_key_aes.pem").into());
    config.tls.ssl_key_password = Some("correct horse".into());
    writes(&Client::connect(config.clone()).await.unwrap(), 10).await;
    config.tls.ssl_key_password = Some("battery staple".into());
    let error = refusal(config).await;
    assert!(error.contains("ssl.key.password") && !error.contains("battery staple"), "{error}");
}
