//! Records per second through the embedded broker, over loopback, the processor time it took for them, and its memory.
//!
//! `cargo bench -p ottla-testkit --bench broker [-- RECORDS]`; records of 100 bytes, batches of 16 KiB.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark reads the clock and fails by panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ProduceRequest, RequestHeader, TopicName};
use kafka_protocol::protocol::{Encodable, Request, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};

const PARTITIONS: i32 = 6;
const RECORDS_PER_BATCH: i64 = 145;
const IN_FLIGHT: usize = 5;

struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Broker {
    fn start() -> (Self, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ottla-broker"))
            .args(["--port", "0", "--topic", &format!("t:{PARTITIONS}")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("ready: ").unwrap().to_owned();
        (Self(child), address)
    }

    /// Processor time used so far (Linux; clock ticks of 10 ms).
    fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Broker {
    /// Resident memory in MiB (Linux).
    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }
}

fn batch() -> Bytes {
    let record = |index| Record {
        transactional: false,
        control: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: index,
        sequence: -1 + index as i32,
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(Bytes::from_static(&[b'x'; 100])),
        headers: Default::default(),
        delete_horizon: false,
    };
    let records: Vec<_> = (0..RECORDS_PER_BATCH).map(record).collect();
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut out, &records, &options).unwrap();
    out.freeze()
}

fn frame<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
    let mut body = BytesMut::new();
    header.encode(&mut body, R::header_version(version)).unwrap();
    request.encode(&mut body, version).unwrap();
    [&(body.len() as i32).to_be_bytes()[..], &body].concat()
}

fn receive(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> usize {
    let mut length = [0; 4];
    socket.read_exact(&mut length).unwrap();
    buffer.resize(i32::from_be_bytes(length) as usize, 0);
    socket.read_exact(buffer).unwrap();
    buffer.len()
}

fn produce_request(partitions: std::ops::Range<i32>, batch: &Bytes) -> Vec<u8> {
    let data = partitions
        .map(|index| PartitionProduceData::default().with_index(index).with_records(Some(batch.clone())))
        .collect();
    let topic =
        TopicProduceData::default().with_name(TopicName(StrBytes::from_static_str("t"))).with_partition_data(data);
    frame(9, &ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]))
}

fn report(what: &str, records: i64, wall: Duration, processor: Duration) {
    let rate = |time: Duration| records as f64 / time.as_secs_f64().max(0.001) / 1e6;
    println!(
        "{what}: {:.2} M records/s; {:.2} M records per second of the broker's processor time",
        rate(wall),
        rate(processor)
    );
}

fn produce(broker: &Broker, address: &str, records: i64, per_request: i32) {
    let mut socket = TcpStream::connect(address).unwrap();
    let mut buffer = Vec::new();
    let request = produce_request(0..per_request, &batch());
    let requests = records / (RECORDS_PER_BATCH * i64::from(per_request));
    let (started, used) = (Instant::now(), broker.processor_time());
    let mut waiting = 0;
    for _ in 0..requests {
        if waiting == IN_FLIGHT {
            receive(&mut socket, &mut buffer);
            waiting -= 1;
        }
        socket.write_all(&request).unwrap();
        waiting += 1;
    }
    for _ in 0..waiting {
        receive(&mut socket, &mut buffer);
    }
    let done = requests * i64::from(per_request) * RECORDS_PER_BATCH;
    let what = format!("produce, {per_request} batches a request");
    report(&what, done, started.elapsed(), broker.processor_time().saturating_sub(used));
    let log = (requests * i64::from(per_request)) as f64 * batch().len() as f64 / f64::from(1 << 20);
    let resident = broker.resident();
    println!("memory: {resident:.0} MiB for a log of {log:.0} MiB, {:.0} MiB more", resident - log);
}

fn fetch(broker: &Broker, address: &str, records: i64) {
    let mut socket = TcpStream::connect(address).unwrap();
    let mut buffer = Vec::new();
    let (started, used) = (Instant::now(), broker.processor_time());
    let mut bytes = 0;
    let per_partition = records / i64::from(PARTITIONS);
    let mut offset = 0;
    // One fetch brings up to 1 MiB of each partition, all of which hold the same batches.
    let step = (1 << 20) / batch().len() as i64 * RECORDS_PER_BATCH;
    while offset + step < per_partition {
        let partitions = (0..PARTITIONS)
            .map(|index| {
                FetchPartition::default()
                    .with_partition(index)
                    .with_fetch_offset(offset)
                    .with_partition_max_bytes(1 << 20)
            })
            .collect();
        let topic =
            FetchTopic::default().with_topic(TopicName(StrBytes::from_static_str("t"))).with_partitions(partitions);
        let request = FetchRequest::default()
            .with_max_bytes(50 << 20)
            .with_min_bytes(1)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        socket.write_all(&frame(12, &request)).unwrap();
        bytes += receive(&mut socket, &mut buffer);
        offset += step;
    }
    let served = bytes as i64 / (batch().len() as i64 / RECORDS_PER_BATCH);
    report("fetch", served, started.elapsed(), broker.processor_time().saturating_sub(used));
}

fn main() {
    let records = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(6_000_000);
    let (broker, address) = Broker::start();
    produce(&broker, &address, records, PARTITIONS);
    fetch(&broker, &address, records);
    drop(broker);
    let (broker, address) = Broker::start();
    produce(&broker, &address, records / 2, 1);
}
