//! Apache Kafka's wire protocol: messages, frames, record batches and compression, as plain values.
//!
//! No socket, no clock, no task: whoever has bytes can use it, for a client, a proxy or a dissector. Every length is
//! bounded before memory is taken for it; any input gives a value or a typed error.
//!
//! ```
//! use ottla_protocol::{Request, ResponseHeader, messages::HeartbeatRequest};
//!
//! let request = HeartbeatRequest { group_id: "g".into(), member_id: "m".into(), ..Default::default() };
//! let frame = request.encode_frame(4, 7, Some("me"))?;
//! assert_eq!(frame.to_bytes()[4..6], [0, 12]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod api_key;
mod api_versions;
pub mod compression;
pub mod consumer_protocol;
mod encoder;
mod error_code;
mod frame;
mod header;
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
