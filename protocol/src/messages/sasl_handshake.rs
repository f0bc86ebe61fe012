//! Choosing a SASL mechanism (API key 17).

use crate::macros::{message, request};

request!(SaslHandshakeRequest => SaslHandshakeResponse, SaslHandshake, versions 0-1);

message! {
    /// Chooses the SASL mechanism of a connection.
    SaslHandshakeRequest {
        mechanism: String;
    }

    /// Whether the mechanism is offered, and which are.
    SaslHandshakeResponse {
        error_code: i16;
        mechanisms: Vec<String>;
    }
}
