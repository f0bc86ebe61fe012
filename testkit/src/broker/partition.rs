//! One partition: leadership, log, producers, aborted transactions.

use bytes::Bytes;

use super::ErrorCode;
use super::batch::{BatchHeader, Marker, crc_matches, end_marker};
use super::cluster::ConnectionId;
use super::log::Log;
use super::producers::{Admission, Producers, SequenceRules};
use super::records::raw_records;

/// An aborted transaction, for read_committed readers (`AbortedTxn.java`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    last_offset: i64,
    last_stable_offset: i64,
}

/// What a produce request and its topic demand of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProduceRules {
    pub(crate) max_message_bytes: usize,
    /// The broker's time if the topic has `message.timestamp.type=LogAppendTime`.
    pub(crate) append_time: Option<i64>,
    /// Timestamps above this are refused (`message.timestamp.after.max.ms`).
    pub(crate) latest_timestamp: i64,
    pub(crate) zstd: bool,
    /// The batch belongs to a transaction of the second protocol.
    pub(crate) starts_at_zero: bool,
    /// The topic is compacted: a record without a key is refused.
    pub(crate) keyed: bool,
}

/// Where a batch was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// -1 unless the topic uses LogAppendTime.
    pub(crate) append_time: i64,
}

/// One partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) index: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    /// `None` while no in-sync replica is alive.
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) log: Log,
    pub(crate) producers: Producers,
    aborted: Vec<Aborted>,
    /// Connections with a parked fetch on this partition.
    pub(crate) watchers: Vec<ConnectionId>,
    /// The replica readers are sent to, by call.
    pub(crate) preferred: Option<i32>,
}

impl Partition {
    pub(crate) fn new(index: i32, replicas: Vec<i32>, rules: SequenceRules) -> Self {
        let mut log = Log::new();
        // Who leads a log begins an epoch in it, also where nothing was written yet.
        log.epochs.assign(0, 0);
        Self {
            index,
            leader: replicas.first().copied(),
            isr: replicas.clone(),
            replicas,
            leader_epoch: 0,
            log,
            producers: Producers::new(rules),
            aborted: Vec::new(),
            watchers: Vec::new(),
            preferred: None,
        }
    }

    /// Whether `node` may serve readers that may read from followers (KIP-392).
    pub(crate) fn check_replica(&self, node: i32, current_leader_epoch: i32) -> Result<(), ErrorCode> {
        if self.leader.is_none() || !self.isr.contains(&node) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        self.check_epoch(current_leader_epoch)
    }

    /// Whether `node` may serve requests that only the leader serves, and whether the client's epoch is current.
    pub(crate) fn check_leader(&self, node: i32, current_leader_epoch: i32) -> Result<(), ErrorCode> {
        if self.leader != Some(node) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        self.check_epoch(current_leader_epoch)
    }

    fn check_epoch(&self, current_leader_epoch: i32) -> Result<(), ErrorCode> {
        match current_leader_epoch {
            epoch if epoch < 0 || epoch == self.leader_epoch => Ok(()),
            epoch if epoch < self.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            _ => Err(ErrorCode::UnknownLeaderEpoch),
        }
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.log.next_offset()
    }

    /// Offset below which every transaction is decided.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.producers.first_unstable().unwrap_or(i64::MAX).min(self.high_watermark())
    }

    /// Checks the one batch of a produce request and appends it.
    pub(crate) fn produce(&mut self, records: &Bytes, rules: &ProduceRules) -> Result<Appended, ErrorCode> {
        let header = validate(records, rules)?;
        if header.producer_id >= 0
            && let Admission::Duplicate { base_offset, timestamp } =
                self.producers.admit(&header, rules.starts_at_zero)?
        {
            return Ok(Appended { base_offset, append_time: timestamp });
        }
        let base_offset = self.log.append(records, &header, self.leader_epoch, rules.append_time);
        let append_time = rules.append_time.unwrap_or(-1);
        if header.producer_id >= 0 {
            self.producers.appended(&header, base_offset, append_time);
        }
        Ok(Appended { base_offset, append_time })
    }

    /// Writes a transaction's end marker; `bumped`: of the second protocol.
    pub(crate) fn end_transaction(&mut self, marker: Marker, bumped: bool, timestamp: i64) -> Result<i64, ErrorCode> {
        self.producers.admit_marker(&marker, bumped)?;
        let batch = end_marker(marker, timestamp);
        let Some(header) = BatchHeader::read(&batch) else { return Err(ErrorCode::UnknownServerError) };
        let offset = self.log.append(&batch, &header, self.leader_epoch, None);
        let started = self.producers.ended(&marker, timestamp);
        if let Some(first_offset) = started.filter(|_| !marker.commit) {
            // The LSO as it was before this transaction ended must not hide it from readers below.
            let last_stable_offset = self.producers.first_unstable().unwrap_or(offset + 1);
            let producer_id = marker.producer_id;
            self.aborted.push(Aborted { producer_id, first_offset, last_offset: offset, last_stable_offset });
        }
        Ok(offset)
    }

    /// Transactions aborted somewhere in `from..end`.
    pub(crate) fn aborted_between(&self, from: i64, end: i64) -> Vec<Aborted> {
        let from_index = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        let mut found = Vec::new();
        for aborted in self.aborted.iter().skip(from_index) {
            if aborted.first_offset < end {
                found.push(*aborted);
            }
            if aborted.last_stable_offset >= end {
                break;
            }
        }
        found
    }

    /// Whether a batch belongs to a transaction that was aborted.
    pub(crate) fn is_aborted(&self, header: &BatchHeader) -> bool {
        let covers = |aborted: &Aborted| {
            aborted.producer_id == header.producer_id
                && (aborted.first_offset..=aborted.last_offset).contains(&header.base_offset)
        };
        header.is_transactional() && !header.is_control() && self.aborted.iter().any(covers)
    }

    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.log.delete_before(offset);
        let start = self.log.start_offset();
        self.aborted.retain(|aborted| aborted.last_offset >= start);
    }
}

/// The one batch of a produce request, by its header (`ProduceRequest.validateRecords`).
pub(crate) fn one_batch(records: &Bytes) -> Result<BatchHeader, ErrorCode> {
    if records.is_empty() {
        return Err(ErrorCode::InvalidRecord);
    }
    let header = BatchHeader::read(records).ok_or(ErrorCode::CorruptMessage)?;
    if header.magic != 2 {
        return Err(ErrorCode::InvalidRecord);
    }
    match header.size() {
        None => Err(ErrorCode::CorruptMessage),
        Some(size) if size > records.len() => Err(ErrorCode::CorruptMessage),
        Some(size) if size < records.len() => Err(ErrorCode::InvalidRecord),
        Some(_) => Ok(header),
    }
}

/// The checks of `UnifiedLog.analyzeAndValidateRecords` and `LogValidator`.
fn validate(records: &Bytes, rules: &ProduceRules) -> Result<BatchHeader, ErrorCode> {
    let header = one_batch(records)?;
    if records.len() > rules.max_message_bytes {
        return Err(ErrorCode::MessageTooLarge);
    }
    if !crc_matches(records, &header) {
        return Err(ErrorCode::CorruptMessage);
    }
    let header = validate_header(&header, rules)?;
    if rules.keyed {
        let found = raw_records(records, &header);
        let all = usize::try_from(header.record_count).is_ok_and(|count| count == found.len());
        if !all || found.iter().any(|record| record.key.is_none()) {
            return Err(ErrorCode::InvalidRecord);
        }
    }
    Ok(header)
}

fn validate_header(header: &BatchHeader, rules: &ProduceRules) -> Result<BatchHeader, ErrorCode> {
    let count_fits = header.record_count > 0 && header.last_offset_delta == header.record_count - 1;
    let sequence_fits = header.producer_id < 0 || header.base_sequence >= 0;
    if header.is_control() || !count_fits || !sequence_fits || header.base_offset != 0 {
        return Err(ErrorCode::InvalidRecord);
    }
    match header.compression() {
        0..=3 => {}
        4 if rules.zstd => {}
        4 => return Err(ErrorCode::UnsupportedCompressionType),
        _ => return Err(ErrorCode::InvalidRecord),
    }
    // The records to blame are named by `record_errors`.
    if rules.append_time.is_none() {
        if header.is_log_append_time() {
            return Err(ErrorCode::InvalidTimestamp);
        }
        if header.max_timestamp > rules.latest_timestamp {
            return Err(ErrorCode::InvalidTimestamp);
        }
    }
    Ok(*header)
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::Build;
    use super::*;
    use bytes::BytesMut;

    const RULES: ProduceRules = ProduceRules {
        max_message_bytes: 1_048_588,
        append_time: None,
        latest_timestamp: i64::MAX,
        zstd: true,
        starts_at_zero: false,
        keyed: false,
    };

    fn partition() -> Partition {
        let rules = SequenceRules { unknown_producer_may_start_anywhere: true, old_duplicate_is_46: false };
        Partition::new(0, vec![0], rules)
    }

    fn marker(producer_id: i64, commit: bool) -> Marker {
        Marker { producer_id, producer_epoch: 0, coordinator_epoch: 0, commit }
    }

    fn write(partition: &mut Partition, producer: i64, sequence: i32, records: usize) -> i64 {
        let batch = Build::records(records).producer(producer, 0, sequence).transactional().build();
        partition.produce(&batch, &RULES).unwrap().base_offset
    }

    #[test]
    fn flipped_byte_is_corrupt() {
        let mut bytes = BytesMut::from(&Build::records(3).build()[..]);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(partition().produce(&bytes.freeze(), &RULES), Err(ErrorCode::CorruptMessage));
    }

    #[test]
    fn cut_batch_is_corrupt_and_a_second_batch_is_invalid() {
        let batch = Build::records(3).build();
        let cut = batch.slice(..batch.len() - 1);
        assert_eq!(partition().produce(&cut, &RULES), Err(ErrorCode::CorruptMessage));
        let two = Bytes::from([&batch[..], &batch[..]].concat());
        assert_eq!(partition().produce(&two, &RULES), Err(ErrorCode::InvalidRecord));
        assert_eq!(partition().produce(&Bytes::new(), &RULES), Err(ErrorCode::InvalidRecord));
    }

    #[test]
    fn batch_above_max_message_bytes_is_10() {
        let batch = Build::records(3).build();
        let rules = ProduceRules { max_message_bytes: batch.len() - 1, ..RULES };
        assert_eq!(partition().produce(&batch, &rules), Err(ErrorCode::MessageTooLarge));
    }

    #[test]
    fn client_may_not_write_control_batches() {
        let control = end_marker(marker(1, true), 0);
        assert_eq!(partition().produce(&control, &RULES), Err(ErrorCode::InvalidRecord));
    }

    #[test]
    fn timestamp_too_far_ahead_is_32() {
        let rules = ProduceRules { latest_timestamp: 999, ..RULES };
        assert_eq!(partition().produce(&Build::records(1).build(), &rules), Err(ErrorCode::InvalidTimestamp));
    }

    #[test]
    fn last_stable_offset_is_the_start_of_the_oldest_open_transaction() {
        let mut partition = partition();
        partition.produce(&Build::records(2).build(), &RULES).unwrap();
        write(&mut partition, 1, 0, 3); // 2..5
        write(&mut partition, 2, 0, 1); // 5
        assert_eq!(partition.last_stable_offset(), 2);
        partition.end_transaction(marker(1, true), false, 0).unwrap(); // 6
        assert_eq!(partition.last_stable_offset(), 5);
        partition.end_transaction(marker(2, false), false, 0).unwrap(); // 7
        assert_eq!((partition.last_stable_offset(), partition.high_watermark()), (8, 8));
    }

    #[test]
    fn aborted_transactions_are_listed_where_they_overlap_the_read() {
        let mut partition = partition();
        write(&mut partition, 1, 0, 2); // 0..2
        write(&mut partition, 2, 0, 2); // 2..4
        partition.end_transaction(marker(2, false), false, 0).unwrap(); // 4
        partition.end_transaction(marker(1, false), false, 0).unwrap(); // 5
        write(&mut partition, 3, 0, 1); // 6
        partition.end_transaction(marker(3, true), false, 0).unwrap(); // 7
        let listed = |from, end| {
            let mut found: Vec<_> =
                partition.aborted_between(from, end).iter().map(|txn| (txn.producer_id, txn.first_offset)).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(listed(0, 8), [(1, 0), (2, 2)]);
        assert_eq!(listed(0, 2), [(1, 0)]);
        assert_eq!(listed(5, 8), [(1, 0)]);
        assert_eq!(listed(6, 8), []);
    }

    #[test]
    fn deleted_records_take_their_aborted_transactions_along() {
        let mut partition = partition();
        write(&mut partition, 1, 0, 2);
        partition.end_transaction(marker(1, false), false, 0).unwrap();
        write(&mut partition, 1, 2, 1);
        partition.delete_before(3);
        assert_eq!(partition.aborted_between(0, 9), []);
    }

    #[test]
    fn leader_epoch_of_the_client_is_compared() {
        let mut partition = partition();
        partition.leader_epoch = 3;
        assert_eq!(partition.check_leader(0, -1), Ok(()));
        assert_eq!(partition.check_leader(0, 3), Ok(()));
        assert_eq!(partition.check_leader(0, 2), Err(ErrorCode::FencedLeaderEpoch));
        assert_eq!(partition.check_leader(0, 4), Err(ErrorCode::UnknownLeaderEpoch));
        assert_eq!(partition.check_leader(1, 3), Err(ErrorCode::NotLeaderOrFollower));
    }
}
