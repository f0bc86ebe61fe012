//! The source: records of Kafka topics as a stream.
#![allow(dead_code, unused_imports, reason = "the enumerator and the reader follow")]
mod assignment;
mod commits;
mod discovery;
mod enumerator_state;
mod offsets;
mod split;
mod watermark;

pub use assignment::SplitAssignment;
pub use enumerator_state::KafkaEnumeratorState;
pub use offsets::{OnOutOfRange, StartOffsets, StopOffsets};
pub use split::PartitionSplit;
pub use watermark::{WatermarkGenerator, WatermarkStrategy};
