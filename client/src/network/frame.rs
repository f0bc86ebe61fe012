//! The bytes of a request on their way out.
use std::fmt;

use bytes::Bytes;
use ottla_protocol::{ApiKey, Segments};

use super::authenticate::wipe;

/// A request's bytes. What carries a secret is kept while it is written and overwritten when this goes; the bytes of all
/// others are given away. None are shown in `Debug`: they hold records, passwords and the HMACs of tokens.
pub(super) struct Frame {
    segments: Vec<Bytes>,
    secret: bool,
}

impl Frame {
    pub(super) fn new(api: ApiKey, segments: Segments) -> Self {
        Self { segments: segments.0, secret: carries_secret(api) }
    }

    /// What to write, which is asked for once.
    pub(super) fn begin_write(&mut self) -> Vec<Bytes> {
        if self.secret { self.segments.clone() } else { std::mem::take(&mut self.segments) }
    }

    fn len(&self) -> usize {
        self.segments.iter().map(Bytes::len).sum()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if self.secret {
            wipe(Segments(std::mem::take(&mut self.segments)));
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// Whether a request of this API holds what nobody else may know.
fn carries_secret(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::SaslAuthenticate
            | ApiKey::AlterUserScramCredentials
            | ApiKey::RenewDelegationToken
            | ApiKey::ExpireDelegationToken
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(api: ApiKey) -> (Frame, *const u8) {
        let segments = Segments(vec![Bytes::from(b"hunter2".to_vec())]);
        let at = segments.0[0].as_ptr();
        (Frame::new(api, segments), at)
    }

    #[test]
    fn a_frame_with_a_secret_is_kept_to_be_overwritten_and_no_other_is() {
        for &api in ApiKey::ALL {
            let (mut frame, at) = frame(api);
            let written = frame.begin_write();
            assert_eq!((&written[0][..], written[0].as_ptr()), (&b"hunter2"[..], at), "{api}: nothing is copied");
            assert_eq!(!frame.segments.is_empty(), carries_secret(api), "{api}");
            // Once it is written nobody else holds it, so that it can be overwritten.
            drop(written);
            let kept = std::mem::take(&mut frame.segments);
            assert!(kept.into_iter().all(|segment| segment.is_unique()), "{api}");
        }
    }

    #[test]
    fn the_bytes_of_a_request_are_not_shown() {
        let (frame, _) = frame(ApiKey::Produce);
        assert_eq!(format!("{frame:?}"), "7 bytes");
    }
}
