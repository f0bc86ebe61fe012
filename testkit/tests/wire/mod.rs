//! A client of a few lines, on kafka-protocol, to talk to the embedded broker over a socket.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]
#![allow(dead_code, reason = "each test uses its part of it")]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing a test waits for takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    socket: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, correlation_id: 0 }
    }

    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("wire")));
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap_or_else(|error| panic!("API {} v{version}: {error}", R::KEY));
        self.send_raw(&frame).await;
        self.correlation_id
    }

    pub(crate) async fn send_raw(&mut self, frame: &[u8]) {
        self.socket.write_all(&(frame.len() as i32).to_be_bytes()).await.unwrap();
        self.socket.write_all(frame).await.unwrap();
    }

    /// The next frame, or `None` if the broker closed the connection.
    pub(crate) async fn receive_raw(&mut self) -> Option<Bytes> {
        tokio::time::timeout(PATIENCE, async {
            let length = self.socket.read_i32().await.ok()?;
            let mut frame = vec![0; length as usize];
            self.socket.read_exact(&mut frame).await.ok()?;
            Some(Bytes::from(frame))
        })
        .await
        .expect("an answer in time")
    }

    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let mut frame = self.receive_raw().await.expect("an answer, not a closed connection");
        let header_version = ApiKey::try_from(R::KEY).unwrap().response_header_version(version);
        let header = ResponseHeader::decode(&mut frame, header_version).unwrap();
        let response = R::Response::decode(&mut frame, version).unwrap();
        assert!(frame.is_empty(), "trailing bytes in the response");
        (header.correlation_id, response)
    }

    pub(crate) async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let sent = self.send(version, request).await;
        let (received, response) = self.receive::<R>(version).await;
        assert_eq!(sent, received, "replies come in request order");
        response
    }
}

/// A batch of values, optionally of a producer (id, epoch, base sequence).
pub(crate) fn batch(values: &[&str], producer: Option<(i64, i16, i32)>, transactional: bool) -> Bytes {
    let (producer_id, producer_epoch, base) = producer.unwrap_or((-1, -1, -1));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let record = |(index, value): (usize, &&str)| Record {
        transactional,
        producer_id,
        producer_epoch,
        sequence: base + index as i32,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        ..record(index, now)
    };
    let records: Vec<_> = values.iter().enumerate().map(record).collect();
    encoded(&records, Compression::None)
}

/// The record `index` of a batch, of no producer, without key and value.
pub(crate) fn record(index: usize, timestamp: i64) -> Record {
    Record {
        transactional: false,
        control: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: index as i64,
        sequence: -1 + index as i32,
        timestamp,
        key: None,
        value: None,
        headers: Default::default(),
        delete_horizon: false,
    }
}

/// These records as one batch.
pub(crate) fn encoded(records: &[Record], compression: Compression) -> Bytes {
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    RecordBatchEncoder::encode(&mut out, records, &options).unwrap();
    out.freeze()
}
