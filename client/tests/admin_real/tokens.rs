//! Delegation tokens.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ottla_client::*;

use crate::{World, code};

/// The answer of a broker that has heard of the token: another one, and the controller too, may do so later.
fn known(renewed: Result<i64>) -> Option<i64> {
    match renewed {
        Err(error) if error.code() == Some(ErrorCode::DelegationTokenNotFound) => None,
        other => Some(other.unwrap()),
    }
}

pub(crate) async fn delegation_tokens(w: &World) {
    // Over a connection without authentication there are none.
    let made = w.admin.create_delegation_token(&["User:bob"], Some(Duration::from_secs(3600)), None).await;
    assert_eq!(code(made), ErrorCode::DelegationTokenRequestNotAllowed);

    let Some(sasl) = &w.sasl else {
        let renewed = w.admin.renew_delegation_token(b"none", Duration::from_secs(60)).await;
        assert_eq!(code(renewed), ErrorCode::DelegationTokenRequestNotAllowed);
        let expired = w.admin.expire_delegation_token(b"none", None).await;
        assert_eq!(code(expired), ErrorCode::DelegationTokenRequestNotAllowed);
        let described = w.admin.describe_delegation_tokens(None).await;
        return assert_eq!(code(described), ErrorCode::DelegationTokenRequestNotAllowed);
    };

    let config = |mechanism: &str, user: &str, password: &str, token: bool| {
        let jaas = format!("Module required username=\"{user}\" password=\"{password}\" tokenauth=\"{token}\";");
        ClientConfig::from_properties([
            ("bootstrap.servers", sasl.as_str()),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", mechanism),
            ("sasl.jaas.config", &jaas),
        ])
        .unwrap()
    };
    let admin = Admin::new(&Client::connect(config("PLAIN", "admin", "secret", false)).await.unwrap());
    let hour = Duration::from_secs(3600);
    let token = admin.create_delegation_token(&["User:bob"], Some(hour), None).await.unwrap();
    assert_eq!((token.owner.as_str(), &token.renewers[..]), ("User:admin", &["User:bob".to_owned()][..]));
    assert!(token.max_lifetime_at - token.issued_at <= 3_600_000);
    let described = w
        .eventually("the token is known", || async {
            let described = admin.describe_delegation_tokens(None).await.unwrap();
            described.into_iter().find(|t| t.token_id == token.token_id)
        })
        .await;
    assert_eq!(described, token);
    let mine = admin.describe_delegation_tokens(Some(&["User:carol"])).await.unwrap();
    assert!(mine.is_empty(), "carol neither owns one nor may renew one: {mine:?}");
    let until = w
        .eventually("the token is renewed", || async {
            known(admin.renew_delegation_token(token.hmac(), Duration::from_secs(60)).await)
        })
        .await;
    assert!(until < token.max_lifetime_at);

    // It logs in, and cannot beget others.
    let by_token = w
        .eventually("the token logs in", || async {
            let password = BASE64.encode(token.hmac());
            Client::connect(config("SCRAM-SHA-256", &token.token_id, &password, true)).await.ok()
        })
        .await;
    let by_token = Admin::new(&by_token);
    assert!(by_token.describe_cluster(false).await.is_ok());
    let another = by_token.create_delegation_token(&[], None, None).await;
    assert_eq!(code(another), ErrorCode::DelegationTokenRequestNotAllowed);

    admin.expire_delegation_token(token.hmac(), None).await.unwrap();
    w.eventually("the token is gone from what is described", || async {
        admin.describe_delegation_tokens(None).await.unwrap().is_empty().then_some(())
    })
    .await;
    w.eventually("the token is gone from what can be renewed", || async {
        known(admin.renew_delegation_token(token.hmac(), hour).await).is_none().then_some(())
    })
    .await;
    let bad = admin.describe_delegation_tokens(Some(&["bob"])).await.unwrap_err();
    assert!(bad.to_string().contains("User:name"), "{bad}");
}
