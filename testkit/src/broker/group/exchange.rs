//! What members and a classic group say to each other, and what the group keeps of a member.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::ErrorCode;
use super::super::cluster::ConnectionId;

/// A JoinGroup request.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    /// v4+: a dynamic member without id gets one first (KIP-394).
    pub(crate) id_required: bool,
    /// v9+: the leader may be told to skip the assignment (KIP-814).
    pub(crate) may_skip_assignment: bool,
}

/// A JoinGroup response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) error: Option<ErrorCode>,
    pub(crate) member_id: String,
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) skip_assignment: bool,
    /// For the leader: member id, instance id, metadata.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
}

/// A SyncGroup response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) assignment: Bytes,
}

/// An answer to a request that waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Joined(Joined),
    Synced(Result<Synced, ErrorCode>),
}

/// Who speaks: every request after the join names these.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speaker<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    pub(crate) generation: i32,
}

/// A member as DescribeGroups shows it, and as the group knows it.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// Connection whose JoinGroup waits for the others.
    pub(super) joining: Option<ConnectionId>,
    /// Connection whose SyncGroup waits for the leader.
    pub(super) syncing: Option<ConnectionId>,
    pub(super) expires: Instant,
}

impl Member {
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|(name, _)| name == protocol).map_or_else(Bytes::new, |(_, data)| data.clone())
    }
}

pub(super) fn new_member(now: Instant, connection: ConnectionId, join: &Join) -> Member {
    Member {
        instance_id: join.instance_id.clone(),
        client_id: join.client_id.clone(),
        protocols: join.protocols.clone(),
        assignment: Bytes::new(),
        session_timeout: join.session_timeout,
        rebalance_timeout: join.rebalance_timeout,
        joining: Some(connection),
        syncing: None,
        expires: now + join.session_timeout,
    }
}

pub(crate) fn refused(error: ErrorCode, member_id: String) -> Joined {
    Joined {
        error: Some(error),
        member_id,
        generation: -1,
        protocol_type: String::new(),
        protocol: String::new(),
        leader: String::new(),
        skip_assignment: false,
        members: Vec::new(),
    }
}
