//! ACLs as Kafka's `StandardAuthorizer` keeps and reads them. A resource no ACL names is open to everyone
//! (`allow.everyone.if.no.acl.found`).

use kafka_protocol::messages::ApiKey;

use super::versions::KafkaVersion;

/// Resource types.
pub(crate) const TOPIC: i8 = 2;
pub(crate) const GROUP: i8 = 3;
pub(crate) const CLUSTER: i8 = 4;
pub(crate) const TRANSACTIONAL_ID: i8 = 5;
/// The one resource of type [`CLUSTER`].
pub(crate) const CLUSTER_NAME: &str = "kafka-cluster";

/// Pattern types; a filter may also say any, or what matches a name.
pub(crate) const LITERAL: i8 = 3;
pub(crate) const PREFIXED: i8 = 4;
const MATCH: i8 = 2;
const WILDCARD: &str = "*";

/// Any, of resource types, pattern types, operations and permissions.
const ANY: i8 = 1;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

/// Operations.
const ALL: i8 = 2;
const READ: i8 = 3;
const WRITE: i8 = 4;
const CREATE: i8 = 5;
const DELETE: i8 = 6;
const ALTER: i8 = 7;
const DESCRIBE: i8 = 8;
const CLUSTER_ACTION: i8 = 9;
const DESCRIBE_CONFIGS: i8 = 10;
const ALTER_CONFIGS: i8 = 11;
const IDEMPOTENT_WRITE: i8 = 12;
const NEWEST_OPERATION: i8 = 15;

/// Where every client of a broker on loopback comes from.
const HOST: &str = "127.0.0.1";

/// One ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acl {
    pub(crate) kind: i8,
    pub(crate) name: String,
    pub(crate) pattern: i8,
    pub(crate) principal: String,
    pub(crate) host: String,
    pub(crate) operation: i8,
    pub(crate) permission: i8,
}

impl Acl {
    /// Why it can't be kept (`AclApis.scala`, `AclControlManager.validateNewAcl`).
    pub(crate) fn check(&self) -> Result<(), String> {
        let reason = match self {
            _ if !matches!(self.kind, TOPIC..=7) => "Invalid resourceType",
            _ if !matches!(self.pattern, LITERAL | PREFIXED) => "Invalid patternType",
            _ if !matches!(self.operation, ALL..=NEWEST_OPERATION) => "Invalid operation",
            _ if !matches!(self.permission, DENY | ALLOW) => "Invalid permissionType",
            _ if self.name.is_empty() => "Resource name should not be empty",
            _ if self.kind == CLUSTER && self.name != CLUSTER_NAME => {
                "The only valid name for the CLUSTER resource is kafka-cluster"
            }
            _ if !self.principal.contains(':') => "Principal must be written as TYPE:NAME",
            _ => return Ok(()),
        };
        Err(reason.to_owned())
    }

    fn is_about(&self, kind: i8, name: &str) -> bool {
        let literal = self.pattern == LITERAL && (self.name == name || self.name == WILDCARD);
        self.kind == kind && (literal || (self.pattern == PREFIXED && name.starts_with(&self.name)))
    }

    fn concerns(&self, user: &str) -> bool {
        let principal = self.principal.strip_prefix("User:").is_some_and(|name| name == user || name == WILDCARD);
        principal && matches!(self.host.as_str(), WILDCARD | HOST)
    }

    /// To allow one operation allows what is done to know of it.
    fn allows(&self, operation: i8) -> bool {
        let implied = match operation {
            DESCRIBE => matches!(self.operation, READ | WRITE | DELETE | ALTER),
            DESCRIBE_CONFIGS => self.operation == ALTER_CONFIGS,
            _ => false,
        };
        self.permission == ALLOW && (implied || matches!(self.operation, ALL) || self.operation == operation)
    }

    fn denies(&self, operation: i8) -> bool {
        self.permission == DENY && (self.operation == ALL || self.operation == operation)
    }
}

/// Which ACLs are asked for; `None` and any take all (`AclBindingFilter.java`).
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) kind: i8,
    pub(crate) name: Option<String>,
    pub(crate) pattern: i8,
    pub(crate) principal: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) operation: i8,
    pub(crate) permission: i8,
}

impl Filter {
    pub(crate) fn takes(&self, acl: &Acl) -> bool {
        let is = |wanted: i8, value: i8| wanted == ANY || wanted == value;
        let says = |wanted: &Option<String>, value: &String| wanted.as_ref().is_none_or(|wanted| wanted == value);
        let named = match &self.name {
            None => true,
            Some(name) if self.pattern == MATCH => acl.is_about(acl.kind, name),
            Some(name) => *name == acl.name,
        };
        is(self.kind, acl.kind)
            && (self.pattern == MATCH || is(self.pattern, acl.pattern))
            && named
            && says(&self.principal, &acl.principal)
            && says(&self.host, &acl.host)
            && is(self.operation, acl.operation)
            && is(self.permission, acl.permission)
    }
}

/// Whether `user` may (`StandardAuthorizerData.authorize`).
pub(crate) fn may(acls: &[Acl], user: &str, kind: i8, name: &str, operation: i8) -> bool {
    let named = acls.iter().filter(|acl| acl.is_about(kind, name));
    let (mut open, mut allowed) = (true, false);
    for acl in named {
        open = false;
        if acl.concerns(user) {
            if acl.denies(operation) {
                return false;
            }
            allowed |= acl.allows(operation);
        }
    }
    open || allowed
}

/// What `user` may do to a resource, one bit per operation (KIP-430).
pub(crate) fn operations(acls: &[Acl], user: &str, kind: i8, name: &str, version: KafkaVersion) -> i32 {
    let known: &[i8] = match kind {
        TOPIC => &[READ, WRITE, CREATE, DESCRIBE, DELETE, ALTER, DESCRIBE_CONFIGS, ALTER_CONFIGS],
        GROUP if version.at_least(4, 0) => &[READ, DESCRIBE, DELETE, DESCRIBE_CONFIGS, ALTER_CONFIGS],
        GROUP => &[READ, DESCRIBE, DELETE],
        CLUSTER => &[CREATE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE, ALTER, DESCRIBE],
        _ => &[],
    };
    let may = known.iter().filter(|&&operation| may(acls, user, kind, name, operation));
    may.fold(0, |bits, operation| bits | 1 << operation)
}

/// What `api` does to a resource of this type (`KafkaApis.scala`).
pub(crate) fn operation(api: ApiKey, kind: i8) -> i8 {
    match (kind, api) {
        (TOPIC, ApiKey::Produce | ApiKey::AddPartitionsToTxn) => WRITE,
        (
            TOPIC,
            ApiKey::Fetch
            | ApiKey::OffsetCommit
            | ApiKey::TxnOffsetCommit
            | ApiKey::OffsetDelete
            | ApiKey::DescribeProducers,
        ) => READ,
        (TOPIC, ApiKey::CreateTopics) => CREATE,
        (TOPIC, ApiKey::DeleteTopics | ApiKey::DeleteRecords) => DELETE,
        (TOPIC, ApiKey::CreatePartitions) => ALTER,
        (TOPIC, ApiKey::DescribeConfigs) => DESCRIBE_CONFIGS,
        (TOPIC, ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs) => ALTER_CONFIGS,
        (
            GROUP,
            ApiKey::JoinGroup
            | ApiKey::SyncGroup
            | ApiKey::Heartbeat
            | ApiKey::LeaveGroup
            | ApiKey::OffsetCommit
            | ApiKey::TxnOffsetCommit
            | ApiKey::AddOffsetsToTxn
            | ApiKey::ConsumerGroupHeartbeat,
        ) => READ,
        (GROUP, ApiKey::DeleteGroups | ApiKey::OffsetDelete) => DELETE,
        (TRANSACTIONAL_ID, ApiKey::FindCoordinator | ApiKey::DescribeTransactions) => DESCRIBE,
        (TRANSACTIONAL_ID, _) => WRITE,
        (CLUSTER, ApiKey::InitProducerId) => IDEMPOTENT_WRITE,
        (CLUSTER, ApiKey::WriteTxnMarkers) => CLUSTER_ACTION,
        (CLUSTER, ApiKey::CreateAcls | ApiKey::DeleteAcls) => ALTER,
        _ => DESCRIBE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(kind: i8, name: &str, pattern: i8, user: &str, operation: i8, permission: i8) -> Acl {
        let (name, host) = (name.to_owned(), WILDCARD.to_owned());
        Acl { kind, name, pattern, principal: format!("User:{user}"), host, operation, permission }
    }

    #[test]
    fn a_resource_without_acls_is_open_and_one_with_acls_is_closed() {
        let acls = [acl(TOPIC, "t", LITERAL, "alice", READ, ALLOW)];
        assert!(may(&acls, "bob", TOPIC, "other", WRITE) && may(&acls, "bob", GROUP, "t", READ));
        assert!(!may(&acls, "bob", TOPIC, "t", READ) && !may(&acls, "alice", TOPIC, "t", WRITE));
        assert!(may(&acls, "alice", TOPIC, "t", READ) && may(&acls, "alice", TOPIC, "t", DESCRIBE));
    }

    #[test]
    fn deny_wins_over_allow() {
        let acls = [acl(TOPIC, "t", PREFIXED, "*", ALL, ALLOW), acl(TOPIC, "*", LITERAL, "bob", WRITE, DENY)];
        assert!(may(&acls, "bob", TOPIC, "topic", READ) && !may(&acls, "bob", TOPIC, "topic", WRITE));
        assert!(may(&acls, "alice", TOPIC, "topic", WRITE));
        assert!(!may(&acls, "alice", TOPIC, "other", READ), "only the denial names it");
    }

    #[test]
    fn filters_take_literal_prefixed_and_wildcard_acls_that_match() {
        let acls = [
            acl(TOPIC, "to", PREFIXED, "a", READ, ALLOW),
            acl(TOPIC, "topic", LITERAL, "b", READ, ALLOW),
            acl(TOPIC, "*", LITERAL, "c", READ, ALLOW),
            acl(GROUP, "topic", LITERAL, "d", READ, ALLOW),
        ];
        let taken = |kind, name: Option<&str>, pattern| {
            let name = name.map(str::to_owned);
            let filter = Filter { kind, name, pattern, principal: None, host: None, operation: ANY, permission: ANY };
            let taken = acls.iter().filter(|acl| filter.takes(acl)).map(|acl| acl.principal.as_str());
            taken.collect::<Vec<_>>()
        };
        assert_eq!(taken(TOPIC, Some("topic"), MATCH), ["User:a", "User:b", "User:c"]);
        assert_eq!(taken(ANY, Some("topic"), LITERAL), ["User:b", "User:d"]);
        assert_eq!(taken(TOPIC, Some("topic"), PREFIXED), [] as [&str; 0]);
        assert_eq!(taken(TOPIC, None, PREFIXED), ["User:a"]);
        assert_eq!(taken(ANY, None, ANY).len(), 4);
    }

    #[test]
    fn operations_are_bits() {
        let operations = |acls: &[Acl], kind, name| operations(acls, "u", kind, name, KafkaVersion::new(3, 9));
        assert_eq!(operations(&[], TOPIC, "t").count_ones(), 8);
        assert_eq!(operations(&[], GROUP, "g").count_ones(), 3);
        assert_eq!(operations(&[], CLUSTER, CLUSTER_NAME).count_ones(), 7);
        let acls = [acl(TOPIC, "t", LITERAL, "u", READ, ALLOW)];
        assert_eq!(operations(&acls, TOPIC, "t"), 1 << READ | 1 << DESCRIBE);
    }
}
