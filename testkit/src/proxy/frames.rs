//! Kafka's frames in a byte stream, and the addresses in them.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;

/// No frame is longer (`socket.request.max.bytes`). A first word above it is no length: the stream is TLS or something else.
const MAX_FRAME: u32 = 100 << 20;
/// Where a reply with records names other brokers: in the tagged fields at its end (KIP-951).
const TAIL: usize = 1024;

/// Cuts a stream into frames, length included. What is no Kafka stream comes as it came.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    buffer: BytesMut,
    opaque: bool,
}

impl Splitter {
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether the stream is not made of frames.
    pub(super) fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Option<BytesMut> {
        if self.opaque {
            return (!self.buffer.is_empty()).then(|| self.buffer.split());
        }
        let length = (&self.buffer[..]).try_get_u32().ok()?;
        if length > MAX_FRAME {
            self.opaque = true;
            return self.next();
        }
        let length = 4 + length as usize;
        (self.buffer.len() >= length).then(|| self.buffer.split_to(length))
    }

    /// What is left when the stream has ended.
    pub(super) fn rest(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }
}

/// The start of a request: API key, version, correlation id.
pub(super) fn request_head(frame: &[u8]) -> Option<(i16, i32)> {
    let mut bytes = frame.get(4..12)?;
    let (api, _version, correlation_id) = (bytes.get_i16(), bytes.get_i16(), bytes.get_i32());
    Some((api, correlation_id))
}

/// The start of a reply: its correlation id.
pub(super) fn reply_head(frame: &[u8]) -> Option<i32> {
    frame.get(4..8).map(|mut bytes| bytes.get_i32())
}

/// Brokers' addresses and the links that stand for them.
#[derive(Debug, Default)]
pub(super) struct Rewrite {
    ports: Vec<(u16, u16)>,
}

impl Rewrite {
    /// Replies that name `upstream` shall name `port` instead.
    pub(super) fn add(&mut self, upstream: &str, port: u16) {
        if let Some(known) = upstream.strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok()) {
            self.ports.push((known, port));
        }
    }

    /// Changes the addresses in a reply to this API.
    ///
    /// An address is a string and an i32 after it in every version of every reply, and a port for a port has the same
    /// length: no message needs to be understood, so that versions newer than this crate's codec work too.
    pub(super) fn apply(&self, api: i16, frame: &mut [u8]) {
        let named = [ApiKey::Metadata as i16, ApiKey::FindCoordinator as i16, ApiKey::DescribeCluster as i16];
        let hinted = [ApiKey::Produce as i16, ApiKey::Fetch as i16, ApiKey::ShareFetch as i16];
        let from = match api {
            api if named.contains(&api) => 8,
            api if hinted.contains(&api) => frame.len().saturating_sub(TAIL).max(8),
            _ => return,
        };
        let host = b"127.0.0.1";
        let mut at = from;
        while let Some(found) = frame.get(at..).and_then(|rest| find(rest, host)) {
            at += found + host.len();
            let Some(port) = frame.get_mut(at..at + 4) else { return };
            let known = u32::from_be_bytes([port[0], port[1], port[2], port[3]]);
            if let Some((_, ours)) = self.ports.iter().find(|(theirs, _)| u32::from(*theirs) == known) {
                port.copy_from_slice(&u32::from(*ours).to_be_bytes());
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes, BytesMut};
    use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
    use kafka_protocol::messages::{ApiKey, BrokerId, MetadataResponse};
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

    use super::{Rewrite, Splitter, reply_head, request_head};

    #[test]
    fn a_stream_is_cut_into_frames_wherever_reads_end() {
        let mut splitter = Splitter::default();
        let stream = [0, 0, 0, 2, 7, 7, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        let mut frames = Vec::new();
        for byte in stream {
            splitter.buffer().put_u8(byte);
            frames.extend(splitter.next());
        }
        assert_eq!(frames, [&[0, 0, 0, 2, 7, 7][..], &[0, 0, 0, 0], &[0, 0, 0, 1, 9]]);
    }

    #[test]
    fn tls_passes_as_it_came() {
        let mut splitter = Splitter::default();
        splitter.buffer().extend_from_slice(&[22, 3, 1, 0, 5]);
        assert_eq!(splitter.next().unwrap(), &[22, 3, 1, 0, 5][..]);
        assert!(splitter.is_opaque());
        splitter.buffer().put_u8(1);
        assert_eq!(splitter.next().unwrap(), &[1][..]);
        assert_eq!(splitter.next(), None);
    }

    #[test]
    fn heads_are_read_and_short_frames_have_none() {
        let request = [0, 0, 0, 8, 0, 3, 0, 12, 0, 0, 1, 0];
        assert_eq!(request_head(&request), Some((3, 256)));
        assert_eq!(reply_head(&request), Some(0x0003_000c));
        assert_eq!(request_head(&request[..11]), None);
        assert_eq!(reply_head(&request[..7]), None);
    }

    #[test]
    fn known_brokers_get_the_links_port_in_every_version_of_metadata() {
        let mut rewrite = Rewrite::default();
        rewrite.add("127.0.0.1:9092", 1000);
        rewrite.add("127.0.0.1:9093", 1001);
        let broker = |id: i32, port| {
            let host = StrBytes::from_static_str("127.0.0.1");
            MetadataResponseBroker::default().with_node_id(BrokerId(id)).with_host(host).with_port(port)
        };
        for version in 0..=13 {
            let response =
                MetadataResponse::default().with_brokers(vec![broker(0, 9092), broker(1, 9093), broker(2, 9094)]);
            let mut frame = BytesMut::from(&[0; 8][..]);
            response.encode(&mut frame, version).unwrap();
            rewrite.apply(ApiKey::Metadata as i16, &mut frame);
            let mut body = Bytes::copy_from_slice(&frame[8..]);
            let ports: Vec<_> = MetadataResponse::decode(&mut body, version).unwrap().brokers;
            assert_eq!(ports.iter().map(|broker| broker.port).collect::<Vec<_>>(), [1000, 1001, 9094], "v{version}");
        }
    }

    #[test]
    fn other_replies_are_left_alone() {
        let mut rewrite = Rewrite::default();
        rewrite.add("127.0.0.1:9092", 1000);
        let mut frame = BytesMut::from(&[0; 8][..]);
        frame.extend_from_slice(b"127.0.0.1\x00\x00\x23\x84");
        let before = frame.clone();
        rewrite.apply(ApiKey::Heartbeat as i16, &mut frame);
        assert_eq!(frame, before);
        rewrite.apply(ApiKey::FindCoordinator as i16, &mut frame);
        assert_ne!(frame, before);
    }
}
