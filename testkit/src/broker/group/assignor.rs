//! The server's assignors of the consumer group protocol: `uniform` and `range` (KIP-848).

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// Partitions by topic id.
pub(crate) type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// How partitions are dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assignor {
    Uniform,
    Range,
}

impl Assignor {
    /// In the order of `group.consumer.assignors`: the first is the default.
    pub(crate) const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Deals the partitions of `topics` (partition counts by id) out to the members that want them.
    pub(crate) fn assign(
        self,
        members: &[Subscriber<'_>],
        topics: &BTreeMap<Uuid, i32>,
    ) -> BTreeMap<String, Assignment> {
        let mut dealt: BTreeMap<String, Assignment> =
            members.iter().map(|member| (member.id.to_owned(), Assignment::new())).collect();
        match self {
            Self::Uniform => uniform(members, topics, &mut dealt),
            Self::Range => range(members, topics, &mut dealt),
        }
        dealt
    }
}

/// A member as an assignor sees it.
#[derive(Debug)]
pub(crate) struct Subscriber<'a> {
    pub(crate) id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    pub(crate) topics: BTreeSet<Uuid>,
    /// What it was assigned the last time; the uniform assignor moves as little of it as it can.
    pub(crate) previous: Option<&'a Assignment>,
}

/// Per topic, a contiguous range of its partitions each; the first members take the rest.
fn range(members: &[Subscriber<'_>], topics: &BTreeMap<Uuid, i32>, dealt: &mut BTreeMap<String, Assignment>) {
    for (&topic, &count) in topics {
        let mut takers: Vec<_> = members.iter().filter(|member| member.topics.contains(&topic)).collect();
        takers.sort_by_key(|member| (member.instance_id.is_none(), member.instance_id, member.id));
        let Some((each, more)) = shares(count, takers.len()) else { continue };
        let mut next = 0;
        for (at, member) in (0..).zip(takers) {
            let size = each + i32::from(at < more);
            let taken: BTreeSet<i32> = (next..next + size).collect();
            next += size;
            if let Some(assignment) = dealt.get_mut(member.id).filter(|_| !taken.is_empty()) {
                assignment.insert(topic, taken);
            }
        }
    }
}

/// How many each of `takers` gets of `count`, and how many of them get one more.
fn shares(count: i32, takers: usize) -> Option<(i32, i32)> {
    let takers = i32::try_from(takers).ok().filter(|&takers| takers > 0)?;
    Some((count / takers, count % takers))
}

/// As many partitions for each as its subscription allows, keeping what it had.
fn uniform(members: &[Subscriber<'_>], topics: &BTreeMap<Uuid, i32>, dealt: &mut BTreeMap<String, Assignment>) {
    let mut free: BTreeSet<(Uuid, i32)> =
        topics.iter().flat_map(|(&topic, &count)| (0..count).map(move |index| (topic, index))).collect();
    for member in members {
        let kept = member.previous.into_iter().flatten().filter(|(topic, _)| member.topics.contains(topic));
        for (&topic, partitions) in kept {
            for &partition in partitions.iter().filter(|&&partition| free.remove(&(topic, partition))) {
                give(dealt, member.id, (topic, partition));
            }
        }
    }
    for partition in free {
        let takers = members.iter().filter(|member| member.topics.contains(&partition.0));
        if let Some(least) = takers.min_by_key(|member| load(dealt, member.id)) {
            give(dealt, least.id, partition);
        }
    }
    while let Some((partition, from, to)) = improvement(members, dealt) {
        if let Some(partitions) = dealt.get_mut(&from).and_then(|assignment| assignment.get_mut(&partition.0)) {
            partitions.remove(&partition.1);
        }
        give(dealt, &to, partition);
    }
    for assignment in dealt.values_mut() {
        assignment.retain(|_, partitions| !partitions.is_empty());
    }
}

fn give(dealt: &mut BTreeMap<String, Assignment>, to: &str, (topic, index): (Uuid, i32)) {
    if let Some(assignment) = dealt.get_mut(to) {
        assignment.entry(topic).or_default().insert(index);
    }
}

fn load(dealt: &BTreeMap<String, Assignment>, member: &str) -> usize {
    dealt.get(member).into_iter().flat_map(BTreeMap::values).map(BTreeSet::len).sum()
}

/// A move that brings two members closer together: from the fullest member that has something the other may take.
fn improvement(
    members: &[Subscriber<'_>],
    dealt: &BTreeMap<String, Assignment>,
) -> Option<((Uuid, i32), String, String)> {
    let mut order: Vec<(usize, &Subscriber<'_>)> =
        members.iter().map(|member| (load(dealt, member.id), member)).collect();
    order.sort_by_key(|&(load, member)| (load, member.id));
    for &(least, to) in &order {
        for &(_, from) in order.iter().rev().take_while(|&&(most, _)| most > least + 1) {
            let owned = dealt.get(from.id).into_iter().flatten();
            let movable = owned.filter(|(topic, partitions)| to.topics.contains(topic) && !partitions.is_empty());
            let last = |(&topic, partitions): (&Uuid, &BTreeSet<i32>)| Some((topic, *partitions.last()?));
            if let Some(partition) = movable.filter_map(last).next_back() {
                return Some((partition, from.id.to_owned(), to.id.to_owned()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Uuid = Uuid::from_u128(1);
    const U: Uuid = Uuid::from_u128(2);

    fn member<'a>(id: &'a str, topics: &[Uuid], previous: Option<&'a Assignment>) -> Subscriber<'a> {
        Subscriber { id, instance_id: None, topics: topics.iter().copied().collect(), previous }
    }

    fn of(dealt: &BTreeMap<String, Assignment>, id: &str, topic: Uuid) -> Vec<i32> {
        dealt[id].get(&topic).into_iter().flatten().copied().collect()
    }

    #[test]
    fn range_gives_contiguous_partitions_and_the_rest_to_the_first() {
        let members = [member("a", &[T, U], None), member("b", &[T, U], None), member("c", &[T], None)];
        let dealt = Assignor::Range.assign(&members, &BTreeMap::from([(T, 7), (U, 3)]));
        assert_eq!(of(&dealt, "a", T), [0, 1, 2]);
        assert_eq!(of(&dealt, "b", T), [3, 4]);
        assert_eq!(of(&dealt, "c", T), [5, 6]);
        assert_eq!((of(&dealt, "a", U), of(&dealt, "b", U)), (vec![0, 1], vec![2]));
    }

    #[test]
    fn uniform_balances_over_all_topics() {
        let members = [member("a", &[T, U], None), member("b", &[T, U], None), member("c", &[T, U], None)];
        let dealt = Assignor::Uniform.assign(&members, &BTreeMap::from([(T, 4), (U, 4)]));
        let mut loads: Vec<usize> = ["a", "b", "c"].iter().map(|id| load(&dealt, id)).collect();
        loads.sort_unstable();
        assert_eq!(loads, [2, 3, 3]);
    }

    #[test]
    fn uniform_moves_only_what_balance_needs() {
        let before = Assignment::from([(T, (0..6).collect())]);
        let members = [member("a", &[T], Some(&before)), member("b", &[T], None)];
        let dealt = Assignor::Uniform.assign(&members, &BTreeMap::from([(T, 6)]));
        assert_eq!((of(&dealt, "a", T), of(&dealt, "b", T)), (vec![0, 1, 2], vec![3, 4, 5]));
        let (a, b) = (dealt["a"].clone(), dealt["b"].clone());
        let members = [member("a", &[T], Some(&a)), member("b", &[T], Some(&b))];
        assert_eq!(Assignor::Uniform.assign(&members, &BTreeMap::from([(T, 6)])), dealt);
    }

    #[test]
    fn uniform_respects_different_subscriptions() {
        let members = [member("a", &[T, U], None), member("b", &[U], None)];
        let dealt = Assignor::Uniform.assign(&members, &BTreeMap::from([(T, 3), (U, 3)]));
        assert_eq!((of(&dealt, "a", T), of(&dealt, "b", U)), (vec![0, 1, 2], vec![0, 1, 2]));
    }

    #[test]
    fn nobody_subscribed_means_nothing_assigned() {
        for assignor in Assignor::ALL {
            let dealt = assignor.assign(&[member("a", &[], None)], &BTreeMap::from([(T, 3)]));
            assert_eq!(dealt["a"], Assignment::new());
        }
    }
}
