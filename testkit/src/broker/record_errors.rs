//! Which records of a refused batch are to blame (KIP-467, `LogValidator.validateRecord`).

use bytes::Bytes;

use super::ErrorCode;
use super::batch::BatchHeader;
use super::partition::ProduceRules;
use super::records::{raw_records, stamps};

/// One record that a batch was refused for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordError {
    /// Its place in the batch, from 0.
    pub(crate) index: i32,
    pub(crate) reason: String,
}

/// The records a partition refused `batch` for with `error`; none if the batch as a whole was wrong.
pub(crate) fn record_errors(
    topic: &str,
    partition: i32,
    batch: &Bytes,
    rules: &ProduceRules,
    error: ErrorCode,
) -> Vec<RecordError> {
    let Some(header) = BatchHeader::read(batch) else { return Vec::new() };
    let blame = |offset: i64, reason: String| {
        let index = i32::try_from(offset - header.base_offset).unwrap_or(i32::MAX);
        RecordError { index, reason }
    };
    match error {
        ErrorCode::InvalidRecord if rules.keyed => {
            let keyless = raw_records(batch, &header).into_iter().filter(|record| record.key.is_none());
            let reason =
                format!("Compacted topic cannot accept message without key in topic partition {topic}-{partition}.");
            keyless.map(|record| blame(record.offset, reason.clone())).collect()
        }
        ErrorCode::InvalidTimestamp if !header.is_log_append_time() => {
            let late = |record: &super::records::Stamp| record.timestamp > rules.latest_timestamp;
            let late = stamps(batch, &header).into_iter().filter(late);
            let reason = |timestamp: i64, offset: i64| {
                let latest = rules.latest_timestamp;
                format!("Timestamp {timestamp} of message with offset {offset} is out of range: later than {latest}.")
            };
            late.map(|record| blame(record.offset, reason(record.timestamp, record.offset))).collect()
        }
        _ => Vec::new(),
    }
}
