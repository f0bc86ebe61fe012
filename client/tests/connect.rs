//! Finding a cluster, and what is said when there is none.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use ottla_client::{BrokerId, Client, ClientConfig, Dial, Error, ErrorCode, SecurityProtocol, Stream};
use ottla_testkit::Broker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// A server that answers every request frame on every connection with what `answer` makes of its correlation id, and
/// hangs up on `None`.
async fn fake(answer: impl Fn(usize, i32) -> Option<Vec<u8>> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut length = [0; 4];
            while stream.read_exact(&mut length).await.is_ok() {
                let mut frame = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut frame).await.unwrap();
                let id = i32::from_be_bytes(frame[4..8].try_into().unwrap());
                let Some(body) = answer(connection, id) else { break };
                stream.write_all(&(body.len() as u32).to_be_bytes()).await.unwrap();
                stream.write_all(&body).await.unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn a_cluster_is_found_through_any_of_its_brokers() {
    for version in ["0.11", "1.1", "2.1", "2.8", "3.9", "4.1"] {
        let broker = Broker::builder().nodes(3).topic("orders", 6).as_version(version).start().await.unwrap();
        let bootstrap = broker.bootstrap();
        let one = bootstrap.split(',').next_back().unwrap();
        let client = Client::connect(ClientConfig::new(one)).await.unwrap();
        assert_eq!(client.cluster().brokers().count(), 3, "{version}");
        let topic = client.topic("orders", soon()).await.unwrap();
        assert_eq!(topic.partitions.len(), 6, "{version}");
        assert!(topic.partitions.iter().all(|p| p.leader.is_some()), "{version}");
    }
}

#[tokio::test]
async fn a_wrong_address_says_what_was_tried_and_what_to_check() {
    let error = Client::connect(ClientConfig::new("127.0.0.1:1,localhost:2")).await.unwrap_err();
    let text = error.to_string();
    for part in ["127.0.0.1:1 (", "localhost:2 (", "refused", "check that bootstrap.servers"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    assert_eq!(text.matches("check").count(), 1, "one advice for all: {text}");
    let error = Client::connect(ClientConfig::new("no-such-host.invalid:1")).await.unwrap_err().to_string();
    assert!(error.contains("no-such-host.invalid:1 (the name no-such-host.invalid cannot be resolved: "), "{error}");
    assert_eq!(error.matches("check").count(), 1, "{error}");
}

#[tokio::test]
async fn all_brokers_that_cannot_be_reached_are_named_in_one_text() {
    let mut broker = Broker::builder().nodes(2).topic("orders", 1).start().await.unwrap();
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.metadata_recovery_strategy = ottla_client::MetadataRecoveryStrategy::None;
    let client = Client::connect(config).await.unwrap();
    let mut nodes: Vec<_> = client.cluster().brokers().map(|b| (b.id.0, format!("{}:{}", b.host, b.port))).collect();
    nodes.sort();
    for (id, _) in &nodes {
        broker.kill_node(*id);
    }
    let error = client.topic("orders", Instant::now() + Duration::from_secs(2)).await.unwrap_err().to_string();
    for (id, address) in nodes {
        assert!(error.contains(&format!("broker {id} ({address}: {address}: Connection refused")), "{error}");
    }
    assert_eq!(error.matches("check that").count(), 1, "{error}");
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_a_timeout_that_says_so() {
    let broker = Broker::builder().topic("orders", 1).auto_create_topics(false).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let error = client.topic("ordres", Instant::now() + Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
    assert!(error.to_string().contains("finding the topic ordres"), "{error}");
}

#[tokio::test]
async fn a_reply_with_an_impossible_length_is_an_error_and_no_abort() {
    let address = fake(|_, id| {
        let mut reply = id.to_be_bytes().to_vec();
        reply.extend([0, 0, 0x7f, 0xff, 0xff, 0xff]);
        Some(reply)
    })
    .await;
    let error = Client::connect(ClientConfig::new(&address)).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }));
    assert!(error.to_string().contains("its answer is not Kafka's"), "{error}");
}

#[tokio::test]
async fn a_broker_that_hangs_up_on_new_versions_is_asked_with_older_ones() {
    // The fourth connection is the one for version 0: an empty list of APIs.
    let address = fake(|connection, id| (connection >= 3).then(|| [&id.to_be_bytes()[..], &[0; 6]].concat())).await;
    let error = Client::connect(ClientConfig::new(&address)).await.unwrap_err();
    assert!(matches!(error, Error::UnsupportedVersion { .. }), "it got past the handshake: {error}");
}

#[tokio::test]
async fn a_server_that_hangs_up_on_everything_is_no_kafka() {
    let address = fake(|_, _| None).await;
    let error = Client::connect(ClientConfig::new(&address)).await.unwrap_err().to_string();
    assert!(error.contains("not a Kafka broker") && error.contains("security.protocol"), "{error}");
}

/// A server that speaks first, or answers whatever comes, with these bytes, and hangs up.
async fn speaks(bytes: &'static [u8], first: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if !first {
                let mut request = [0; 512];
                let _ = stream.read(&mut request).await;
            }
            let _ = stream.write_all(bytes).await;
        }
    });
    address
}

#[tokio::test]
async fn a_port_of_another_protocol_is_named_within_the_setup_timeout() {
    let rows: [(&str, &'static [u8], bool, &str); 4] = [
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", false, "it speaks HTTP on this port"),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n", true, "the text \"SSH-2.0-OpenSSH_9.6\""),
        ("TLS", &[21, 3, 3, 0, 2, 2, 80], false, "it speaks TLS on this port: security.protocol should be SSL"),
        // A ZooKeeper, like anything that does not understand the request, hangs up.
        ("ZooKeeper", b"", false, "a ZooKeeper or a controller, perhaps"),
    ];
    for (what, bytes, first, part) in rows {
        let started = Instant::now();
        let error = Client::connect(ClientConfig::new(&speaks(bytes, first).await)).await.unwrap_err().to_string();
        assert!(error.contains(part), "{what}: {error}");
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
    }
}

/// Nobody answers, as behind a firewall.
#[derive(Debug)]
struct Firewall;

impl Dial for Firewall {
    fn resolve<'a>(&'a self, _host: &'a str, port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        std::future::ready(Ok(vec![SocketAddr::from(([10, 0, 0, 1], port))])).boxed()
    }

    fn connect(&self, _address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        std::future::pending().boxed()
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_within_the_setup_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut silent = ClientConfig::new(&listener.local_addr().unwrap().to_string());
    silent.socket_connection_setup_timeout = Duration::from_millis(300);
    let mut tls = silent.clone();
    tls.security_protocol = SecurityProtocol::Ssl;
    let mut firewall = silent.clone();
    firewall.dial = Some(Arc::new(Firewall));
    for (config, part) in [
        (silent, "asking for its versions: the port may be none of a Kafka broker, or want TLS"),
        (tls, "agreeing on TLS: the port may not speak TLS (security.protocol)"),
        (firewall, "while connecting); check that bootstrap.servers"),
    ] {
        let started = Instant::now();
        let error = Client::connect(config).await.unwrap_err().to_string();
        assert!(started.elapsed() < Duration::from_secs(2));
        assert!(error.contains("nothing came of it within ") && error.contains(part), "{part} in: {error}");
        assert!(error.contains("(socket.connection.setup.timeout.ms) while"), "{error}");
    }
}

#[tokio::test]
async fn a_cluster_goes_on_being_known_when_the_bootstrap_broker_dies() {
    let mut broker = Broker::builder().nodes(3).topic("orders", 3).start().await.unwrap();
    let first = broker.bootstrap().split(',').next().unwrap().to_owned();
    let client = Client::connect(ClientConfig::new(&first)).await.unwrap();
    let id = client.cluster().brokers().map(|b| b.id).min().unwrap();
    broker.kill_node(id.0);
    broker.move_leader("orders", 0, 2);
    let topic = client.topic("orders", soon()).await.unwrap();
    assert_eq!(topic.partition(0).and_then(|p| p.leader), Some(BrokerId(2)));
}

#[tokio::test]
async fn a_broker_that_knows_no_version_of_ours_is_given_up_at_once() {
    // Error 35, and no API.
    let address = fake(|_, id| Some([&id.to_be_bytes()[..], &[0, 35], &[0; 4]].concat())).await;
    let connected = tokio::time::timeout(Duration::from_secs(10), Client::connect(ClientConfig::new(&address))).await;
    let error = connected.expect("it does not try on and on").unwrap_err();
    assert!(error.is_fatal(), "{error}");
    assert!(error.to_string().contains(&address) && error.to_string().contains("upgrade it"), "{error}");
}
