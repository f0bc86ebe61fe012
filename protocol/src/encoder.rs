//! Where messages are written to.
use bytes::{BufMut, Bytes, BytesMut};

/// Collects the bytes of a message. Record batches are kept apart, so that they are never copied.
#[derive(Debug, Default)]
pub struct Encoder {
    fields: BytesMut,
    /// Where in `fields` a segment comes in, and the segment.
    inserts: Vec<(usize, Bytes)>,
    inserted: usize,
}

impl Encoder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { fields: BytesMut::with_capacity(256), inserts: Vec::new(), inserted: 0 }
    }

    /// Bytes written so far, segments included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len() + self.inserted
    }

    /// Nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes in.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.fields.put_slice(bytes);
    }

    /// Adds bytes without copying them.
    pub fn put_segment(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.inserted += bytes.len();
            self.inserts.push((self.fields.len(), bytes));
        }
    }

    pub(crate) fn put_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.fields.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.fields.put_u8(value as u8);
    }

    /// Appends what `other` holds.
    pub(crate) fn append(&mut self, other: Self) {
        for segment in other.into_segments() {
            self.put_segment(segment);
        }
    }

    /// Writes the length of all that follows into the four bytes at the front, which the caller left free.
    pub(crate) fn patch_frame_length(&mut self) {
        let length = u32::try_from(self.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(front) = self.fields.get_mut(..4) {
            front.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// The bytes in order.
    #[must_use]
    pub fn into_segments(self) -> Vec<Bytes> {
        let mut rest = self.fields.freeze();
        let mut at = 0;
        let mut segments = Vec::with_capacity(self.inserts.len() * 2 + 1);
        for (position, segment) in self.inserts {
            if position > at {
                segments.push(rest.split_to(position - at));
                at = position;
            }
            segments.push(segment);
        }
        if !rest.is_empty() {
            segments.push(rest);
        }
        segments
    }
}
