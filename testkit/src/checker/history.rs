//! \[I/O\] What a history is made of, and how it is written.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// How something ended, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged; of a transaction: committed.
    Ok,
    /// It certainly did not happen; of a transaction: aborted.
    Failed,
    /// It may have happened.
    Unknown,
}

/// A record that a reader got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolledRecord {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// What was sent.
    pub value: u64,
}

/// The position of a group in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
}

/// What happened to a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A record was sent. Written when its outcome is known, by each process in the order of sending. No value may be
    /// sent twice in a history.
    Send {
        /// Where to.
        topic: String,
        /// The partition, when it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<i32>,
        /// The offset, when it was acknowledged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<i64>,
        /// What was sent.
        value: u64,
        /// How it ended; inside of a transaction, whether it was acknowledged.
        outcome: Outcome,
        /// The transaction it was sent in; each has a name of its own in the history.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction: Option<String>,
    },
    /// A transaction ended.
    EndTransaction {
        /// Its name.
        transaction: String,
        /// How.
        outcome: Outcome,
    },
    /// A reader got records, in this order.
    Poll {
        /// The records.
        records: Vec<PolledRecord>,
        /// It reads uncommitted and aborted records too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        uncommitted: bool,
    },
    /// A reader's partitions or positions changed: what it reads next need not follow what it read last.
    Assign,
    /// A reader has seen all that there is below an offset, as at the end of a test.
    ReadToEnd {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The end.
        offset: i64,
    },
    /// A group's positions were committed.
    Commit {
        /// The group.
        group: String,
        /// The positions.
        offsets: Vec<CommittedOffset>,
        /// How it ended.
        outcome: Outcome,
    },
    /// A member was told the group's position.
    Resume {
        /// The group.
        group: String,
        /// What it was told; -1 = the group has none.
        position: CommittedOffset,
    },
}

/// A line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which client.
    pub process: String,
    /// What happened to it.
    #[serde(flatten)]
    pub event: Event,
}

/// A line of a history is not one.
#[derive(Debug)]
pub struct HistoryError {
    line: usize,
    reason: serde_json::Error,
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the history cannot be read: {}", self.line, self.reason)
    }
}

impl std::error::Error for HistoryError {}

/// Reads a history; empty lines are passed over.
///
/// # Errors
/// Names the first line that is none.
pub fn parse(text: &str) -> Result<Vec<Entry>, HistoryError> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(line, text)| serde_json::from_str(text).map_err(|reason| HistoryError { line, reason })).collect()
}

/// Writes a history to a file, from any number of tasks.
#[derive(Debug)]
pub struct Recorder {
    file: Mutex<BufWriter<File>>,
}

impl Recorder {
    /// Begins a new file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { file: Mutex::new(BufWriter::new(File::create(path)?)) })
    }

    /// Adds a line. It is in the file when this returns, so that a killed process leaves what it knew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&self, process: &str, event: Event) -> io::Result<()> {
        let line = serde_json::to_string(&Entry { process: process.to_owned(), event })?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{line}")?;
        file.flush()
    }
}
