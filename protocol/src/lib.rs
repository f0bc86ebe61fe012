//! Apache Kafka's wire protocol: messages, frames, record batches and compression, as plain values.
//!
//! No socket, clock or task: whoever has bytes can use it, for a client, a proxy or a dissector. Every length is bounded
//! before memory is taken for it; any input gives a value or a typed error.
//!
//! A client knows what it sends, and so what comes back:
//!
//! ```
//! use ottla_protocol::{Request, ResponseHeader, messages::HeartbeatRequest};
//!
//! let request = HeartbeatRequest { group_id: "g".into(), member_id: "m".into(), ..Default::default() };
//! let frame = request.encode_frame(4, 7, Some("me"))?;
//! assert_eq!(frame.to_bytes()[4..6], [0, 12]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A proxy does not, and remembers each request until its response comes. This one prints both, and hides a topic:
//!
//! ```
//! use std::collections::HashMap;
//! use ottla_protocol::messages::{AnyRequest, AnyResponse};
//! use ottla_protocol::{ApiKey, DecodeError, FrameDecoder, Segments};
//!
//! /// One connection: what the client sends goes in at one end, what the broker sends at the other.
//! struct Proxy { from_client: FrameDecoder, from_broker: FrameDecoder, sent: HashMap<i32, (ApiKey, i16)> }
//!
//! impl Proxy {
//!     fn client_sent(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
//!         self.from_client.buffer().extend_from_slice(bytes);
//!         while let Some(frame) = self.from_client.next_frame()? {
//!             let (header, request) = AnyRequest::decode_frame(frame)?;
//!             self.sent.insert(header.correlation_id, (request.api_key(), header.api_version));
//!             println!("-> {header:?} {request:?}");
//!         }
//!         Ok(())
//!     }
//!
//!     fn broker_sent(&mut self, bytes: &[u8]) -> Result<Vec<Segments>, Box<dyn std::error::Error>> {
//!         let mut out = Vec::new();
//!         self.from_broker.buffer().extend_from_slice(bytes);
//!         while let Some(frame) = self.from_broker.next_frame()? {
//!             let id = frame.first_chunk().map(|id| i32::from_be_bytes(*id)).ok_or("a frame without a header")?;
//!             let (api, version) = self.sent.remove(&id).ok_or("nobody asked for this")?;
//!             let (_, mut response) = AnyResponse::decode_frame(api, version, frame)?;
//!             if let AnyResponse::Metadata(metadata) = &mut response {
//!                 metadata.topics.retain(|topic| topic.name.as_deref() != Some("secret"));
//!             }
//!             println!("<- {response:?}");
//!             out.push(response.encode_frame(version, id)?);
//!         }
//!         Ok(out)
//!     }
//! }
//! # use ottla_protocol::{Request, messages::{MetadataRequest, MetadataResponse}};
//! # use ottla_protocol::messages::metadata::MetadataResponseTopic;
//! # let decoder = || FrameDecoder::new(1 << 20);
//! # let mut proxy = Proxy { from_client: decoder(), from_broker: decoder(), sent: HashMap::new() };
//! # proxy.client_sent(&MetadataRequest::default().encode_frame(9, 5, None)?.to_bytes())?;
//! # let topic = |name: &str| MetadataResponseTopic { name: Some(name.into()), ..Default::default() };
//! # let reply = |topics| MetadataResponse { topics, ..Default::default() };
//! # let frame = |reply| MetadataRequest::encode_response_frame(&reply, 9, 5);
//! # let out = proxy.broker_sent(&frame(reply(vec![topic("secret"), topic("open")]))?.to_bytes())?;
//! # assert_eq!(out[0].to_bytes(), frame(reply(vec![topic("open")]))?.to_bytes());
//! # assert!(proxy.broker_sent(&[0, 0, 0, 4, 0, 0, 0, 5]).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/decode.rs` prints the requests of a captured stream, with the records in them.

mod api_key;
mod api_versions;
pub mod compression;
pub mod consumer_protocol;
mod encoder;
mod error_code;
mod frame;
mod header;
#[cfg(test)]
#[path = "../tests/common/hex.rs"]
mod hex;
mod macros;
pub mod messages;
pub mod record;
mod request;
pub mod schema;
mod wire;

pub use api_key::ApiKey;
pub use api_versions::{ApiVersions, UnsupportedVersion, VersionRange};
pub use encoder::Encoder;
pub use error_code::ErrorCode;
pub use frame::{FrameDecoder, Segments};
pub use header::{RequestHeader, ResponseHeader};
pub use request::Request;
pub use wire::{DecodeError, EncodeError, Version, Wire};
