//! SaslAuthenticate: one token of the mechanism's exchange.

use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster, ConnectionId, Outcome};
use super::super::request::Head;
use super::super::sasl::Clock;
use super::text;

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    head: Head,
    connection: ConnectionId,
    request: SaslAuthenticateRequest,
) -> Outcome {
    let refused = |error: ErrorCode, reason: String| {
        let response =
            SaslAuthenticateResponse::default().with_error_code(error.code()).with_error_message(Some(text(reason)));
        head.reply(response)
    };
    if !cluster.identities.is_authenticating(connection) {
        let reply = refused(ErrorCode::IllegalSaslState, "No authentication is going on.".to_owned());
        return Outcome::Reply(reply);
    }
    if let Err(error) = call.fails_whole() {
        return Outcome::LastReply(refused(error, error.to_string()));
    }
    let clock = Clock { now: call.now, wall_ms: cluster.wall_ms(call.now) };
    let nonce = cluster.rng.u128(..);
    let config = &cluster.config.sasl;
    match cluster.identities.authenticate(connection, config, clock, nonce, &request.auth_bytes) {
        Ok(answer) => Outcome::Reply(
            head.reply(
                SaslAuthenticateResponse::default()
                    .with_auth_bytes(answer.say)
                    .with_session_lifetime_ms(if call.version >= 1 { answer.lifetime_ms } else { 0 }),
            ),
        ),
        Err(reason) => Outcome::LastReply(refused(ErrorCode::SaslAuthenticationFailed, reason)),
    }
}
