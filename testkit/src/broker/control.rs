//! Faults by rule: which requests fail, wait, lose their reply, or their connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;

use super::ErrorCode;
use super::request::{Reply, Request};

/// What a rule does to the requests it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Not carried out; answered with this error.
    Fail(ErrorCode),
    /// Carried out at once, answered later.
    Delay(Duration),
    /// Carried out, never answered.
    DropResponse,
    /// Not carried out; the connection is closed.
    HangUp,
    /// Carried out; the connection is closed without an answer.
    HangUpAfter,
    /// Not carried out; answered with what the test made up.
    Reply(Answer),
}

/// A made-up answer to requests of one type.
#[derive(Clone)]
pub struct Answer(Arc<MakeReply>);

type MakeReply = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

impl Answer {
    /// Answers requests of type `R` by `answer`; a request of another type is hung up on.
    pub fn new<R>(answer: impl Fn(&R) -> R::Response + Send + Sync + 'static) -> Self
    where
        R: kafka_protocol::protocol::Request + 'static,
        R::Response: Send + 'static,
    {
        Self(Arc::new(move |request| Some(request.made_up(answer(request.body::<R>()?)))))
    }

    pub(crate) fn to(&self, request: &Request) -> Option<Reply> {
        (self.0)(request)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// The same answer, not just an equal one.
impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Answer {}

/// Which requests a rule is about: those of one API, and of these only what is narrowed down to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    pub(crate) api: ApiKey,
    pub(crate) node: Option<i32>,
    pub(crate) topic: Option<String>,
    pub(crate) partition: Option<i32>,
}

impl Matcher {
    /// Every request of this API.
    pub fn new(api: ApiKey) -> Self {
        Self { api, node: None, topic: None, partition: None }
    }

    /// Only requests that name this topic; where an API answers per partition, only that topic's partitions fail.
    pub fn topic(self, name: &str) -> Self {
        Self { topic: Some(name.to_owned()), ..self }
    }

    /// Only requests that name this partition.
    pub fn partition(self, index: i32) -> Self {
        Self { partition: Some(index), ..self }
    }

    /// Only requests to this node.
    pub fn node(self, id: i32) -> Self {
        Self { node: Some(id), ..self }
    }

    /// Whether the rule is about this topic and partition.
    pub(crate) fn names(&self, topic: &str, partition: i32) -> bool {
        self.topic.as_deref().is_none_or(|name| name == topic) && self.partition.is_none_or(|index| index == partition)
    }
}

#[derive(Debug)]
struct Rule {
    id: u64,
    matcher: Matcher,
    fault: Fault,
    /// `None`: for ever.
    limit: Option<u64>,
    hits: u64,
}

/// All rules, oldest first; the first one that matches applies.
#[derive(Debug, Default)]
pub(crate) struct Control {
    rules: Vec<Rule>,
    last_id: u64,
}

impl Control {
    /// Adds a rule that applies once.
    pub(crate) fn add(&mut self, matcher: Matcher, fault: Fault) -> u64 {
        self.last_id += 1;
        self.rules.push(Rule { id: self.last_id, matcher, fault, limit: Some(1), hits: 0 });
        self.last_id
    }

    /// Sets how often a rule applies in all.
    pub(crate) fn limit(&mut self, id: u64, limit: Option<u64>) {
        if let Some(rule) = self.rules.iter_mut().find(|rule| rule.id == id) {
            rule.limit = limit;
        }
    }

    /// How often a rule has applied.
    pub(crate) fn hits(&self, id: u64) -> u64 {
        self.rules.iter().find(|rule| rule.id == id).map_or(0, |rule| rule.hits)
    }

    /// Ends a rule.
    pub(crate) fn remove(&mut self, id: u64) {
        self.rules.retain(|rule| rule.id != id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The fault for a request, counted as a hit. `touches` says whether the request names what a matcher asks for.
    pub(crate) fn strike(
        &mut self,
        api: ApiKey,
        node: i32,
        touches: impl Fn(&Matcher) -> bool,
    ) -> Option<(Matcher, Fault)> {
        let rule = self.rules.iter_mut().find(|rule| {
            rule.limit.is_none_or(|limit| rule.hits < limit)
                && rule.matcher.api == api
                && rule.matcher.node.is_none_or(|wanted| wanted == node)
                && touches(&rule.matcher)
        })?;
        rule.hits += 1;
        Some((rule.matcher.clone(), rule.fault.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strike(control: &mut Control, api: ApiKey, node: i32, topic: &str) -> Option<Fault> {
        control.strike(api, node, |matcher| matcher.names(topic, 0)).map(|(_, fault)| fault)
    }

    #[test]
    fn rule_applies_as_often_as_it_says() {
        let mut control = Control::default();
        let id = control.add(Matcher::new(ApiKey::Produce), Fault::HangUp);
        control.limit(id, Some(2));
        let seen = [0; 3].map(|_| strike(&mut control, ApiKey::Produce, 0, "t"));
        assert_eq!(seen, [Some(Fault::HangUp), Some(Fault::HangUp), None]);
        assert_eq!(control.hits(id), 2);
    }

    #[test]
    fn rule_matches_api_node_and_topic() {
        let mut control = Control::default();
        let matcher = Matcher { node: Some(1), topic: Some("t".into()), ..Matcher::new(ApiKey::Fetch) };
        control.add(matcher, Fault::DropResponse);
        assert_eq!(strike(&mut control, ApiKey::Produce, 1, "t"), None);
        assert_eq!(strike(&mut control, ApiKey::Fetch, 0, "t"), None);
        assert_eq!(strike(&mut control, ApiKey::Fetch, 1, "u"), None);
        assert_eq!(strike(&mut control, ApiKey::Fetch, 1, "t"), Some(Fault::DropResponse));
    }

    #[test]
    fn removed_rule_applies_no_more() {
        let mut control = Control::default();
        let id = control.add(Matcher::new(ApiKey::Fetch), Fault::HangUp);
        control.limit(id, None);
        assert!(strike(&mut control, ApiKey::Fetch, 0, "t").is_some());
        control.remove(id);
        assert!(control.is_empty() && strike(&mut control, ApiKey::Fetch, 0, "t").is_none());
    }
}
