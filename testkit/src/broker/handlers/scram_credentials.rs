//! DescribeUserScramCredentials and AlterUserScramCredentials: users that log in by SCRAM.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::super::sasl::{SaslMechanism, ScramCredential};
use super::text;

/// Least and most iterations Kafka takes (`ScramMechanism.java`).
const ITERATIONS: std::ops::RangeInclusive<i32> = 4096..=16384;

fn mechanism(number: i8) -> Option<SaslMechanism> {
    match number {
        1 => Some(SaslMechanism::ScramSha256),
        2 => Some(SaslMechanism::ScramSha512),
        _ => None,
    }
}

fn number(mechanism: SaslMechanism) -> i8 {
    if mechanism == SaslMechanism::ScramSha512 { 2 } else { 1 }
}

pub(super) fn describe(
    cluster: &mut Cluster,
    call: &Call,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let response = DescribeUserScramCredentialsResponse::default().with_error_message(None);
    if let Err(error) = call.fails_whole() {
        return response.with_error_code(error.code());
    }
    let known = cluster.config.sasl.scram_users();
    let asked: Vec<String> = match request.users.filter(|users| !users.is_empty()) {
        Some(users) => users.iter().map(|user| user.name.to_string()).collect(),
        None => known.keys().cloned().collect(),
    };
    let results = asked.into_iter().map(|user| {
        let result =
            DescribeUserScramCredentialsResult::default().with_user(text(user.clone())).with_error_message(None);
        let Some(credentials) = known.get(&user) else {
            let reason = format!("There are no credentials of user {user}.");
            return result.with_error_code(ErrorCode::ResourceNotFound.code()).with_error_message(Some(text(reason)));
        };
        let infos = credentials.iter().map(|&(mechanism, iterations)| {
            CredentialInfo::default().with_mechanism(number(mechanism)).with_iterations(iterations as i32)
        });
        result.with_credential_infos(infos.collect())
    });
    response.with_results(results.collect())
}

pub(super) fn alter(
    cluster: &mut Cluster,
    call: &Call,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let mut outcomes: BTreeMap<String, Result<(), ErrorCode>> = BTreeMap::new();
    let deleted = request.deletions.iter().map(|one| (one.name.to_string(), one.mechanism));
    let upserted = request.upsertions.iter().map(|one| (one.name.to_string(), one.mechanism));
    let mut seen = BTreeSet::new();
    for (user, mechanism) in deleted.chain(upserted) {
        let twice = !seen.insert((user.clone(), mechanism));
        let outcome = outcomes.entry(user).or_insert_with(|| call.fails_whole());
        if twice {
            *outcome = Err(ErrorCode::DuplicateResource);
        }
    }
    for deletion in &request.deletions {
        apply(&mut outcomes, &deletion.name, || delete(cluster, &deletion.name, deletion.mechanism));
    }
    for upsertion in &request.upsertions {
        apply(&mut outcomes, &upsertion.name, || upsert(cluster, upsertion));
    }
    let results = outcomes.into_iter().map(|(user, outcome)| {
        let result = AlterUserScramCredentialsResult::default().with_user(text(user)).with_error_message(None);
        match outcome {
            Ok(()) => result,
            Err(error) => result.with_error_code(error.code()).with_error_message(Some(text(error.to_string()))),
        }
    });
    AlterUserScramCredentialsResponse::default().with_results(results.collect())
}

fn apply(
    outcomes: &mut BTreeMap<String, Result<(), ErrorCode>>,
    user: &str,
    change: impl FnOnce() -> Result<(), ErrorCode>,
) {
    if let Some(outcome) = outcomes.get_mut(user).filter(|outcome| outcome.is_ok()) {
        *outcome = change();
    }
}

fn delete(cluster: &mut Cluster, user: &str, kind: i8) -> Result<(), ErrorCode> {
    let mechanism = mechanism(kind).ok_or(ErrorCode::UnsupportedSaslMechanism)?;
    let removed = cluster.config.sasl.scram.remove(&(user.to_owned(), mechanism));
    removed.map(drop).ok_or(ErrorCode::ResourceNotFound)
}

fn upsert(cluster: &mut Cluster, wanted: &ScramCredentialUpsertion) -> Result<(), ErrorCode> {
    let mechanism = mechanism(wanted.mechanism).ok_or(ErrorCode::UnsupportedSaslMechanism)?;
    let usable = !wanted.name.is_empty() && !wanted.salt.is_empty() && !wanted.salted_password.is_empty();
    if !usable || !ITERATIONS.contains(&wanted.iterations) {
        return Err(ErrorCode::UnacceptableCredential);
    }
    let credential = ScramCredential {
        iterations: wanted.iterations.unsigned_abs(),
        salt: wanted.salt.to_vec(),
        salted_password: wanted.salted_password.to_vec(),
    };
    cluster.config.sasl.scram.insert((wanted.name.to_string(), mechanism), credential);
    Ok(())
}
