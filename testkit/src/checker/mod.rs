//! Did Kafka keep its word? A checker for histories of what clients did and saw.
//!
//! A test writes what happens as [`Entry`] values, one JSON object a line, with a [`Recorder`]; [`check`] finds what must
//! not be in it. The anomalies are named after those of Jepsen's Kafka checker.
//!
//! ```
//! use ottla_testkit::checker::{Anomaly, check, parse};
//!
//! let history = r#"
//! {"process":"producer","event":"send","topic":"t","partition":0,"offset":0,"value":1,"outcome":"ok"}
//! {"process":"producer","event":"send","topic":"t","partition":0,"offset":1,"value":2,"outcome":"ok"}
//! {"process":"reader","event":"poll","records":[{"topic":"t","partition":0,"offset":1,"value":2}]}
//! "#;
//! let report = check(&parse(history)?);
//! assert!(matches!(report.anomalies()[..], [Anomaly::LostWrite { value: 1, .. }]));
//! # Ok::<_, ottla_testkit::checker::HistoryError>(())
//! ```

mod commits;
mod history;
mod log;
mod reads;
mod report;
mod writes;

pub use history::{CommittedOffset, Entry, Event, HistoryError, Outcome, PolledRecord, Recorder, parse};
pub use report::{Anomaly, Place, Report};

use log::Log;

/// Finds all anomalies of a history, in the order of the list in [`Anomaly`].
pub fn check(history: &[Entry]) -> Report {
    let log = Log::of(history);
    let mut anomalies = writes::lost(&log);
    anomalies.extend(writes::duplicates(&log));
    anomalies.extend(writes::aborted_reads(history, &log));
    anomalies.extend(writes::inconsistent_offsets(&log));
    anomalies.extend(reads::non_monotonic_polls(history));
    anomalies.extend(reads::non_monotonic_sends(history));
    anomalies.extend(reads::skipped_polls(history, &log));
    anomalies.extend(writes::torn_transactions(&log));
    anomalies.extend(commits::lost(history));
    Report::new(history, anomalies)
}

#[cfg(test)]
mod tests;
