//! What a source is set to.
use std::time::Duration;

use ottla_client::ConsumerConfig;
use regex_lite::Regex;

use super::assignment::SplitAssignment;
use super::offsets::{OnOutOfRange, StartOffsets, StopOffsets};
use crate::error::{Error, Result};

/// What becomes of records that the schema cannot read (D8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRecords {
    /// The job fails. A restart meets the same record again.
    #[default]
    Fail,
    /// They are passed over and counted.
    Skip,
}

/// What is read.
#[derive(Clone, Debug)]
pub(crate) enum Subscription {
    Topics(Vec<String>),
    Pattern { text: String, regex: Regex },
}

impl Subscription {
    /// These topics; duplicates collapse (R2).
    pub(crate) fn topics(mut topics: Vec<String>) -> Result<Self> {
        topics.sort_unstable();
        topics.dedup();
        if topics.is_empty() || topics.iter().any(String::is_empty) {
            return Err(Error::config("the list of topics must not be empty, nor the name of a topic"));
        }
        Ok(Self::Topics(topics))
    }

    /// Every topic whose whole name matches (R3).
    pub(crate) fn pattern(text: &str) -> Result<Self> {
        let invalid = |error| Error::config(format!("the topic pattern {text:?} is not a regular expression: {error}"));
        // On its own first, so that no closing bracket escapes the group around it.
        Regex::new(text).map_err(invalid)?;
        let regex = Regex::new(&format!("^(?:{text})$")).map_err(invalid)?;
        Ok(Self::Pattern { text: text.to_owned(), regex })
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Topics(topics) => topics.iter().any(|name| name == topic),
            Self::Pattern { regex, .. } => regex.is_match(topic),
        }
    }
}

/// Everything but the schema and the watermarks.
#[derive(Clone, Debug)]
pub(crate) struct SourceSettings {
    pub(crate) subscription: Subscription,
    pub(crate) start: StartOffsets,
    pub(crate) stop: Option<StopOffsets>,
    pub(crate) on_out_of_range: OnOutOfRange,
    pub(crate) group_id: Option<String>,
    pub(crate) discovery_interval: Option<Duration>,
    pub(crate) discovery_failure_threshold: u32,
    pub(crate) missing_threshold: u16,
    pub(crate) topic_wait: Duration,
    pub(crate) keep_unsubscribed_restored: bool,
    pub(crate) assignment: SplitAssignment,
    pub(crate) commit_on_checkpoint: bool,
    pub(crate) auto_commit_interval: Option<Duration>,
    pub(crate) auto_watermark_interval: Duration,
    pub(crate) poll_timeout: Duration,
    pub(crate) records_per_second: Option<u64>,
    pub(crate) bad_records: BadRecords,
    pub(crate) consumer: ConsumerConfig,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r3_a_pattern_matches_whole_names() {
        let pattern = Subscription::pattern("test-topic-[0-9]").unwrap();
        assert!(pattern.matches("test-topic-3"));
        assert!(!pattern.matches("test-topic-10"));
        assert!(!pattern.matches("xtest-topic-1"));
        let either = Subscription::pattern("a|bc").unwrap();
        assert!(either.matches("a") && either.matches("bc") && !either.matches("abc"));
    }

    #[test]
    fn r3_what_is_not_supported_is_quoted() {
        for bad in ["a(?=b)", r"(a)\1", "a)(b", "["] {
            let error = Subscription::pattern(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn r2_duplicates_collapse_and_nothing_is_an_error() {
        let names = |names: &[&str]| Subscription::topics(names.iter().map(|name| (*name).to_owned()).collect());
        match names(&["b", "a", "b"]).unwrap() {
            Subscription::Topics(topics) => assert_eq!(topics, ["a", "b"]),
            other => panic!("{other:?}"),
        }
        assert!(names(&[]).is_err());
        assert!(names(&[""]).is_err());
    }
}
