//! Frames: a length of four bytes, and as many bytes.
use bytes::{Buf, Bytes, BytesMut};

use crate::wire::DecodeError;

/// A frame to write, in order: its fields in one buffer, record batches as they are.
#[derive(Clone, Debug)]
pub struct Segments(pub Vec<Bytes>);

impl Segments {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// No bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    /// One buffer with all bytes, copied.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.concat().into()
    }
}

/// How much is read at once while little is known of the frame.
const READ_AHEAD: usize = 64 << 10;
/// With so much room left nothing is made anew: many short frames share one piece of memory.
const ENOUGH: usize = READ_AHEAD / 4;

/// Cuts what is read from a connection into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    max_frame: usize,
    /// The longest frame that has come whole: the other side has shown that it means such lengths.
    proven: usize,
}

impl FrameDecoder {
    /// `max_frame` is the longest frame to accept, in bytes.
    #[must_use]
    pub fn new(max_frame: usize) -> Self {
        Self { buffer: BytesMut::new(), max_frame, proven: 0 }
    }

    /// The buffer to append what was read to, with room in it. It grows with what has arrived and never by what a
    /// frame says of its length alone: at most doubling, so that a claim costs nothing. Up to the length of the longest
    /// frame so far a claim is believed, so that large frames are not copied as they grow.
    pub fn buffer(&mut self) -> &mut BytesMut {
        let wanted = match self.frame_length() {
            Some(length) if length <= self.max_frame => (length + 4).saturating_sub(self.buffer.len()),
            _ => 0,
        };
        let at_most = self.buffer.len().max(self.proven).max(READ_AHEAD);
        let room = self.buffer.capacity() - self.buffer.len();
        if room < wanted.clamp(ENOUGH, at_most) {
            self.buffer.reserve(wanted.clamp(READ_AHEAD, at_most));
        }
        &mut self.buffer
    }

    /// The next whole frame, without its length; `None`: more has to be read.
    ///
    /// # Errors
    /// When the length is negative or over the limit. The connection is useless then.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let Some(length) = self.frame_length() else { return Ok(None) };
        if length > i32::MAX as usize {
            return Err(DecodeError::Length(i64::from(length as u32 as i32)));
        }
        if length > self.max_frame {
            return Err(DecodeError::FrameTooLong(length));
        }
        if self.buffer.len() - 4 < length {
            return Ok(None);
        }
        self.proven = self.proven.max(length);
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Bytes of a frame that is not whole yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    fn frame_length(&self) -> Option<usize> {
        let length = self.buffer.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*length) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_out_once_it_is_whole() {
        let mut frames = FrameDecoder::new(100);
        for byte in [0, 0, 0, 2, 7] {
            frames.buffer().extend_from_slice(&[byte]);
            assert_eq!(frames.next_frame(), Ok(None));
        }
        frames.buffer().extend_from_slice(&[8, 0, 0, 0, 0]);
        assert_eq!(frames.next_frame(), Ok(Some(Bytes::from_static(&[7, 8]))));
        assert_eq!(frames.next_frame(), Ok(Some(Bytes::new())));
        assert_eq!(frames.next_frame(), Ok(None));
    }

    #[test]
    fn a_frame_over_the_limit_or_negative_is_an_error_before_it_is_read() {
        let mut frames = FrameDecoder::new(100);
        frames.buffer().extend_from_slice(&101u32.to_be_bytes());
        assert_eq!(frames.next_frame(), Err(DecodeError::FrameTooLong(101)));
        let mut frames = FrameDecoder::new(100);
        frames.buffer().extend_from_slice(&(-2i32).to_be_bytes());
        assert_eq!(frames.next_frame(), Err(DecodeError::Length(-2)));
    }

    #[test]
    fn short_frames_share_one_buffer() {
        let mut frames = FrameDecoder::new(100);
        let room = frames.buffer().capacity();
        // Each is kept while the next one is read, as whoever asked for it has not looked at it yet.
        let mut before = None;
        for _ in 0..1000 {
            frames.buffer().extend_from_slice(&[0, 0, 0, 1, 7]);
            before = frames.next_frame().unwrap().or(before);
        }
        assert_eq!(before.as_deref(), Some(&[7][..]));
        assert_eq!(frames.buffer().capacity(), room - 5000);
    }

    #[test]
    fn a_claimed_length_alone_takes_no_memory() {
        let mut frames = FrameDecoder::new(100 << 20);
        frames.buffer().extend_from_slice(&(100u32 << 20).to_be_bytes());
        assert_eq!(frames.next_frame(), Ok(None));
        assert!(frames.buffer().capacity() < 1 << 20);
    }

    #[test]
    fn a_length_is_believed_once_such_a_frame_has_come() {
        let mut frames = FrameDecoder::new(100 << 20);
        frames.buffer().extend_from_slice(&(1u32 << 20).to_be_bytes());
        frames.buffer().extend_from_slice(&vec![0; 1 << 20]);
        assert_eq!(frames.next_frame().map(|frame| frame.map(|f| f.len())), Ok(Some(1 << 20)));
        frames.buffer().extend_from_slice(&(1u32 << 20).to_be_bytes());
        assert!(frames.buffer().capacity() > 1 << 20, "the whole frame has room at once");
        let mut frames = FrameDecoder::new(100 << 20);
        frames.buffer().extend_from_slice(&(1u32 << 20).to_be_bytes());
        assert!(frames.buffer().capacity() < 1 << 20, "another connection has to prove it itself");
    }
}
