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

#[test]
fn appending_within_the_capacity_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = BatchBuilder::with_capacity(1 << 18);
    let region = Region::new(ALLOCATOR);
    append(&mut builder);
    let taken = region.change();
    assert_eq!((taken.allocations, taken.reallocations), (0, 0));
    assert_eq!(builder.count(), 1000);
}

#[test]
fn checking_and_iterating_a_batch_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = BatchBuilder::with_capacity(1 << 18);
    append(&mut builder);
    let mut bytes = builder.finish(Compression::None, None).expect("no codec").records().into_bytes();
    // A slice, as a frame's records are: from then on the bytes are counted.
    let _frame = bytes.slice(1..);
    let region = Region::new(ALLOCATOR);
    let batch = RecordBatch::split_from(&mut bytes).expect("a batch").expect("a whole one");
    batch.verify_crc().expect("the checksum is right");
    let decoded = batch.decompress(1 << 20).expect("nothing is compressed");
    let mut seen = 0;
    for record in decoded.records() {
        let record = record.expect("a record");
        let value = record.value.and_then(|value| decoded.share(value)).expect("owned bytes of the value");
        seen += value.len() + record.headers().map(|header| header.expect("a header").key.len()).sum::<usize>();
    }
    let taken = region.change();
    assert_eq!((taken.allocations, taken.reallocations), (0, 0));
    assert_eq!(seen, 105 * 1000);
}
