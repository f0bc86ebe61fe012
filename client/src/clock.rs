//! What time it is. Everything asks tokio, so that tests can stop its clock and let hours pass at once.
#![allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]

use std::time::{Duration, Instant};

/// Now.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The deadline of what may take so long: a time that no clock reaches for one that is too long to be told.
pub(crate) fn after(duration: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let now = now();
    now.checked_add(duration).unwrap_or_else(|| now + CENTURY)
}

/// How long ago that was.
pub(crate) fn since(moment: Instant) -> Duration {
    now().saturating_duration_since(moment)
}
