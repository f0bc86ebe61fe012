//! Incremental fetch sessions (KIP-227): a broker remembers which partitions it is asked for, and is told changes only.
use std::collections::HashMap;
use std::sync::Arc;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::FetchRequest;
use ottla_protocol::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic};

use crate::types::TopicPartition;

/// From this version of Fetch on there are sessions.
const SESSIONS_FROM: i16 = 7;
/// From this version on the last fetched epoch is sent, to find truncation.
const FETCHED_EPOCHS_FROM: i16 = 12;

/// What is asked of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
    pub(crate) max_bytes: i32,
}

/// The part of a request that depends on the session.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SessionRequest {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) topics: Vec<FetchTopic>,
    pub(crate) forgotten: Vec<ForgottenTopic>,
}

/// The session with one broker.
#[derive(Debug, Default)]
pub(crate) struct FetchSession {
    id: i32,
    epoch: i32,
    known: HashMap<TopicPartition, Wanted>,
}

impl FetchSession {
    /// The next request. All partitions in the first one, later only what is new or has changed, at the end of the
    /// broker's list: round robin.
    pub(crate) fn build(&mut self, wanted: &[(TopicPartition, Wanted)], version: i16) -> SessionRequest {
        let mut request = SessionRequest { session_id: self.id, session_epoch: self.epoch, ..Default::default() };
        if version < SESSIONS_FROM {
            request.session_epoch = -1;
            self.known.clear();
        }
        if self.epoch == 0 {
            self.known.clear();
        }
        let asked: HashMap<TopicPartition, Wanted> = wanted.iter().cloned().collect();
        for (partition, wanted) in wanted {
            if self.known.get(partition) != Some(wanted) {
                add(&mut request.topics, partition, wanted, version);
            }
        }
        for partition in self.known.keys().filter(|known| !asked.contains_key(*known)) {
            forget(&mut request.forgotten, partition);
        }
        self.known = asked;
        request
    }

    /// The broker answered. Whether its data can be used.
    pub(crate) fn handle_response(&mut self, error: ErrorCode, session_id: i32) -> bool {
        match error {
            ErrorCode::None if session_id == 0 => {
                // It keeps no session for us: everything is asked each time.
                self.restart(0);
                true
            }
            ErrorCode::None => {
                self.id = session_id;
                self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
                true
            }
            ErrorCode::FetchSessionIdNotFound => {
                self.restart(0);
                false
            }
            _ => {
                self.restart(self.id);
                false
            }
        }
    }

    /// The partition was answered: it is asked for anew, behind the others.
    pub(crate) fn answered(&mut self, partition: &TopicPartition) {
        self.known.entry(partition.clone()).and_modify(|wanted| wanted.offset = -1);
    }

    /// The answer got lost: the broker may be one epoch ahead.
    pub(crate) fn handle_disconnect(&mut self) {
        self.restart(self.id);
    }

    /// The last request of the session, if there is one.
    pub(crate) fn close(&mut self) -> Option<FetchRequest> {
        let session_id = std::mem::take(&mut self.id);
        self.restart(0);
        (session_id != 0).then(|| FetchRequest { session_id, session_epoch: -1, ..Default::default() })
    }

    /// Closes session `id`, if any, and opens another.
    fn restart(&mut self, id: i32) {
        (self.id, self.epoch) = (id, 0);
        self.known.clear();
    }
}

fn add(topics: &mut Vec<FetchTopic>, partition: &TopicPartition, wanted: &Wanted, version: i16) {
    let data = FetchPartition {
        partition: partition.partition,
        current_leader_epoch: wanted.leader_epoch,
        fetch_offset: wanted.offset,
        last_fetched_epoch: if version >= FETCHED_EPOCHS_FROM { wanted.last_fetched_epoch } else { -1 },
        partition_max_bytes: wanted.max_bytes,
        ..Default::default()
    };
    match topics.iter_mut().find(|t| *t.topic == *partition.topic) {
        Some(topic) => topic.partitions.push(data),
        None => topics.push(FetchTopic { topic: name(partition), partitions: vec![data], ..Default::default() }),
    }
}

fn forget(forgotten: &mut Vec<ForgottenTopic>, partition: &TopicPartition) {
    match forgotten.iter_mut().find(|t| *t.topic == *partition.topic) {
        Some(topic) => topic.partitions.push(partition.partition),
        None => {
            let partitions = vec![partition.partition];
            forgotten.push(ForgottenTopic { topic: name(partition), partitions, ..Default::default() });
        }
    }
}

fn name(partition: &TopicPartition) -> String {
    Arc::clone(&partition.topic).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(offset: i64) -> Wanted {
        Wanted { offset, leader_epoch: 1, last_fetched_epoch: 1, max_bytes: 100 }
    }

    fn partition(n: i32) -> TopicPartition {
        TopicPartition::new("t", n)
    }

    fn asked(request: &SessionRequest) -> Vec<i32> {
        request.topics.iter().flat_map(|t| t.partitions.iter().map(|p| p.partition)).collect()
    }

    fn forgotten(request: &SessionRequest) -> Vec<i32> {
        request.forgotten.iter().flat_map(|t| t.partitions.clone()).collect()
    }

    #[test]
    fn a_session_is_told_changes_only() {
        let mut session = FetchSession::default();
        let all = [(partition(0), wanted(5)), (partition(1), wanted(7))];
        let first = session.build(&all, 12);
        assert_eq!((first.session_id, first.session_epoch, asked(&first)), (0, 0, vec![0, 1]));
        assert!(session.handle_response(ErrorCode::None, 77));
        let second = session.build(&all, 12);
        assert_eq!((second.session_id, second.session_epoch, asked(&second)), (77, 1, vec![]));
        session.handle_response(ErrorCode::None, 77);
        let third = session.build(&[(partition(1), wanted(8))], 12);
        assert_eq!((third.session_epoch, asked(&third), forgotten(&third)), (2, vec![1], vec![0]));
    }

    #[test]
    fn an_answered_partition_is_asked_again() {
        let mut session = FetchSession::default();
        let all = [(partition(0), wanted(5))];
        session.build(&all, 12);
        session.handle_response(ErrorCode::None, 77);
        session.answered(&partition(0));
        assert_eq!(asked(&session.build(&all, 12)), [0]);
    }

    #[test]
    fn session_error_on_one_broker_loses_no_partition() {
        for (error, id) in [
            (Some(ErrorCode::FetchSessionIdNotFound), 0),
            (Some(ErrorCode::InvalidFetchSessionEpoch), 77),
            (Some(ErrorCode::FetchSessionTopicIdError), 77),
            (None, 77),
        ] {
            let mut session = FetchSession::default();
            let all = [(partition(0), wanted(5)), (partition(1), wanted(7))];
            session.build(&all, 12);
            session.handle_response(ErrorCode::None, 77);
            match error {
                Some(error) => assert!(!session.handle_response(error, 0)),
                None => session.handle_disconnect(),
            }
            let again = session.build(&all, 12);
            assert_eq!((again.session_id, again.session_epoch, asked(&again)), (id, 0, vec![0, 1]), "{error:?}");
        }
    }

    #[test]
    fn without_a_session_everything_is_asked_each_time() {
        let mut session = FetchSession::default();
        let all = [(partition(0), wanted(5))];
        session.build(&all, 12);
        session.handle_response(ErrorCode::None, 0);
        assert_eq!(asked(&session.build(&all, 12)), [0]);
        let mut old = FetchSession::default();
        for _ in 0..2 {
            let request = old.build(&all, 4);
            assert_eq!((request.session_epoch, asked(&request)), (-1, vec![0]));
            old.handle_response(ErrorCode::None, 0);
        }
    }
}
