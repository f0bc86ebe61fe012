//! Fault rules as tests write them: `broker.on(ApiKey::Produce).topic("t").fail(ErrorCode::RequestTimedOut).times(2)`.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;

use super::ErrorCode;
use super::control::{Answer, Fault, Matcher};
use super::server::Shared;

/// A rule in the making: which requests it is about. It takes effect with the call that says what happens to them.
#[derive(Debug)]
#[must_use = "say what happens to these requests"]
pub struct RuleBuilder {
    shared: Arc<Shared>,
    matcher: Matcher,
}

impl RuleBuilder {
    pub(crate) fn new(shared: Arc<Shared>, api: ApiKey) -> Self {
        Self { shared, matcher: Matcher::new(api) }
    }

    /// Only requests that name this topic; where an API answers per partition, only that topic's partitions fail.
    pub fn topic(mut self, name: &str) -> Self {
        self.matcher = self.matcher.topic(name);
        self
    }

    /// Only requests that name this partition.
    pub fn partition(mut self, index: i32) -> Self {
        self.matcher = self.matcher.partition(index);
        self
    }

    /// Only requests to this node.
    pub fn node(mut self, id: i32) -> Self {
        self.matcher = self.matcher.node(id);
        self
    }

    /// The request is not carried out and answered with `error`.
    pub fn fail(self, error: ErrorCode) -> Rule {
        self.add(Fault::Fail(error))
    }

    /// The request is carried out at once and answered after `delay`. Later requests of the connection wait.
    pub fn delay(self, delay: Duration) -> Rule {
        self.add(Fault::Delay(delay))
    }

    /// The request is carried out and never answered; the connection stays open.
    pub fn drop_response(self) -> Rule {
        self.add(Fault::DropResponse)
    }

    /// The request is not carried out; the connection is closed.
    pub fn hang_up(self) -> Rule {
        self.add(Fault::HangUp)
    }

    /// The request is carried out; the connection is closed instead of an answer.
    pub fn hang_up_after(self) -> Rule {
        self.add(Fault::HangUpAfter)
    }

    /// The request is not carried out and answered by `answer`, which gets its fields. The types are those of
    /// [`kafka_protocol`]:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ottla_testkit::kafka_protocol::messages::{MetadataRequest, MetadataResponse};
    /// use ottla_testkit::{ApiKey, Broker};
    ///
    /// let broker = Broker::builder().start().await?;
    /// // The next Metadata request sees a cluster without brokers.
    /// broker.on(ApiKey::Metadata).reply(|_: &MetadataRequest| MetadataResponse::default());
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// If `R` is not the request type of the rule's API.
    pub fn reply<R>(self, answer: impl Fn(&R) -> R::Response + Send + Sync + 'static) -> Rule
    where
        R: kafka_protocol::protocol::Request + 'static,
        R::Response: Send + 'static,
    {
        assert_eq!(R::KEY, self.matcher.api as i16, "the rule is about {:?}", self.matcher.api);
        self.add(Fault::Reply(Answer::new(answer)))
    }

    fn add(self, fault: Fault) -> Rule {
        let id = self.shared.cluster().control.add(self.matcher, fault);
        Rule { shared: self.shared, id }
    }
}

/// A rule in effect, by default for one request. Dropping this handle leaves it in effect.
#[derive(Debug)]
pub struct Rule {
    shared: Arc<Shared>,
    id: u64,
}

impl Rule {
    /// The rule applies to this many requests in all.
    pub fn times(self, count: u64) -> Self {
        self.shared.cluster().control.limit(self.id, Some(count));
        self
    }

    /// The rule applies until it is removed.
    pub fn always(self) -> Self {
        self.shared.cluster().control.limit(self.id, None);
        self
    }

    /// How many requests it has applied to.
    pub fn hits(&self) -> u64 {
        self.shared.cluster().control.hits(self.id)
    }

    /// Ends the rule.
    pub fn remove(self) {
        self.shared.cluster().control.remove(self.id);
    }
}
