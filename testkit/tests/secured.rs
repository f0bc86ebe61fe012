//! Who may come in and what they may do: SASL, TLS, denials, quotas; asked over sockets.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read the clock and fail by panic")]

mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ottla_testkit::{Access, Broker, BrokerBuilder, CertificateAuthority, Denial, SaslMechanism};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wire::{Client, batch};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

async fn started(builder: BrokerBuilder) -> (Broker, Client) {
    let broker = builder.topic("t", 1).start().await.unwrap();
    let client = Client::connect(&broker.bootstrap()).await;
    (broker, client)
}

async fn handshake(client: &mut Client, mechanism: &str) -> i16 {
    client.call(1, &SaslHandshakeRequest::default().with_mechanism(text(mechanism))).await.error_code
}

async fn plain(client: &mut Client, password: &str) -> SaslAuthenticateResponse {
    assert_eq!(handshake(client, "PLAIN").await, 0);
    let token = format!("\0alice\0{password}").into_bytes();
    client.call(2, &SaslAuthenticateRequest::default().with_auth_bytes(token.into())).await
}

async fn metadata(client: &mut Client) -> MetadataResponse {
    client.call(9, &MetadataRequest::default().with_topics(None)).await
}

#[tokio::test]
async fn nothing_is_answered_before_authentication_and_everything_after() {
    let (broker, mut client) = started(Broker::builder().sasl_user("alice", "secret")).await;
    client.send(9, &MetadataRequest::default()).await;
    assert!(client.receive_raw().await.is_none(), "closed without an answer");
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(client.call(2, &ApiVersionsRequest::default()).await.error_code, 0);
    assert_eq!(plain(&mut client, "secret").await.error_code, 0);
    assert_eq!(metadata(&mut client).await.topics.len(), 1);
    assert_eq!(handshake(&mut client, "PLAIN").await, 34, "sessions do not end here");
}

#[tokio::test]
async fn wrong_password_is_58_and_wrong_mechanism_33_then_the_connection_closes() {
    let builder = Broker::builder().sasl_user("alice", "secret").sasl_mechanisms(&[SaslMechanism::Plain]);
    let (broker, mut client) = started(builder).await;
    let refused = plain(&mut client, "wrong").await;
    assert_eq!(refused.error_code, 58);
    assert!(refused.error_message.unwrap().contains("Invalid username or password"));
    assert!(client.receive_raw().await.is_none());
    let mut client = Client::connect(&broker.bootstrap()).await;
    let request = SaslHandshakeRequest::default().with_mechanism(text("SCRAM-SHA-256"));
    let response = client.call(1, &request).await;
    assert_eq!((response.error_code, response.mechanisms), (33, vec![text("PLAIN")]));
    assert!(client.receive_raw().await.is_none());
}

#[tokio::test]
async fn session_must_be_renewed_in_time() {
    let builder = Broker::builder().sasl_user("alice", "secret").sasl_session_lifetime(Duration::from_millis(400));
    let (broker, mut client) = started(builder).await;
    let started = Instant::now();
    assert_eq!(plain(&mut client, "secret").await.session_lifetime_ms, 400);
    metadata(&mut client).await;
    assert_eq!(plain(&mut client, "secret").await.error_code, 0, "again, in band");
    metadata(&mut client).await;
    assert!(started.elapsed() < Duration::from_secs(10));
    tokio::time::sleep(Duration::from_millis(450)).await;
    client.send(9, &MetadataRequest::default()).await;
    assert!(client.receive_raw().await.is_none(), "the session was over");
    drop(broker);
}

#[tokio::test]
async fn tokens_go_bare_after_handshake_v0() {
    let (broker, mut client) = started(Broker::builder().as_version("0.11").sasl_user("alice", "secret")).await;
    let handshake = SaslHandshakeRequest::default().with_mechanism(text("PLAIN"));
    assert_eq!(client.call(0, &handshake).await.error_code, 0);
    client.send_raw(b"\0alice\0secret").await;
    assert_eq!(client.receive_raw().await.as_deref(), Some(&b""[..]));
    let request = MetadataRequest::default().with_topics(None);
    assert_eq!(client.call(4, &request).await.topics.len(), 1);
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(client.call(0, &handshake).await.error_code, 0);
    client.send_raw(b"\0alice\0wrong").await;
    assert!(client.receive_raw().await.is_none(), "nothing can be said but goodbye");
}

#[tokio::test]
async fn broker_without_sasl_says_34() {
    let (_broker, mut client) = started(Broker::builder()).await;
    assert_eq!(handshake(&mut client, "PLAIN").await, 34);
    let response = client.call(2, &SaslAuthenticateRequest::default()).await;
    assert_eq!(response.error_code, 34);
}

fn tls_client(authority: &CertificateAuthority, identity: Option<(&str, &str)>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// ApiVersions v0 over TLS: the error code of the answer.
async fn ask_by_tls(address: &str, connector: &TlsConnector) -> std::io::Result<i16> {
    let socket = TcpStream::connect(address).await?;
    let mut socket = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await?;
    socket.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]).await?;
    let length = socket.read_i32().await?;
    let mut frame = vec![0; length as usize];
    socket.read_exact(&mut frame).await?;
    assert_eq!(frame[..4], [0, 0, 0, 7]);
    Ok(i16::from_be_bytes([frame[4], frame[5]]))
}

#[tokio::test]
async fn tls_answers_clients_that_trust_it() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let certificate = authority.server(&["localhost"]).unwrap();
    let broker = Broker::builder().tls(certificate.chain(), certificate.key()).start().await.unwrap();
    let address = broker.bootstrap();
    assert_eq!(ask_by_tls(&address, &tls_client(&authority, None)).await.unwrap(), 0);
    let stranger = CertificateAuthority::new("Other CA").unwrap();
    assert!(ask_by_tls(&address, &tls_client(&stranger, None)).await.is_err());
    let mut plain = Client::connect(&address).await;
    plain.send(0, &ApiVersionsRequest::default()).await;
    let answer = plain.receive_raw().await;
    assert!(answer.is_none(), "no Kafka in the clear");
}

#[tokio::test]
async fn client_certificate_is_required_where_the_broker_says_so() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let certificate = authority.server(&["localhost"]).unwrap();
    let builder = Broker::builder().tls_client_authorities(authority.pem()).tls(certificate.chain(), certificate.key());
    let broker = builder.start().await.unwrap();
    let address = broker.bootstrap();
    assert!(ask_by_tls(&address, &tls_client(&authority, None)).await.is_err());
    let mine = authority.client("alice").unwrap();
    let identity = Some((mine.chain(), mine.key()));
    assert_eq!(ask_by_tls(&address, &tls_client(&authority, identity)).await.unwrap(), 0);
}

#[tokio::test]
async fn unusable_certificate_is_named_at_start() {
    let error = Broker::builder().tls("nonsense", "nonsense").start().await.unwrap_err();
    assert_eq!(error.to_string(), "TLS: no certificate in the PEM text");
}

async fn produce(client: &mut Client) -> i16 {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    let data = PartitionProduceData::default().with_records(Some(batch(&["v"], None, false)));
    let topic = TopicProduceData::default().with_name(TopicName(text("t"))).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]);
    client.call(9, &request).await.responses[0].partition_responses[0].error_code
}

#[tokio::test]
async fn denials_hit_their_resource_access_and_user_only() {
    let (broker, mut client) = started(Broker::builder()).await;
    broker.deny(Denial::topic("t").access(Access::Write).user("bob"));
    assert_eq!(produce(&mut client).await, 0, "that is bob's");
    broker.deny(Denial::topic("t").access(Access::Write).user("ANONYMOUS"));
    assert_eq!(produce(&mut client).await, 29);
    assert_eq!(metadata(&mut client).await.topics.len(), 1, "it may still be described");
    broker.deny(Denial::topic("t"));
    assert_eq!(metadata(&mut client).await.topics.len(), 0);
    broker.deny(Denial::group("g"));
    let heartbeat = HeartbeatRequest::default().with_group_id(GroupId(text("g")));
    assert_eq!(client.call(4, &heartbeat).await.error_code, 30);
    broker.deny(Denial::transactional_id("tx"));
    let init = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(1000);
    let transactional = init.clone().with_transactional_id(Some(TransactionalId(text("tx"))));
    assert_eq!(client.call(4, &transactional).await.error_code, 53);
    assert_eq!(client.call(4, &init).await.error_code, 0);
    broker.deny(Denial::cluster());
    assert_eq!(client.call(4, &init).await.error_code, 31);
    broker.allow_everything();
    assert_eq!(produce(&mut client).await, 0);
}

#[tokio::test]
async fn quota_tells_its_delay_at_once_and_mutes_the_connection_for_so_long() {
    let (broker, mut client) = started(Broker::builder()).await;
    let delay = Duration::from_millis(300);
    broker.throttle(ApiKey::Metadata, delay);
    let started = Instant::now();
    assert_eq!(metadata(&mut client).await.throttle_time_ms, 300);
    assert_eq!(client.call(2, &ApiVersionsRequest::default()).await.throttle_time_ms, 0);
    assert!(started.elapsed() >= delay, "the next request was read after the delay");
    broker.throttle(ApiKey::Metadata, Duration::ZERO);
    assert_eq!(metadata(&mut client).await.throttle_time_ms, 0);
    assert_eq!(broker.received(ApiKey::Metadata), 2);
}

#[tokio::test]
async fn brokers_before_2_0_wait_before_they_answer() {
    let (broker, mut client) = started(Broker::builder().as_version("1.1")).await;
    let delay = Duration::from_millis(200);
    broker.throttle(ApiKey::Metadata, delay);
    let started = Instant::now();
    let response = client.call(5, &MetadataRequest::default().with_topics(None)).await;
    assert_eq!(response.throttle_time_ms, 200);
    assert!(started.elapsed() >= delay);
}
