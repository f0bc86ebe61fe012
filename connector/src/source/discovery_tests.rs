use super::*;

const P: u32 = 4;

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

fn listing(topic: &str, id: u128, partitions: std::ops::Range<i32>) -> Listing {
    partitions.map(|i| (tp(topic, i), Some(Uuid::from_u128(id)))).collect()
}

fn discovery(parallelism: u32) -> PartitionDiscovery {
    PartitionDiscovery::new(SplitAssignment::Balanced, parallelism, 3, 5)
}

/// Resolves what is unresolved: to 0 where the start counts not, else to 50.
fn resolve(discovery: &mut PartitionDiscovery) {
    let unresolved: Vec<_> = discovery.unresolved().map(|(tp, u)| (tp.clone(), u.is_first)).collect();
    for (partition, is_first) in unresolved {
        discovery.resolved(PartitionSplit::new(partition, if is_first { 50 } else { 0 }));
    }
}

fn round(discovery: &mut PartitionDiscovery, listing: &Listing) -> Vec<(TopicPartition, i64)> {
    discovery.observe(listing);
    resolve(discovery);
    discovery.assign().into_iter().map(|(_, split)| (split.topic_partition, split.next_offset)).collect()
}

fn restored(state: KafkaEnumeratorState, splits: Vec<PartitionSplit>, parallelism: u32) -> PartitionDiscovery {
    let mut discovery = discovery(parallelism);
    discovery.restore(state, splits, false, |_| true);
    discovery
}

#[test]
fn r35_what_is_found_later_is_read_from_its_start() {
    let mut discovery = discovery(P);
    assert_eq!(round(&mut discovery, &listing("t", 1, 0..2)), [(tp("t", 0), 50), (tp("t", 1), 50)]);
    assert_eq!(round(&mut discovery, &listing("t", 1, 0..4)), [(tp("t", 2), 0), (tp("t", 3), 0)]);
    assert!(round(&mut discovery, &listing("t", 1, 0..4)).is_empty(), "each is handed out once");
}

#[test]
fn r35_an_answer_without_partitions_is_the_first_discovery() {
    let mut discovery = discovery(P);
    assert!(round(&mut discovery, &Listing::new()).is_empty());
    assert!(discovery.snapshot().first_discovery_done);
    assert_eq!(round(&mut discovery, &listing("t", 1, 0..1)), [(tp("t", 0), 0)]);
}

#[test]
fn r36_partition_ids_may_have_gaps() {
    let mut discovery = discovery(P);
    let mut gaps = listing("t", 1, 7..8);
    gaps.extend(listing("t", 1, 2..3));
    assert_eq!(round(&mut discovery, &gaps).len(), 2);
    gaps.extend(listing("t", 1, 4..5));
    assert_eq!(round(&mut discovery, &gaps), [(tp("t", 4), 0)]);
}

#[test]
fn a38_unresolved_partitions_are_neither_handed_out_nor_snapshotted() {
    let mut discovery = discovery(P);
    discovery.observe(&listing("t", 1, 0..2));
    assert!(discovery.assign().is_empty());
    assert!(discovery.snapshot().partitions.is_empty());
    discovery.resolved(PartitionSplit::new(tp("t", 1), 5));
    assert_eq!(discovery.assign().len(), 1);
    assert_eq!(discovery.snapshot().partitions.len(), 1);
    assert_eq!(round(&mut discovery, &listing("t", 1, 0..2)), [(tp("t", 0), 50)], "the start mode still counts for it");
}

#[test]
fn a37_restored_without_partitions_is_earliest_for_all() {
    let mut discovery = restored(KafkaEnumeratorState::default(), vec![], P);
    let mut both = listing("abc", 1, 13..14);
    both.extend(listing("def", 2, 7..8));
    assert_eq!(round(&mut discovery, &both), [(tp("abc", 13), 0), (tp("def", 7), 0)]);
}

#[test]
fn a35_restored_topics_that_are_not_subscribed_are_dropped() {
    let both = ["kafka_topic_1", "kafka_topic_2"];
    for (had, subscribed, filtered, unfiltered) in
        [(&both[..], &both[..], 2, 2), (&both[..], &both[..1], 1, 2), (&both[..1], &both[..], 2, 2)]
    {
        for (filter, expected) in [(true, filtered), (false, unfiltered)] {
            let mut discovery = discovery(1);
            let splits = had.iter().map(|topic| PartitionSplit::new(tp(topic, 0), 12_345)).collect();
            let keep = |topic: &str| !filter || subscribed.contains(&topic);
            discovery.restore(KafkaEnumeratorState::default(), splits, false, keep);
            let listed = subscribed.iter().flat_map(|topic| listing(topic, 1, 0..1)).collect();
            let assigned = round(&mut discovery, &listed);
            assert_eq!(assigned.len(), expected);
            for (partition, offset) in assigned {
                assert_eq!(offset, if had.contains(&&*partition.topic) { 12_345 } else { 0 });
            }
        }
    }
}

#[test]
fn a36_any_parallelism_restores_any_state() {
    for (in_state, now, before, after) in [(2, 30, 5, 8), (10, 100, 5, 2)] {
        let mut old = discovery(before);
        round(&mut old, &listing("t", 1, 0..in_state));
        let splits = (0..in_state).map(|i| PartitionSplit::new(tp("t", i), 77)).collect();
        let mut new = restored(old.snapshot(), splits, after);
        new.observe(&listing("t", 1, 0..now));
        resolve(&mut new);
        let assigned = new.assign();
        let mut loads = vec![0; after as usize];
        assigned.iter().for_each(|(owner, _)| loads[*owner as usize] += 1);
        assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
        let names: HashSet<_> = assigned.iter().map(|(_, split)| &split.topic_partition).collect();
        assert_eq!((assigned.len(), names.len()), (now as usize, now as usize));
        assert_eq!(assigned.iter().filter(|(_, split)| split.next_offset == 77).count(), in_state as usize);
        assert_eq!(assigned.iter().filter(|(_, split)| split.next_offset == 0).count(), (now - in_state) as usize);
    }
}

#[test]
fn r31_the_same_parallelism_keeps_owners() {
    let mut old = discovery(P);
    round(&mut old, &listing("t", 1, 2..5));
    round(&mut old, &listing("t", 1, 0..5));
    let owners =
        |state: &KafkaEnumeratorState| -> Vec<_> { state.partitions.iter().map(|known| known.owner).collect() };
    let state = old.snapshot();
    let same = restored(state.clone(), vec![], P);
    assert_eq!(owners(&same.snapshot()), owners(&state));
    assert_ne!(owners(&restored(state.clone(), vec![], 2).snapshot()), owners(&state));
}

#[test]
fn c4_a_readers_position_wins() {
    let mut old = discovery(P);
    round(&mut old, &listing("t", 1, 0..2));
    let mut position = PartitionSplit::new(tp("t", 0), 60);
    position.leader_epoch = Some(3);
    let mut new = restored(old.snapshot(), vec![position], P);
    assert_eq!(round(&mut new, &listing("t", 1, 0..2)), [(tp("t", 0), 60), (tp("t", 1), 50)]);
}

#[test]
fn r24_a_restored_topic_created_anew_is_read_from_its_start() {
    let mut old = discovery(P);
    round(&mut old, &listing("t", 1, 0..1));
    let mut new = restored(old.snapshot(), vec![], P);
    assert_eq!(round(&mut new, &listing("t", 2, 0..1)), [(tp("t", 0), 0)]);
    let mut unknown = restored(old.snapshot(), vec![], P);
    let without_ids = HashMap::from([(tp("t", 0), None)]);
    assert_eq!(round(&mut unknown, &without_ids), [(tp("t", 0), 50)], "a broker that does not say keeps the position");
}

#[test]
fn r37_missing_three_times_in_a_row_is_retired() {
    let mut discovery = discovery(P);
    round(&mut discovery, &listing("t", 1, 0..2));
    let one = listing("t", 1, 0..1);
    assert!(discovery.observe(&one).is_empty());
    assert!(discovery.observe(&one).is_empty());
    assert!(discovery.observe(&listing("t", 1, 0..2)).is_empty(), "it was there in between");
    assert!(discovery.observe(&one).is_empty());
    assert!(discovery.observe(&one).is_empty());
    assert_eq!(discovery.observe(&one), [(1, SplitId::new("t-1"))]);
    assert_eq!(discovery.removed(), 1);
    assert!(discovery.observe(&one).is_empty(), "only once");
    let state = discovery.snapshot();
    assert_eq!(state.partitions[1].status, PartitionStatus::Retired);
    assert_eq!(state.partitions[1].split.next_offset, 50, "the offset is kept");
}

#[test]
fn r37_a_retired_partition_lives_on_or_starts_anew() {
    for (id, offset) in [(1, 50), (2, 0)] {
        let mut discovery = discovery(P);
        round(&mut discovery, &listing("t", 1, 0..1));
        for _ in 0..3 {
            discovery.observe(&Listing::new());
        }
        assert_eq!(round(&mut discovery, &listing("t", id, 0..1)), [(tp("t", 0), offset)]);
    }
}

#[test]
fn r37_a_new_topic_id_without_a_miss_is_removal_and_addition() {
    let mut discovery = discovery(P);
    round(&mut discovery, &listing("t", 1, 0..1));
    assert_eq!(discovery.observe(&listing("t", 2, 0..1)), [(0, SplitId::new("t-0"))]);
    resolve(&mut discovery);
    let assigned = discovery.assign();
    assert_eq!((assigned[0].1.next_offset, assigned[0].1.topic_id), (0, Some(Uuid::from_u128(2))));
    assert_eq!(discovery.removed(), 1);
}

#[test]
fn r23_a_restored_partition_that_is_gone_is_missing_and_handed_out() {
    let mut old = discovery(P);
    round(&mut old, &listing("t", 1, 0..1));
    let mut new = restored(old.snapshot(), vec![], P);
    assert!(new.observe(&Listing::new()).is_empty());
    assert_eq!(new.assign().len(), 1, "its reader looks for it");
    assert_eq!(new.snapshot().partitions[0].status, PartitionStatus::Missing(1));
    let mut again = restored(new.snapshot(), vec![], P);
    assert_eq!(round(&mut again, &listing("t", 1, 0..1)), [(tp("t", 0), 50)]);
    assert_eq!(again.snapshot().partitions[0].status, PartitionStatus::Active);
}

#[test]
fn r25_finished_splits_are_handed_out_again_as_finished() {
    let mut old = discovery(P);
    round(&mut old, &listing("t", 1, 0..1));
    let mut split = PartitionSplit::new(tp("t", 0), 60);
    split.finished = true;
    let mut new = restored(old.snapshot(), vec![split], P);
    new.observe(&listing("t", 1, 0..1));
    let assigned = new.assign();
    assert!(assigned[0].1.finished);
    assert_eq!(new.snapshot().partitions[0].status, PartitionStatus::Finished);
}

#[test]
fn n26_failures_in_a_row_fail_the_job_and_a_success_forgives() {
    let mut discovery = discovery(P);
    let cause = || Error::Source { reason: "no broker".into() };
    for _ in 0..4 {
        assert!(discovery.fail(cause()).is_ok());
    }
    discovery.observe(&Listing::new());
    for _ in 0..4 {
        assert!(discovery.fail(cause()).is_ok());
    }
    assert_eq!(discovery.fail(cause()).unwrap_err().to_string(), "no broker");
}

#[test]
fn a42_additions_and_removals_of_one_answer_are_both_reported() {
    let mut discovery = PartitionDiscovery::new(SplitAssignment::LegacyHash, P, 1, 5);
    round(&mut discovery, &listing("dynamic_topic", 1, 0..4));
    assert_eq!(discovery.observe(&listing("dynamic_topic", 1, 1..5)).len(), 1);
    resolve(&mut discovery);
    assert_eq!(discovery.assign().len(), 1);
}

#[test]
fn r28_a_restored_partition_without_an_end_is_handed_out_when_its_end_is_known() {
    let mut old = discovery(P);
    round(&mut old, &listing("t", 1, 0..2));
    let mut new = discovery(P);
    new.restore(old.snapshot(), vec![], true, |_| true);
    assert!(round(&mut new, &listing("t", 1, 0..2)).is_empty());
    assert_eq!(new.snapshot().partitions, old.snapshot().partitions, "nothing of it is lost meanwhile");
    let endless: Vec<_> = new.endless().cloned().collect();
    assert_eq!(endless, [tp("t", 0), tp("t", 1)]);
    new.ends_at(&tp("t", 0), 70);
    let assigned = new.assign();
    assert_eq!(assigned.len(), 1);
    assert_eq!((assigned[0].1.next_offset, assigned[0].1.stop), (50, Some(70)));
    let mut again = discovery(P);
    again.restore(new.snapshot(), vec![], true, |_| true);
    assert_eq!(again.assign()[0].1.stop, Some(70), "an end that was found stays, however often the job is restored");
}

#[test]
fn r28_an_end_that_is_not_wanted_any_more_stops_nothing() {
    let split = |partition, next_offset| {
        let mut split = PartitionSplit::new(tp("t", partition), next_offset);
        (split.stop, split.finished) = (Some(70), true);
        split
    };
    // The second was ended by a record, before its stopping offset.
    let mut unbounded = restored(KafkaEnumeratorState::default(), vec![split(0, 70), split(1, 60)], P);
    let mut assigned: Vec<_> = unbounded.assign().into_iter().map(|(_, split)| split).collect();
    assigned.sort_by_key(|split| split.topic_partition.partition);
    assert_eq!(
        assigned.iter().map(|split| (split.stop, split.finished)).collect::<Vec<_>>(),
        [(None, false), (None, true)]
    );
}
