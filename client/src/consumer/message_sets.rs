//! Logs from before 0.11: messages of magic 0 and 1, by themselves or in front of batches.
use bytes::{Bytes, BytesMut};
use ottla_protocol::record::{RecordBatch, RecordError, is_message_set, take_message_set};

/// The records with their message sets rewritten as batches, at most about `limit` bytes of them, and why what is behind
/// them cannot be read. What is left out is fetched again.
pub(crate) fn rewritten(mut records: Bytes, check_crcs: bool, limit: usize) -> (Bytes, Option<RecordError>) {
    let mut batches = BytesMut::new();
    while batches.len() < limit {
        let next = match is_message_set(&records) {
            true => take_message_set(&mut records, check_crcs, limit),
            false => RecordBatch::split_from(&mut records),
        };
        match next {
            Ok(Some(batch)) => batches.extend_from_slice(batch.bytes()),
            Ok(None) => break,
            Err(error) => return (batches.freeze(), Some(error)),
        }
    }
    (batches.freeze(), None)
}
