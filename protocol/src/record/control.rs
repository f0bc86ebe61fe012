//! Control records: what brokers write into a log to end transactions.
use super::Record;

/// The end of a transaction in one partition (`EndTransactionMarker.java`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlMarker {
    /// Committed, or aborted.
    pub commit: bool,
    /// The epoch of the coordinator that wrote it.
    pub coordinator_epoch: i32,
}

impl ControlMarker {
    /// The marker in a control record; `None`: a control record of another type.
    pub(crate) fn parse(record: &Record<'_>) -> Option<Self> {
        // key: version i16, type i16 (0 abort, 1 commit); value: version i16, coordinator epoch i32
        let kind = i16::from_be_bytes(record.key?.get(2..4)?.try_into().ok()?);
        let epoch = record.value.and_then(|value| value.get(2..6)?.try_into().ok()).map_or(-1, i32::from_be_bytes);
        match kind {
            0 | 1 => Some(Self { commit: kind == 1, coordinator_epoch: epoch }),
            _ => None,
        }
    }
}
