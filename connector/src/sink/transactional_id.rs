//! Transactional ids: `{prefix}-{subtask}-{slot}`, and whose they are.
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// Longest prefix in bytes; the id has to fit Kafka's 32 767 characters and the state's 16-bit length.
const MAX_PREFIX: usize = 64_000;

/// Without any record of what was used, every subtask clears this many generations of its index (K23, as Flink).
const GUESS_FACTOR: u32 = 5;

/// One transactional id of the pool of one subtask.
///
/// It is parsed from the right, so that a prefix may hold `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionalId {
    /// What all ids of a sink start with.
    pub prefix: Arc<str>,
    /// The subtask that began with it.
    pub subtask: u32,
    /// Its place in that subtask's pool.
    pub slot: u16,
}

impl TransactionalId {
    /// The id of `slot` of `subtask`.
    pub fn new(prefix: impl Into<Arc<str>>, subtask: u32, slot: u16) -> Self {
        Self { prefix: prefix.into(), subtask, slot }
    }

    /// Reads an id; `None` when it has not this shape, so it is somebody else's.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let (rest, slot) = id.rsplit_once('-')?;
        let (prefix, subtask) = rest.rsplit_once('-')?;
        if prefix.is_empty() {
            return None;
        }
        Some(Self::new(prefix, canonical(subtask)?.parse().ok()?, canonical(slot)?.parse().ok()?))
    }
}

impl fmt::Display for TransactionalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.prefix, self.subtask, self.slot)
    }
}

/// Digits as `Display` writes them: "01" and "+1" are not ours.
fn canonical(digits: &str) -> Option<&str> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (plain && (digits == "0" || !digits.starts_with('0'))).then_some(digits)
}

/// Checks a prefix (K6).
pub(crate) fn validate_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() || prefix.len() > MAX_PREFIX {
        return Err(Error::config(format!(
            "transactional.id.prefix has {} bytes, it must have 1 to {MAX_PREFIX}; give the sink a name or set the prefix",
            prefix.len()
        )));
    }
    Ok(())
}

/// Which subtask indices belong to whom: index `s` to the owners of `s mod total` (K22).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    owned: BTreeSet<u32>,
    total: u32,
}

impl Ownership {
    /// The indices of one subtask of `parallelism`.
    #[must_use]
    pub fn of_subtask(subtask: u32, parallelism: u32) -> Self {
        Self::new([subtask], parallelism)
    }

    /// The indices whose rest by `total` is in `owned`.
    pub fn new(owned: impl IntoIterator<Item = u32>, total: u32) -> Self {
        Self { owned: owned.into_iter().collect(), total: total.max(1) }
    }

    /// Whether index `subtask` is owned.
    #[must_use]
    pub fn owns(&self, subtask: u32) -> bool {
        self.owned.contains(&(subtask % self.total))
    }

    /// Refuses state of an index that is not owned (K22).
    pub(crate) fn check(&self, what: &'static str, of: u32) -> Result<()> {
        if self.owns(of) {
            return Ok(());
        }
        let subtask = self.owned.first().copied().unwrap_or_default();
        Err(Error::MisroutedState { what, of, subtask, parallelism: self.total })
    }
}

/// Of the transactions found open, those to abort: of exactly these prefixes, owned, and not held by this attempt (K21).
pub fn lingering<'a>(
    open: impl IntoIterator<Item = &'a str>,
    prefixes: &[&str],
    ownership: &Ownership,
    held: &HashSet<String>,
) -> Vec<String> {
    let ours = |id: &&str| {
        TransactionalId::parse(id).is_some_and(|id| prefixes.contains(&&*id.prefix) && ownership.owns(id.subtask))
            && !held.contains(*id)
    };
    open.into_iter().filter(ours).map(str::to_owned).collect()
}

/// What a job has ever used: the largest parallelism, and prefixes with their pool sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UsedIds {
    pub(crate) prefixes: Vec<(String, u16)>,
    pub(crate) largest_parallelism: u32,
}

impl UsedIds {
    /// Notes a use; sizes only grow.
    pub(crate) fn note(&mut self, prefix: &str, pool_size: u16, parallelism: u32) {
        self.largest_parallelism = self.largest_parallelism.max(parallelism);
        match self.prefixes.iter_mut().find(|(known, _)| known == prefix) {
            Some((_, size)) => *size = (*size).max(pool_size),
            None => self.prefixes.push((prefix.to_owned(), pool_size)),
        }
    }

    /// The ids that `subtask` of `parallelism` may find open on a broker that cannot list them (K23).
    pub(crate) fn candidates(&self, subtask: u32, parallelism: u32) -> Vec<String> {
        let indices: Vec<u32> = (subtask..self.largest_parallelism).step_by(parallelism.max(1) as usize).collect();
        all_slots(&self.prefixes, &indices)
    }
}

/// The ids to clear when nothing is known: five generations of the own index, all slots (K23).
pub(crate) fn guessed(prefix: &str, pool_size: u16, subtask: u32, parallelism: u32) -> Vec<String> {
    let indices: Vec<u32> =
        (0..GUESS_FACTOR).map(|generation| subtask.saturating_add(generation.saturating_mul(parallelism))).collect();
    all_slots(&[(prefix.to_owned(), pool_size)], &indices)
}

fn all_slots(prefixes: &[(String, u16)], indices: &[u32]) -> Vec<String> {
    let mut ids = Vec::new();
    for (prefix, size) in prefixes {
        let prefix: Arc<str> = prefix.as_str().into();
        for &index in indices {
            ids.extend((0..*size).map(|slot| TransactionalId::new(prefix.clone(), index, slot).to_string()));
        }
    }
    ids
}

static CLAIMED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// The right to use a prefix on a cluster, one per process; given back on drop (K6).
#[derive(Debug)]
pub(crate) struct PrefixClaim {
    key: (String, String),
}

impl PrefixClaim {
    /// Two sinks of one process with the same prefix would fence each other without end.
    pub(crate) fn new(cluster: &str, prefix: &str) -> Result<Self> {
        validate_prefix(prefix)?;
        let key = (cluster.to_owned(), prefix.to_owned());
        if !CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            return Err(Error::config(format!(
                "duplicate transactional id prefix {prefix:?}: another sink of this process uses it; give each sink its own"
            )));
        }
        Ok(Self { key })
    }
}

impl Drop for PrefixClaim {
    fn drop(&mut self) {
        CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k6_ids_are_parsed_from_the_right() {
        let id = TransactionalId::parse("app-b-0-5").expect("ours");
        assert_eq!((&*id.prefix, id.subtask, id.slot), ("app-b", 0, 5));
        assert_eq!(id.to_string(), "app-b-0-5");
        for foreign in ["app", "app-5", "-0-5", "app-0-", "app--5", "app-01-5", "app-+1-5", "app-0-65536", "app-0-x"] {
            assert_eq!(TransactionalId::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn n3_a_prefix_that_continues_ours_is_foreign() {
        let open = ["app-0-5", "app-b-0-5", "ap-0-5", "app-0-x"];
        let found = lingering(open, &["app"], &Ownership::of_subtask(0, 1), &HashSet::new());
        assert_eq!(found, ["app-0-5"]);
    }

    fn aborts(owned: &[u32], total: u32, prepared: &[(u32, u16)], open: &[(u32, u16)]) -> Vec<(u32, u16)> {
        let id = |&(subtask, slot): &(u32, u16)| TransactionalId::new("p", subtask, slot).to_string();
        let held = prepared.iter().map(id).collect();
        let open: Vec<String> = open.iter().map(id).collect();
        lingering(open.iter().map(String::as_str), &["p"], &Ownership::new(owned.iter().copied(), total), &held)
            .iter()
            .map(|id| TransactionalId::parse(id).map(|id| (id.subtask, id.slot)).expect("ours"))
            .collect()
    }

    #[test]
    fn a27_who_aborts_what() {
        let first = aborts(&[0, 1], 4, &[(0, 1), (1, 1)], &[(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2)]);
        assert_eq!(first, [(0, 2), (1, 2)]);
        let second = aborts(&[2, 3], 4, &[(2, 1), (3, 1)], &[(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]);
        assert_eq!(second, [(2, 2), (3, 2)]);
        assert_eq!(aborts(&[0, 1], 4, &[], &[(0, 2), (1, 2), (5, 2), (6, 2)]), [(0, 2), (1, 2), (5, 2)]);
        assert_eq!(aborts(&[0], 2, &[], &[(1, 1), (0, 2), (1, 2)]), [(0, 2)]);
        assert_eq!(aborts(&[0], 2, &[], &[(0, 0), (4, 0), (5, 0)]), [(0, 0), (4, 0)]);
        assert_eq!(aborts(&[3], 4, &[], &[(3, 1), (3, 2)]), [(3, 1), (3, 2)]);
    }

    #[test]
    fn a28_state_goes_to_the_index_by_the_parallelism() {
        for (state, parallelism, subtask) in [(1, 3, 1), (3, 3, 0)] {
            assert!(Ownership::of_subtask(subtask, parallelism).check("writer", state).is_ok());
        }
        for (state, subtask, parallelism) in [(1, 2, 3), (3, 2, 3), (1, 3, 4)] {
            let error = Ownership::of_subtask(subtask, parallelism).check("writer", state).expect_err("not ours");
            assert!(error.to_string().starts_with("misrouted state"), "{error}");
        }
    }

    /// The flat ids of legacy Flink, `index * pool + slot`, that the same sets would be.
    fn flat(ids: &[String], pool: u32) -> Vec<u32> {
        let flat = |id: &String| TransactionalId::parse(id).map(|id| id.subtask * pool + u32::from(id.slot));
        ids.iter().map(|id| flat(id).expect("ours")).collect()
    }

    #[test]
    fn k23_what_is_aborted_without_listing() {
        assert_eq!(flat(&guessed("p", 5, 0, 1), 5), (0..25).collect::<Vec<_>>());
        let second: Vec<u32> = [5..10, 15..20, 25..30, 35..40, 45..50].into_iter().flatten().collect();
        assert_eq!(flat(&guessed("p", 5, 1, 2), 5), second);
        let third: Vec<u32> = [0..3, 6..9, 12..15, 18..21, 24..27].into_iter().flatten().collect();
        assert_eq!(flat(&guessed("p", 3, 0, 2), 3), third);
    }

    #[test]
    fn k23_with_a_record_nothing_is_left() {
        let mut used = UsedIds::default();
        used.note("p", 5, 10);
        used.note("p", 3, 2);
        assert_eq!(flat(&used.candidates(0, 1), 5), (0..50).collect::<Vec<_>>());
        let mut both = used.candidates(0, 2);
        both.extend(used.candidates(1, 2));
        let mut both = flat(&both, 5);
        both.sort_unstable();
        assert_eq!(both, (0..50).collect::<Vec<_>>());
        // Without it a P of 1 guesses 0-24 and leaves the rest to the timeout.
        assert_eq!(flat(&guessed("p", 5, 0, 1), 5).last(), Some(&24));
    }

    #[test]
    fn n23_a_prefix_is_used_once_in_a_process() {
        let claim = PrefixClaim::new("cluster-n23", "app").expect("free");
        let error = PrefixClaim::new("cluster-n23", "app").expect_err("taken");
        assert!(error.to_string().contains("duplicate transactional id prefix"));
        PrefixClaim::new("another-n23", "app").expect("another cluster");
        drop(claim);
        PrefixClaim::new("cluster-n23", "app").expect("free again");
    }

    #[test]
    fn k6_the_length_of_a_prefix_is_bounded() {
        assert!(validate_prefix("").is_err());
        assert!(validate_prefix(&"x".repeat(MAX_PREFIX)).is_ok());
        assert!(validate_prefix(&"x".repeat(MAX_PREFIX + 1)).is_err());
    }
}
