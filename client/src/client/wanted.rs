//! The topics that are kept up to date, and for how long (`ProducerMetadata.java`).
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The topics to ask for.
#[derive(Debug, Default)]
pub(super) struct WantedTopics(BTreeMap<Arc<str>, Wanted>);

#[derive(Debug)]
struct Wanted {
    /// Asking for it may create it.
    may_create: bool,
    /// When it was last used; `None`: it is kept, used or not.
    used: Option<Instant>,
}

impl WantedTopics {
    /// Keeps `topic` for good.
    pub(super) fn retain(&mut self, topic: &str, may_create: bool) {
        self.want(topic, may_create, None);
    }

    /// Keeps `topic` until it was not used for a while.
    pub(super) fn use_now(&mut self, now: Instant, topic: &str, may_create: bool) {
        self.want(topic, may_create, Some(now));
    }

    fn want(&mut self, topic: &str, may_create: bool, used: Option<Instant>) {
        match self.0.get_mut(topic) {
            Some(wanted) => {
                wanted.may_create |= may_create;
                wanted.used = wanted.used.and(used);
            }
            None => {
                self.0.insert(topic.into(), Wanted { may_create, used });
            }
        }
    }

    /// Takes out the topics that were not used for `idle`.
    pub(super) fn take_idle(&mut self, now: Instant, idle: Duration) -> Vec<Arc<str>> {
        let is_idle = |wanted: &Wanted| wanted.used.is_some_and(|used| now.saturating_duration_since(used) >= idle);
        let taken = self.0.iter().filter(|(_, wanted)| is_idle(wanted)).map(|(topic, _)| Arc::clone(topic)).collect();
        self.0.retain(|_, wanted| !is_idle(wanted));
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// Those that asking for may create.
    pub(super) fn creatable(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().filter(|(_, wanted)| wanted.may_create).map(|(topic, _)| topic)
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
        assert_eq!(wanted.names().map(|topic| &**topic).collect::<Vec<_>>(), ["read", "read too"]);
    }
}
