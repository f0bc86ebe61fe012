//! CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken, DescribeDelegationToken (KIP-48).

use kafka_protocol::messages::describe_delegation_token_response::{
    DescribedDelegationToken, DescribedDelegationTokenRenewer,
};
use kafka_protocol::messages::{
    CreateDelegationTokenRequest, CreateDelegationTokenResponse, DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse,
    RenewDelegationTokenRequest, RenewDelegationTokenResponse,
};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::delegation_tokens::{NewToken, Principal, Token};
use super::super::denials::ANONYMOUS;
use super::{code, text};

/// Beside an error.
const NO_TIME: i64 = -1;

/// Who asks. Connections that did not authenticate, or did so by a token, may not ask about tokens
/// (`KafkaApis.allowTokenRequests`).
fn requester(cluster: &Cluster, call: &Call) -> Result<Principal, ErrorCode> {
    call.fails_whole()?;
    let user = cluster.identities.user(call.connection).filter(|_| !cluster.identities.is_by_token(call.connection));
    user.map(Principal::user).ok_or(ErrorCode::DelegationTokenRequestNotAllowed)
}

pub(super) fn create(
    cluster: &mut Cluster,
    call: &Call,
    request: CreateDelegationTokenRequest,
) -> CreateDelegationTokenResponse {
    let principal = |kind: &str, name: &str| Principal { kind: kind.to_owned(), name: name.to_owned() };
    // Since v3 one may ask on behalf of another.
    let named = request.owner_principal_name.as_deref().filter(|name| !name.is_empty() && call.version >= 3);
    let owner = named.map(|name| principal(request.owner_principal_type.as_deref().unwrap_or_default(), name));
    let asker = Principal::user(cluster.identities.user(call.connection).unwrap_or(ANONYMOUS));
    let shown = owner.clone().unwrap_or_else(|| asker.clone());
    let new = NewToken {
        owner,
        renewers: request.renewers.iter().map(|one| principal(&one.principal_type, &one.principal_name)).collect(),
        lifetime_ms: request.max_lifetime_ms,
    };
    let (now_ms, id) = (cluster.wall_ms(call.now), cluster.random_uuid());
    let created = requester(cluster, call)
        .and_then(|requester| cluster.config.sasl.delegation.create(now_ms, id, requester, new));
    let response = CreateDelegationTokenResponse::default()
        .with_error_code(code(&created))
        .with_principal_type(text(shown.kind))
        .with_principal_name(text(shown.name));
    let response = if call.version >= 3 {
        response
            .with_token_requester_principal_type(text(asker.kind))
            .with_token_requester_principal_name(text(asker.name))
    } else {
        response
    };
    match created {
        Ok(token) => response
            .with_issue_timestamp_ms(token.issued_ms)
            .with_expiry_timestamp_ms(token.expires_ms)
            .with_max_timestamp_ms(token.max_ms)
            .with_token_id(text(token.id))
            .with_hmac(token.hmac.into()),
        Err(_) => {
            response.with_issue_timestamp_ms(NO_TIME).with_expiry_timestamp_ms(NO_TIME).with_max_timestamp_ms(NO_TIME)
        }
    }
}

pub(super) fn renew(
    cluster: &mut Cluster,
    call: &Call,
    request: RenewDelegationTokenRequest,
) -> RenewDelegationTokenResponse {
    let now_ms = cluster.wall_ms(call.now);
    let renewed = requester(cluster, call)
        .and_then(|who| cluster.config.sasl.delegation.renew(now_ms, &request.hmac, &who, request.renew_period_ms));
    RenewDelegationTokenResponse::default()
        .with_error_code(code(&renewed))
        .with_expiry_timestamp_ms(renewed.unwrap_or(NO_TIME))
}

pub(super) fn expire(
    cluster: &mut Cluster,
    call: &Call,
    request: ExpireDelegationTokenRequest,
) -> ExpireDelegationTokenResponse {
    let now_ms = cluster.wall_ms(call.now);
    let expired = requester(cluster, call).and_then(|who| {
        cluster.config.sasl.delegation.expire(now_ms, &request.hmac, &who, request.expiry_time_period_ms)
    });
    ExpireDelegationTokenResponse::default()
        .with_error_code(code(&expired))
        .with_expiry_timestamp_ms(expired.unwrap_or(NO_TIME))
}

pub(super) fn describe(
    cluster: &mut Cluster,
    call: &Call,
    request: DescribeDelegationTokenRequest,
) -> DescribeDelegationTokenResponse {
    let owners: Option<Vec<Principal>> = request.owners.map(|owners| {
        let one =
            |owner: &kafka_protocol::messages::describe_delegation_token_request::DescribeDelegationTokenOwner| {
                Principal { kind: owner.principal_type.to_string(), name: owner.principal_name.to_string() }
            };
        owners.iter().map(one).collect()
    });
    let found = requester(cluster, call).and_then(|_| cluster.config.sasl.delegation.describe(owners.as_deref()));
    DescribeDelegationTokenResponse::default()
        .with_error_code(code(&found))
        .with_tokens(found.unwrap_or_default().into_iter().map(|token| described(call, token)).collect())
}

fn described(call: &Call, token: Token) -> DescribedDelegationToken {
    let renewers = token.renewers.into_iter().map(|renewer| {
        DescribedDelegationTokenRenewer::default()
            .with_principal_type(text(renewer.kind))
            .with_principal_name(text(renewer.name))
    });
    let described = DescribedDelegationToken::default()
        .with_principal_type(text(token.owner.kind))
        .with_principal_name(text(token.owner.name))
        .with_issue_timestamp(token.issued_ms)
        .with_expiry_timestamp(token.expires_ms)
        .with_max_timestamp(token.max_ms)
        .with_token_id(text(token.id))
        .with_hmac(token.hmac.into())
        .with_renewers(renewers.collect());
    if call.version < 3 {
        return described;
    }
    described
        .with_token_requester_principal_type(text(token.requester.kind))
        .with_token_requester_principal_name(text(token.requester.name))
}
