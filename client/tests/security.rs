//! Every way into a real broker, with re-authentication under load; and what is said of each that is closed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use ottla_client::{
    Admin, Answer, Client, ClientConfig, Consumer, ConsumerConfig, Credentials, Mechanism, NewTopic, Producer,
    ProducerConfig, ProducerRecord, SaslError, SaslMechanism, StartOffset, Token, TokenProvider, TopicPartition,
};
use ottla_testkit::kafka::{Kafka, Listener, Security};
use ottla_testkit::{Certificate, CertificateAuthority};

/// How long a connection may go without authenticating again.
const MAX_REAUTH: Duration = Duration::from_secs(4);
/// Three times that: every connection under load authenticates again at least twice.
const LOAD: Duration = Duration::from_secs(10);
const SETUP: Duration = Duration::from_secs(10);

/// Unsecured JSON web tokens, which the broker of these tests takes.
#[derive(Debug)]
struct Unsecured {
    life: Duration,
    age: Duration,
}

impl TokenProvider for Unsecured {
    fn token(&self) -> BoxFuture<'_, Result<Token, SaslError>> {
        let start = SystemTime::now() - self.age;
        let seconds = |t: SystemTime| t.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = format!(r#"{{"sub":"alice","iat":{},"exp":{}}}"#, seconds(start), seconds(start + self.life));
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        // What we are told of the token is true only as long as it is young.
        let told = SystemTime::now().max(start) + Duration::from_secs(3600);
        let token = Token::new(format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims)), start, told);
        std::future::ready(Ok(token)).boxed()
    }
}

/// A way into the broker.
#[derive(Clone)]
struct Way<'a> {
    listener: Listener,
    mechanism: Option<SaslMechanism>,
    trusted: &'a str,
    certificate: Option<&'a Certificate>,
    password: &'a str,
    token_age: Duration,
}

impl Way<'_> {
    fn config(&self, bootstrap: &str) -> ClientConfig {
        let mut config = ClientConfig::new(bootstrap);
        config.socket_connection_setup_timeout = SETUP;
        config.security_protocol = self.listener.protocol().parse().unwrap();
        config.tls.ssl_truststore_certificates = Some(self.trusted.to_owned());
        if let Some(certificate) = self.certificate {
            config.tls.ssl_keystore_certificate_chain = Some(certificate.chain().to_owned());
            config.tls.ssl_keystore_key = Some(certificate.key().into());
        }
        config.sasl.sasl_mechanism = self.mechanism.clone();
        config.sasl.username = "alice".to_owned();
        config.sasl.password = self.password.into();
        config.sasl.token_provider = Some(Arc::new(Unsecured { life: Duration::from_secs(600), age: self.token_age }));
        config
    }

    fn name(&self) -> String {
        format!("{:?}-{}", self.listener, self.mechanism.as_ref().map_or("none", |m| m.name()))
    }
}

fn mechanisms() -> [SaslMechanism; 4] {
    [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512, SaslMechanism::OauthBearer]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listener_and_mechanism_carries_records_over_reauthentications_and_refusals_say_why() {
    every_way("4.4.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listener_and_mechanism_carries_records_with_zookeeper_too() {
    every_way("2.8.2").await;
}

/// One broker for all: starting it is most of the work.
async fn every_way(version: &str) {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let certificate = authority.server(&["localhost", "127.0.0.1"]).unwrap();
    let security = Security::new(&authority, &certificate).user("alice", "secret").max_reauth(MAX_REAUTH);
    let kafka = Kafka::builder().version(version).security(security).start().await.unwrap();
    let client = authority.client("alice").unwrap();
    let way = |listener, mechanism| Way {
        listener,
        mechanism,
        trusted: authority.pem(),
        certificate: (listener == Listener::MutualTls).then_some(&client),
        password: "secret",
        token_age: Duration::ZERO,
    };
    let mut ways: Vec<_> =
        [Listener::Plaintext, Listener::Ssl, Listener::MutualTls].map(|listener| way(listener, None)).into();
    for listener in [Listener::SaslPlaintext, Listener::SaslSsl] {
        ways.extend(mechanisms().map(|mechanism| way(listener, Some(mechanism))));
    }
    let counts = join_all(ways.iter().map(|way| carry(&kafka, way))).await;
    println!("{} ways, records and re-authentications: {counts:?}", ways.len());
    // The alerts of 2.8.2 cannot all be read.
    if version == "4.4.0" {
        refusals(&kafka, &way(Listener::SaslSsl, Some(SaslMechanism::Plain))).await;
    }
}

/// Writes and reads through one way for a while: every record comes, once and in order.
async fn carry(kafka: &Kafka, way: &Way<'_>) -> (u64, u64) {
    let name = way.name();
    let client =
        Client::connect(way.config(&kafka.bootstrap_of(way.listener))).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    let topic = NewTopic::new(&name, 1, 1);
    let created = Admin::new(&client).create_topics([topic]).await.unwrap();
    assert!(created.iter().all(|(_, result)| result.is_ok()), "{name}: {created:?}");
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new(name.as_str(), 0), StartOffset::At(0, None))]);
    let started = Instant::now();
    let mut sent = 0u64;
    let mut deliveries = Vec::new();
    let mut read = 0u64;
    // The connections of the producer and the consumer, at least twice each; a busy machine opens them late.
    let reauthenticated = || way.mechanism.is_none() || client.metrics().total.successful_reauthentication_total >= 4;
    while started.elapsed() < LOAD || !reauthenticated() && started.elapsed() < 4 * LOAD {
        for _ in 0..20 {
            let value = sent.to_be_bytes();
            deliveries.push(producer.send(ProducerRecord::new(&name).value(&value)).await.unwrap());
            sent += 1;
        }
        read += in_order(&consumer, read, Duration::from_millis(20)).await;
    }
    for delivery in deliveries {
        delivery.await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while read < sent && Instant::now() < deadline {
        read += in_order(&consumer, read, Duration::from_millis(500)).await;
    }
    assert_eq!(read, sent, "{name}");
    let metrics = client.metrics();
    let again = metrics.total.successful_reauthentication_total;
    if way.mechanism.is_some() {
        assert!(again >= 4, "{name}: {again} re-authentications\n{}", client.describe());
    }
    assert_eq!(metrics.total.failed_reauthentication_total, 0, "{name}");
    (sent, again)
}

async fn in_order(consumer: &Consumer, expected: u64, wait: Duration) -> u64 {
    let records = consumer.poll(wait).await.unwrap();
    let mut read = 0;
    for partition in records.partitions() {
        for record in partition {
            let record = record.unwrap();
            let number = u64::from_be_bytes(record.value.unwrap().try_into().unwrap());
            assert_eq!(number, expected + read, "no record is lost, doubled or out of order");
            read += 1;
        }
    }
    read
}

/// What each closed way in says.
async fn refusals(kafka: &Kafka, good: &Way<'_>) {
    let stranger = CertificateAuthority::new("Another CA").unwrap();
    let forged = stranger.client("alice").unwrap();
    let at = |listener| kafka.bootstrap_of(listener);
    let plain = |mechanism| Way { listener: Listener::SaslPlaintext, mechanism: Some(mechanism), ..good.clone() };
    let tls = |listener| Way { listener, mechanism: None, ..good.clone() };
    let mut unknown = plain(SaslMechanism::Plain);
    unknown.mechanism = Some(SaslMechanism::Custom(Arc::new(Unknown)));
    let rows: Vec<(&str, ClientConfig, &[&str])> = vec![
        (
            "wrong password, PLAIN",
            Way { password: "guess", ..good.clone() }.config(&at(Listener::SaslSsl)),
            &["refused the authentication with PLAIN", "Invalid username or password", "check the user name"],
        ),
        (
            "wrong password, SCRAM",
            Way { password: "guess", ..plain(SaslMechanism::ScramSha512) }.config(&at(Listener::SaslPlaintext)),
            &["refused the authentication with SCRAM-SHA-512", "invalid credentials"],
        ),
        (
            "expired token",
            Way { token_age: Duration::from_secs(900), ..plain(SaslMechanism::OauthBearer) }
                .config(&at(Listener::SaslPlaintext)),
            &["refused the authentication with OAUTHBEARER", "invalid_token", "may have expired"],
        ),
        (
            "unknown mechanism",
            unknown.config(&at(Listener::SaslPlaintext)),
            &["with CARRIER-PIGEON", "sasl.mechanism", "SCRAM-SHA-256"],
        ),
        (
            "another authority",
            Way { trusted: stranger.pem(), ..tls(Listener::Ssl) }.config(&at(Listener::Ssl)),
            &["127.0.0.1", "not signed by an authority we trust", "ssl.truststore"],
        ),
        (
            "no client certificate",
            tls(Listener::MutualTls).config(&at(Listener::MutualTls)),
            &["it may want a client certificate", "ssl.keystore.location"],
        ),
        (
            "a client certificate of another authority",
            Way { certificate: Some(&forged), ..tls(Listener::MutualTls) }.config(&at(Listener::MutualTls)),
            &["it may want a client certificate", "ssl.keystore.location"],
        ),
        (
            "TLS to a plain port",
            tls(Listener::Ssl).config(&at(Listener::Plaintext)),
            &["may not speak TLS", "security.protocol"],
        ),
        (
            "plain to a TLS port",
            Way { listener: Listener::Plaintext, ..tls(Listener::Ssl) }.config(&at(Listener::Ssl)),
            &["TLS", "security.protocol"],
        ),
        (
            "no SASL where it is wanted",
            Way { listener: Listener::Plaintext, ..tls(Listener::Ssl) }.config(&at(Listener::SaslPlaintext)),
            &["may want SASL", "security.protocol"],
        ),
        (
            "SASL where there is none",
            plain(SaslMechanism::Plain).config(&at(Listener::Plaintext)),
            &["does not authenticate with SASL", "security.protocol"],
        ),
    ];
    for (what, config, parts) in rows {
        let started = Instant::now();
        let error = Client::connect(config).await.map(drop).expect_err(what);
        assert!(started.elapsed() < SETUP, "{what}: within the setup timeout, not {:?}", started.elapsed());
        let text = error.to_string();
        println!("{what} ({:.1?}): {text}", started.elapsed());
        assert!(parts.iter().all(|part| text.contains(part)), "{what}: {parts:?} in: {text}");
        assert!(!text.contains("guess"), "{what}: a password in {text}");
    }
}

/// A mechanism that no broker has.
#[derive(Debug)]
struct Unknown;

impl Credentials for Unknown {
    fn mechanism(&self) -> &'static str {
        "CARRIER-PIGEON"
    }

    fn start<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, Result<Box<dyn Mechanism>, SaslError>> {
        let exchange: Box<dyn Mechanism> = Box::new(Self);
        std::future::ready(Ok(exchange)).boxed()
    }
}

impl Mechanism for Unknown {
    fn step(&mut self, _challenge: Option<&[u8]>) -> Result<Answer, SaslError> {
        Err(SaslError::new("it never begins"))
    }
}
