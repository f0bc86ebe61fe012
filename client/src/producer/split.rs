//! Splitting a batch that its topic or broker finds too large (`max.message.bytes`, `client.md` §5.3; `ProducerBatch.java`,
//! `split`).
use ottla_protocol::record::{BatchBuilder, DecodedBatch, HEADER_SIZE, Header, Record, RecordBatch, RecordError};

use super::batch::{BatchNumber, ProducerBatch};
use super::delivery::Part;

/// The parts of `batch`, in order, under sequence numbers that follow each other as those of its records did. A batch is
/// never longer than `batch.size`, so that half of it is the size to try next.
///
/// # Errors
/// The batch, when it has one record only, or when it may be in the log: under other sequences it could be written twice.
pub(crate) fn split(batch: ProducerBatch) -> Result<Vec<ProducerBatch>, Box<ProducerBatch>> {
    if batch.count() < 2 || batch.is_ambiguous {
        return Err(Box::new(batch));
    }
    let decoded = batch.decoded();
    let Some(runs) = decoded.ok().flatten().and_then(|records| runs(&records).ok()) else {
        return Err(Box::new(batch));
    };
    let count = runs.len();
    let step = batch.span / u64::try_from(count).unwrap_or(u64::MAX);
    if count < 2 || step == 0 {
        return Err(Box::new(batch));
    }
    let (number, share) = (batch.number, batch.memory / count);
    let (mut parts, mut told, mut first) = (Vec::with_capacity(count), Vec::with_capacity(count), 0);
    for (at, records) in (0u64..).zip(runs) {
        let records_in_it = records.count();
        let mut part = batch.part(number + BatchNumber::from(at * step), step, records, first);
        part.memory = share;
        told.push(Part { first, outcome: part.outcome.clone() });
        parts.push(part);
        first += records_in_it;
    }
    // What does not divide evenly goes back with the first.
    if let Some(part) = parts.first_mut() {
        part.memory = batch.memory - share * (count - 1);
    }
    batch.was_split(told);
    Ok(parts)
}

/// The records in runs of half their size, or of one record that is larger.
fn runs(batch: &DecodedBatch) -> Result<Vec<BatchBuilder>, RecordError> {
    let sizer = BatchBuilder::with_capacity(0);
    let mut largest = 0;
    for record in batch.records() {
        let record = record?;
        largest = largest.max(sizer.size_of(record.timestamp, record.key, record.value, &headers(&record)?));
    }
    let target = HEADER_SIZE + largest.max(batch.len() / 2);
    let mut runs = Vec::new();
    let mut run = BatchBuilder::with_capacity(target);
    for record in batch.records() {
        let record = record?;
        let headers = headers(&record)?;
        if !run.try_append(target, record.timestamp, record.key, record.value, &headers) {
            let next = BatchBuilder::with_capacity(target);
            runs.push(std::mem::replace(&mut run, next));
            run.append(record.timestamp, record.key, record.value, &headers);
        }
    }
    runs.push(run);
    Ok(runs)
}

pub(crate) fn headers<'a>(record: &Record<'a>) -> Result<Vec<Header<'a>>, RecordError> {
    record.headers().collect()
}

impl ProducerBatch {
    /// Its records again; `None`: it cannot be had.
    pub(crate) fn decoded(&self) -> Result<Option<DecodedBatch>, RecordError> {
        let Some(mut bytes) = self.bytes() else { return Ok(None) };
        // They are our own: no limit is needed.
        RecordBatch::split_from(&mut bytes)?.map(|batch| batch.decompress(i32::MAX as usize)).transpose()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use std::time::Instant;

    use futures_util::FutureExt;
    use ottla_protocol::compression::Compression;
    use ottla_protocol::record::ProducerStamp;

    use super::super::accumulator::PartitionKey;
    use super::super::delivery::Delivery;
    use super::*;
    use crate::types::TopicPartition;

    fn sealed(values: &[usize], compression: Compression) -> (ProducerBatch, Vec<Delivery>) {
        let key = (PartitionKey { topic: 0, partition: 0 }, TopicPartition::new("t", 0));
        let mut batch = ProducerBatch::new(7 << 64, key, Instant::now(), Vec::new(), 1000);
        let header = [Header { key: "h", value: Some(b"x") }];
        let append = |(at, size): (usize, &usize)| {
            let (value, key) = (vec![b'v'; *size], at.to_string());
            let timestamp = 1000 + i64::try_from(at).unwrap();
            batch.try_append(1 << 20, timestamp, Some(key.as_bytes()), Some(&value), &header).unwrap()
        };
        let deliveries = values.iter().enumerate().map(append).collect();
        batch.stamp =
            Some(ProducerStamp { producer_id: 5, epoch: 1, base_sequence: i32::MAX - 2, transactional: true });
        batch.seal(compression, None).unwrap();
        (batch, deliveries)
    }

    /// Splits until every part has one record.
    fn single(batch: ProducerBatch, compression: Compression) -> Vec<ProducerBatch> {
        match split(batch) {
            Ok(parts) => parts
                .into_iter()
                .flat_map(|mut part| {
                    part.seal(compression, None).unwrap();
                    single(part, compression)
                })
                .collect(),
            Err(batch) => vec![*batch],
        }
    }

    #[test]
    fn split_keeps_order_and_sequences() {
        for compression in [Compression::None, Compression::Lz4] {
            let (batch, deliveries) = sealed(&[10, 200, 3, 50, 50, 50, 1, 400], compression);
            let parts = single(batch, compression);
            assert_eq!(parts.len(), 8);
            assert!(parts.windows(2).all(|two| two[0].number < two[1].number), "in order");
            assert!(parts.iter().all(|p| (7 << 64..8 << 64).contains(&p.number)), "before the next batch");
            let sequences: Vec<_> = parts.iter().map(|p| p.stamp.unwrap().base_sequence).collect();
            assert_eq!(sequences, [i32::MAX - 2, i32::MAX - 1, i32::MAX, 0, 1, 2, 3, 4], "over the wrap");
            assert!(
                parts
                    .iter()
                    .all(|p| p.stamp.is_some_and(|s| (s.producer_id, s.epoch, s.transactional) == (5, 1, true)))
            );
            assert_eq!(parts.iter().map(|p| p.memory).sum::<usize>(), 1000, "all of the memory and no more");
            for (offset, part) in (40..).zip(parts) {
                let records = part.decoded().unwrap().unwrap();
                let record = records.records().next().unwrap().unwrap();
                let (key, timestamp) = ((offset - 40).to_string(), 1000 + offset - 40);
                assert_eq!((record.key, record.timestamp), (Some(key.as_bytes()), timestamp));
                assert_eq!(headers(&record).unwrap(), [Header { key: "h", value: Some(b"x") }]);
                part.written(offset, None);
            }
            for (offset, delivery) in (40..).zip(deliveries) {
                assert_eq!(delivery.now_or_never().unwrap().unwrap().offset, offset, "every record finds its part");
            }
        }
    }

    #[test]
    fn a_batch_is_halved() {
        let (batch, _) = sealed(&[100; 8], Compression::None);
        let counts: Vec<_> = split(batch).unwrap().iter().map(ProducerBatch::count).collect();
        assert_eq!(counts, [4, 4]);
    }

    #[test]
    fn neither_a_single_record_nor_what_may_be_in_the_log_is_split() {
        assert!(split(sealed(&[100], Compression::None).0).is_err());
        let (mut batch, _) = sealed(&[100; 8], Compression::None);
        batch.is_ambiguous = true;
        assert!(split(batch).is_err());
    }
}
