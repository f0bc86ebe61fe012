//! SaslHandshake: which mechanism.

use kafka_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster, ConnectionId, Outcome};
use super::super::request::Head;
use super::super::sasl::SaslMechanism;
use super::{code, text};

pub(super) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    head: Head,
    connection: ConnectionId,
    request: SaslHandshakeRequest,
) -> Outcome {
    let enabled = &cluster.config.sasl.mechanisms;
    let response = SaslHandshakeResponse::default()
        .with_mechanisms(enabled.iter().map(|mechanism| text(mechanism.name())).collect());
    // Nothing to authenticate for, or no session that ends.
    if enabled.is_empty() || !cluster.identities.may_begin(connection) {
        return Outcome::Reply(head.reply(response.with_error_code(ErrorCode::IllegalSaslState.code())));
    }
    let chosen = SaslMechanism::named(&request.mechanism).filter(|mechanism| enabled.contains(mechanism));
    let chosen = call.fails_whole().and_then(|()| chosen.ok_or(ErrorCode::UnsupportedSaslMechanism));
    let reply = head.reply(response.with_error_code(code(&chosen)));
    match chosen {
        Ok(mechanism) => {
            cluster.identities.begin(connection, mechanism, call.version == 0);
            Outcome::Reply(reply)
        }
        Err(_) => Outcome::LastReply(reply),
    }
}
