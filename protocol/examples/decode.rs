//! Prints the requests in a captured byte stream as readable text: what a client wrote to a broker's port, from the start
//! of the connection on, without TLS.
//!
//! ```text
//! cargo run -p ottla-protocol --example decode -- capture.bin     # or from standard input
//! ```
use std::error::Error;
use std::fmt::Write as _;
use std::io::Read;

use bytes::Bytes;
use ottla_protocol::messages::AnyRequest;
use ottla_protocol::record::{RecordBatch, RecordError, Records, is_message_set, take_message_set};
use ottla_protocol::{ApiKey, DecodeError, FrameDecoder, RequestHeader};

const MAX_FRAME: usize = 100 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    match std::env::args().nth(1) {
        Some(path) => bytes = std::fs::read(&path).map_err(|e| format!("cannot read {path}: {e}"))?,
        None => drop(std::io::stdin().read_to_end(&mut bytes)?),
    }
    print!("{}", describe(&bytes)?);
    Ok(())
}

/// The requests in `bytes`, each with its header and all its fields.
fn describe(bytes: &[u8]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let mut frames = FrameDecoder::new(MAX_FRAME);
    frames.buffer().extend_from_slice(bytes);
    while let Some(frame) = frames.next_frame()? {
        let header = RequestHeader::decode(&mut frame.clone())?;
        let api = ApiKey::try_from(header.api_key).map_or_else(|key| format!("API {key}"), |api| api.to_string());
        let client = header.client_id.as_deref().unwrap_or("-");
        let size = frame.len();
        write!(text, "{api} v{}, #{}, from {client}, {size} bytes", header.api_version, header.correlation_id)?;
        match AnyRequest::decode_frame(frame) {
            Ok((_, request)) => {
                writeln!(text, "\n{request:#?}")?;
                if let Err(error) = batches(&request, &mut text) {
                    writeln!(text, "its records are damaged: {error}")?;
                }
            }
            // One request that is too new says nothing against those behind it.
            Err(error @ DecodeError::Unknown { .. }) => writeln!(text, ": {error}")?,
            Err(error) => return Err(format!("{text}: {error}").into()),
        }
    }
    match frames.pending() {
        0 => {}
        n => writeln!(text, "{n} bytes of a request that is not whole")?,
    }
    Ok(text)
}

/// The record batches and message sets of a Produce request.
fn batches(request: &AnyRequest, text: &mut String) -> Result<(), Box<dyn Error>> {
    let AnyRequest::Produce(produce) = request else { return Ok(()) };
    for partition in produce.topic_data.iter().flat_map(|topic| &topic.partition_data) {
        let mut records: Bytes = partition.records.clone().map(Records::into_bytes).unwrap_or_default();
        while let Some(batch) = next_batch(&mut records)? {
            batch.verify_crc()?;
            writeln!(text, "batch for partition {}: {}", partition.index, batch.compression()?)?;
            for record in batch.decompress(MAX_FRAME)?.records() {
                let record = record?;
                let lossy = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
                writeln!(text, "  {} {:?} = {:?}", record.timestamp, lossy(record.key), lossy(record.value))?;
                for header in record.headers() {
                    let header = header?;
                    writeln!(text, "    {}: {:?}", header.key, lossy(header.value))?;
                }
            }
        }
    }
    Ok(())
}

/// Clients of brokers before 0.11 send message sets.
fn next_batch(records: &mut Bytes) -> Result<Option<RecordBatch>, RecordError> {
    match is_message_set(records) {
        true => take_message_set(records, true, MAX_FRAME),
        false => RecordBatch::split_from(records),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::Request;
    use ottla_protocol::compression::Compression;
    use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
    use ottla_protocol::messages::{ApiVersionsRequest, HeartbeatRequest};
    use ottla_protocol::record::{BatchBuilder, Header, MessageMagic, MessageSetBuilder};

    fn produce(records: Records) -> ProduceRequest {
        let partition_data = vec![PartitionProduceData { index: 4, records: Some(records) }];
        let topic_data = vec![TopicProduceData { name: "orders".into(), partition_data, ..Default::default() }];
        ProduceRequest { acks: -1, topic_data, ..Default::default() }
    }

    fn batch() -> Records {
        let mut batch = BatchBuilder::with_capacity(100);
        let headers = [Header { key: "trace", value: Some(b"7") }];
        batch.append(1_700_000_000_000, Some(b"k"), Some("größe".as_bytes()), &headers);
        batch.finish(Compression::Gzip, None).unwrap().records()
    }

    fn message_set() -> Records {
        let mut set = MessageSetBuilder::with_capacity(MessageMagic::V1, 100);
        set.append(1_400_000_000_000, None, Some(b"old")).unwrap();
        set.finish(Compression::Lz4, None).unwrap()
    }

    #[test]
    fn every_request_of_a_stream_is_printed() {
        let hello = ApiVersionsRequest { client_software_name: "ottla".into(), ..Default::default() };
        let mut stream = hello.encode_frame(3, 1, Some("me")).unwrap().to_bytes().to_vec();
        stream.extend_from_slice(&produce(batch()).encode_frame(9, 2, None).unwrap().to_bytes());
        stream.extend_from_slice(&produce(message_set()).encode_frame(2, 3, None).unwrap().to_bytes());
        let mut damaged = batch().into_bytes().to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        stream.extend_from_slice(&produce(Bytes::from(damaged).into()).encode_frame(9, 4, None).unwrap().to_bytes());
        stream.extend_from_slice(&[0, 0, 0, 10, 3, 231, 0, 0, 0, 0, 0, 9, 255, 255, 0, 0]);
        let text = describe(&stream).unwrap();
        for line in [
            "ApiVersions v3, #1, from me, ",
            "    client_software_name: \"ottla\",",
            "Produce v9, #2, from -, ",
            "name: \"orders\",",
            "batch for partition 4: gzip",
            "  1700000000000 Some(\"k\") = Some(\"größe\")",
            "    trace: Some(\"7\")",
            "Produce v2, #3, from -, ",
            "  1400000000000 None = Some(\"old\")",
            "Produce v9, #4, from -, ",
            "its records are damaged: ",
            "API 999 v0, #9, from -, 10 bytes: API 999 is not known",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_cut_stream_says_so_and_a_damaged_one_is_an_error() {
        let whole = HeartbeatRequest::default().encode_frame(4, 1, None).unwrap().to_bytes();
        let text = describe(&whole[..whole.len() - 1]).unwrap();
        assert_eq!(text, format!("{} bytes of a request that is not whole\n", whole.len() - 1));
        let longer = [&(whole.len() as u32 - 3).to_be_bytes(), &whole[4..], &[0]].concat();
        let error = describe(&longer).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "Heartbeat v4, #1, from -, 20 bytes: 1 bytes are left over after the message or a tagged field of it"
            ),
            "{error}"
        );
        assert!(describe(&[0xff; 8]).is_err());
    }
}
