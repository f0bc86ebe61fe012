//! What settings do, where no other test shows it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::field_reassign_with_default, reason = "a test")]
mod common;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use common::Pipes;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use ottla_client::{
    ChoosePartition, Client, ClientConfig, Compression, Consumer, ConsumerConfig, Dial, DnsLookup, IsolationLevel,
    Partitioner, Producer, ProducerConfig, ProducerRecord, SecurityProtocol, StartOffset, Stream, TopicPartition,
};
use ottla_testkit::kafka_protocol::messages::{FetchRequest, FetchResponse};
use ottla_testkit::{ApiKey, Broker, CertificateAuthority, Simulation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that were written to each connection.
type Written = Arc<Mutex<Vec<Vec<u8>>>>;

/// Keeps what is written.
#[derive(Debug, Default)]
struct Recorder(Written);

struct Recorded {
    stream: TcpStream,
    at: usize,
    written: Written,
}

impl Dial for Recorder {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        async move { format!("{host}:{port}").parse().map(|address| vec![address]).map_err(io::Error::other) }.boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async move {
            let stream = TcpStream::connect(address).await?;
            let mut written = self.0.lock().unwrap();
            written.push(Vec::new());
            Ok(Box::new(Recorded { stream, at: written.len() - 1, written: Arc::clone(&self.0) }) as Box<dyn Stream>)
        }
        .boxed()
    }
}

impl AsyncRead for Recorded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &result {
            self.written.lock().unwrap()[self.at].extend_from_slice(&bytes[..*count]);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// API key and client id of every request of a connection.
fn requests(mut bytes: &[u8]) -> Vec<(i16, String)> {
    let mut found = Vec::new();
    while bytes.len() > 4 {
        let (length, rest) = bytes.split_at(4);
        let (frame, rest) = rest.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
        let short = |at: usize| i16::from_be_bytes(frame[at..at + 2].try_into().unwrap());
        let id = &frame[10..10 + usize::try_from(short(8)).unwrap()];
        found.push((short(0), String::from_utf8(id.to_vec()).unwrap()));
        bytes = rest;
    }
    found
}

/// Writes and reads a record; the client ids of each connection, by what it was for.
async fn names(config: impl Fn(&mut ClientConfig)) -> BTreeSet<(i16, String)> {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let recorder = Arc::new(Recorder::default());
    let mut client = ClientConfig::new(&broker.bootstrap());
    client.dial = Some(Arc::clone(&recorder) as Arc<dyn Dial>);
    config(&mut client);
    let client = Client::connect(client).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap();
    for group in [None, Some("shop")] {
        let mut config = ConsumerConfig::default();
        config.group_id = group.map(str::to_owned);
        config.group_instance_id = group.map(|_| "till-1".to_owned());
        let consumer = Consumer::new(&client, config).unwrap();
        consumer.assign([(TopicPartition::new("t", 0), StartOffset::Earliest)]);
        while consumer.poll(Duration::from_secs(1)).await.unwrap().is_empty() {}
    }
    let written = recorder.0.lock().unwrap();
    for connection in written.iter() {
        let ids: BTreeSet<_> = requests(connection).into_iter().map(|(_, id)| id).collect();
        assert!(ids.len() <= 1, "a connection has one name from its first request on: {ids:?}");
    }
    written.iter().flat_map(|connection| requests(connection)).collect()
}

#[tokio::test]
async fn without_client_id_brokers_see_the_names_that_java_gives() {
    let (produce, fetch, metadata) = (0, 1, 3);
    let with_id = names(|config| config.client_id = "mine".to_owned()).await;
    assert!(with_id.iter().all(|(_, id)| id == "mine"), "{with_id:?}");
    let names = names(|_| {}).await;
    let of = |api: i16| names.iter().filter(|(key, _)| *key == api).map(|(_, id)| id.as_str()).collect::<Vec<_>>();
    let is_numbered =
        |name: &str, kind: &str| name.strip_prefix(kind).is_some_and(|number| number.parse::<u32>().is_ok());
    assert!(is_numbered(of(metadata)[0], "adminclient-") && of(metadata).len() == 1, "{names:?}");
    assert!(is_numbered(of(produce)[0], "producer-") && of(produce).len() == 1, "{names:?}");
    let fetch = of(fetch);
    assert!(is_numbered(fetch[0], "consumer-") && fetch[1..] == ["consumer-shop-till-1"], "{names:?}");
}

/// Every name leads to the broker, and every address back to `canonical.test`.
#[derive(Debug)]
struct Alias(SocketAddr);

impl Dial for Alias {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        std::future::ready(Ok(vec![self.0])).boxed()
    }

    fn canonical_name(&self, _address: SocketAddr) -> BoxFuture<'_, io::Result<String>> {
        std::future::ready(Ok("canonical.test".to_owned())).boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async move { Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn Stream>) }.boxed()
    }
}

#[tokio::test]
async fn bootstrap_servers_are_known_by_their_canonical_names_if_that_is_asked_for() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let certificate = authority.server(&["canonical.test", "127.0.0.1"]).unwrap();
    let broker = Broker::builder().topic("t", 1).tls(certificate.chain(), certificate.key()).start().await.unwrap();
    let mut config = ClientConfig::new("alias.test:9092");
    config.security_protocol = SecurityProtocol::Ssl;
    config.tls.ssl_truststore_certificates = Some(authority.pem().to_owned());
    config.dial = Some(Arc::new(Alias(broker.bootstrap().parse().unwrap())));
    let error = Client::connect(config.clone()).await.unwrap_err().to_string();
    assert!(error.contains("not for the expected alias.test"), "{error}");
    config.client_dns_lookup = DnsLookup::ResolveCanonicalBootstrapServersOnly;
    let client = Client::connect(config).await.unwrap();
    // Only bootstrap servers: the broker itself goes by the name it advertises, which is in its certificate.
    client.topic("t", Instant::now() + Duration::from_secs(10)).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    producer.send(ProducerRecord::new("t").value("v")).await.unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_nothing_is_sent_to_leaves_the_metadata_after_its_idle_time_and_comes_back() {
    let builder = Broker::builder().topic("busy", 1).topic("quiet", 1).topic("read", 1);
    let simulation = Simulation::start(builder, 1).unwrap();
    let mut config = ClientConfig::new(&simulation.bootstrap());
    config.dial = Some(Arc::new(Pipes(simulation.clone())));
    config.metadata_max_age = Duration::from_secs(1);
    config.metadata_max_idle = Duration::from_secs(5);
    let client = Client::connect(config).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    consumer.assign([(TopicPartition::new("read", 0), StartOffset::Earliest)]);
    let send = async |topic| producer.send(ProducerRecord::new(topic).value("v")).await.unwrap().await.unwrap().offset;
    let known = || client.cluster().topics().map(|topic| topic.name.to_string()).collect::<BTreeSet<_>>();
    let all = BTreeSet::from(["busy", "quiet", "read"].map(str::to_owned));
    assert_eq!((send("quiet").await, send("busy").await), (0, 0));
    for second in 1..=12 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        send("busy").await;
        match second {
            ..=4 => assert_eq!(known(), all, "after {second} s"),
            8.. => assert_eq!(known(), BTreeSet::from(["busy", "read"].map(str::to_owned)), "after {second} s"),
            _ => {}
        }
    }
    assert_eq!(send("quiet").await, 1, "its sequences go on");
    assert_eq!(known(), all);
}

/// Whether 60 records without a key are all written while one of two brokers takes nothing.
async fn all_written(availability_timeout: Duration) -> bool {
    let broker = Broker::builder().nodes(2).topic("t", 2).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let mut config = ProducerConfig::default();
    config.partitioner_availability_timeout = availability_timeout;
    config.linger = Duration::ZERO;
    config.batch_size = 1;
    config.max_in_flight_requests_per_connection = 1;
    let producer = Producer::new(&client, config).unwrap();
    for partition in 0..2 {
        producer.send(ProducerRecord::new("t").partition(partition).value("v")).await.unwrap().await.unwrap();
    }
    let stuck = broker.leader("t", 0).unwrap();
    assert_ne!(broker.leader("t", 1), Some(stuck));
    broker.pause_node(stuck);
    // One is in flight and one waits, for longer than the timeout; the sender looks whenever something is sent.
    for _ in 0..2 {
        producer.send(ProducerRecord::new("t").partition(0).value("v")).await.unwrap();
    }
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        producer.send(ProducerRecord::new("t").partition(1).value("v")).await.unwrap().await.unwrap();
    }
    let mut deliveries = Vec::new();
    for _ in 0..60 {
        deliveries.push(producer.send(ProducerRecord::new("t").value("v")).await.unwrap());
    }
    tokio::time::timeout(Duration::from_secs(2), join_all(deliveries)).await.is_ok()
}

#[tokio::test]
async fn records_without_a_key_keep_away_from_a_broker_that_takes_nothing() {
    assert!(all_written(Duration::from_millis(100)).await);
    assert!(!all_written(Duration::ZERO).await, "it is off by default");
}

#[tokio::test]
async fn a_fetch_asks_for_what_the_settings_say() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let mut client = ClientConfig::new(&broker.bootstrap());
    client.client_rack = "eu-1a".to_owned();
    let client = Client::connect(client).await.unwrap();
    let mut config = ConsumerConfig::default();
    config.fetch_min_bytes = 7;
    config.fetch_max_wait = Duration::from_millis(123);
    config.fetch_max_bytes = 1_000_001;
    config.max_partition_fetch_bytes = 100_001;
    config.isolation_level = IsolationLevel::ReadCommitted;
    let seen = Arc::new(Mutex::new(None));
    let keeper = Arc::clone(&seen);
    let _asked = broker.on(ApiKey::Fetch).reply(move |request: &FetchRequest| {
        *keeper.lock().unwrap() = Some(request.clone());
        FetchResponse::default()
    });
    let consumer = Consumer::new(&client, config).unwrap();
    consumer.assign([(TopicPartition::new("t", 0), StartOffset::At(0, None))]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while seen.lock().unwrap().is_none() {
        assert!(Instant::now() < deadline);
        consumer.poll(Duration::from_millis(10)).await.unwrap();
    }
    let request = seen.lock().unwrap().take().unwrap();
    assert_eq!((request.min_bytes, request.max_wait_ms, request.max_bytes), (7, 123, 1_000_001));
    assert_eq!((request.isolation_level, request.rack_id.as_str()), (1, "eu-1a"));
    assert_eq!(request.topics[0].partitions[0].partition_max_bytes, 100_001);
}

/// Bytes that the client has sent when it has sent these records.
async fn sent(broker: &Broker, compression: Compression, level: Option<i32>) -> u64 {
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let mut config = ProducerConfig::default();
    config.linger = Duration::from_secs(1);
    config.batch_size = 1 << 19;
    config.compression_type = compression;
    config.compression_level = level;
    let producer = Producer::new(&client, config).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..3000 {
        let value: String = (0..20).map(|_| ["one ", "two ", "three ", "four "][rng.usize(0..4)]).collect();
        producer.send(ProducerRecord::new("t").value(&value)).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert!(producer.take_failure().is_none());
    client.metrics().total.outgoing_byte_total
}

#[tokio::test]
async fn a_higher_level_of_compression_sends_fewer_bytes() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let plain = sent(&broker, Compression::None, None).await;
    for (compression, low, high) in [(Compression::Gzip, 1, 9), (Compression::Zstd, 1, 19)] {
        let (low, high) = (sent(&broker, compression, Some(low)).await, sent(&broker, compression, Some(high)).await);
        assert!(high < low && low < plain, "{compression}: {high}, {low} and {plain} without");
    }
}

/// By the length of the value, whatever the key; one too far for an empty one.
#[derive(Debug)]
struct ByLength;

impl ChoosePartition for ByLength {
    fn choose(&self, record: &ProducerRecord<'_>, partitions: usize) -> usize {
        match record.value.map_or(0, <[u8]>::len) {
            0 => partitions,
            length => length % partitions,
        }
    }
}

#[tokio::test]
async fn a_partitioner_of_the_users_chooses_for_records_that_name_no_partition() {
    let broker = Broker::builder().topic("t", 3).start().await.unwrap();
    let client = Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let mut config = ProducerConfig::default();
    config.partitioner_class = Partitioner::Custom(Arc::new(ByLength));
    let producer = Producer::new(&client, config).unwrap();
    for (value, expected) in [("a", 1), ("bb", 2), ("ccc", 0)] {
        let record = ProducerRecord::new("t").key("one key").value(value);
        assert_eq!(producer.send(record).await.unwrap().await.unwrap().topic_partition.partition, expected);
    }
    let named = ProducerRecord::new("t").partition(2).value("a");
    assert_eq!(producer.send(named).await.unwrap().await.unwrap().topic_partition.partition, 2);
    let error = producer.send(ProducerRecord::new("t").value("")).await.unwrap_err();
    assert!(error.to_string().contains("the partitioner chose 3 for topic t, which has 3 partitions"), "{error}");
}
