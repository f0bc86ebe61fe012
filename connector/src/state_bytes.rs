//! Reading and writing the state formats of the specification: big-endian, `str` = u16 length + UTF-8, nothing trailing.
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::{Error, Result};

/// Reads one state; every error names what was read.
pub(crate) struct StateReader {
    what: &'static str,
    bytes: Bytes,
}

impl StateReader {
    /// Starts reading a state of version `found`; versions above `supported` are refused.
    pub(crate) fn new(what: &'static str, found: u16, supported: u16, bytes: Bytes) -> Result<Self> {
        if found == 0 || found > supported {
            return Err(Error::StateVersion { what, found, supported });
        }
        Ok(Self { what, bytes })
    }

    pub(crate) fn u8(&mut self, field: &str) -> Result<u8> {
        self.bytes.try_get_u8().map_err(|_| self.short(field))
    }

    pub(crate) fn u16(&mut self, field: &str) -> Result<u16> {
        self.bytes.try_get_u16().map_err(|_| self.short(field))
    }

    pub(crate) fn u32(&mut self, field: &str) -> Result<u32> {
        self.bytes.try_get_u32().map_err(|_| self.short(field))
    }

    pub(crate) fn u64(&mut self, field: &str) -> Result<u64> {
        self.bytes.try_get_u64().map_err(|_| self.short(field))
    }

    pub(crate) fn i16(&mut self, field: &str) -> Result<i16> {
        self.bytes.try_get_i16().map_err(|_| self.short(field))
    }

    pub(crate) fn i32(&mut self, field: &str) -> Result<i32> {
        self.bytes.try_get_i32().map_err(|_| self.short(field))
    }

    pub(crate) fn i64(&mut self, field: &str) -> Result<i64> {
        self.bytes.try_get_i64().map_err(|_| self.short(field))
    }

    pub(crate) fn str(&mut self, field: &str) -> Result<String> {
        let length = usize::from(self.u16(field)?);
        let bytes = self.take(length, field)?;
        String::from_utf8(bytes.into()).map_err(|_| self.error(format!("{field} is not UTF-8")))
    }

    /// The next `length` bytes, without copying them.
    pub(crate) fn take(&mut self, length: usize, field: &str) -> Result<Bytes> {
        if length > self.bytes.len() {
            return Err(self.short(field));
        }
        Ok(self.bytes.split_to(length))
    }

    /// How many bytes are left: the bound of every count before memory is taken for it.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Ends reading: nothing may be left.
    pub(crate) fn end(self) -> Result<()> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(self.error(format!("{left} bytes too many"))),
        }
    }

    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        Error::State { what: self.what, reason: reason.into() }
    }

    fn short(&self, field: &str) -> Error {
        self.error(format!("it ends within {field}"))
    }
}

/// Writes a `str`. What does not fit its length field is cut at a character; callers bound their strings before.
pub(crate) fn put_str(out: &mut BytesMut, text: &str) {
    let mut length = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    let bytes = text.as_bytes().get(..length).unwrap_or_default();
    out.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
    out.put_slice(bytes);
}
