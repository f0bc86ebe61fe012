//! Between bytes and values.
mod bytes;
mod deserialization;
mod record;
mod serialization;
mod string;

pub use bytes::{BytesSchema, KeyAndValue, KeyValueSchema};
pub use deserialization::{Collecting, Collector, DeserializationSchema, SchemaContext, Values, collecting, values};
pub(crate) use deserialization::{TimestampAssigner, bad_record};
pub use record::KafkaRecord;
pub(crate) use record::Share;
pub(crate) use serialization::RecordParts;
pub use serialization::{RecordBuffer, SerializationSchema};
pub use string::StringSchema;
