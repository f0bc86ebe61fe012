//! Every version of Kafka that is tested against starts, is used, and stops. Spoken to with the codec of Kafka 3.9, which
//! still knows the oldest requests; the newest brokers still know its own.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests fail by panic")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka::messages::{
    ApiKey, ApiVersionsRequest, FetchRequest, MetadataRequest, ProduceRequest, RequestHeader, ResponseHeader,
    TopicName, metadata_request::MetadataRequestTopic,
};
use kafka::protocol::{Decodable, Encodable, Request, StrBytes};
use kafka::records::{Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use kafka_protocol_3_9 as kafka;
use ottla_testkit::kafka::Kafka;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);

struct Client {
    socket: TcpStream,
    /// The highest version of each API that both sides know.
    versions: HashMap<i16, i16>,
}

impl Client {
    async fn connect(address: &str) -> Self {
        let mut client =
            Self { socket: TcpStream::connect(address).await.unwrap(), versions: HashMap::from([(18, 0)]) };
        let answer = client.call(&ApiVersionsRequest::default()).await;
        assert_eq!(answer.error_code, 0);
        client.versions = answer.api_keys.iter().map(|api| (api.api_key, api.max_version)).collect();
        client
    }

    fn highest(&self, api: ApiKey) -> Option<i16> {
        self.versions.get(&(api as i16)).copied()
    }

    async fn call<R: Request>(&mut self, request: &R) -> R::Response {
        let version = self.versions[&R::KEY].min(R::VERSIONS.max);
        let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap();
        self.socket.write_i32(frame.len() as i32).await.unwrap();
        self.socket.write_all(&frame).await.unwrap();
        let answered = tokio::time::timeout(PATIENCE, async {
            let mut frame = vec![0; self.socket.read_i32().await? as usize];
            self.socket.read_exact(&mut frame).await.map(|_| Bytes::from(frame))
        });
        let mut frame = answered.await.unwrap().unwrap();
        let api = ApiKey::try_from(R::KEY).unwrap();
        ResponseHeader::decode(&mut frame, api.response_header_version(version)).unwrap();
        R::Response::decode(&mut frame, version).unwrap()
    }

    /// Asks until the broker has made the topic and chosen its leader.
    async fn create_by_metadata(&mut self, topic: &str) -> uuid::Uuid {
        let name = TopicName(StrBytes::from_string(topic.to_owned()));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(name))]))
            .with_allow_auto_topic_creation(true);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call(&request).await;
            let topic = &answer.topics[0];
            if topic.error_code == 0 && topic.partitions.iter().any(|partition| partition.leader_id.0 >= 0) {
                return topic.topic_id;
            }
            assert!(Instant::now() < deadline, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn produce(&mut self, topic: &str, values: &[String]) -> i64 {
        // Message sets with timestamps until there are record batches, in Produce version 3.
        let magic = if self.versions[&0] < 3 { 1 } else { 2 };
        let partition = PartitionProduceData::default().with_records(Some(batch(values, magic)));
        let data = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partition_data(vec![partition]);
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![data]);
        let answer = self.call(&request).await;
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, 0, "{answer:?}");
        partition.base_offset
    }

    async fn fetch(&mut self, topic: &str, id: uuid::Uuid) -> Vec<String> {
        let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
        let by_id = self.versions[&1] >= 13;
        let topic = if by_id {
            FetchTopic::default().with_topic_id(id)
        } else {
            FetchTopic::default().with_topic(TopicName(StrBytes::from_string(topic.to_owned())))
        };
        let request = FetchRequest::default()
            .with_max_wait_ms(1000)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_topics(vec![topic.with_partitions(vec![partition])]);
        let answer = self.call(&request).await;
        let partition = &answer.responses[0].partitions[0];
        assert_eq!(partition.error_code, 0, "{answer:?}");
        let sets = RecordBatchDecoder::decode_all(&mut partition.records.clone().unwrap()).unwrap();
        let values = sets.into_iter().flat_map(|set| set.records).map(|record| record.value.unwrap());
        values.map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    }
}

fn batch(values: &[String], magic: i8) -> Bytes {
    let record = |(offset, value): (i64, &String)| Record {
        transactional: false,
        control: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: -1 + offset as i32,
        timestamp: 1_700_000_000_000 + offset,
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Default::default(),
    };
    let records: Vec<_> = (0..).zip(values).map(record).collect();
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: magic, compression: Compression::None };
    RecordBatchEncoder::encode(&mut out, &records, &options).unwrap();
    out.freeze()
}

/// The version starts, announces these highest versions of Produce and Fetch, takes records and gives them back, and stops.
async fn lives(version: &str, produce: i16, fetch: i16) {
    let kafka = Kafka::builder().version(version).start().await.unwrap();
    let mut client = Client::connect(&kafka.bootstrap()).await;
    assert_eq!(client.highest(ApiKey::Produce), Some(produce), "Produce of {version}");
    assert_eq!(client.highest(ApiKey::Fetch), Some(fetch), "Fetch of {version}");
    assert_eq!(client.highest(ApiKey::InitProducerId).is_some(), produce >= 3, "idempotence came with 0.11");

    let id = client.create_by_metadata("orders").await;
    let values: Vec<_> = (0..100).map(|n| format!("order {n}")).collect();
    assert_eq!(client.produce("orders", &values).await, 0);
    assert_eq!(client.fetch("orders", id).await, values);

    let node = &kafka.nodes()[0];
    node.stop().await.unwrap();
    assert!(TcpStream::connect(node.address()).await.is_err(), "{version} still listens");
}

#[tokio::test]
async fn kafka_0_10_0_1() {
    lives("0.10.0.1", 2, 2).await;
}

#[tokio::test]
async fn kafka_0_10_2_2() {
    lives("0.10.2.2", 2, 3).await;
}

#[tokio::test]
async fn kafka_0_11_0_3() {
    lives("0.11.0.3", 3, 5).await;
}

#[tokio::test]
async fn kafka_1_1_1() {
    lives("1.1.1", 5, 7).await;
}

#[tokio::test]
async fn kafka_2_1_1() {
    lives("2.1.1", 7, 10).await;
}

#[tokio::test]
async fn kafka_2_8_2() {
    lives("2.8.2", 9, 12).await;
}

#[tokio::test]
async fn kafka_3_9_2() {
    lives("3.9.2", 11, 17).await;
}

#[tokio::test]
async fn kafka_4_0_2() {
    lives("4.0.2", 12, 17).await;
}

#[tokio::test]
async fn kafka_4_4_0() {
    lives("4.4.0", 13, 18).await;
}
