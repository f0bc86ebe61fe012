//! The 61-byte header of a record batch, read and written without looking at its records.

use bytes::{BufMut, Bytes, BytesMut};

/// Size of a record batch's header.
pub(crate) const HEADER_SIZE: usize = 61;
/// Bytes before the part that the batch's length field counts.
const LENGTH_PREFIX: usize = 12;
/// The checksum covers everything from the attributes on, so offsets and leader epoch may be stamped freely.
const CRC_START: usize = 21;

const TIMESTAMP_TYPE: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// The header of a record batch (magic 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    pub(crate) length: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) magic: i8,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; `None` if there are fewer than 61 bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            base_offset: i64::from_be_bytes(array(bytes, 0)?),
            length: i32::from_be_bytes(array(bytes, 8)?),
            leader_epoch: i32::from_be_bytes(array(bytes, 12)?),
            magic: i8::from_be_bytes(array(bytes, 16)?),
            crc: u32::from_be_bytes(array(bytes, 17)?),
            attributes: i16::from_be_bytes(array(bytes, 21)?),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)?),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)?),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)?),
            producer_id: i64::from_be_bytes(array(bytes, 43)?),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)?),
            base_sequence: i32::from_be_bytes(array(bytes, 53)?),
            record_count: i32::from_be_bytes(array(bytes, 57)?),
        })
    }

    /// Bytes of the whole batch according to its length field; `None` if that is nonsense.
    pub(crate) fn size(&self) -> Option<usize> {
        let size = usize::try_from(self.length).ok()?.checked_add(LENGTH_PREFIX)?;
        (size >= HEADER_SIZE).then_some(size)
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub(crate) fn compression(&self) -> i16 {
        self.attributes & 0x07
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & TIMESTAMP_TYPE != 0
    }

    /// Sequence of the last record; sequences wrap from `i32::MAX` to 0.
    pub(crate) fn last_sequence(&self) -> i32 {
        next_sequence(self.base_sequence, self.last_offset_delta)
    }
}

/// `sequence + increment`, wrapping from `i32::MAX` to 0.
pub(crate) fn next_sequence(sequence: i32, increment: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(increment);
    i32::try_from(sum % (i64::from(i32::MAX) + 1)).unwrap_or(0)
}

/// Whether the stored checksum fits the bytes.
pub(crate) fn crc_matches(batch: &[u8], header: &BatchHeader) -> bool {
    batch.get(CRC_START..).is_some_and(|body| crc32c::crc32c(body) == header.crc)
}

/// Writes what a leader assigns: base offset and partition leader epoch. Neither is covered by the checksum.
pub(crate) fn stamp(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    if let Some(field) = batch.get_mut(0..8) {
        field.copy_from_slice(&base_offset.to_be_bytes());
    }
    if let Some(field) = batch.get_mut(12..16) {
        field.copy_from_slice(&leader_epoch.to_be_bytes());
    }
}

/// Turns the batch into one with the broker's time (`message.timestamp.type=LogAppendTime`) and renews the checksum.
pub(crate) fn stamp_append_time(batch: &mut [u8], attributes: i16, timestamp: i64) {
    if let Some(field) = batch.get_mut(21..23) {
        field.copy_from_slice(&(attributes | TIMESTAMP_TYPE).to_be_bytes());
    }
    if let Some(field) = batch.get_mut(35..43) {
        field.copy_from_slice(&timestamp.to_be_bytes());
    }
    stamp_crc(batch);
}

/// Makes the header fit the `count` records that now follow it.
pub(crate) fn stamp_records(batch: &mut [u8], count: i32) {
    let length = batch.len().saturating_sub(LENGTH_PREFIX) as i32;
    if let Some(field) = batch.get_mut(8..12) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    if let Some(field) = batch.get_mut(57..HEADER_SIZE) {
        field.copy_from_slice(&count.to_be_bytes());
    }
    stamp_crc(batch);
}

fn stamp_crc(batch: &mut [u8]) {
    let crc = batch.get(CRC_START..).map_or(0, crc32c::crc32c);
    if let Some(field) = batch.get_mut(17..21) {
        field.copy_from_slice(&crc.to_be_bytes());
    }
}

/// What a transaction's end marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) coordinator_epoch: i32,
    pub(crate) commit: bool,
}

/// A control batch with one end marker, byte for byte as Kafka writes it (`MemoryRecords.withEndTransactionMarker`).
/// Base offset and leader epoch are still to be stamped.
pub(crate) fn end_marker(marker: Marker, timestamp: i64) -> Bytes {
    let mut record = BytesMut::with_capacity(17);
    record.put_slice(&[32, 0, 0, 0, 8]); // length 16, attributes, timestamp and offset deltas, key length 4
    record.put_i16(0);
    record.put_i16(i16::from(marker.commit));
    record.put_u8(12); // value length 6
    record.put_i16(0);
    record.put_i32(marker.coordinator_epoch);
    record.put_u8(0); // headers
    let mut batch = BytesMut::with_capacity(HEADER_SIZE + record.len());
    batch.put_i64(0);
    batch.put_i32((HEADER_SIZE - LENGTH_PREFIX + record.len()) as i32);
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(0);
    batch.put_i16(TRANSACTIONAL | CONTROL);
    batch.put_i32(0);
    batch.put_i64(timestamp);
    batch.put_i64(timestamp);
    batch.put_i64(marker.producer_id);
    batch.put_i16(marker.producer_epoch);
    batch.put_i32(-1);
    batch.put_i32(1);
    batch.put_slice(&record);
    stamp_crc(&mut batch);
    batch.freeze()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Builds an uncompressed batch whose records carry the given timestamps (values are `size` bytes of `x`).
    #[derive(Clone)]
    pub(crate) struct Build {
        pub(crate) timestamps: Vec<i64>,
        pub(crate) producer: Option<(i64, i16, i32)>,
        pub(crate) transactional: bool,
        pub(crate) size: usize,
    }

    impl Build {
        pub(crate) fn records(count: usize) -> Self {
            Self { timestamps: vec![1_000; count], producer: None, transactional: false, size: 10 }
        }

        pub(crate) fn timestamps(timestamps: &[i64]) -> Self {
            Self { timestamps: timestamps.to_vec(), ..Self::records(0) }
        }

        pub(crate) fn producer(mut self, id: i64, epoch: i16, sequence: i32) -> Self {
            self.producer = Some((id, epoch, sequence));
            self
        }

        pub(crate) fn transactional(mut self) -> Self {
            self.transactional = true;
            self
        }

        pub(crate) fn value_size(mut self, size: usize) -> Self {
            self.size = size;
            self
        }

        pub(crate) fn build(&self) -> Bytes {
            use kafka_protocol::records::{
                Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
            };
            let (producer_id, producer_epoch, base) = self.producer.unwrap_or((-1, -1, -1));
            let records: Vec<Record> = self
                .timestamps
                .iter()
                .enumerate()
                .map(|(index, &timestamp)| Record {
                    transactional: self.transactional,
                    control: false,
                    partition_leader_epoch: -1,
                    producer_id,
                    producer_epoch,
                    timestamp_type: TimestampType::Creation,
                    offset: index as i64,
                    sequence: base.wrapping_add(index as i32),
                    timestamp,
                    key: None,
                    value: Some(Bytes::from(vec![b'x'; self.size])),
                    headers: Default::default(),
                    delete_horizon: false,
                })
                .collect();
            let mut out = BytesMut::new();
            let options = RecordEncodeOptions { version: 2, compression: Compression::None };
            RecordBatchEncoder::encode(&mut out, &records, &options).unwrap();
            let header = BatchHeader::read(&out).unwrap();
            assert_eq!(header.base_sequence, base);
            out.freeze()
        }
    }

    #[test]
    fn header_of_a_foreign_batch_is_read() {
        let bytes = Build::timestamps(&[5, 9, 7]).producer(42, 3, 100).transactional().build();
        let header = BatchHeader::read(&bytes).unwrap();
        assert_eq!((header.magic, header.last_offset_delta, header.record_count), (2, 2, 3));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (42, 3, 100));
        assert_eq!((header.base_timestamp, header.max_timestamp), (5, 9));
        assert!(header.is_transactional() && !header.is_control());
        assert_eq!(header.size(), Some(bytes.len()));
        assert!(crc_matches(&bytes, &header));
        assert_eq!(BatchHeader::read(&bytes[..60]), None);
    }

    #[test]
    fn stamping_leaves_the_checksum_valid() {
        let mut bytes = BytesMut::from(&Build::records(2).build()[..]);
        stamp(&mut bytes, 77, 5);
        let header = BatchHeader::read(&bytes).unwrap();
        assert_eq!((header.base_offset, header.leader_epoch), (77, 5));
        assert!(crc_matches(&bytes, &header));
        stamp_append_time(&mut bytes, header.attributes, 123_456);
        let header = BatchHeader::read(&bytes).unwrap();
        assert!(header.is_log_append_time() && header.max_timestamp == 123_456);
        assert!(crc_matches(&bytes, &header));
    }

    #[test]
    fn end_marker_is_kafkas_78_bytes() {
        let marker = Marker { producer_id: 9, producer_epoch: 4, coordinator_epoch: 6, commit: true };
        let mut bytes = end_marker(marker, 55);
        assert_eq!(bytes.len(), 78);
        let header = BatchHeader::read(&bytes).unwrap();
        assert!(header.is_control() && header.is_transactional() && crc_matches(&bytes, &header));
        let records = kafka_protocol::records::RecordBatchDecoder::decode(&mut bytes).unwrap().records;
        assert_eq!(records[0].key.as_deref(), Some(&[0, 0, 0, 1][..]));
        assert_eq!(records[0].value.as_deref(), Some(&[0, 0, 0, 0, 0, 6][..]));
        assert_eq!((records[0].producer_id, records[0].producer_epoch, records[0].timestamp), (9, 4, 55));
    }

    #[test]
    fn sequences_wrap_from_max_to_zero() {
        assert_eq!(next_sequence(i32::MAX, 1), 0);
        assert_eq!(next_sequence(i32::MAX - 1, 3), 1);
        assert_eq!(next_sequence(7, 0), 7);
    }
}
