//! Exactly-once Kafka sources and sinks for stream engines, and a small pipeline runner.
//!
//! The traits in this crate's root are the contract between a connector and an engine. None of them names a runtime or
//! an engine's type, and none assumes that two participants share a process: they talk only through the engine.
mod contract;
mod error;
mod ledger;
mod pipeline;
mod schema;
mod sink;
mod source;
mod state_bytes;

pub use contract::{
    CheckpointId, Committer, Discovery, Enumerator, Event, Job, Loss, Outcome, Progress, Reader, RestoredSink,
    RestoredSource, Sink, Source, SplitId, Stamped, State, Timestamp, Writer,
};
pub use error::{Error, Result, Witnessed};
pub use ledger::{CommittableLedger, Ticket};
pub use pipeline::{
    Checkpoint, CheckpointConfig, CheckpointStore, DirectoryStore, Function, JobMeta, OnCorrupt, Output, Pipeline,
    PipelineHandle, PipelineStatus, RestartPolicy, Section, SectionKind, Stateless, stateless,
};
pub use schema::{
    BytesSchema, Collecting, Collector, DeserializationSchema, KafkaRecord, KeyAndValue, KeyValueSchema, RecordBuffer,
    SchemaContext, SerializationSchema, StringSchema, Values, collecting, values,
};
pub use sink::{
    DeliveryGuarantee, KafkaCommittable, KafkaCommitter, KafkaProgress, KafkaSink, KafkaSinkBuilder, KafkaWriter,
    KafkaWriterState, OnLost, Ownership, ProducerPool, SinkPartitioner, TransactionalId, Witness, lingering,
};
pub use source::{
    BadRecords, KafkaEnumerator, KafkaEnumeratorState, KafkaReader, KafkaSource, KafkaSourceBuilder, OnOutOfRange,
    PartitionSplit, SplitAssignment, StartOffsets, StopOffsets, WatermarkGenerator, WatermarkStrategy,
};
