//! Anomalies of committed positions.

use std::collections::HashMap;

use super::history::{Entry, Event, Outcome};
use super::report::Anomaly;

/// What may be a group's position in a partition.
#[derive(Default)]
struct Positions {
    /// The last acknowledged one.
    certain: Option<i64>,
    /// Those whose outcome nobody knows: a late one may come over a later one.
    possible: Vec<i64>,
}

/// Members that were told a position before the one that was acknowledged last.
///
/// A position further on is none: another member's commit may have been acknowledged and not yet written down.
pub(super) fn lost(history: &[Entry]) -> Vec<Anomaly> {
    let mut groups: HashMap<(&str, &str, i32), Positions> = HashMap::new();
    let mut found = Vec::new();
    for entry in history {
        match &entry.event {
            Event::Commit { group, offsets, outcome } => {
                for position in offsets {
                    let known = groups.entry((group, &position.topic, position.partition)).or_default();
                    match outcome {
                        Outcome::Ok => known.certain = Some(position.offset),
                        Outcome::Unknown => known.possible.push(position.offset),
                        Outcome::Failed => {}
                    }
                }
            }
            Event::Resume { group, position } => {
                let Some(known) = groups.get(&(group.as_str(), position.topic.as_str(), position.partition)) else {
                    continue;
                };
                let told = position.offset;
                if let Some(committed) = known.certain.filter(|&at| told < at && !known.possible.contains(&told)) {
                    found.push(Anomaly::LostCommit {
                        group: group.clone(),
                        partition: format!("{}-{}", position.topic, position.partition),
                        committed,
                        told,
                    });
                }
            }
            _ => {}
        }
    }
    found
}
