//! DescribeAcls, CreateAcls, DeleteAcls: answered like a broker without an authorizer. What clients may not do is said
//! by [`Denial`](super::super::denials::Denial)s.

use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::text;

fn refusal(call: &Call) -> (i16, Option<StrBytes>) {
    let error = call.fails_whole().err().unwrap_or(ErrorCode::SecurityDisabled);
    (error.code(), Some(text("No authorizer is configured.")))
}

pub(super) fn describe(_: &mut Cluster, call: &Call, _: DescribeAclsRequest) -> DescribeAclsResponse {
    let (code, reason) = refusal(call);
    DescribeAclsResponse::default().with_error_code(code).with_error_message(reason)
}

pub(super) fn create(_: &mut Cluster, call: &Call, request: CreateAclsRequest) -> CreateAclsResponse {
    let (code, reason) = refusal(call);
    let result = AclCreationResult::default().with_error_code(code).with_error_message(reason);
    CreateAclsResponse::default().with_results(vec![result; request.creations.len()])
}

pub(super) fn delete(_: &mut Cluster, call: &Call, request: DeleteAclsRequest) -> DeleteAclsResponse {
    let (code, reason) = refusal(call);
    let result = DeleteAclsFilterResult::default().with_error_code(code).with_error_message(reason);
    DeleteAclsResponse::default().with_filter_results(vec![result; request.filters.len()])
}
