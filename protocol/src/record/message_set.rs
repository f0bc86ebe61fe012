//! Writing message sets of magic 0 and 1, for brokers before 0.11, which know no other.
use super::Records;
use super::batch::field;
use super::legacy::{LOG_OVERHEAD, MESSAGE_HEADER};
use crate::compression::{Compression, compress};
use crate::wire::EncodeError;

/// The magic byte of a message set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageMagic {
    /// Brokers before 0.10: no timestamps. Produce and Fetch 0 and 1.
    V0 = 0,
    /// Brokers 0.10: a timestamp for each message. Produce and Fetch 2.
    V1 = 1,
}

/// An open message set that messages are appended to. It has neither headers nor a producer id: what needs those needs
/// a broker of 0.11 or later.
#[derive(Debug)]
pub struct MessageSetBuilder {
    magic: MessageMagic,
    buffer: Vec<u8>,
    count: i64,
    max_timestamp: i64,
}

impl MessageSetBuilder {
    /// An empty set with room for `bytes` bytes.
    #[must_use]
    pub fn with_capacity(magic: MessageMagic, bytes: usize) -> Self {
        Self { magic, buffer: Vec::with_capacity(bytes), count: 0, max_timestamp: -1 }
    }

    /// Bytes so far, before compression.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// No message yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Messages so far.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.count
    }

    /// The exact number of bytes that this message would add.
    #[must_use]
    pub fn size_of(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
        let timestamp = if self.magic == MessageMagic::V1 { 8 } else { 0 };
        LOG_OVERHEAD + MESSAGE_HEADER + timestamp + 8 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
    }

    /// Appends a message. Magic 0 drops the timestamp.
    ///
    /// # Errors
    /// When the message is longer than its length field can say.
    pub fn append(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), EncodeError> {
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.message(self.count, Compression::None, timestamp, key, value)?;
        self.count += 1;
        Ok(())
    }

    /// Closes the set and compresses it: then it is one message, with the others in it.
    ///
    /// # Errors
    /// When the codec is zstd, which these brokers do not know, or is not compiled in or fails, or when the set is too
    /// long.
    pub fn finish(mut self, codec: Compression, level: Option<i32>) -> Result<Records, EncodeError> {
        if codec == Compression::Zstd {
            return Err(EncodeError::Compression("zstd needs record batches: a broker of 2.1 or later"));
        }
        if codec != Compression::None && !self.is_empty() {
            let mut set = Vec::new();
            compress(codec, level, &self.buffer, &mut set)?;
            if self.magic == MessageMagic::V0 && codec == Compression::Lz4 {
                crate::compression::break_lz4_checksum(&mut set);
            }
            self.buffer.clear();
            // The wrapper has the offset of the last and the latest timestamp (`MemoryRecordsBuilder.java`).
            self.message(self.count - 1, codec, self.max_timestamp, None, Some(&set))?;
        }
        Ok(bytes::Bytes::from(self.buffer).into())
    }

    fn message(
        &mut self,
        offset: i64,
        codec: Compression,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), EncodeError> {
        let size = self.size_of(key, value);
        let length = i32::try_from(size - LOG_OVERHEAD).map_err(|_| EncodeError::TooLong(size))?;
        let start = self.buffer.len();
        self.buffer.reserve(size);
        self.buffer.extend_from_slice(&offset.to_be_bytes());
        self.buffer.extend_from_slice(&length.to_be_bytes());
        self.buffer.extend_from_slice(&[0, 0, 0, 0, self.magic as u8, codec.code()]);
        if self.magic == MessageMagic::V1 {
            self.buffer.extend_from_slice(&timestamp.to_be_bytes());
        }
        for bytes in [key, value] {
            let length = bytes.map_or(-1, |bytes| bytes.len() as i32);
            self.buffer.extend_from_slice(&length.to_be_bytes());
            self.buffer.extend_from_slice(bytes.unwrap_or_default());
        }
        // The checksum covers all from the magic byte on.
        let crc = crc32fast::hash(&self.buffer[start + field::MAGIC.start..]);
        self.buffer[start + LOG_OVERHEAD..start + field::MAGIC.start].copy_from_slice(&crc.to_be_bytes());
        Ok(())
    }
}
