//! Delegation tokens (KIP-48, `DelegationTokenControlManager.java`, `DelegationTokenManager.java`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use uuid::Uuid;

use super::ErrorCode;

/// The one type renewers may have.
const USER: &str = "User";
/// `delegation.token.max.lifetime.ms`.
const MAX_LIFETIME_MS: i64 = 7 * 24 * 3600 * 1000;
/// `delegation.token.expiry.time.ms`.
const EXPIRY_MS: i64 = 24 * 3600 * 1000;
/// `delegation.token.expiry.check.interval.ms`: a token that is over is still listed for so long at most.
const SWEEP_MS: i64 = 3600 * 1000;

/// Type and name, as in `User:alice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) kind: String,
    pub(crate) name: String,
}

impl Principal {
    pub(crate) fn user(name: &str) -> Self {
        Self { kind: USER.to_owned(), name: name.to_owned() }
    }
}

/// One token. Times are wall clock milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) owner: Principal,
    pub(crate) requester: Principal,
    pub(crate) renewers: Vec<Principal>,
    pub(crate) issued_ms: i64,
    pub(crate) expires_ms: i64,
    pub(crate) max_ms: i64,
    pub(crate) hmac: Vec<u8>,
}

impl Token {
    /// The password who logs in with it has.
    pub(crate) fn password(&self) -> String {
        BASE64.encode(&self.hmac)
    }

    /// Whether it is this one's to look at.
    fn concerns(&self, who: &Principal) -> bool {
        self.owner == *who || self.requester == *who || self.renewers.contains(who)
    }

    fn is_over(&self, now_ms: i64) -> bool {
        self.max_ms < now_ms || self.expires_ms < now_ms
    }
}

/// What a token shall be.
#[derive(Debug)]
pub(crate) struct NewToken {
    pub(crate) owner: Option<Principal>,
    pub(crate) renewers: Vec<Principal>,
    /// 0 or less = the default.
    pub(crate) lifetime_ms: i64,
}

/// All tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct DelegationTokens {
    /// `delegation.token.secret.key`; `None`: there are no tokens.
    secret: Option<String>,
    tokens: BTreeMap<String, Token>,
}

impl DelegationTokens {
    /// With a key there may be tokens.
    pub(crate) fn new(secret: &str) -> Self {
        Self { secret: Some(secret.to_owned()), tokens: BTreeMap::new() }
    }

    fn secret(&self) -> Result<&str, ErrorCode> {
        self.secret.as_deref().ok_or(ErrorCode::DelegationTokenAuthDisabled)
    }

    pub(crate) fn create(
        &mut self,
        now_ms: i64,
        id: Uuid,
        requester: Principal,
        new: NewToken,
    ) -> Result<Token, ErrorCode> {
        if new.renewers.iter().any(|renewer| renewer.kind != USER) {
            return Err(ErrorCode::InvalidPrincipalType);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA512, self.secret()?.as_bytes());
        let lifetime = if new.lifetime_ms > 0 { new.lifetime_ms.min(MAX_LIFETIME_MS) } else { MAX_LIFETIME_MS };
        let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id.as_bytes());
        let max_ms = now_ms.saturating_add(lifetime);
        let token = Token {
            hmac: hmac::sign(&key, id.as_bytes()).as_ref().to_vec(),
            owner: new.owner.unwrap_or_else(|| requester.clone()),
            requester,
            renewers: new.renewers,
            issued_ms: now_ms,
            expires_ms: now_ms.saturating_add(EXPIRY_MS).min(max_ms),
            max_ms,
            id: id.clone(),
        };
        self.tokens.insert(id, token.clone());
        Ok(token)
    }

    /// The token with this HMAC, if `who` may renew it.
    fn renewable(&mut self, hmac: &[u8], who: &Principal) -> Result<&mut Token, ErrorCode> {
        self.secret()?;
        let mut tokens = self.tokens.values_mut();
        tokens.find(|token| token.hmac == hmac).ok_or(ErrorCode::DelegationTokenNotFound).and_then(|token| {
            let may = token.owner == *who || token.renewers.contains(who);
            if may { Ok(token) } else { Err(ErrorCode::DelegationTokenOwnerMismatch) }
        })
    }

    /// Gives a token more time; the answer is when it ends.
    pub(crate) fn renew(
        &mut self,
        now_ms: i64,
        hmac: &[u8],
        who: &Principal,
        period_ms: i64,
    ) -> Result<i64, ErrorCode> {
        self.secret()?;
        // That a token is over is said before whose it is.
        if self.tokens.values().any(|token| token.hmac == hmac && token.is_over(now_ms)) {
            return Err(ErrorCode::DelegationTokenExpired);
        }
        let token = self.renewable(hmac, who)?;
        let period = if period_ms > 0 { period_ms.min(EXPIRY_MS) } else { EXPIRY_MS };
        token.expires_ms = token.max_ms.min(now_ms.saturating_add(period));
        Ok(token.expires_ms)
    }

    /// Ends a token in `period_ms`, or at once if that is negative; the answer is when it ends.
    pub(crate) fn expire(
        &mut self,
        now_ms: i64,
        hmac: &[u8],
        who: &Principal,
        period_ms: i64,
    ) -> Result<i64, ErrorCode> {
        let token = self.renewable(hmac, who)?;
        if period_ms < 0 {
            let id = token.id.clone();
            self.tokens.remove(&id);
            return Ok(now_ms);
        }
        if token.is_over(now_ms) {
            return Err(ErrorCode::DelegationTokenExpired);
        }
        token.expires_ms = token.max_ms.min(now_ms.saturating_add(period_ms));
        Ok(token.expires_ms)
    }

    /// Tokens of these owners (`None` = of all), as a broker without an authorizer tells them.
    pub(crate) fn describe(&self, owners: Option<&[Principal]>) -> Result<Vec<Token>, ErrorCode> {
        self.secret()?;
        let asked = |token: &&Token| owners.is_none_or(|owners| owners.iter().any(|owner| token.concerns(owner)));
        Ok(self.tokens.values().filter(asked).cloned().collect())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Token> {
        self.tokens.get(id)
    }

    /// Forgets tokens that were over a while ago.
    pub(crate) fn sweep(&mut self, now_ms: i64) {
        self.tokens.retain(|_, token| !token.is_over(now_ms.saturating_sub(SWEEP_MS)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(lifetime_ms: i64) -> NewToken {
        NewToken { owner: None, renewers: vec![Principal::user("renewer")], lifetime_ms }
    }

    fn with_token(lifetime_ms: i64) -> (DelegationTokens, Token) {
        let mut tokens = DelegationTokens::new("key");
        let token = tokens.create(1000, Uuid::from_u128(7), Principal::user("alice"), new(lifetime_ms)).unwrap();
        (tokens, token)
    }

    #[test]
    fn tokens_live_a_week_at_most_and_a_day_at_first() {
        let (_, token) = with_token(0);
        assert_eq!((token.max_ms, token.expires_ms), (1000 + MAX_LIFETIME_MS, 1000 + EXPIRY_MS));
        let (_, token) = with_token(i64::MAX);
        assert_eq!(token.max_ms, 1000 + MAX_LIFETIME_MS);
        let (_, token) = with_token(60);
        assert_eq!((token.max_ms, token.expires_ms), (1060, 1060));
    }

    #[test]
    fn owner_and_renewers_renew_up_to_the_longest_life() {
        let (mut tokens, token) = with_token(5000);
        let renewed = |tokens: &mut DelegationTokens, now, name: &str, period| {
            tokens.renew(now, &token.hmac, &Principal::user(name), period)
        };
        assert_eq!(renewed(&mut tokens, 2000, "alice", 100), Ok(2100));
        assert_eq!(renewed(&mut tokens, 2000, "renewer", -1), Ok(6000), "never past its longest life");
        assert_eq!(renewed(&mut tokens, 2000, "mallory", 100), Err(ErrorCode::DelegationTokenOwnerMismatch));
        assert_eq!(renewed(&mut tokens, 9000, "mallory", 100), Err(ErrorCode::DelegationTokenExpired));
        let unknown = tokens.renew(2000, b"no such", &Principal::user("alice"), 100);
        assert_eq!(unknown, Err(ErrorCode::DelegationTokenNotFound));
    }

    #[test]
    fn negative_period_ends_a_token_at_once() {
        let (mut tokens, token) = with_token(5000);
        let alice = Principal::user("alice");
        assert_eq!(tokens.expire(2000, &token.hmac, &alice, 500), Ok(2500));
        assert_eq!(tokens.expire(3000, &token.hmac, &alice, 500), Err(ErrorCode::DelegationTokenExpired));
        assert_eq!(tokens.expire(3000, &token.hmac, &alice, -1), Ok(3000), "also one that is over");
        assert_eq!(tokens.expire(3000, &token.hmac, &alice, -1), Err(ErrorCode::DelegationTokenNotFound));
    }

    #[test]
    fn without_a_secret_there_are_no_tokens() {
        let mut tokens = DelegationTokens::default();
        let disabled = ErrorCode::DelegationTokenAuthDisabled;
        assert_eq!(tokens.create(0, Uuid::nil(), Principal::user("alice"), new(0)).err(), Some(disabled));
        assert_eq!(tokens.renew(0, b"", &Principal::user("alice"), 0), Err(disabled));
        assert_eq!(tokens.expire(0, b"", &Principal::user("alice"), 0), Err(disabled));
        assert_eq!(tokens.describe(None), Err(disabled));
    }

    #[test]
    fn only_users_renew() {
        let mut tokens = DelegationTokens::new("key");
        let group = Principal { kind: "Group".to_owned(), name: "g".to_owned() };
        let wanted = NewToken { owner: None, renewers: vec![group], lifetime_ms: 0 };
        let refused = tokens.create(0, Uuid::nil(), Principal::user("alice"), wanted);
        assert_eq!(refused, Err(ErrorCode::InvalidPrincipalType));
    }

    #[test]
    fn owners_requesters_and_renewers_are_told_of_a_token_until_an_hour_after_its_end() {
        let (mut tokens, token) = with_token(5000);
        let told =
            |tokens: &DelegationTokens, name: &str| tokens.describe(Some(&[Principal::user(name)])).unwrap().len();
        assert_eq!(["alice", "renewer", "mallory"].map(|name| told(&tokens, name)), [1, 1, 0]);
        tokens.sweep(token.expires_ms + SWEEP_MS);
        assert_eq!(told(&tokens, "alice"), 1);
        tokens.sweep(token.expires_ms + SWEEP_MS + 1);
        assert_eq!(told(&tokens, "alice"), 0);
    }
}
