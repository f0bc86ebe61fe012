#![allow(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]

use super::*;

const ID: Uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1111_2222_3333_4444);

fn asker(client_id: &str) -> Asker<'_> {
    Asker { connection: 1, client_id }
}

fn with(configs: &[(&str, &str)]) -> ClientMetrics {
    let mut metrics = ClientMetrics { max_bytes: Some(10), ..Default::default() };
    metrics.alter("s", pairs(configs), false).unwrap();
    metrics
}

fn pairs(configs: &[(&str, &str)]) -> BTreeMap<String, String> {
    configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn push(subscription_id: i32) -> Push {
    Push { instance: ID, subscription_id, terminating: false, compression: 0, metrics: Bytes::from_static(b"m") }
}

#[test]
fn a_client_gets_what_the_subscriptions_that_match_it_want() {
    let now = Instant::now();
    let mut metrics = with(&[("metrics", "a.,b."), ("interval.ms", "1000"), ("match", "client_id=x.*")]);
    let wanted = metrics.wanted(now, ID, asker("xyz")).unwrap();
    assert_eq!((wanted.metrics.as_slice(), wanted.interval_ms), (&["a.".to_owned(), "b.".to_owned()][..], 1000));
    let other = metrics.wanted(now, Uuid::from_u128(9), asker("wxyz")).unwrap();
    assert_eq!((other.metrics.len(), other.interval_ms), (0, DEFAULT_INTERVAL_MS));
    metrics.alter("all", pairs(&[("metrics", "*")]), false).unwrap();
    assert_eq!(metrics.wanted(now, ID, asker("xyz")).unwrap().metrics, ["*"], "a change is told at once");
    metrics.named(1, "java", "4.0");
    metrics.alter("all", pairs(&[("metrics", "*"), ("match", "client_software_name=go")]), false).unwrap();
    assert_eq!(metrics.wanted(now, ID, asker("xyz")).unwrap().metrics.len(), 2);
}

#[test]
fn questions_and_pushes_before_their_time_are_throttled() {
    let now = Instant::now();
    let mut metrics = with(&[("metrics", "*"), ("interval.ms", "1000")]);
    let id = metrics.wanted(now, ID, asker("c")).unwrap().subscription_id;
    assert_eq!(metrics.wanted(now, ID, asker("c")).err(), Some(ErrorCode::ThrottlingQuotaExceeded));
    let at = |after| now + Duration::from_millis(after);
    assert_eq!(metrics.push(at(1), push(id), asker("c")), Ok(()), "the first may come early");
    assert_eq!(metrics.push(at(2), push(id), asker("c")), Err(ErrorCode::ThrottlingQuotaExceeded));
    assert_eq!(metrics.push(at(1001), push(id), asker("c")), Ok(()));
    let last = Push { terminating: true, ..push(id) };
    assert_eq!(metrics.push(at(1002), last, asker("c")), Ok(()), "the last may come early too");
    assert_eq!(metrics.push(at(3000), push(id), asker("c")), Err(ErrorCode::InvalidRequest), "and was the last");
    assert_eq!(metrics.pushed.len(), 3);
}

#[test]
fn an_old_subscription_is_117_and_may_be_asked_for_again_at_once() {
    let now = Instant::now();
    let mut metrics = with(&[("metrics", "*"), ("interval.ms", "1000")]);
    let id = metrics.wanted(now, ID, asker("c")).unwrap().subscription_id;
    assert_eq!(metrics.push(now, push(id + 1), asker("c")), Err(ErrorCode::UnknownSubscriptionId));
    assert_eq!(metrics.wanted(now, ID, asker("c")).map(|wanted| wanted.subscription_id), Ok(id));
}

#[test]
fn pushes_that_are_too_large_or_strangely_compressed_are_refused() {
    let now = Instant::now();
    let mut metrics = with(&[("metrics", "*")]);
    let id = metrics.wanted(now, ID, asker("c")).unwrap().subscription_id;
    let large = Push { metrics: Bytes::from_static(b"12345678901"), ..push(id) };
    assert_eq!(metrics.push(now, large, asker("c")), Err(ErrorCode::TelemetryTooLarge));
    let mut metrics = with(&[("metrics", "*")]);
    let strange = Push { compression: 5, ..push(id) };
    assert_eq!(metrics.push(now, strange, asker("c")), Err(ErrorCode::UnsupportedCompressionType));
    let nobody = Push { instance: Uuid::nil(), ..push(id) };
    assert_eq!(metrics.push(now, nobody, asker("c")), Err(ErrorCode::InvalidRequest));
}

#[test]
fn configs_are_checked_and_a_subscription_without_any_is_gone() {
    let mut metrics = with(&[("metrics", "*")]);
    let refused = |metrics: &mut ClientMetrics, configs: &[(&str, &str)]| {
        metrics.alter("s", pairs(configs), false).err().map(|(error, _)| error)
    };
    assert_eq!(refused(&mut metrics, &[("interval", "1000")]), Some(ErrorCode::InvalidRequest));
    assert_eq!(refused(&mut metrics, &[("interval.ms", "99")]), Some(ErrorCode::InvalidRequest));
    assert_eq!(refused(&mut metrics, &[("interval.ms", "soon")]), Some(ErrorCode::InvalidConfig));
    assert_eq!(refused(&mut metrics, &[("match", "client=x")]), Some(ErrorCode::InvalidConfig));
    assert_eq!(refused(&mut metrics, &[("match", "client_id=(")]), Some(ErrorCode::InvalidConfig));
    assert_eq!(metrics.names().collect::<Vec<_>>(), ["s"]);
    assert_eq!(refused(&mut metrics, &[]), None);
    assert_eq!(metrics.names().count(), 0);
}
