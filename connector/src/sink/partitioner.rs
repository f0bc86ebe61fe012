//! Which partition a record goes to when its schema does not say (K3).

/// Chooses a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkPartitioner {
    /// By the hash of the key as Kafka's own producer does, any without a key.
    #[default]
    Kafka,
    /// All records of a subtask to one partition: the sorted partition at `subtask mod n`. With fewer subtasks than
    /// partitions some stay empty.
    Fixed,
}

/// The partition of `subtask` under [`SinkPartitioner::Fixed`].
pub(crate) fn fixed(subtask: u32, partitions: usize) -> Option<i32> {
    i32::try_from(subtask as usize % partitions.max(1)).ok().filter(|_| partitions > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k3_fixed_goes_round_the_partitions() {
        let of = |sinks: u32, partitions| (0..sinks).map(|s| fixed(s, partitions).unwrap()).collect::<Vec<_>>();
        assert_eq!(of(4, 1), [0, 0, 0, 0]);
        assert_eq!(of(2, 5), [0, 1]);
        assert_eq!(of(3, 2), [0, 1, 0]);
        assert_eq!(fixed(0, 0), None);
    }
}
