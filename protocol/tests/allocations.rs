//! What the hot path takes from the allocator: nothing per record.
use std::alloc::System;
use std::sync::{Mutex, PoisonError};

use ottla_protocol::compression::Compression;
use ottla_protocol::record::{BatchBuilder, Header, RecordBatch};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts for the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

const VALUE: [u8; 100] = [b'v'; 100];

fn append(builder: &mut BatchBuilder) {
    for i in 0..1000 {
        let headers = [Header { key: "trace", value: Some(b"0123456789abcdef") }];
        builder.append(1_700_000_000_000 + i, Some(b"key-000000"), Some(&VALUE), &headers);
    }
}

/// The fewest allocations of several runs: the harness reports on one test while the other runs, and allocates, too.
fn fewest(mut run: impl FnMut()) -> usize {
    let one = |_| {
        let region = Region::new(ALLOCATOR);
        run();
        let taken = region.change();
        taken.allocations + taken.reallocations
    };
    (0..10).map(one).min().unwrap_or(usize::MAX)
}

#[test]
fn appending_within_the_capacity_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builders: Vec<_> = (0..10).map(|_| BatchBuilder::with_capacity(1 << 18)).collect();
    let mut each = builders.iter_mut();
    assert_eq!(fewest(|| append(each.next().expect("one for each run"))), 0);
    assert!(builders.iter().all(|builder| builder.count() == 1000));
}

#[test]
fn checking_and_iterating_a_batch_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = BatchBuilder::with_capacity(1 << 18);
    append(&mut builder);
    let bytes = builder.finish(Compression::None, None).expect("no codec").records().into_bytes();
    // A slice, as a frame's records are: from then on the bytes are counted.
    let _frame = bytes.slice(1..);
    let mut seen = 0;
    let taken = fewest(|| {
        let batch = RecordBatch::split_from(&mut bytes.clone()).expect("a batch").expect("a whole one");
        batch.verify_crc().expect("the checksum is right");
        let decoded = batch.decompress(1 << 20).expect("nothing is compressed");
        for record in decoded.records() {
            let record = record.expect("a record");
            let value = record.value.and_then(|value| decoded.share(value)).expect("owned bytes of the value");
            seen += value.len() + record.headers().map(|header| header.expect("a header").key.len()).sum::<usize>();
        }
    });
    assert_eq!(taken, 0);
    assert_eq!(seen, 10 * 105 * 1000);
}
