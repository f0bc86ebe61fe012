//! DescribeAcls, CreateAcls, DeleteAcls. Without an authorizer they are refused, and what clients may not do is said by
//! [`Denial`](super::super::denials::Denial)s alone.

use std::sync::Arc;

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::super::ErrorCode;
use super::super::acl::{Acl, Filter};
use super::super::cluster::{Call, Cluster};
use super::super::topics::Refusal;
use super::text;

fn admit(cluster: &Cluster, call: &Call) -> Result<(), Refusal> {
    call.fails_whole().and_then(|()| call.may_cluster()).map_err(|error| (error, error.to_string()))?;
    if cluster.config.authorizer {
        Ok(())
    } else {
        Err((ErrorCode::SecurityDisabled, "No authorizer is configured.".to_owned()))
    }
}

pub(super) fn describe(cluster: &mut Cluster, call: &Call, request: DescribeAclsRequest) -> DescribeAclsResponse {
    if let Err((error, reason)) = admit(cluster, call) {
        return DescribeAclsResponse::default().with_error_code(error.code()).with_error_message(Some(text(reason)));
    }
    let owned = |name: Option<StrBytes>| name.map(|name| name.to_string());
    let filter = Filter {
        kind: request.resource_type_filter,
        name: owned(request.resource_name_filter),
        pattern: request.pattern_type_filter,
        principal: owned(request.principal_filter),
        host: owned(request.host_filter),
        operation: request.operation,
        permission: request.permission_type,
    };
    let mut resources: Vec<DescribeAclsResource> = Vec::new();
    for acl in cluster.acls.iter().filter(|acl| filter.takes(acl)) {
        let described = AclDescription::default()
            .with_principal(text(acl.principal.clone()))
            .with_host(text(acl.host.clone()))
            .with_operation(acl.operation)
            .with_permission_type(acl.permission);
        let same = |resource: &&mut DescribeAclsResource| {
            (resource.resource_type, resource.resource_name.as_str(), resource.pattern_type)
                == (acl.kind, acl.name.as_str(), acl.pattern)
        };
        match resources.iter_mut().find(same) {
            Some(resource) => resource.acls.push(described),
            None => resources.push(
                DescribeAclsResource::default()
                    .with_resource_type(acl.kind)
                    .with_resource_name(text(acl.name.clone()))
                    .with_pattern_type(acl.pattern)
                    .with_acls(vec![described]),
            ),
        }
    }
    DescribeAclsResponse::default().with_resources(resources)
}

pub(super) fn create(cluster: &mut Cluster, call: &Call, request: CreateAclsRequest) -> CreateAclsResponse {
    let admitted = admit(cluster, call);
    let results =
        request.creations.iter().map(|creation| match admitted.clone().and_then(|()| add(cluster, creation)) {
            Ok(()) => AclCreationResult::default(),
            Err((error, reason)) => {
                AclCreationResult::default().with_error_code(error.code()).with_error_message(Some(text(reason)))
            }
        });
    CreateAclsResponse::default().with_results(results.collect())
}

fn add(cluster: &mut Cluster, creation: &AclCreation) -> Result<(), Refusal> {
    let acl = Acl {
        kind: creation.resource_type,
        name: creation.resource_name.to_string(),
        pattern: creation.resource_pattern_type,
        principal: creation.principal.to_string(),
        host: creation.host.to_string(),
        operation: creation.operation,
        permission: creation.permission_type,
    };
    acl.check().map_err(|reason| (ErrorCode::InvalidRequest, reason))?;
    if !cluster.acls.contains(&acl) {
        Arc::make_mut(&mut cluster.acls).push(acl);
    }
    Ok(())
}

pub(super) fn delete(cluster: &mut Cluster, call: &Call, request: DeleteAclsRequest) -> DeleteAclsResponse {
    let admitted = admit(cluster, call);
    let results = request.filters.into_iter().map(|filter| match &admitted {
        Ok(()) => DeleteAclsFilterResult::default().with_matching_acls(remove(cluster, filter)),
        Err((error, reason)) => DeleteAclsFilterResult::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(reason.clone()))),
    });
    DeleteAclsResponse::default().with_filter_results(results.collect())
}

fn remove(cluster: &mut Cluster, filter: DeleteAclsFilter) -> Vec<DeleteAclsMatchingAcl> {
    let owned = |name: Option<StrBytes>| name.map(|name| name.to_string());
    let filter = Filter {
        kind: filter.resource_type_filter,
        name: owned(filter.resource_name_filter),
        pattern: filter.pattern_type_filter,
        principal: owned(filter.principal_filter),
        host: owned(filter.host_filter),
        operation: filter.operation,
        permission: filter.permission_type,
    };
    let (gone, kept): (Vec<Acl>, Vec<Acl>) = cluster.acls.iter().cloned().partition(|acl| filter.takes(acl));
    cluster.acls = Arc::new(kept);
    let told = |acl: Acl| {
        DeleteAclsMatchingAcl::default()
            .with_resource_type(acl.kind)
            .with_resource_name(text(acl.name))
            .with_pattern_type(acl.pattern)
            .with_principal(text(acl.principal))
            .with_host(text(acl.host))
            .with_operation(acl.operation)
            .with_permission_type(acl.permission)
    };
    gone.into_iter().map(told).collect()
}
