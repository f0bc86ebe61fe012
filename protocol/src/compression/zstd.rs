//! Zstandard.
use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

use super::{give_back, usual_room};
use crate::record::RecordError;

/// Kafka's `compression.zstd.level`.
const DEFAULT_LEVEL: i32 = 3;
/// What `zstd_errors.h` calls it when the output does not fit; there is no code for it in the bindings.
const TOO_SMALL: &str = "Destination buffer is too small";
const LEAST_ROOM: usize = 1 << 10;

thread_local! {
    // A context is a megabyte and more, and takes longer to make than a small batch to compress.
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let level = level.unwrap_or(DEFAULT_LEVEL);
    COMPRESSOR.with_borrow_mut(|slot| {
        let (_, compressor) = match slot.take_if(|(made_for, _)| *made_for == level) {
            Some(same) => slot.insert(same),
            None => slot.insert((level, Compressor::new(level)?)),
        };
        out.extend_from_slice(&compressor.compress(input)?);
        Ok(())
    })
}

/// Decompresses in one go, again with more room where it was too little. Reading as a stream would take memory for as much
/// as the frame says that its matches reach back, 128 MiB from a few bytes, whatever the limit is.
pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, RecordError> {
    let stated = get_frame_content_size(input).map_err(|_| RecordError::Decompress)?;
    let mut room = match stated.map(usize::try_from) {
        Some(Ok(length)) if length <= limit => length,
        Some(_) => return Err(RecordError::TooLarge { limit }),
        None => usual_room(input, limit),
    };
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(Decompressor::new().map_err(|_| RecordError::Decompress)?),
        };
        loop {
            let mut out = Vec::with_capacity(room);
            match decompressor.decompress_to_buffer(input, &mut out) {
                Ok(_) => {
                    give_back(&mut out);
                    return Ok(out);
                }
                Err(error) if error.to_string() != TOO_SMALL => return Err(RecordError::Decompress),
                Err(_) if room == limit => return Err(RecordError::TooLarge { limit }),
                Err(_) => room = room.max(LEAST_ROOM).saturating_mul(4).min(limit),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zstd::stream::write::Encoder;

    use super::*;

    /// A frame as Java's clients write them: it does not say how long its content is.
    fn streamed(content: &[u8], level: i32) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), level).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_frame_that_does_not_say_its_length_is_read_up_to_the_limit() {
        let content = vec![b'x'; 3 << 20];
        for level in [1, 3, 22] {
            let frame = streamed(&content, level);
            assert!(matches!(get_frame_content_size(&frame), Ok(None)), "else this tests something else");
            assert!(decompress(&frame, content.len()).as_ref() == Ok(&content));
            let limit = content.len() - 1;
            assert_eq!(decompress(&frame, limit), Err(RecordError::TooLarge { limit }));
            assert_eq!(decompress(&frame[..frame.len() - 1], content.len()), Err(RecordError::Decompress));
        }
        assert_eq!(decompress(&streamed(b"", 3), 0), Ok(Vec::new()));
    }

    #[test]
    fn frames_behind_each_other_are_one_content() {
        let twice = [streamed(b"one,", 3), streamed(b"two", 3)].concat();
        assert_eq!(decompress(&twice, 7), Ok(b"one,two".to_vec()));
        let mut stated = Vec::new();
        compress(None, b"one,", &mut stated).unwrap();
        assert_eq!(decompress(&[stated, streamed(b"two", 3)].concat(), 7), Ok(b"one,two".to_vec()));
    }
}
