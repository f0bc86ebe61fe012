//! What holds of any records and any cut of a stream; a failure is shrunk to the smallest one.
#![allow(clippy::unwrap_used, reason = "a test")]
use bytes::Bytes;
use ottla_protocol::FrameDecoder;
use ottla_protocol::compression::{Compression, compress, decompress};
use ottla_protocol::record::{BatchBuilder, Header, MessageMagic, MessageSetBuilder, RecordBatch, take_message_set};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

type Parts = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn bytes(most: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(vec(any::<u8>(), 0..most))
}

/// Times as a producer may give them, near each other and anywhere.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![1_700_000_000_000..1_700_000_100_000i64, 0..=i64::MAX]
}

fn records() -> impl Strategy<Value = Vec<Parts>> {
    vec((time(), bytes(40), bytes(300), vec((".{0,10}", bytes(20)), 0..4)), 1..30)
}

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(&Compression::ALL[..])
}

proptest! {
    #[test]
    fn any_records_come_out_of_a_batch_as_they_went_in(records in records(), codec in codec()) {
        let mut builder = BatchBuilder::with_capacity(64);
        for (time, key, value, headers) in &records {
            let headers: Vec<_> = headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
            builder.append(*time, key.as_deref(), value.as_deref(), &headers);
        }
        let mut bytes = builder.finish(codec, None).unwrap().records().into_bytes();
        let batch = RecordBatch::split_from(&mut bytes).unwrap().unwrap();
        prop_assert_eq!(batch.verify_crc(), Ok(()));
        prop_assert_eq!(batch.max_timestamp(), records.iter().map(|record| record.0).max().unwrap());
        let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let read: Vec<Parts> = batch.decompress(LIMIT).unwrap().records().map(|record| {
            let record = record.unwrap();
            let headers = record.headers().map(Result::unwrap).map(|h| (h.key.to_owned(), own(h.value)));
            (record.timestamp, own(record.key), own(record.value), headers.collect())
        }).collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn any_messages_come_out_of_a_set_as_they_went_in(
        messages in vec((time(), bytes(40), bytes(300)), 1..30),
        codec in prop::sample::select(&[Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4][..]),
    ) {
        let mut builder = MessageSetBuilder::with_capacity(MessageMagic::V1, 64);
        for (time, key, value) in &messages {
            builder.append(*time, key.as_deref(), value.as_deref()).unwrap();
        }
        let mut set = builder.finish(codec, None).unwrap().into_bytes();
        let mut read = Vec::new();
        while let Some(batch) = take_message_set(&mut set, true, LIMIT).unwrap() {
            for record in batch.decompress(LIMIT).unwrap().records() {
                let record = record.unwrap();
                read.push((record.timestamp, record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec)));
            }
        }
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn any_bytes_come_back_from_every_codec_up_to_the_limit(
        pieces in vec((any::<u8>(), 1..3000usize), 0..60),
        codec in codec(),
    ) {
        let piece = |(byte, times): (u8, usize)| (0..times).map(move |i| byte ^ (i / 700) as u8);
        let content: Vec<u8> = pieces.into_iter().flat_map(piece).collect();
        let mut compressed = Vec::new();
        compress(codec, None, &content, &mut compressed).unwrap();
        prop_assert!(decompress(codec, &compressed, content.len()).as_deref() == Ok(&content[..]));
        if let Some(limit) = content.len().checked_sub(1) {
            prop_assert!(decompress(codec, &compressed, limit).is_err());
        }
    }

    #[test]
    fn frames_are_the_same_however_a_stream_is_cut(
        frames in vec(vec(any::<u8>(), 0..200), 0..20),
        cuts in vec(1..300usize, 1..20),
    ) {
        let stream: Vec<u8> =
            frames.iter().flat_map(|f| [&(f.len() as u32).to_be_bytes()[..], f].concat()).collect();
        let (mut decoder, mut read, mut rest) = (FrameDecoder::new(200), Vec::new(), &stream[..]);
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            rest = after;
            decoder.buffer().extend_from_slice(piece);
            while let Some(frame) = decoder.next_frame().unwrap() {
                read.push(frame);
            }
        }
        prop_assert_eq!(read, frames.into_iter().map(Bytes::from).collect::<Vec<_>>());
        prop_assert_eq!(decoder.pending(), 0);
    }
}
