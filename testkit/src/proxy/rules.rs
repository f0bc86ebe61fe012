//! Faults for chosen requests and their replies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to a chosen request or its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    CutRequest,
    CutMidRequest,
    CutBeforeReply,
    CutMidReply,
    FlipRequest,
    FlipReply,
    Delay(Duration),
    Silence,
}

/// What to do with one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Forward,
    ForwardAfter(Duration),
    /// The byte at this place gets another value.
    Flip(usize, u8),
    /// This many bytes are forwarded, then both sides are closed.
    CutAfter(usize),
    /// Neither this nor anything after it passes, and nothing is closed.
    Silence,
}

#[derive(Debug)]
struct Rule {
    id: u64,
    api: Option<i16>,
    link: Option<usize>,
    fault: Fault,
    skip: u64,
    left: Option<u64>,
    hits: u64,
}

/// The rules of a proxy. The first that matches a request is applied.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    next: u64,
    rng: fastrand::Rng,
}

impl Rules {
    pub(super) fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), next: 0, rng: fastrand::Rng::with_seed(seed) }
    }

    fn choose(&mut self, link: usize, api: i16) -> Option<Fault> {
        for rule in &mut self.rules {
            let matches = rule.api.is_none_or(|wanted| wanted == api) && rule.link.is_none_or(|wanted| wanted == link);
            if !matches || rule.left == Some(0) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.left = rule.left.map(|left| left - 1);
            rule.hits += 1;
            return Some(rule.fault);
        }
        None
    }

    /// Anywhere after the frame's length, which would turn a flip into another stream.
    fn flip(&mut self, length: usize) -> Verdict {
        if length <= 4 {
            return Verdict::Forward;
        }
        Verdict::Flip(self.rng.usize(4..length), 1 << self.rng.u8(0..8))
    }

    fn rule(&mut self, id: u64) -> Option<&mut Rule> {
        self.rules.iter_mut().find(|rule| rule.id == id)
    }
}

/// A request under way on one connection.
#[derive(Debug)]
struct InFlight {
    correlation_id: i32,
    api: i16,
    fault: Option<Fault>,
}

/// The requests of one connection and what was decided about their replies.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    in_flight: VecDeque<InFlight>,
}

impl Exchange {
    /// Decides about a request of `length` bytes.
    pub(super) fn request(&mut self, rules: &mut Rules, link: usize, head: (i16, i32), length: usize) -> Verdict {
        let (api, correlation_id) = head;
        let fault = rules.choose(link, api);
        self.in_flight.push_back(InFlight { correlation_id, api, fault });
        match fault {
            Some(Fault::CutRequest) => Verdict::CutAfter(0),
            Some(Fault::CutMidRequest) => Verdict::CutAfter(length / 2),
            Some(Fault::FlipRequest) => rules.flip(length),
            Some(Fault::Delay(delay)) => Verdict::ForwardAfter(delay),
            Some(Fault::Silence) => Verdict::Silence,
            Some(Fault::CutBeforeReply | Fault::CutMidReply | Fault::FlipReply) | None => Verdict::Forward,
        }
    }

    /// Decides about a reply of `length` bytes, and says to which API it is one.
    pub(super) fn reply(&mut self, rules: &mut Rules, correlation_id: i32, length: usize) -> (Option<i16>, Verdict) {
        // A request that wants no acknowledgement has no reply: those before this one are done.
        while let Some(request) = self.in_flight.pop_front() {
            if request.correlation_id != correlation_id {
                continue;
            }
            let verdict = match request.fault {
                Some(Fault::CutBeforeReply) => Verdict::CutAfter(0),
                Some(Fault::CutMidReply) => Verdict::CutAfter(length / 2),
                Some(Fault::FlipReply) => rules.flip(length),
                _ => Verdict::Forward,
            };
            return (Some(request.api), verdict);
        }
        (None, Verdict::Forward)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A rule in the making. It takes effect with the call that says what happens.
#[derive(Debug)]
#[must_use = "say what happens to these requests"]
pub struct ProxyRuleBuilder {
    rules: Arc<Mutex<Rules>>,
    api: Option<i16>,
    link: Option<usize>,
    skip: u64,
}

impl ProxyRuleBuilder {
    pub(super) fn new(rules: Arc<Mutex<Rules>>, api: Option<i16>) -> Self {
        Self { rules, api, link: None, skip: 0 }
    }

    /// Only on this link.
    pub fn link(mut self, index: usize) -> Self {
        self.link = Some(index);
        self
    }

    /// Not for the first `count` such requests.
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// The connection is closed and the broker never sees the request.
    pub fn cut(self) -> ProxyRule {
        self.add(Fault::CutRequest)
    }

    /// The connection is closed in the middle of the request.
    pub fn cut_mid_request(self) -> ProxyRule {
        self.add(Fault::CutMidRequest)
    }

    /// The broker carries the request out, and the connection is closed when its reply comes.
    pub fn cut_before_reply(self) -> ProxyRule {
        self.add(Fault::CutBeforeReply)
    }

    /// The broker carries the request out, and the connection is closed in the middle of the reply.
    pub fn cut_mid_reply(self) -> ProxyRule {
        self.add(Fault::CutMidReply)
    }

    /// One bit of the request is changed.
    pub fn flip_request(self) -> ProxyRule {
        self.add(Fault::FlipRequest)
    }

    /// One bit of the reply is changed.
    pub fn flip_reply(self) -> ProxyRule {
        self.add(Fault::FlipReply)
    }

    /// The request waits, and with it all that comes after it on its connection.
    pub fn delay(self, delay: Duration) -> ProxyRule {
        self.add(Fault::Delay(delay))
    }

    /// From this request on nothing passes on its connection, in either direction, and nothing closes it.
    pub fn silence(self) -> ProxyRule {
        self.add(Fault::Silence)
    }

    fn add(self, fault: Fault) -> ProxyRule {
        let mut rules = lock(&self.rules);
        rules.next += 1;
        let (id, Self { api, link, skip, .. }) = (rules.next, &self);
        rules.rules.push(Rule { id, api: *api, link: *link, fault, skip: *skip, left: Some(1), hits: 0 });
        drop(rules);
        ProxyRule { rules: self.rules, id }
    }
}

/// A rule in effect, by default for one request. Dropping this handle leaves it in effect.
#[derive(Debug)]
pub struct ProxyRule {
    rules: Arc<Mutex<Rules>>,
    id: u64,
}

impl ProxyRule {
    /// It applies to this many requests in all.
    pub fn times(self, count: u64) -> Self {
        if let Some(rule) = lock(&self.rules).rule(self.id) {
            rule.left = Some(count);
        }
        self
    }

    /// It applies until it is removed.
    pub fn always(self) -> Self {
        if let Some(rule) = lock(&self.rules).rule(self.id) {
            rule.left = None;
        }
        self
    }

    /// How many requests it has applied to.
    pub fn hits(&self) -> u64 {
        lock(&self.rules).rule(self.id).map_or(0, |rule| rule.hits)
    }

    /// Ends it.
    pub fn remove(self) {
        lock(&self.rules).rules.retain(|rule| rule.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Exchange, ProxyRuleBuilder, Rules, Verdict, lock};

    fn on(rules: &Arc<Mutex<Rules>>, api: i16) -> ProxyRuleBuilder {
        ProxyRuleBuilder::new(rules.clone(), Some(api))
    }

    #[test]
    fn a_rule_is_for_its_api_and_link_and_counts() {
        let rules = Arc::new(Mutex::new(Rules::new(0)));
        let rule = on(&rules, 0).link(1).skip(1).cut().times(2);
        let mut exchange = Exchange::default();
        let mut ask = |link, api| exchange.request(&mut lock(&rules), link, (api, 1), 100);
        assert_eq!(ask(0, 0), Verdict::Forward, "another link");
        assert_eq!(ask(1, 1), Verdict::Forward, "another API");
        assert_eq!(ask(1, 0), Verdict::Forward, "skipped");
        assert_eq!(ask(1, 0), Verdict::CutAfter(0));
        assert_eq!(ask(1, 0), Verdict::CutAfter(0));
        assert_eq!(ask(1, 0), Verdict::Forward, "used up");
        assert_eq!(rule.hits(), 2);
    }

    #[test]
    fn a_fault_of_the_reply_waits_for_the_reply_of_its_request() {
        let rules = Arc::new(Mutex::new(Rules::new(0)));
        let _rule = on(&rules, 0).cut_mid_reply();
        let mut exchange = Exchange::default();
        let mut held = lock(&rules);
        assert_eq!(exchange.request(&mut held, 0, (3, 6), 100), Verdict::Forward);
        assert_eq!(exchange.request(&mut held, 0, (0, 7), 100), Verdict::Forward);
        assert_eq!(exchange.request(&mut held, 0, (0, 8), 100), Verdict::Forward);
        assert_eq!(exchange.reply(&mut held, 6, 50), (Some(3), Verdict::Forward));
        assert_eq!(exchange.reply(&mut held, 7, 50), (Some(0), Verdict::CutAfter(25)));
        assert_eq!(exchange.reply(&mut held, 8, 50), (Some(0), Verdict::Forward));
    }

    #[test]
    fn requests_without_a_reply_do_not_confuse_it() {
        let rules = Arc::new(Mutex::new(Rules::new(0)));
        let mut exchange = Exchange::default();
        let mut held = lock(&rules);
        exchange.request(&mut held, 0, (0, 1), 100);
        exchange.request(&mut held, 0, (0, 2), 100);
        exchange.request(&mut held, 0, (3, 3), 100);
        assert_eq!(exchange.reply(&mut held, 3, 50), (Some(3), Verdict::Forward));
    }

    #[test]
    fn a_flip_never_hits_the_length() {
        let mut rules = Rules::new(3);
        for _ in 0..1000 {
            let Verdict::Flip(at, bit) = rules.flip(6) else { panic!("no flip") };
            assert!((4..6).contains(&at) && bit.count_ones() == 1);
        }
        assert_eq!(rules.flip(4), Verdict::Forward);
    }
}
