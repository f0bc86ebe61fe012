//! Between bytes and values.
mod serialization;

pub(crate) use serialization::RecordParts;
pub use serialization::{RecordBuffer, SerializationSchema};
