//! The topics that are kept up to date, and for how long (`ProducerMetadata.java`).
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The topics to ask for.
#[derive(Debug, Default)]
pub(super) struct WantedTopics {
    topics: BTreeMap<Arc<str>, Wanted>,
    /// How many were begun to be wanted.
    begun: u64,
}

#[derive(Debug, Default)]
struct Wanted {
    /// How many consumers read it, and how many of those may create it by asking for it.
    readers: usize,
    creating_readers: usize,
    /// When others last used it, and whether any of them may create it.
    used: Option<Instant>,
    used_may_create: bool,
}

impl Wanted {
    fn may_create(&self) -> bool {
        self.creating_readers > 0 || self.used_may_create
    }
}

impl WantedTopics {
    /// Keeps `topic` until it is [released](Self::release).
    pub(super) fn retain(&mut self, topic: &str, may_create: bool) {
        let wanted = self.want(topic);
        wanted.readers += 1;
        wanted.creating_readers += usize::from(may_create);
    }

    /// One of those that had it kept needs it no more; `may_create` as then.
    pub(super) fn release(&mut self, topic: &str, may_create: bool) {
        if let Some(wanted) = self.topics.get_mut(topic) {
            wanted.readers = wanted.readers.saturating_sub(1);
            wanted.creating_readers = wanted.creating_readers.saturating_sub(usize::from(may_create));
        }
    }

    /// Keeps `topic` until it was not used for a while.
    pub(super) fn use_now(&mut self, now: Instant, topic: &str, may_create: bool) {
        let wanted = self.want(topic);
        wanted.used = Some(now);
        wanted.used_may_create |= may_create;
    }

    fn want(&mut self, topic: &str) -> &mut Wanted {
        match self.topics.entry(topic.into()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                self.begun += 1;
                new.insert(Wanted::default())
            }
        }
    }

    /// Takes out the topics that nobody reads and that were not used for `idle`.
    pub(super) fn take_idle(&mut self, now: Instant, idle: Duration) -> Vec<Arc<str>> {
        let mut taken = Vec::new();
        for (topic, wanted) in &mut self.topics {
            if wanted.used.is_some_and(|used| now.saturating_duration_since(used) >= idle) {
                (wanted.used, wanted.used_may_create) = (None, false);
            }
            if wanted.readers == 0 && wanted.used.is_none() {
                taken.push(Arc::clone(topic));
            }
        }
        for topic in &taken {
            self.topics.remove(topic);
        }
        taken
    }

    /// Grows with each topic that was not wanted before.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// Each topic, and whether asking for it may create it.
    pub(super) fn topics(&self) -> impl Iterator<Item = (&Arc<str>, bool)> {
        self.topics.iter().map(|(topic, wanted)| (topic, wanted.may_create()))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_not_used_goes_and_one_that_is_retained_stays() {
        let (mut wanted, start, idle) = (WantedTopics::default(), Instant::now(), Duration::from_secs(10));
        wanted.use_now(start, "sent", true);
        wanted.use_now(start, "read too", true);
        wanted.retain("read too", false);
        wanted.retain("read", false);
        wanted.use_now(start, "read", true);
        assert!(wanted.take_idle(start + idle / 2, idle).is_empty());
        wanted.use_now(start + idle / 2, "sent", true);
        assert!(wanted.take_idle(start + idle, idle).is_empty());
        assert_eq!(wanted.take_idle(start + idle * 2, idle), ["sent".into()]);
        assert_eq!(names(&wanted), ["read", "read too"]);
    }

    fn names(wanted: &WantedTopics) -> Vec<&str> {
        wanted.topics().map(|(topic, _)| &**topic).collect()
    }

    #[test]
    fn a_topic_goes_with_its_last_reader() {
        let (mut wanted, now, idle) = (WantedTopics::default(), Instant::now(), Duration::from_secs(10));
        wanted.retain("t", true);
        wanted.retain("t", false);
        wanted.release("t", true);
        assert!(wanted.take_idle(now, idle).is_empty());
        assert_eq!(wanted.topics().collect::<Vec<_>>(), [(&"t".into(), false)], "who may create it has gone");
        wanted.release("t", false);
        wanted.retain("t", false);
        assert!(wanted.take_idle(now, idle).is_empty(), "read again before anything was asked");
        wanted.release("t", false);
        assert_eq!(wanted.take_idle(now, idle), ["t".into()]);
        let begun = wanted.begun();
        wanted.retain("t", false);
        assert_eq!(wanted.begun(), begun + 1, "it is asked for at once");
    }
}
