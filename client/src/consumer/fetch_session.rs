//! Fetch sessions: a broker remembers what is asked for, so that a request names only what changed (KIP-227).
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic, PartitionData};
use ottla_protocol::messages::{FetchRequest, FetchResponse};
use uuid::Uuid;

use super::subscription::Fetchable;
use crate::error::{Action, Context, action};
use crate::types::TopicPartition;

/// The first version with sessions.
const SESSIONS_FROM: i16 = 7;
/// The first version with the epoch of the last record read, to find truncation.
const FETCHED_EPOCHS_FROM: i16 = 12;
/// The first version that speaks of topics by id.
pub(crate) const TOPIC_IDS_FROM: i16 = 13;
/// "No session is wanted", and "this is the last request of the session".
const FINAL_EPOCH: i32 = -1;

/// What is asked of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) fetch: Fetchable,
    /// Nil: not known.
    pub(crate) topic_id: Uuid,
    /// The leader's epoch as far as it is known, or -1.
    pub(crate) leader_epoch: i32,
    pub(crate) max_bytes: i32,
}

impl Wanted {
    fn key(&self) -> &TopicPartition {
        &self.fetch.topic_partition
    }

    fn partition(&self, version: i16) -> FetchPartition {
        FetchPartition {
            partition: self.fetch.topic_partition.partition,
            current_leader_epoch: self.leader_epoch,
            fetch_offset: self.fetch.from.offset,
            last_fetched_epoch: self.fetch.from.epoch.filter(|_| version >= FETCHED_EPOCHS_FROM).unwrap_or(-1),
            partition_max_bytes: self.max_bytes,
            ..Default::default()
        }
    }

    /// What the broker remembers of it is not right any more.
    fn differs(&self, known: &Self) -> bool {
        self.fetch.from != known.fetch.from
            || self.leader_epoch != known.leader_epoch
            || self.max_bytes != known.max_bytes
    }
}

/// The session with one broker.
#[derive(Debug, Default)]
pub(crate) struct FetchSession {
    /// 0: there is none.
    id: i32,
    /// The epoch of the next request; 0: it names everything.
    epoch: i32,
    by_id: bool,
    /// What the last request asked for in all, by partition: what the broker remembers if there is a session.
    asked: Vec<Wanted>,
    names: HashMap<Uuid, Arc<str>>,
    /// The last request named everything.
    full: bool,
}

/// An answer that cannot be used. The next request begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionError {
    /// The broker has forgotten the session: nothing is wrong.
    Lost,
    /// The two sides do not agree on the session, or the broker has no memory for it now.
    Unusable,
    /// The broker refused the request as a whole.
    Refused(ErrorCode),
}

impl FetchSession {
    /// Fills in what is asked for. Afterwards the session holds exactly `wanted`.
    pub(crate) fn ask(&mut self, mut wanted: Vec<Wanted>, version: i16, request: &mut FetchRequest) {
        let by_id = version >= TOPIC_IDS_FROM;
        if by_id != self.by_id {
            self.failed();
            self.by_id = by_id;
        }
        self.full = self.epoch == 0;
        (request.session_id, request.session_epoch) =
            if version < SESSIONS_FROM { (0, FINAL_EPOCH) } else { (self.id, self.epoch) };
        // Both are in order, and walked side by side: an idle session is asked for twice a second with all it holds.
        wanted.sort_by(|a, b| a.key().cmp(b.key()));
        let mut known = std::mem::take(&mut self.asked).into_iter().peekable();
        let mut forgotten = Vec::new();
        self.names.clear();
        self.asked.reserve_exact(wanted.len());
        for partition in wanted {
            forgotten.extend(std::iter::from_fn(|| known.next_if(|k| k.key() < partition.key())));
            let before = known.next_if(|k| k.key() == partition.key());
            let is_moved = before.as_ref().is_some_and(|k| by_id && k.topic_id != partition.topic_id);
            if self.full || is_moved || before.as_ref().is_none_or(|k| partition.differs(k)) {
                name(&mut request.topics, &partition, version);
            }
            forgotten.extend(before.filter(|_| is_moved));
            self.know_name(&partition);
            self.asked.push(partition);
        }
        if !self.full {
            forgotten.extend(known);
            forgotten.iter().for_each(|gone| forget(&mut request.forgotten_topics_data, gone));
        }
    }

    /// Answers name topics by their ids.
    fn know_name(&mut self, partition: &Wanted) {
        let is_same_as_before = self.asked.last().is_some_and(|before| before.topic_id == partition.topic_id);
        if !partition.topic_id.is_nil() && !is_same_as_before {
            self.names.insert(partition.topic_id, Arc::clone(&partition.fetch.topic_partition.topic));
        }
    }

    /// Takes an answer apart: what was asked, and what came of it.
    ///
    /// # Errors
    /// When none of it may be used.
    pub(crate) fn answered(&mut self, response: FetchResponse) -> Result<Vec<(Wanted, PartitionData)>, SessionError> {
        let code = ErrorCode::from(response.error_code);
        if code == ErrorCode::FetchSessionIdNotFound {
            (self.id, self.epoch) = (0, 0);
            return Err(SessionError::Lost);
        }
        if code != ErrorCode::None {
            self.failed();
            let session = action(code, Context::Fetch) == Action::NewSession;
            return Err(if session { SessionError::Unusable } else { SessionError::Refused(code) });
        }
        if self.full && response.responses.is_empty() && response.throttle_time_ms > 0 {
            (self.id, self.epoch) = (0, 0);
            return Err(SessionError::Unusable);
        }
        let answers = self.match_up(response.session_id, response.responses);
        if answers.is_err() {
            self.failed();
        }
        answers
    }

    fn match_up(
        &mut self,
        session_id: i32,
        topics: Vec<ottla_protocol::messages::fetch::FetchableTopicResponse>,
    ) -> Result<Vec<(Wanted, PartitionData)>, SessionError> {
        let mut answers = Vec::with_capacity(topics.iter().map(|t| t.partitions.len()).sum());
        let mut seen = HashSet::new();
        for topic in topics {
            let name = if self.by_id { self.names.get(&topic.topic_id).cloned() } else { Some(topic.topic.into()) };
            let name = name.ok_or(SessionError::Unusable)?;
            for data in topic.partitions {
                let key = TopicPartition::new(Arc::clone(&name), data.partition_index);
                let at = self.asked.binary_search_by(|w| w.key().cmp(&key)).map_err(|_| SessionError::Unusable)?;
                let wanted = self.asked.get(at).ok_or(SessionError::Unusable)?;
                // A partition that is named twice is taken once.
                if seen.insert(key) {
                    answers.push((wanted.clone(), data));
                }
            }
        }
        self.epoch = match (session_id, self.epoch) {
            (0, _) => 0,
            (_, i32::MAX) => 1,
            (_, epoch) => epoch + 1,
        };
        self.id = session_id;
        Ok(answers)
    }

    /// No answer will come, or none that can be used: the next request closes the session and opens a new one.
    pub(crate) fn failed(&mut self) {
        self.epoch = 0;
    }

    /// The last request of the session, if there is one.
    pub(crate) fn close(&mut self) -> Option<FetchRequest> {
        let session_id = std::mem::take(&mut self.id);
        *self = Self::default();
        (session_id != 0).then(|| FetchRequest { session_id, session_epoch: FINAL_EPOCH, ..Default::default() })
    }
}

/// Adds a partition to the request, to the topic of the one before it if it is the same: the order is what says who is
/// served first.
fn name(topics: &mut Vec<FetchTopic>, wanted: &Wanted, version: i16) {
    let topic = &wanted.fetch.topic_partition.topic;
    match topics.last_mut() {
        Some(last) if *last.topic == **topic && last.topic_id == wanted.topic_id => {
            last.partitions.push(wanted.partition(version));
        }
        _ => topics.push(FetchTopic {
            topic: topic.to_string(),
            topic_id: wanted.topic_id,
            partitions: vec![wanted.partition(version)],
        }),
    }
}

fn forget(topics: &mut Vec<ForgottenTopic>, gone: &Wanted) {
    let (topic, partition) = (&gone.fetch.topic_partition.topic, gone.fetch.topic_partition.partition);
    match topics.iter_mut().find(|t| *t.topic == **topic && t.topic_id == gone.topic_id) {
        Some(known) => known.partitions.push(partition),
        None => topics.push(ForgottenTopic {
            topic: topic.to_string(),
            topic_id: gone.topic_id,
            partitions: vec![partition],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::completed_fetch::FetchPosition;
    use super::*;
    use ottla_protocol::messages::fetch::FetchableTopicResponse;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn wanted(partition: i32, offset: i64) -> Wanted {
        Wanted {
            fetch: Fetchable {
                topic_partition: TopicPartition::new("t", partition),
                stamp: 1,
                from: FetchPosition { offset, epoch: None },
            },
            topic_id: A,
            leader_epoch: 3,
            max_bytes: 1000,
        }
    }

    /// Session id and epoch, the partitions named with their offsets, and those forgotten.
    type Asked = ((i32, i32), Vec<(i32, i64)>, Vec<i32>);

    fn ask_in(session: &mut FetchSession, version: i16, wanted: Vec<Wanted>) -> Asked {
        let mut request = FetchRequest::default();
        session.ask(wanted, version, &mut request);
        let named = request.topics.iter().flat_map(|t| &t.partitions).map(|p| (p.partition, p.fetch_offset));
        let mut forgotten: Vec<_> = request.forgotten_topics_data.iter().flat_map(|t| t.partitions.clone()).collect();
        forgotten.sort_unstable();
        ((request.session_id, request.session_epoch), named.collect(), forgotten)
    }

    fn ask(session: &mut FetchSession, wanted: Vec<Wanted>) -> Asked {
        ask_in(session, 17, wanted)
    }

    fn answer(session_id: i32, partitions: &[i32]) -> FetchResponse {
        let data = |p: &i32| PartitionData { partition_index: *p, ..Default::default() };
        let partitions = partitions.iter().map(data).collect();
        let topic = FetchableTopicResponse { topic: "t".into(), topic_id: A, partitions };
        FetchResponse { session_id, responses: vec![topic], ..Default::default() }
    }

    fn refusal(code: ErrorCode) -> FetchResponse {
        FetchResponse { error_code: code.code(), ..Default::default() }
    }

    fn open() -> FetchSession {
        let mut session = FetchSession::default();
        assert_eq!(ask(&mut session, vec![wanted(0, 5), wanted(1, 6)]), ((0, 0), vec![(0, 5), (1, 6)], vec![]));
        assert_eq!(session.answered(answer(9, &[0, 1])).unwrap().len(), 2);
        session
    }

    #[test]
    fn an_incremental_request_names_what_changed_and_forgets_what_is_gone() {
        let mut session = open();
        assert_eq!(ask(&mut session, vec![wanted(0, 5), wanted(1, 7)]), ((9, 1), vec![(1, 7)], vec![]));
        session.answered(answer(9, &[1])).unwrap();
        assert_eq!(ask(&mut session, vec![wanted(2, 0), wanted(1, 7)]), ((9, 2), vec![(2, 0)], vec![0]));
        session.answered(answer(9, &[])).unwrap();
        assert_eq!(ask(&mut session, vec![wanted(2, 0)]), ((9, 3), vec![], vec![1]));
    }

    #[test]
    fn session_id_zero_stays_sessionless() {
        let mut session = FetchSession::default();
        for _ in 0..2 {
            assert_eq!(ask(&mut session, vec![wanted(0, 5)]), ((0, 0), vec![(0, 5)], vec![]));
            session.answered(answer(0, &[0])).unwrap();
        }
    }

    #[test]
    fn versions_before_sessions_name_everything() {
        let mut session = FetchSession::default();
        for _ in 0..2 {
            assert_eq!(ask_in(&mut session, 6, vec![wanted(0, 5)]), ((0, -1), vec![(0, 5)], vec![]));
            session.answered(answer(0, &[0])).unwrap();
        }
    }

    #[test]
    fn session_error_on_one_broker_loses_no_partition() {
        let all = || vec![wanted(0, 5), wanted(1, 6)];
        let named = vec![(0, 5), (1, 6)];
        for (code, id) in [
            (ErrorCode::FetchSessionIdNotFound, 0),
            (ErrorCode::InvalidFetchSessionEpoch, 9),
            (ErrorCode::FetchSessionTopicIdError, 9),
            (ErrorCode::UnknownServerError, 9),
        ] {
            let mut session = open();
            assert_eq!(ask(&mut session, all()).1, []);
            assert!(session.answered(refusal(code)).is_err());
            assert_eq!(ask(&mut session, all()), ((id, 0), named.clone(), vec![]), "{code}");
        }
        let mut disconnected = open();
        assert_eq!(ask(&mut disconnected, all()).1, []);
        disconnected.failed();
        assert_eq!(ask(&mut disconnected, all()), ((9, 0), named, vec![]));
    }

    #[test]
    fn an_answer_about_a_partition_nobody_asked_for_begins_anew() {
        let mut session = open();
        ask(&mut session, vec![wanted(0, 5)]);
        assert_eq!(session.answered(answer(9, &[0, 4])), Err(SessionError::Unusable));
        assert_eq!(ask(&mut session, vec![wanted(0, 5)]), ((9, 0), vec![(0, 5)], vec![]));
    }

    #[test]
    fn an_empty_full_answer_with_a_throttle_is_no_session() {
        let mut session = FetchSession::default();
        ask(&mut session, vec![wanted(0, 5)]);
        let throttled = FetchResponse { throttle_time_ms: 10, session_id: 4, ..Default::default() };
        assert_eq!(session.answered(throttled), Err(SessionError::Unusable));
        assert_eq!(ask(&mut session, vec![wanted(0, 5)]).0, (0, 0));
    }

    #[test]
    fn a_recreated_topic_is_forgotten_by_its_old_id_and_named_by_its_new_one() {
        let mut session = open();
        let mut request = FetchRequest::default();
        session.ask(vec![Wanted { topic_id: B, ..wanted(0, 5) }, wanted(1, 6)], 17, &mut request);
        let forgotten: Vec<_> = request.forgotten_topics_data.iter().map(|t| t.topic_id).collect();
        let named: Vec<_> = request.topics.iter().map(|t| t.topic_id).collect();
        assert_eq!((forgotten, named), (vec![A], vec![B]));
    }

    #[test]
    fn names_and_ids_do_not_share_a_session() {
        let mut session = open();
        assert_eq!(ask_in(&mut session, 12, vec![wanted(0, 5)]), ((9, 0), vec![(0, 5)], vec![]));
        session.answered(answer(10, &[0])).unwrap();
        assert_eq!(ask_in(&mut session, 12, vec![wanted(0, 5)]).0, (10, 1));
        assert_eq!(ask_in(&mut session, 13, vec![wanted(0, 5)]).0, (10, 0));
    }

    #[test]
    fn the_epoch_after_the_last_is_one() {
        let mut session = open();
        session.epoch = i32::MAX;
        ask(&mut session, vec![wanted(0, 5)]);
        session.answered(answer(9, &[])).unwrap();
        assert_eq!(session.epoch, 1);
    }

    #[test]
    fn the_last_request_closes_the_session() {
        let last = open().close().unwrap();
        assert_eq!((last.session_id, last.session_epoch), (9, -1));
        assert!(FetchSession::default().close().is_none());
    }
}
