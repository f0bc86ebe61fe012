//! Commands about records.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, ProduceRequest, TransactionalId};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};

use super::actor::{Actor, Answer, text};
use super::script::Command;

/// Records carry this and the milliseconds after it.
const TIME: i64 = 1_700_000_000_000;

/// `send NAME PARTITION [n=1] [p=PRODUCER] [seq=0] [epoch=+0] [txn=ID] [acks=-1] [size=10] [time=0] [corrupt] [v=9]`
pub(crate) async fn send(actor: &mut Actor, command: &Command) -> Answer {
    let version = command.or("v", 9);
    let mut bytes = batch(actor, command);
    if command.has("corrupt") {
        let mut broken = BytesMut::from(&bytes[..]);
        let last = broken.len() - 1;
        broken[last] ^= 1;
        bytes = broken.freeze();
    }
    if command.has("nothing") {
        bytes = Bytes::new();
    }
    let partition = PartitionProduceData::default().with_index(command.number(2)).with_records(Some(bytes));
    let name = command.word(1);
    let topic = TopicProduceData::default().with_partition_data(vec![partition]);
    let topic =
        if version >= 13 { topic.with_topic_id(actor.topic_id(name)) } else { topic.with_name(actor.topic(name)) };
    let request = ProduceRequest::default()
        .with_acks(command.or("acks", -1))
        .with_timeout_ms(10_000)
        .with_transactional_id(command.option("txn").map(|id| TransactionalId(text(&actor.name(id)))))
        .with_topic_data(vec![topic]);
    let Some(answer) = actor.ask(version, &request).await else { return Answer::closed() };
    let partition = &answer.responses[0].partition_responses[0];
    let more = format!("at {} start {}", partition.base_offset, partition.log_start_offset);
    Answer::new(partition.error_code, more)
}

fn batch(actor: &Actor, command: &Command) -> Bytes {
    let producer = command.option("p").map(|name| actor.producer(name));
    let (id, epoch) = producer.map_or((-1, -1), |producer| (producer.id, producer.epoch + command.or("epoch", 0)));
    let base: i32 = if id < 0 { -1 } else { command.or("seq", 0) };
    let record = |index: i64| Record {
        transactional: command.option("txn").is_some(),
        control: false,
        partition_leader_epoch: -1,
        producer_id: id,
        producer_epoch: epoch,
        timestamp_type: TimestampType::Creation,
        offset: index,
        sequence: base + index as i32,
        timestamp: TIME + command.or("time", 0) + index,
        key: command.option("key").map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::from(vec![b'x'; command.or("size", 10)])),
        headers: Default::default(),
        delete_horizon: false,
    };
    let records: Vec<_> = (0..command.or("n", 1)).map(record).collect();
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut out, &records, &options).unwrap();
    out.freeze()
}

/// `read NAME PARTITION OFFSET [committed] [epoch=-1] [session=0] [v=12]`
pub(crate) async fn read(actor: &mut Actor, command: &Command) -> Answer {
    let version = command.or("v", 12);
    let name = command.word(1);
    let partition = FetchPartition::default()
        .with_partition(command.number(2))
        .with_fetch_offset(command.number(3))
        .with_current_leader_epoch(command.or("epoch", -1))
        .with_partition_max_bytes(command.or("max", 1 << 20));
    let topic = FetchTopic::default().with_partitions(vec![partition]);
    let topic =
        if version >= 13 { topic.with_topic_id(actor.topic_id(name)) } else { topic.with_topic(actor.topic(name)) };
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(command.or("wait", 0))
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_isolation_level(i8::from(command.has("committed")))
        .with_session_id(command.or("session", 0))
        .with_session_epoch(command.or("session-epoch", -1))
        .with_topics(vec![topic]);
    let Some(answer) = actor.ask(version, &request).await else { return Answer::closed() };
    let Some(partition) = answer.responses.first().map(|topic| &topic.partitions[0]) else {
        return Answer::new(answer.error_code, "no partitions");
    };
    let aborted = partition.aborted_transactions.clone().unwrap_or_default();
    let aborted: Vec<_> = aborted
        .iter()
        .map(|aborted| format!("{}@{}", actor.symbol(aborted.producer_id.0), aborted.first_offset))
        .collect();
    let more = format!(
        "high {} stable {} start {} batches {} aborted [{}]",
        partition.high_watermark,
        partition.last_stable_offset,
        partition.log_start_offset,
        batches(partition.records.as_deref().unwrap_or_default()),
        aborted.join(" ")
    );
    Answer { codes: vec![answer.error_code, partition.error_code], text: more }
}

/// The batches: base offset, records, attributes, leader epoch; control batches by their attribute.
fn batches(mut bytes: &[u8]) -> String {
    let mut out = Vec::new();
    while bytes.len() >= 61 {
        let at = |from: usize, to: usize| bytes[from..to].iter().fold(0i64, |all, byte| all << 8 | i64::from(*byte));
        let length = 12 + at(8, 12) as usize;
        let attributes = at(21, 23);
        out.push(format!("{}x{}a{attributes}e{}", at(0, 8), at(57, 61), at(12, 16)));
        bytes = &bytes[length.min(bytes.len())..];
    }
    format!("[{}]", out.join(" "))
}

/// `ends NAME PARTITION TIME [committed] [epoch=-1] [v=7]`; times from 0 on are those of `send`
pub(crate) async fn ends(actor: &mut Actor, command: &Command) -> Answer {
    let asked: i64 = command.number(3);
    let partition = ListOffsetsPartition::default()
        .with_partition_index(command.number(2))
        .with_current_leader_epoch(command.or("epoch", -1))
        .with_timestamp(if asked < 0 { asked } else { TIME + asked });
    let topic = ListOffsetsTopic::default().with_name(actor.topic(command.word(1))).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(i8::from(command.has("committed")))
        .with_topics(vec![topic]);
    let Some(answer) = actor.ask(command.or("v", 7), &request).await else { return Answer::closed() };
    let partition = &answer.topics[0].partitions[0];
    let time = if partition.timestamp < 0 { partition.timestamp } else { partition.timestamp - TIME };
    Answer::new(partition.error_code, format!("at {} time {time} epoch {}", partition.offset, partition.leader_epoch))
}
