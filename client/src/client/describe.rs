//! A client in words.
use std::fmt::Write;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::{Inner, lock};

/// What uses a client and has something to say in [`Client::describe`](super::Client::describe).
pub(crate) trait Describe: Send + Sync {
    /// Lines about it, each begun with a new line.
    fn describe(&self, out: &mut String, now: Instant);
}

impl Inner {
    /// It is described from now on, for as long as it lives.
    pub(super) fn register(&self, user: Weak<dyn Describe>) {
        let mut users = lock(&self.users);
        users.retain(|user| user.strong_count() > 0);
        users.push(user);
    }

    /// What the client is connected to and waits for, as a text for people.
    pub(super) fn describe(&self, now: Instant) -> String {
        let (cluster, pace) = (Arc::clone(&self.changes.borrow()), lock(&self.pace));
        let id = cluster.cluster_id().unwrap_or("without an id");
        let name = Some(self.config.client_id.as_str()).filter(|name| !name.is_empty()).unwrap_or("(no client.id)");
        let mut text = format!("client {name} of cluster {id}: {} brokers", cluster.brokers().count());
        if let Some(controller) = cluster.controller() {
            let _ = write!(text, ", controller {controller}");
        }
        let _ = match pace.last_answer() {
            Some(at) => write!(text, ", metadata {:.1?} old", now.saturating_duration_since(at)),
            None => write!(text, ", no metadata yet"),
        };
        drop(pace);
        if let Some(error) = self.refresh_failure() {
            let _ = write!(text, "; metadata cannot be refreshed: {error}");
        }
        for topic in cluster.topics().filter(|t| t.error.is_some() || t.partitions.iter().any(|p| p.leader.is_none())) {
            let leaderless = topic.partitions.iter().filter(|p| p.leader.is_none()).count();
            let error = topic.error.map_or_else(String::new, |code| format!(" {code}"));
            let _ = write!(text, "\n  topic {}:{error} {leaderless} partitions without a leader", topic.name);
        }
        self.pool.describe(&mut text, now, |id| cluster.broker(id).is_some());
        // Each has a lock of its own: none is taken while another is held.
        let users: Vec<_> = lock(&self.users).iter().filter_map(Weak::upgrade).collect();
        users.iter().for_each(|user| user.describe(&mut text, now));
        text
    }
}
