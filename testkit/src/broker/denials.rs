//! What clients may not do: denials by call, without the grammar of ACLs, and ACLs that clients made.

use std::sync::Arc;

use kafka_protocol::messages::ApiKey;

use super::ErrorCode;
use super::acl::{self, Acl};
use super::leadership::TRANSACTION;

/// What is done to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Produce, AddPartitionsToTxn.
    Write,
    /// Fetch, OffsetCommit, TxnOffsetCommit.
    Read,
    /// Everything that asks about it: Metadata, ListOffsets, DescribeConfigs, …
    Describe,
    /// Everything that makes, changes or deletes it.
    Alter,
}

impl Access {
    fn of(api: ApiKey) -> Self {
        match api {
            ApiKey::Produce | ApiKey::AddPartitionsToTxn => Self::Write,
            ApiKey::Fetch | ApiKey::OffsetCommit | ApiKey::TxnOffsetCommit => Self::Read,
            ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::CreatePartitions
            | ApiKey::DeleteRecords
            | ApiKey::AlterConfigs
            | ApiKey::IncrementalAlterConfigs => Self::Alter,
            _ => Self::Describe,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Resource {
    Topic { name: String, access: Option<Access> },
    Group(String),
    TransactionalId(String),
    Cluster,
}

/// One thing that is denied, to everyone unless narrowed to a [`user`](Self::user).
///
/// ```
/// use ottla_testkit::{Access, Denial};
///
/// let read_only = Denial::topic("orders").access(Access::Write);
/// let not_hers = Denial::group("payments").user("alice");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "give it to Broker::deny"]
pub struct Denial {
    resource: Resource,
    user: Option<String>,
}

impl Denial {
    fn new(resource: Resource) -> Self {
        Self { resource, user: None }
    }

    /// Everything about a topic: TOPIC_AUTHORIZATION_FAILED.
    pub fn topic(name: &str) -> Self {
        Self::new(Resource::Topic { name: name.to_owned(), access: None })
    }

    /// Everything about a group: GROUP_AUTHORIZATION_FAILED.
    pub fn group(name: &str) -> Self {
        Self::new(Resource::Group(name.to_owned()))
    }

    /// Everything about a transactional id: TRANSACTIONAL_ID_AUTHORIZATION_FAILED.
    pub fn transactional_id(id: &str) -> Self {
        Self::new(Resource::TransactionalId(id.to_owned()))
    }

    /// What concerns the cluster, such as InitProducerId without a transactional id: CLUSTER_AUTHORIZATION_FAILED.
    pub fn cluster() -> Self {
        Self::new(Resource::Cluster)
    }

    /// Of a topic only this access; of other resources nothing changes.
    pub fn access(mut self, only: Access) -> Self {
        if let Resource::Topic { access, .. } = &mut self.resource {
            *access = Some(only);
        }
        self
    }

    /// Only for the user that authenticated by this name; `ANONYMOUS` is everyone who did not authenticate.
    pub fn user(mut self, name: &str) -> Self {
        self.user = Some(name.to_owned());
        self
    }
}

/// The user of connections that did not authenticate.
pub(crate) const ANONYMOUS: &str = "ANONYMOUS";

/// What is denied to one request.
#[derive(Debug, Clone)]
pub(crate) struct Denied {
    denials: Arc<Vec<Denial>>,
    acls: Arc<Vec<Acl>>,
    user: String,
    api: ApiKey,
}

impl Denied {
    /// `None` if nothing is.
    pub(crate) fn new(
        denials: &Arc<Vec<Denial>>,
        acls: &Arc<Vec<Acl>>,
        user: Option<&str>,
        api: ApiKey,
    ) -> Option<Self> {
        if denials.is_empty() && acls.is_empty() {
            return None;
        }
        let user = user.unwrap_or(ANONYMOUS).to_owned();
        Some(Self { denials: denials.clone(), acls: acls.clone(), user, api })
    }

    /// `error` if a denial says so, or the ACLs of a resource.
    fn check(
        &self,
        error: ErrorCode,
        (kind, name): (i8, &str),
        denies: impl Fn(&Resource) -> bool,
    ) -> Result<(), ErrorCode> {
        let mine = |denial: &Denial| denial.user.as_ref().is_none_or(|user| *user == self.user);
        let denied = self.denials.iter().any(|denial| mine(denial) && denies(&denial.resource));
        let may = acl::may(&self.acls, &self.user, kind, name, acl::operation(self.api, kind));
        if denied || !may { Err(error) } else { Ok(()) }
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn topic(&self, topic: &str) -> Result<(), ErrorCode> {
        let this = Access::of(self.api);
        self.check(ErrorCode::TopicAuthorizationFailed, (acl::TOPIC, topic), |resource| match resource {
            Resource::Topic { name, access } => name == topic && access.is_none_or(|access| access == this),
            _ => false,
        })
    }

    /// `kind` as in FindCoordinator.
    pub(crate) fn coordinated(&self, kind: i8, key: &str) -> Result<(), ErrorCode> {
        if kind == TRANSACTION {
            return self.check(
                ErrorCode::TransactionalIdAuthorizationFailed,
                (acl::TRANSACTIONAL_ID, key),
                |resource| matches!(resource, Resource::TransactionalId(id) if id == key),
            );
        }
        self.check(
            ErrorCode::GroupAuthorizationFailed,
            (acl::GROUP, key),
            |resource| matches!(resource, Resource::Group(name) if name == key),
        )
    }

    pub(crate) fn cluster(&self) -> Result<(), ErrorCode> {
        let cluster = (acl::CLUSTER, acl::CLUSTER_NAME);
        self.check(ErrorCode::ClusterAuthorizationFailed, cluster, |resource| *resource == Resource::Cluster)
    }
}
