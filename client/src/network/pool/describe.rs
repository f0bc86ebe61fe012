//! The connections of a client in words.
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::{Health, Peer, Pool, State};
use crate::network::Lane;
use crate::network::connection::Connection;
use crate::types::BrokerId;

impl Pool {
    /// One line per broker: its connections, what they wait for, and why there is none. Of the cluster's brokers, those that
    /// are still connected, and the bootstrap servers where they matter.
    pub(crate) fn describe(&self, out: &mut String, now: Instant, is_named: impl Fn(BrokerId) -> bool) {
        let state = self.lock();
        let is_found = state.peers.keys().any(|id| is_named(*id));
        for (id, peer) in &state.peers {
            let lanes = state.lanes_of(*id, now);
            let matters = is_named(*id) || !lanes.is_empty() || id.0 < 0 && (!is_found || peer.health.failures > 0);
            if matters {
                peer.describe(*id, &lanes, out, now);
            }
        }
    }
}

impl State {
    fn lanes_of(&self, broker: BrokerId, now: Instant) -> Vec<String> {
        let slots = self.slots.range((broker, Lane::General)..).take_while(|((id, _), _)| *id == broker);
        let open = slots.filter_map(|((_, lane), slot)| Some((*lane, slot.connection.as_ref()?)));
        open.filter(|(_, c)| !c.is_closed()).map(|(lane, c)| lane_text(lane, c, now)).collect()
    }
}

impl Peer {
    fn describe(&self, id: BrokerId, lanes: &[String], out: &mut String, now: Instant) {
        let name = if id.0 < 0 { "bootstrap server".to_owned() } else { format!("broker {id}") };
        let _ = write!(out, "\n  {name} at {}:{}: ", self.host, self.port);
        match lanes.is_empty() {
            true => out.push_str(&self.health.text(now)),
            false => out.push_str(&lanes.join(", ")),
        }
    }
}

impl Health {
    fn text(&self, now: Instant) -> String {
        let Some(error) = &self.last_error else { return "not connected".to_owned() };
        let wait = self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        format!("not connected after {} attempts, the next in {wait:.1?} at the earliest; {error}", self.failures)
    }
}

/// `produce (2 unanswered, Produce since 0.1 s; throttled for another 2.0 s)`.
fn lane_text(lane: Lane, connection: &Connection, now: Instant) -> String {
    let name = match lane {
        Lane::General => "general".to_owned(),
        Lane::Produce => "produce".to_owned(),
        Lane::Fetch(number) => format!("fetch {number}"),
        Lane::Coordinator => "coordinator".to_owned(),
    };
    let busy = match connection.oldest() {
        Some((oldest, count)) => {
            let since = now.saturating_duration_since(oldest.since);
            format!("{count} unanswered, {} since {since:.1?}", oldest.api)
        }
        None => "idle".to_owned(),
    };
    let left = connection.muted_for(now).map(|left| format!("; throttled for another {left:.1?}"));
    format!("{name} ({busy}{})", left.unwrap_or_default())
}
