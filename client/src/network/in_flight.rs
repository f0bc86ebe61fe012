//! What was sent on a connection and not answered yet. Brokers answer in order, so it is a queue.
use std::collections::VecDeque;
use std::time::Instant;

/// A request that waits for its answer; `T` is who is told.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    pub(crate) correlation_id: i32,
    pub(crate) deadline: Instant,
    pub(crate) asker: T,
}

/// The queue of them.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    queue: VecDeque<Waiting<T>>,
}

/// An answer that is not the next one: the connection cannot be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder {
    pub(crate) expected: Option<i32>,
    pub(crate) received: i32,
}

impl<T> InFlight<T> {
    pub(crate) fn new() -> Self {
        Self { queue: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn register(&mut self, waiting: Waiting<T>) {
        self.queue.push_back(waiting);
    }

    /// Who the answer with this correlation id is for.
    pub(crate) fn complete(&mut self, correlation_id: i32) -> Result<T, OutOfOrder> {
        let expected = self.queue.front().map(|w| w.correlation_id);
        if expected != Some(correlation_id) {
            return Err(OutOfOrder { expected, received: correlation_id });
        }
        self.queue.pop_front().map(|w| w.asker).ok_or(OutOfOrder { expected, received: correlation_id })
    }

    /// When the first of them is overdue. Requests have timeouts of their own, so it need not be the oldest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.queue.iter().map(|w| w.deadline).min()
    }

    /// Gives up on all of them.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Waiting<T>> + '_ {
        self.queue.drain(..)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn answers_come_in_order_or_poison_the_connection() {
        let now = Instant::now();
        let mut in_flight = InFlight::new();
        for (id, after) in [(1, 30), (2, 10)] {
            let deadline = now + Duration::from_secs(after);
            in_flight.register(Waiting { correlation_id: id, deadline, asker: id * 10 });
        }
        assert_eq!(in_flight.deadline(), Some(now + Duration::from_secs(10)));
        assert_eq!(in_flight.complete(2), Err(OutOfOrder { expected: Some(1), received: 2 }));
        assert_eq!(in_flight.complete(1), Ok(10));
        assert_eq!(in_flight.complete(2), Ok(20));
        assert_eq!(in_flight.complete(3), Err(OutOfOrder { expected: None, received: 3 }));
    }
}
