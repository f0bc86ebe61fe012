//! Which `transaction.timeout.ms` to use (K10).
use std::time::Duration;

use crate::error::{Error, Result};

/// Without a setting: an hour, so that an outage of that length loses nothing, or less where the broker wants less.
pub(crate) const DEFAULT: Duration = Duration::from_secs(3600);
/// What brokers allow unless they are told otherwise.
pub(crate) const BROKER_DEFAULT: Duration = Duration::from_secs(900);

/// The timeout to use, and what to warn of. `broker_max`: the smallest `transaction.max.timeout.ms`, if it may be read.
pub(crate) fn effective(
    explicit: Option<Duration>,
    broker_max: Option<Duration>,
) -> Result<(Duration, Option<String>)> {
    match (explicit, broker_max) {
        (Some(ours), Some(max)) if ours > max => Err(too_long(ours, Some(max))),
        (Some(ours), _) => Ok((ours, None)),
        (None, max) => {
            let timeout = DEFAULT.min(max.unwrap_or(DEFAULT));
            let warning = format!(
                "transaction.timeout.ms is not set: {} is used. A job that is down for longer loses what it had prepared; \
                 set it, and the broker's transaction.max.timeout.ms, above the longest outage to be survived",
                timeout.as_millis()
            );
            Ok((timeout, Some(warning)))
        }
    }
}

/// The error for a timeout above the broker's limit.
pub(crate) fn too_long(ours: Duration, broker_max: Option<Duration>) -> Error {
    let max = broker_max.map_or_else(|| "unknown".to_owned(), |max| max.as_millis().to_string());
    Error::config(format!(
        "transaction.timeout.ms={} exceeds the broker's transaction.max.timeout.ms={max}. Nothing was written. Set \
         transaction.timeout.ms to at most the broker's limit, or raise the limit on all brokers",
        ours.as_millis()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn n11_explicit_above_the_limit_is_an_error_with_both_numbers() {
        let text = effective(Some(HOUR), Some(BROKER_DEFAULT)).unwrap_err().to_string();
        let expected = "transaction.timeout.ms=3600000 exceeds the broker's transaction.max.timeout.ms=900000";
        assert!(text.starts_with(expected), "{text}");
        assert!(too_long(HOUR, None).to_string().contains("transaction.max.timeout.ms=unknown"));
    }

    #[test]
    fn n11_unset_takes_the_limit_and_warns() {
        let (timeout, warning) = effective(None, Some(BROKER_DEFAULT)).unwrap();
        assert_eq!(timeout, BROKER_DEFAULT);
        assert!(warning.unwrap().contains("900000"));
        assert_eq!(effective(None, Some(2 * HOUR)).unwrap().0, HOUR);
        assert_eq!(effective(None, None).unwrap().0, HOUR);
        assert_eq!(effective(Some(HOUR), None).unwrap(), (HOUR, None));
    }
}
