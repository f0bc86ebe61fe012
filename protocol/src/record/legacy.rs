//! Message sets of magic 0 and 1: what brokers before 0.11 store, and what logs from their time still hold.
//!
//! They are read by rewriting them as batches of magic 2 (as brokers do for newer consumers), so that whoever reads
//! records knows one format only. [`MessageSetBuilder`](super::MessageSetBuilder) writes them.
use bytes::{Buf, Bytes};

use super::RecordError;
use super::batch::{HEADER_SIZE, RecordBatch, field};
use super::builder::BatchHeader;
use super::fields::Fields;
use crate::compression::{Compression, decompress};

/// In front of a message: its offset, and its length.
pub(super) const LOG_OVERHEAD: usize = 12;
/// A message before its timestamp, key and value: checksum, magic byte, attributes.
pub(super) const MESSAGE_HEADER: usize = 6;

/// Whether `records` begin with a message of magic 0 or 1.
#[must_use]
pub fn is_message_set(records: &[u8]) -> bool {
    records.get(field::MAGIC.start).is_some_and(|magic| *magic < 2)
}

/// Takes the next messages of magic 0 or 1 off the front of `records`, as a batch of magic 2 without compression: one
/// message with compressed ones in it, or a run of messages that are not compressed. What is decompressed is bounded by
/// `limit` bytes. `None`: there is no further whole message, since brokers cut the last one of a fetch.
///
/// The batch's checksum is its own; those of the messages are compared here, if `check_crcs`.
///
/// # Errors
/// When the front is a batch of another magic byte, or a message that is damaged, or larger than `limit`. `records` is
/// then as it was.
pub fn take_message_set(
    records: &mut Bytes,
    check_crcs: bool,
    limit: usize,
) -> Result<Option<RecordBatch>, RecordError> {
    let mut rest = &records[..];
    let Some(first) = Message::take(&mut rest, check_crcs)? else { return Ok(None) };
    let batch = match first.codec()? {
        Compression::None => run(&first, &mut rest, check_crcs, limit)?,
        codec => unwrap(&first, codec, check_crcs, limit)?,
    };
    records.advance(records.len() - rest.len());
    Ok(Some(batch))
}

/// A message and, if they can be in one batch with it, those behind it.
fn run(first: &Message<'_>, rest: &mut &[u8], check_crcs: bool, limit: usize) -> Result<RecordBatch, RecordError> {
    let append_time = first.append_time();
    let mut batch = Rewritten::new(first.offset, append_time);
    batch.push(first.offset, first)?;
    loop {
        let mut after = *rest;
        // Whatever is wrong with the next message is told when it is the first.
        let Ok(Some(message)) = Message::take(&mut after, check_crcs) else { break };
        let fits = message.magic == first.magic
            && message.codec() == Ok(Compression::None)
            && message.append_time() == append_time
            && message.offset > batch.last_offset
            && batch.bytes.len() + message.size() <= limit;
        if !fits || batch.push(message.offset, &message).is_err() {
            break;
        }
        *rest = after;
    }
    batch.finish(first.offset)
}

/// The messages inside of a compressed one.
fn unwrap(
    wrapper: &Message<'_>,
    codec: Compression,
    check_crcs: bool,
    limit: usize,
) -> Result<RecordBatch, RecordError> {
    let malformed = |index, reason| RecordError::Record { base_offset: wrapper.offset, index, reason };
    let value = wrapper.value.ok_or_else(|| malformed(0, "a compressed message has no value"))?;
    let set = decompress(codec, value, limit)?;
    let first_and_last = ends(&set, wrapper)?;
    let (first, last) = first_and_last.ok_or_else(|| malformed(0, "a compressed message has no messages in it"))?;
    // Since magic 1 the offsets inside are relative, so that a broker need not compress again, and the wrapper has the
    // offset of the last one (KIP-31).
    let shift = if wrapper.magic == 1 { wrapper.offset.checked_sub(last) } else { Some(0) };
    let shifted = |offset: i64| shift.and_then(|shift| offset.checked_add(shift));
    let base = shifted(first).ok_or_else(|| malformed(0, "its offset overflows"))?;
    let mut batch = Rewritten::new(base, wrapper.append_time());
    let mut rest = &set[..];
    while let Some(message) = Message::take(&mut rest, check_crcs)? {
        let index = batch.count.unsigned_abs();
        let offset = shifted(message.offset).ok_or_else(|| malformed(index, "its offset overflows"))?;
        batch.push(offset, &message)?;
    }
    batch.finish(wrapper.offset)
}

/// The offsets of the first and the last message of a set that was inside of `wrapper`, and that has to be whole.
fn ends(set: &[u8], wrapper: &Message<'_>) -> Result<Option<(i64, i64)>, RecordError> {
    let mut rest = set;
    let mut ends: Option<(i64, i64)> = None;
    let mut index = 0;
    while !rest.is_empty() {
        let malformed = |reason| RecordError::Record { base_offset: wrapper.offset, index, reason };
        let message = Message::take(&mut rest, false)?.ok_or_else(|| malformed("it is cut short"))?;
        if message.magic != wrapper.magic {
            return Err(malformed("its magic byte is not that of the message around it"));
        }
        if message.codec()? != Compression::None {
            return Err(malformed("it is compressed, and inside of a compressed one"));
        }
        ends = Some((ends.map_or(message.offset, |(first, _)| first), message.offset));
        index += 1;
    }
    Ok(ends)
}

/// A message, borrowed from the set it is in.
struct Message<'a> {
    offset: i64,
    magic: u8,
    attributes: u8,
    /// -1 in magic 0.
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Takes a message off the front of `input`; `None`: it is not whole.
    fn take(input: &mut &'a [u8], check_crc: bool) -> Result<Option<Self>, RecordError> {
        let mut rest = *input;
        let (Some(offset), Some(length)) = (take_array(&mut rest), take_array(&mut rest)) else { return Ok(None) };
        let offset = i64::from_be_bytes(offset);
        match input.get(field::MAGIC.start) {
            Some(0 | 1) => {}
            Some(magic) => return Err(RecordError::Magic(*magic as i8)),
            None => return Ok(None),
        }
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| RecordError::Truncated)?;
        let Some((body, after)) = rest.split_at_checked(length) else { return Ok(None) };
        let message = Self::parse(offset, body, check_crc)?;
        *input = after;
        Ok(Some(message))
    }

    fn parse(offset: i64, mut body: &'a [u8], check_crc: bool) -> Result<Self, RecordError> {
        let malformed = |reason| RecordError::Record { base_offset: offset, index: 0, reason };
        let stated = take_array(&mut body).map(u32::from_be_bytes).ok_or(RecordError::Truncated)?;
        if check_crc {
            let computed = crc32fast::hash(body);
            if stated != computed {
                return Err(RecordError::Crc { stated, computed });
            }
        }
        let [magic, attributes] = take_array(&mut body).ok_or(RecordError::Truncated)?;
        let timestamp = if magic == 0 { Some(-1) } else { take_array(&mut body).map(i64::from_be_bytes) };
        let timestamp = timestamp.ok_or(RecordError::Truncated)?;
        let key = take_nullable(&mut body).ok_or_else(|| malformed("its key goes past its end"))?;
        let value = take_nullable(&mut body).ok_or_else(|| malformed("its value goes past its end"))?;
        if !body.is_empty() {
            return Err(malformed("bytes are left over after it"));
        }
        Ok(Self { offset, magic, attributes, timestamp, key, value })
    }

    fn codec(&self) -> Result<Compression, RecordError> {
        let code = self.attributes & field::COMPRESSION;
        // Zstandard is for magic 2 (KIP-110).
        let codec = Compression::from_code(code).filter(|codec| *codec != Compression::Zstd);
        codec.ok_or(RecordError::Compression(code))
    }

    /// The broker's time, if it is the timestamp; magic 0 has none.
    fn append_time(&self) -> Option<i64> {
        (self.magic == 1 && self.attributes & field::LOG_APPEND_TIME != 0).then_some(self.timestamp)
    }

    fn size(&self) -> usize {
        LOG_OVERHEAD + MESSAGE_HEADER + 16 + self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*front)
}

/// The outer `None`: it goes past the end.
fn take_nullable<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = i32::from_be_bytes(take_array(input)?);
    if length < 0 {
        return (length == -1).then_some(None);
    }
    let (bytes, rest) = input.split_at_checked(length as usize)?;
    *input = rest;
    Some(Some(bytes))
}

/// A batch of magic 2 in the making. Its records are no longer than the messages were: a message's header is longer than
/// all of a record's lengths and deltas can be.
struct Rewritten {
    bytes: Vec<u8>,
    base_offset: i64,
    last_offset: i64,
    append_time: Option<i64>,
    max_timestamp: i64,
    count: i32,
}

impl Rewritten {
    fn new(base_offset: i64, append_time: Option<i64>) -> Self {
        let bytes = vec![0; HEADER_SIZE];
        Self { bytes, base_offset, last_offset: base_offset, append_time, max_timestamp: i64::MIN, count: 0 }
    }

    fn delta(&self, offset: i64) -> Result<i32, RecordError> {
        let delta = offset.checked_sub(self.base_offset).and_then(|delta| i32::try_from(delta).ok());
        delta.filter(|delta| *delta >= 0).ok_or_else(|| RecordError::Record {
            base_offset: self.base_offset,
            index: self.count.unsigned_abs(),
            reason: "its offset is too far from the first",
        })
    }

    fn push(&mut self, offset: i64, message: &Message<'_>) -> Result<(), RecordError> {
        // The base timestamp is 0, so that there is no timestamp that a delta cannot say.
        let fields = Fields {
            timestamp_delta: message.timestamp,
            offset_delta: self.delta(offset)?,
            key: message.key,
            value: message.value,
            headers: &[],
        };
        let (start, size) = (self.bytes.len(), fields.size());
        self.bytes.resize(start + size.whole, 0);
        fields.write(size, &mut self.bytes[start..]);
        self.last_offset = self.last_offset.max(offset);
        self.max_timestamp = self.max_timestamp.max(message.timestamp);
        self.count += 1;
        Ok(())
    }

    /// `last_offset`: what the message around them said; compaction may have removed those behind the last one.
    fn finish(mut self, last_offset: i64) -> Result<RecordBatch, RecordError> {
        let head = BatchHeader {
            attributes: if self.append_time.is_some() { field::LOG_APPEND_TIME } else { 0 },
            last_offset_delta: self.delta(self.last_offset.max(last_offset))?,
            base_timestamp: 0,
            max_timestamp: self.append_time.unwrap_or(self.max_timestamp),
            count: self.count,
        };
        let mut head = head.encode();
        let mut put = |range: std::ops::Range<usize>, bytes: &[u8]| head[range].copy_from_slice(bytes);
        let length = i32::try_from(self.bytes.len() - field::LENGTH.end).map_err(|_| RecordError::Truncated)?;
        put(field::LENGTH, &length.to_be_bytes());
        put(field::BASE_OFFSET, &self.base_offset.to_be_bytes());
        self.bytes[..HEADER_SIZE].copy_from_slice(&head);
        let crc = crc32c::crc32c(&self.bytes[field::ATTRIBUTES.start..]);
        self.bytes[field::CRC].copy_from_slice(&crc.to_be_bytes());
        Ok(RecordBatch::new(self.bytes.into()))
    }
}
