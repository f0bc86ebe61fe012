//! Which subtask reads which partition.
use ottla_client::TopicPartition;

/// How partitions are dealt to subtasks. Both ways depend only on the names of the partitions, not on the order in which
/// a broker lists them (R32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SplitAssignment {
    /// To the subtask with the fewest partitions: no subtask has two more than another (R31).
    #[default]
    Balanced,
    /// By a hash of the topic, as Flink's connector does. Topics with one partition each may all meet at one subtask.
    LegacyHash,
}

impl SplitAssignment {
    /// The owners of partitions that nobody owns yet. `loads` says how many each subtask has, and is kept up to date.
    /// `partitions` is put in order.
    pub(crate) fn deal(self, mut partitions: Vec<TopicPartition>, loads: &mut [usize]) -> Vec<(u32, TopicPartition)> {
        partitions.sort_unstable();
        partitions.dedup();
        let parallelism = u32::try_from(loads.len()).unwrap_or(u32::MAX).max(1);
        let deal_one = |partition: TopicPartition| {
            let owner = match self {
                Self::Balanced => least_loaded(loads),
                Self::LegacyHash => legacy_owner(&partition, parallelism),
            };
            if let Some(load) = loads.get_mut(owner as usize) {
                *load += 1;
            }
            (owner, partition)
        };
        partitions.into_iter().map(deal_one).collect()
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::LegacyHash => 0,
            Self::Balanced => 1,
        }
    }

    pub(crate) fn of_code(code: u8) -> Option<Self> {
        [Self::LegacyHash, Self::Balanced].into_iter().find(|assignment| assignment.code() == code)
    }
}

fn least_loaded(loads: &[usize]) -> u32 {
    (0..).zip(loads).min_by_key(|(index, load)| (**load, *index)).map_or(0, |(index, _)| index)
}

/// `KafkaTopicPartitionAssigner.assign` of Flink.
fn legacy_owner(partition: &TopicPartition, parallelism: u32) -> u32 {
    let start = (java_hash(&partition.topic).wrapping_mul(31) & 0x7fff_ffff) as u32 % parallelism;
    let partition = u32::try_from(partition.partition).unwrap_or(0);
    // Both are below 2^31.
    (start + partition) % parallelism
}

/// `String.hashCode` of Java.
pub(crate) fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const PARALLELISMS: [u32; 7] = [1, 2, 3, 4, 5, 8, 10];

    #[test]
    fn r30_start_indexes() {
        let table: [(&str, i32, [u32; 7]); 8] = [
            ("test-topic", 639_758_388, [0, 0, 0, 0, 1, 4, 6]),
            ("test-topic2", -1_642_326_402, [0, 0, 0, 2, 0, 2, 0]),
            ("topic", 110_546_223, [0, 1, 1, 1, 0, 1, 5]),
            ("my-topic", -1_894_580_786, [0, 0, 0, 2, 3, 2, 8]),
            ("pattern-topic", 1_008_656_562, [0, 0, 2, 2, 0, 6, 0]),
            ("dynamic_topic", 846_800_175, [0, 1, 0, 1, 4, 1, 9]),
            ("日志", 833_170, [0, 0, 1, 2, 0, 6, 0]),
            ("\u{1D4B3}", 1_772_318, [0, 0, 2, 2, 3, 2, 8]),
        ];
        for (topic, hash, starts) in table {
            assert_eq!(java_hash(topic), hash, "{topic}");
            for (parallelism, start) in PARALLELISMS.into_iter().zip(starts) {
                assert_eq!(
                    legacy_owner(&TopicPartition::new(topic, 0), parallelism),
                    start,
                    "{topic}, P={parallelism}"
                );
            }
        }
        for topic in ["t-a", "t-i", "t-q", "t-y"] {
            assert_eq!(legacy_owner(&TopicPartition::new(topic, 0), 4), 0);
            assert_eq!(legacy_owner(&TopicPartition::new(topic, 0), 8), 0);
        }
    }

    fn partitions(ids: impl IntoIterator<Item = i32>) -> Vec<TopicPartition> {
        ids.into_iter().map(|id| TopicPartition::new("test-topic", id)).collect()
    }

    fn deal(
        assignment: SplitAssignment,
        partitions: Vec<TopicPartition>,
        p: usize,
    ) -> (HashMap<TopicPartition, u32>, Vec<usize>) {
        let mut loads = vec![0; p];
        let dealt = assignment.deal(partitions, &mut loads);
        (dealt.into_iter().map(|(owner, tp)| (tp, owner)).collect(), loads)
    }

    #[test]
    fn a39_legacy_hash_counts() {
        let loads = |ids: &[i32], p| deal(SplitAssignment::LegacyHash, partitions(ids.iter().copied()), p).1;
        let upto = |n| (0..n).collect::<Vec<_>>();
        assert_eq!(loads(&upto(4), 4), [1; 4]);
        assert!(loads(&upto(11), 3).iter().all(|n| (3..=4).contains(n)));
        assert!(loads(&upto(4), 11).iter().all(|n| *n <= 1));
        assert_eq!(loads(&[3, 1, 0, 2], 4), [1; 4]);
        assert_eq!(loads(&[7, 100, 3, 55], 3).iter().sum::<usize>(), 4, "each is owned once");
    }

    #[test]
    fn a39_legacy_hash_moves_nothing_when_partitions_are_added() {
        let (seven, _) = deal(SplitAssignment::LegacyHash, partitions(0..7), 3);
        let (eleven, _) = deal(SplitAssignment::LegacyHash, partitions((0..11).rev()), 3);
        assert_eq!(eleven.len(), 11);
        assert!(seven.iter().all(|(partition, owner)| eleven[partition] == *owner));
    }

    #[test]
    fn n19_balanced_is_even_and_ignores_the_order_of_the_listing() {
        let mut topics: Vec<_> = (0..1000).map(|i| TopicPartition::new(format!("topic-{i}"), 0)).collect();
        let (dealt, loads) = deal(SplitAssignment::Balanced, topics.clone(), 16);
        assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..5 {
            rng.shuffle(&mut topics);
            assert_eq!(deal(SplitAssignment::Balanced, topics.clone(), 16).0, dealt);
        }
    }

    #[test]
    fn r31_additions_go_to_the_emptiest_and_a_tie_to_the_lowest() {
        let mut loads = vec![2, 1, 1];
        let dealt = SplitAssignment::Balanced.deal(partitions([9, 8, 7]), &mut loads);
        let owners: Vec<_> = dealt.iter().map(|(owner, tp)| (*owner, tp.partition)).collect();
        assert_eq!(owners, [(1, 7), (2, 8), (0, 9)]);
        assert_eq!(loads, [3, 2, 2]);
    }
}
