//! Which transactional batches of an answer were aborted.
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use ottla_protocol::messages::fetch::AbortedTransaction;
use ottla_protocol::record::{RecordBatch, RecordError};

/// The aborted transactions that an answer names, followed from batch to batch.
///
/// They are kept in a heap: Kafka sends them in order, other brokers do not.
#[derive(Debug, Default)]
pub(crate) struct AbortedTransactions {
    /// First offset and producer id of those that have not begun yet.
    coming: BinaryHeap<Reverse<(i64, i64)>>,
    /// Producer ids of those under way.
    open: HashSet<i64>,
}

impl AbortedTransactions {
    pub(crate) fn new(listed: Vec<AbortedTransaction>) -> Self {
        let coming = listed.into_iter().map(|t| Reverse((t.first_offset, t.producer_id))).collect();
        Self { coming, open: HashSet::new() }
    }

    /// Whether the records of `batch` were aborted. Batches are to be shown in order, each once.
    pub(crate) fn covers(&mut self, batch: &RecordBatch) -> Result<bool, RecordError> {
        if batch.producer_id() < 0 {
            return Ok(false);
        }
        while let Some(&Reverse((first_offset, producer_id))) = self.coming.peek()
            && first_offset <= batch.last_offset()
        {
            self.coming.pop();
            self.open.insert(producer_id);
        }
        if batch.is_control() {
            if batch.control_marker()?.is_some_and(|marker| !marker.commit) {
                self.open.remove(&batch.producer_id());
            }
            return Ok(false);
        }
        Ok(batch.is_transactional() && self.open.contains(&batch.producer_id()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{batch, control, transactional};
    use super::*;
    use bytes::Bytes;

    fn survivors(listed: &[(i64, i64)], mut log: Bytes) -> Vec<i64> {
        let listed = listed.iter().map(|&(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset });
        let mut aborted = AbortedTransactions::new(listed.collect());
        let mut seen = Vec::new();
        while let Some(batch) = RecordBatch::split_from(&mut log).unwrap() {
            if !aborted.covers(&batch).unwrap() && !batch.is_control() {
                seen.push(batch.base_offset());
            }
        }
        seen
    }

    /// Producer 1 aborts 0..3 and commits 5; producer 2 aborts 1..4; offset 6 is outside of transactions.
    fn log() -> Bytes {
        let parts = [
            transactional(0, 1, &["a"]),
            transactional(1, 2, &["b"]),
            transactional(2, 1, &["c"]),
            control(3, 1, false),
            control(4, 2, false),
            transactional(5, 1, &["d"]),
            batch(6, &["e"]),
            control(7, 1, true),
        ];
        parts.concat().into()
    }

    #[test]
    fn aborted_list_order_does_not_matter() {
        assert_eq!(survivors(&[(1, 0), (2, 1)], log()), [5, 6]);
        assert_eq!(survivors(&[(2, 1), (1, 0)], log()), [5, 6]);
    }

    #[test]
    fn a_producer_aborts_again_after_its_marker() {
        assert_eq!(survivors(&[(1, 5), (2, 1), (1, 0)], log()), [6]);
    }

    #[test]
    fn a_transaction_that_began_before_the_answer_is_covered() {
        let log = [transactional(10, 1, &["a"]), control(11, 1, false)].concat().into();
        assert_eq!(survivors(&[(1, 3)], log), [0i64; 0]);
    }
}
