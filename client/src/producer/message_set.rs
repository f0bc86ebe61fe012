//! Batches for brokers before 0.11, which know message sets only.
use ottla_protocol::compression::Compression;
use ottla_protocol::record::{MessageMagic, MessageSetBuilder, Records};

use super::batch::ProducerBatch;
use super::split::headers;
use crate::error::{Error, Result};

/// The first version of Produce that has batches of magic 2.
const BATCHES_FROM: i16 = 3;

/// What a request of this version of Produce carries; `None`: batches.
pub(crate) fn magic_of(produce_version: i16) -> Option<MessageMagic> {
    match produce_version {
        BATCHES_FROM.. => None,
        2 => Some(MessageMagic::V1),
        _ => Some(MessageMagic::V0),
    }
}

/// The first version of Produce that takes zstd: brokers of 2.1 (KIP-110).
const ZSTD_FROM: i16 = 7;

/// # Errors
/// [`Error::Misuse`] when brokers of this version of Produce do not know the codec of a batch.
pub(crate) fn check_codec(compression: Compression, produce_version: i16, batch: &ProducerBatch) -> Result<()> {
    if compression != Compression::Zstd || produce_version >= ZSTD_FROM {
        return Ok(());
    }
    let partition = batch.topic_partition();
    Err(Error::Misuse {
        reason: format!(
            "a batch for {partition} cannot be sent: brokers before 2.1 read none, gzip, snappy and lz4 (compression.type)"
        ),
    })
}

/// The records of `batch` as a message set.
///
/// # Errors
/// [`Error::Misuse`] for what a message set cannot carry: headers, zstd.
pub(crate) fn message_set(
    batch: &mut ProducerBatch,
    magic: MessageMagic,
    (compression, level): (Compression, Option<i32>),
) -> Result<Records> {
    let partition = batch.topic_partition().clone();
    let misuse = |reason: String| Error::Misuse { reason: format!("a batch for {partition} cannot be sent: {reason}") };
    // It is kept without compression: a newer broker may lead the partition when it is sent again.
    batch.seal(Compression::None, None)?;
    let decoded = batch.decoded().map_err(|error| misuse(error.to_string()))?;
    let decoded = decoded.ok_or_else(|| misuse("its records are gone".to_owned()))?;
    let mut set = MessageSetBuilder::with_capacity(magic, decoded.len() + 32 * decoded.count() as usize);
    for record in decoded.records() {
        let record = record.map_err(|error| misuse(error.to_string()))?;
        if !headers(&record).map_err(|error| misuse(error.to_string()))?.is_empty() {
            return Err(misuse(
                "a record has headers, which need a broker of 0.11 or newer: leave them out".to_owned(),
            ));
        }
        set.append(record.timestamp, record.key, record.value).map_err(|error| misuse(error.to_string()))?;
    }
    set.finish(compression, level).map_err(|error| {
        misuse(format!("{error}; brokers before 0.11 read none, gzip, snappy and lz4 (compression.type)"))
    })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use std::time::Instant;

    use ottla_protocol::record::{Header, is_message_set, take_message_set};

    use super::super::accumulator::PartitionKey;
    use super::*;
    use crate::types::TopicPartition;

    fn batch(headers: &[Header<'_>]) -> ProducerBatch {
        let key = (PartitionKey { topic: 0, partition: 0 }, TopicPartition::new("t", 0));
        let mut batch = ProducerBatch::new(0, key, Instant::now(), Vec::new(), 1000);
        batch.try_append(1 << 20, 7, None, Some(b"a"), &[]).unwrap();
        batch.try_append(1 << 20, 9, Some(b"k"), None, headers).unwrap();
        batch
    }

    #[test]
    fn old_brokers_get_message_sets_again_and_again() {
        assert_eq!(
            [0, 1, 2, 3, 12].map(magic_of),
            [Some(MessageMagic::V0), Some(MessageMagic::V0), Some(MessageMagic::V1), None, None]
        );
        for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            let mut batch = batch(&[]);
            for _retry in 0..2 {
                let mut bytes = message_set(&mut batch, MessageMagic::V1, (compression, None)).unwrap().into_bytes();
                assert!(is_message_set(&bytes));
                let set = take_message_set(&mut bytes, true, 1 << 20).unwrap().unwrap().decompress(1 << 20).unwrap();
                let records =
                    set.records().map(Result::unwrap).map(|r| (r.timestamp, r.key.is_some(), r.value.is_some()));
                assert_eq!(records.collect::<Vec<_>>(), [(7, false, true), (9, true, false)], "{compression}");
            }
        }
    }

    #[test]
    fn what_a_message_set_cannot_carry_is_said() {
        let none = (Compression::None, None);
        let text = message_set(&mut batch(&[Header { key: "h", value: None }]), MessageMagic::V1, none).unwrap_err();
        assert!(text.to_string().contains("headers, which need a broker of 0.11"), "{text}");
        let text = message_set(&mut batch(&[]), MessageMagic::V1, (Compression::Zstd, None)).unwrap_err().to_string();
        assert!(text.contains("compression.type"), "{text}");
    }
}
