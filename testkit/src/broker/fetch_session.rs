//! Incremental fetch sessions (KIP-227, `FetchSession.java`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::ErrorCode;

const INITIAL_EPOCH: i32 = 0;
const FINAL_EPOCH: i32 = -1;
/// `max.incremental.fetch.session.cache.slots`.
const SLOTS: usize = 1000;
/// `min.incremental.fetch.session.eviction.ms`.
const EVICTION: Duration = Duration::from_secs(120);

/// A partition as a fetch request names it: by topic id (v13+), else by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FetchKey {
    pub(crate) topic_id: Uuid,
    pub(crate) topic: StrBytes,
    pub(crate) partition: i32,
}

/// What is wanted of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) offset: i64,
    pub(crate) max_bytes: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
}

/// What a reply would say of a partition, as far as it decides whether to mention it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) has_records: bool,
    /// An error or a diverging epoch.
    pub(crate) must_show: bool,
}

#[derive(Debug)]
struct Cached {
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    by_id: bool,
    last_used: Instant,
    partitions: IndexMap<FetchKey, Cached>,
}

/// How a fetch relates to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    Sessionless,
    /// All partitions were sent; a session may be opened with the reply.
    Full {
        by_id: bool,
    },
    Incremental(i32),
}

/// The sessions of all nodes.
#[derive(Debug, Default)]
pub(crate) struct FetchSessions {
    sessions: BTreeMap<(i32, i32), Session>,
}

/// All partitions of a request, in its order.
pub(crate) fn wanted(request: &FetchRequest) -> Vec<(FetchKey, Wanted)> {
    let topics = request.topics.iter();
    let partitions = topics.flat_map(|topic| {
        topic.partitions.iter().map(move |partition| {
            let (topic_id, topic) = (topic.topic_id, topic.topic.0.clone());
            let key = FetchKey { topic_id, topic, partition: partition.partition };
            let wanted = Wanted {
                offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            };
            (key, wanted)
        })
    });
    partitions.collect()
}

impl FetchSessions {
    /// Finds the request's session; returns it with the partitions to be fetched now.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        node: i32,
        version: i16,
        request: &FetchRequest,
    ) -> Result<(Context, Vec<(FetchKey, Wanted)>), ErrorCode> {
        let wanted = wanted(request);
        let by_id = version >= 13;
        if matches!(request.session_epoch, INITIAL_EPOCH | FINAL_EPOCH) {
            self.sessions.remove(&(node, request.session_id));
            let full = request.session_epoch == INITIAL_EPOCH && version >= 7;
            return Ok((if full { Context::Full { by_id } } else { Context::Sessionless }, wanted));
        }
        let key = (node, request.session_id);
        let session = self.sessions.get_mut(&key).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != request.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.update(wanted.iter(), request);
        if session.partitions.is_empty() {
            self.sessions.remove(&key);
            return Ok((Context::Sessionless, wanted));
        }
        session.last_used = now;
        session.epoch = if session.epoch == i32::MAX { 1 } else { session.epoch + 1 };
        let all = session.partitions.iter().map(|(key, cached)| (key.clone(), cached.wanted)).collect();
        Ok((Context::Incremental(request.session_id), all))
    }

    /// Opens a session for a full fetch that was answered; 0 if there is no room.
    pub(crate) fn create(
        &mut self,
        now: Instant,
        node: i32,
        by_id: bool,
        rng: &mut fastrand::Rng,
        partitions: impl IntoIterator<Item = (FetchKey, Wanted, Shown)>,
    ) -> i32 {
        if self.sessions.len() >= SLOTS {
            self.sessions.retain(|_, session| now.saturating_duration_since(session.last_used) < EVICTION);
        }
        if self.sessions.len() >= SLOTS {
            return 0;
        }
        let id = loop {
            let id = rng.i32(1..);
            if !self.sessions.contains_key(&(node, id)) {
                break id;
            }
        };
        let cached = |(key, wanted, shown): (FetchKey, Wanted, Shown)| {
            let high_watermark = if shown.must_show { -1 } else { shown.high_watermark };
            (key, Cached { wanted, high_watermark, log_start_offset: shown.log_start_offset })
        };
        let partitions = partitions.into_iter().map(cached).collect();
        self.sessions.insert((node, id), Session { epoch: 1, by_id, last_used: now, partitions });
        id
    }

    /// Whether an incremental reply must mention the partition; remembers what it says. Partitions with records move
    /// to the end, so that the next fetch begins with others.
    pub(crate) fn must_show(&mut self, node: i32, session: i32, key: &FetchKey, shown: Shown) -> bool {
        let Some(session) = self.sessions.get_mut(&(node, session)) else { return true };
        let Some(cached) = session.partitions.get_mut(key) else { return true };
        let changed =
            cached.high_watermark != shown.high_watermark || cached.log_start_offset != shown.log_start_offset;
        cached.high_watermark = if shown.must_show { -1 } else { shown.high_watermark };
        cached.log_start_offset = shown.log_start_offset;
        if (shown.has_records || shown.must_show)
            && let Some(cached) = session.partitions.shift_remove(key)
        {
            session.partitions.insert(key.clone(), cached);
        }
        shown.has_records || shown.must_show || changed
    }

    /// A node that restarts has lost its sessions.
    pub(crate) fn forget_node(&mut self, node: i32) {
        self.sessions.retain(|&(owner, _), _| owner != node);
    }
}

impl Session {
    fn update<'a>(&mut self, wanted: impl Iterator<Item = &'a (FetchKey, Wanted)>, request: &FetchRequest) {
        for (key, wanted) in wanted {
            match self.partitions.get_mut(key) {
                Some(cached) => cached.wanted = *wanted,
                None => {
                    let cached = Cached { wanted: *wanted, high_watermark: -1, log_start_offset: -1 };
                    self.partitions.insert(key.clone(), cached);
                }
            }
        }
        for forgotten in &request.forgotten_topics_data {
            for &partition in &forgotten.partitions {
                let (topic_id, topic) = (forgotten.topic_id, forgotten.topic.0.clone());
                self.partitions.shift_remove(&FetchKey { topic_id, topic, partition });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]

    use super::*;
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};

    fn request(id: i32, epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
        let partitions = partitions
            .iter()
            .map(|&(index, offset)| FetchPartition::default().with_partition(index).with_fetch_offset(offset))
            .collect();
        let topic =
            FetchTopic::default().with_topic(TopicName(StrBytes::from_static_str("t"))).with_partitions(partitions);
        FetchRequest::default().with_session_id(id).with_session_epoch(epoch).with_topics(vec![topic])
    }

    fn shown(high_watermark: i64) -> Shown {
        Shown { high_watermark, log_start_offset: 0, has_records: false, must_show: false }
    }

    struct Story {
        sessions: FetchSessions,
        now: Instant,
        id: i32,
    }

    fn opened(partitions: &[(i32, i64)]) -> Story {
        let mut sessions = FetchSessions::default();
        let now = Instant::now();
        let (context, wanted) = sessions.open(now, 0, 12, &request(0, 0, partitions)).unwrap();
        assert_eq!(context, Context::Full { by_id: false });
        let mut rng = fastrand::Rng::with_seed(1);
        let all = wanted.into_iter().map(|(key, wanted)| (key, wanted, shown(5)));
        let id = sessions.create(now, 0, false, &mut rng, all);
        assert!(id > 0);
        Story { sessions, now, id }
    }

    impl Story {
        fn fetch(&mut self, request: &FetchRequest) -> Result<(Context, Vec<(i32, i64)>), ErrorCode> {
            let (context, wanted) = self.sessions.open(self.now, 0, 12, request)?;
            Ok((context, wanted.iter().map(|(key, wanted)| (key.partition, wanted.offset)).collect()))
        }

        fn key(&self, partition: i32) -> FetchKey {
            FetchKey { topic_id: Uuid::nil(), topic: StrBytes::from_static_str("t"), partition }
        }
    }

    #[test]
    fn incremental_fetch_sends_changes_only() {
        let mut story = opened(&[(0, 1), (1, 2)]);
        let id = story.id;
        assert_eq!(story.fetch(&request(id, 1, &[(1, 9)])), Ok((Context::Incremental(id), vec![(0, 1), (1, 9)])));
        let mut forget = request(id, 2, &[(2, 3)]);
        let topic =
            ForgottenTopic::default().with_topic(TopicName(StrBytes::from_static_str("t"))).with_partitions(vec![0]);
        forget.forgotten_topics_data = vec![topic];
        assert_eq!(story.fetch(&forget), Ok((Context::Incremental(id), vec![(1, 9), (2, 3)])));
    }

    #[test]
    fn epoch_must_be_the_next_one_else_71() {
        let mut story = opened(&[(0, 1)]);
        let id = story.id;
        assert!(story.fetch(&request(id, 1, &[])).is_ok());
        assert_eq!(story.fetch(&request(id, 1, &[])), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(story.fetch(&request(id, 3, &[])), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert!(story.fetch(&request(id, 2, &[])).is_ok());
    }

    #[test]
    fn epoch_wraps_to_one() {
        let mut story = opened(&[(0, 1)]);
        let id = story.id;
        story.sessions.sessions.get_mut(&(0, id)).unwrap().epoch = i32::MAX;
        assert!(story.fetch(&request(id, i32::MAX, &[])).is_ok());
        assert!(story.fetch(&request(id, 1, &[])).is_ok());
    }

    #[test]
    fn unknown_session_is_70_and_so_is_one_of_another_node() {
        let mut story = opened(&[(0, 1)]);
        let unknown = request(story.id.wrapping_add(1), 1, &[]);
        assert_eq!(story.fetch(&unknown), Err(ErrorCode::FetchSessionIdNotFound));
        let other_node = story.sessions.open(story.now, 1, 12, &request(story.id, 1, &[]));
        assert_eq!(other_node.err(), Some(ErrorCode::FetchSessionIdNotFound));
        story.sessions.forget_node(0);
        assert_eq!(story.fetch(&request(story.id, 1, &[])), Err(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn switching_between_names_and_ids_is_106() {
        let mut story = opened(&[(0, 1)]);
        let by_id = story.sessions.open(story.now, 0, 13, &request(story.id, 1, &[]));
        assert_eq!(by_id.err(), Some(ErrorCode::FetchSessionTopicIdError));
    }

    #[test]
    fn full_fetch_with_an_id_closes_the_old_session() {
        let mut story = opened(&[(0, 1)]);
        assert!(story.fetch(&request(story.id, 0, &[(0, 1)])).is_ok());
        assert_eq!(story.fetch(&request(story.id, 1, &[])), Err(ErrorCode::FetchSessionIdNotFound));
        let mut closed = opened(&[(0, 1)]);
        let last = request(closed.id, -1, &[]);
        assert_eq!(closed.fetch(&last), Ok((Context::Sessionless, vec![])));
    }

    #[test]
    fn unchanged_partition_is_not_shown_and_errors_are_shown_until_gone() {
        let mut story = opened(&[(0, 1)]);
        let (id, key) = (story.id, story.key(0));
        assert!(!story.sessions.must_show(0, id, &key, shown(5)));
        assert!(story.sessions.must_show(0, id, &key, shown(6)));
        assert!(!story.sessions.must_show(0, id, &key, shown(6)));
        assert!(story.sessions.must_show(0, id, &key, Shown { must_show: true, ..shown(6) }));
        assert!(story.sessions.must_show(0, id, &key, shown(6)));
    }

    #[test]
    fn partitions_with_records_move_to_the_end() {
        let mut story = opened(&[(0, 1), (1, 1), (2, 1)]);
        let (id, key) = (story.id, story.key(0));
        assert!(story.sessions.must_show(0, id, &key, Shown { has_records: true, ..shown(6) }));
        let order = story.fetch(&request(id, 1, &[])).unwrap().1;
        assert_eq!(order, [(1, 1), (2, 1), (0, 1)]);
    }
}
