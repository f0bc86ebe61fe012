//! Who may do what.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::fmt;

use ottla_protocol::ApiKey;
use ottla_protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use ottla_protocol::messages::delete_acls::{DeleteAclsFilter, DeleteAclsMatchingAcl, DeleteAclsRequest};
use ottla_protocol::messages::describe_acls::DescribeAclsRequest;

use super::call::{Round, Target, asked, outcome};
use super::{Admin, PerItem};
use crate::error::Result;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("`", stringify!($variant), "`.")] $variant,)*
            /// One that is newer than this client.
            Unknown(i8),
        }

        impl $name {
            pub(super) fn code(self) -> i8 {
                match self { $(Self::$variant => $code,)* Self::Unknown(code) => code }
            }

            pub(super) fn of(code: i8) -> Self {
                match code { $($code => Self::$variant,)* code => Self::Unknown(code) }
            }
        }
    };
}

codes! {
    /// What is protected. `Any` is for filters.
    AclResourceType {
        Any = 1,
        Topic = 2,
        Group = 3,
        Cluster = 4,
        TransactionalId = 5,
        DelegationToken = 6,
        User = 7,
    }
}

codes! {
    /// How the name of an [`AclBinding`] is meant. `Any` and `Match` are for filters: of any kind; all that apply to the
    /// name.
    PatternType {
        Any = 1,
        Match = 2,
        Literal = 3,
        Prefixed = 4,
    }
}

codes! {
    /// What is allowed or denied. `Any` is for filters.
    AclOperation {
        Any = 1,
        All = 2,
        Read = 3,
        Write = 4,
        Create = 5,
        Delete = 6,
        Alter = 7,
        Describe = 8,
        ClusterAction = 9,
        DescribeConfigs = 10,
        AlterConfigs = 11,
        IdempotentWrite = 12,
        CreateTokens = 13,
        DescribeTokens = 14,
        TwoPhaseCommit = 15,
    }
}

codes! {
    /// Whether it is allowed or denied. `Any` is for filters.
    AclPermission {
        Any = 1,
        Deny = 2,
        Allow = 3,
    }
}

/// A rule: who may (not) do what with what from where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AclBinding {
    /// What is protected.
    pub resource_type: AclResourceType,
    /// Its name, or the beginning of names; `*`: all; of the cluster `kafka-cluster`.
    pub resource_name: String,
    /// How the name is meant.
    pub pattern_type: PatternType,
    /// Who, such as `User:alice`; `User:*`: everyone.
    pub principal: String,
    /// From where; `*`: anywhere.
    pub host: String,
    /// What.
    pub operation: AclOperation,
    /// Whether it is allowed or denied.
    pub permission: AclPermission,
}

impl fmt::Display for AclBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, host, permission, operation, pattern_type, resource_type, resource_name } = self;
        write!(
            f,
            "{permission:?} {principal} from {host} to {operation:?} {resource_type:?} {resource_name} ({pattern_type:?})"
        )
    }
}

/// Which rules. What is `None` or `Any` fits every rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AclFilter {
    /// What is protected.
    pub resource_type: AclResourceType,
    /// Its name.
    pub resource_name: Option<String>,
    /// How the name is meant.
    pub pattern_type: PatternType,
    /// Who.
    pub principal: Option<String>,
    /// From where.
    pub host: Option<String>,
    /// What.
    pub operation: AclOperation,
    /// Whether it is allowed or denied.
    pub permission: AclPermission,
}

impl Default for AclFilter {
    fn default() -> Self {
        Self {
            resource_type: AclResourceType::Any,
            resource_name: None,
            pattern_type: PatternType::Any,
            principal: None,
            host: None,
            operation: AclOperation::Any,
            permission: AclPermission::Any,
        }
    }
}

impl fmt::Display for AclFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rules {self:?}")
    }
}

impl Admin {
    /// The rules that fit.
    ///
    /// # Errors
    /// When no broker could be asked; [`Error::Broker`](crate::Error::Broker), such as `SECURITY_DISABLED` where there is
    /// no authorizer.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Vec<AclBinding>> {
        let request = &DescribeAclsRequest {
            resource_type_filter: filter.resource_type.code(),
            resource_name_filter: filter.resource_name.clone(),
            pattern_type_filter: filter.pattern_type.code(),
            principal_filter: filter.principal.clone(),
            host_filter: filter.host.clone(),
            operation: filter.operation.code(),
            permission_type: filter.permission.code(),
        };
        self.once("DescribeAcls", Target::Any, |node| async move {
            let (response, at) = self.send(node, None, |_| request.clone()).await?;
            outcome(response.error_code, ApiKey::DescribeAcls, filter, response.error_message, &at)?;
            let bindings = response.resources.into_iter().flat_map(|resource| {
                let (resource_type, pattern_type) = (resource.resource_type, resource.pattern_type);
                let name = resource.resource_name;
                resource.acls.into_iter().map(move |acl| AclBinding {
                    resource_type: AclResourceType::of(resource_type),
                    resource_name: name.clone(),
                    pattern_type: PatternType::of(pattern_type),
                    principal: acl.principal,
                    host: acl.host,
                    operation: AclOperation::of(acl.operation),
                    permission: AclPermission::of(acl.permission_type),
                })
            });
            Ok(bindings.collect())
        })
        .await
    }

    /// Adds rules; one that is there already stays.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::{AclBinding, AclFilter, AclOperation, AclPermission, AclResourceType, PatternType};
    ///
    /// let rule = AclBinding {
    ///     resource_type: AclResourceType::Topic,
    ///     resource_name: "orders".into(),
    ///     pattern_type: PatternType::Prefixed,
    ///     principal: "User:shop".into(),
    ///     host: "*".into(),
    ///     operation: AclOperation::Read,
    ///     permission: AclPermission::Allow,
    /// };
    /// admin.create_acls(&[rule]).await?;
    /// println!("{:?}", admin.describe_acls(&AclFilter::default()).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When no broker could be asked; per rule [`Error::Broker`](crate::Error::Broker).
    pub async fn create_acls(&self, bindings: &[AclBinding]) -> Result<PerItem<AclBinding, ()>> {
        let created = self.each(
            ApiKey::CreateAcls,
            bindings.to_vec(),
            |_| Target::Controller,
            |node, bindings| async move {
                let request = CreateAclsRequest { creations: bindings.iter().map(creation).collect() };
                let (response, at) = self.send(node, None, |_| request).await?;
                // The results have the order of the request, and nothing else to tell them apart.
                let results = bindings.into_iter().zip(response.results).map(|(binding, result)| {
                    let outcome = outcome(result.error_code, ApiKey::CreateAcls, &binding, result.error_message, &at);
                    (binding, outcome)
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(created.await)
    }

    /// Deletes the rules that fit each filter; the results say which they were.
    ///
    /// # Errors
    /// When no broker could be asked; per filter, and per rule, [`Error::Broker`](crate::Error::Broker).
    pub async fn delete_acls(&self, filters: &[AclFilter]) -> Result<PerItem<AclFilter, Vec<Result<AclBinding>>>> {
        let api = ApiKey::DeleteAcls;
        let deleted = self.each(
            api,
            filters.to_vec(),
            |_| Target::Controller,
            |node, filters| async move {
                let request = DeleteAclsRequest { filters: filters.iter().map(deletion).collect() };
                let (response, at) = self.send(node, None, |_| request).await?;
                let results = filters.into_iter().zip(response.filter_results).map(|(filter, result)| {
                    let outcome_of = |acl: DeleteAclsMatchingAcl| {
                        let binding = binding(&acl);
                        outcome(acl.error_code, api, &binding, acl.error_message, &at).map(|()| binding)
                    };
                    let outcome = outcome(result.error_code, api, &filter, result.error_message, &at);
                    let rules = outcome.map(|()| result.matching_acls.into_iter().map(outcome_of).collect());
                    (filter, rules)
                });
                Ok(Round::new(response.throttle_time_ms, results))
            },
        );
        asked(deleted.await)
    }
}

fn creation(binding: &AclBinding) -> AclCreation {
    AclCreation {
        resource_type: binding.resource_type.code(),
        resource_name: binding.resource_name.clone(),
        resource_pattern_type: binding.pattern_type.code(),
        principal: binding.principal.clone(),
        host: binding.host.clone(),
        operation: binding.operation.code(),
        permission_type: binding.permission.code(),
    }
}

fn deletion(filter: &AclFilter) -> DeleteAclsFilter {
    DeleteAclsFilter {
        resource_type_filter: filter.resource_type.code(),
        resource_name_filter: filter.resource_name.clone(),
        pattern_type_filter: filter.pattern_type.code(),
        principal_filter: filter.principal.clone(),
        host_filter: filter.host.clone(),
        operation: filter.operation.code(),
        permission_type: filter.permission.code(),
    }
}

fn binding(acl: &DeleteAclsMatchingAcl) -> AclBinding {
    AclBinding {
        resource_type: AclResourceType::of(acl.resource_type),
        resource_name: acl.resource_name.clone(),
        pattern_type: PatternType::of(acl.pattern_type),
        principal: acl.principal.clone(),
        host: acl.host.clone(),
        operation: AclOperation::of(acl.operation),
        permission: AclPermission::of(acl.permission_type),
    }
}
