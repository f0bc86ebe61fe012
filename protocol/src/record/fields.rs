//! A record's fields: how long they are when encoded, and their bytes.
use super::{Header, varint};

/// A record to be written into a batch.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    /// What the record says of its place, against the first of its batch.
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [Header<'a>],
}

/// The exact length of an encoded record.
#[derive(Clone, Copy)]
pub(super) struct RecordSize {
    /// Without the length field in front.
    body: usize,
    pub(super) whole: usize,
}

/// What a short record takes at most, next to keys and values: its length, its attributes, its deltas, the lengths of key
/// and value, the number of headers; and each header's two lengths.
const MOST: usize = 2 + 1 + 10 + 5 + 2 + 2 + 2;
const MOST_OF_HEADER: usize = 4;
/// The same at least, and its length not counted.
const LEAST: usize = 6;
const LEAST_OF_HEADER: usize = 2;

impl Fields<'_> {
    pub(super) fn size(&self) -> RecordSize {
        let sized = |bytes| varint::length(varint::bits_of_nullable(bytes)) + length(bytes);
        let mut body = 1
            + varint::length(varint::zigzag(self.timestamp_delta))
            + varint::length(varint::zigzag(self.offset_delta.into()))
            + sized(self.key)
            + sized(self.value)
            + varint::length(varint::bits_of_length(self.headers.len()));
        for header in self.headers {
            body += sized(Some(header.key.as_bytes())) + sized(header.value);
        }
        RecordSize { body, whole: varint::length(varint::bits_of_length(body)) + body }
    }

    /// Writes the record into a place of its length.
    pub(super) fn write(&self, size: RecordSize, place: &mut [u8]) {
        let put_nullable = |place, bytes| {
            let rest = varint::put(place, varint::bits_of_nullable(bytes));
            put(rest, bytes.unwrap_or_default())
        };
        let mut rest = varint::put(place, varint::bits_of_length(size.body));
        rest = put(rest, &[0]); // attributes, unused
        rest = varint::put(rest, varint::zigzag(self.timestamp_delta));
        rest = varint::put(rest, varint::zigzag(self.offset_delta.into()));
        rest = put_nullable(rest, self.key);
        rest = put_nullable(rest, self.value);
        rest = varint::put(rest, varint::bits_of_length(self.headers.len()));
        for header in self.headers {
            rest = put_nullable(rest, Some(header.key.as_bytes()));
            rest = put_nullable(rest, header.value);
        }
    }

    /// Writes the record to the front of `place` and returns its length, if there is room for the most that it may take,
    /// and that is less than [`varint::TWO_BYTE_LENGTH`]: as with nearly all records. Then no varint's length is added up
    /// before, and the field in front is written last. What lies behind the record may be overwritten.
    #[inline(always)]
    pub(super) fn write_short(&self, place: &mut [u8]) -> Option<usize> {
        let headers = self.headers.len();
        let payload = length(self.key) + length(self.value) + payload(self.headers);
        if payload + MOST + MOST_OF_HEADER * headers > place.len().min(varint::TWO_BYTE_LENGTH - 1) {
            return None;
        }
        // A guess, of which only the second case is sure.
        let start = if payload + LEAST + LEAST_OF_HEADER * headers < varint::ONE_BYTE_LENGTH { 1 } else { 2 };
        let room = place.len();
        let rest = put(&mut place[start..], &[0]); // attributes, unused
        let rest = varint::put(rest, varint::zigzag(self.timestamp_delta));
        let rest = varint::put(rest, varint::bits_of_length(self.offset_delta.unsigned_abs() as usize));
        let rest = put_short_nullable(rest, self.key);
        let rest = put_short_nullable(rest, self.value);
        let rest = varint::put_short(rest, varint::bits_of_length(headers));
        let rest = match self.headers {
            [] => rest,
            [one] => put_header(rest, one),
            more => put_headers(rest, more),
        };
        let end = room - rest.len();
        let body = end - start;
        if start == 2 {
            place[..2].copy_from_slice(&varint::two_bytes(varint::bits_of_length(body)));
        } else if body < varint::ONE_BYTE_LENGTH {
            place[0] = varint::bits_of_length(body) as u8;
        } else {
            return Some(move_behind_two_bytes(place, body));
        }
        Some(end)
    }
}

#[cold]
fn move_behind_two_bytes(place: &mut [u8], body: usize) -> usize {
    place.copy_within(1..=body, 2);
    place[..2].copy_from_slice(&varint::two_bytes(varint::bits_of_length(body)));
    body + 2
}

#[inline(always)]
fn length(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, <[u8]>::len)
}

/// Bytes of keys and values.
#[inline(always)]
fn payload(headers: &[Header<'_>]) -> usize {
    let of = |header: &Header<'_>| header.key.len() + length(header.value);
    match headers {
        [] => 0,
        [one] => of(one),
        more => more.iter().map(of).sum(),
    }
}

#[inline(never)]
fn put_headers<'a>(mut place: &'a mut [u8], headers: &[Header<'_>]) -> &'a mut [u8] {
    for header in headers {
        place = put_header(place, header);
    }
    place
}

#[inline(always)]
fn put_header<'a>(place: &'a mut [u8], header: &Header<'_>) -> &'a mut [u8] {
    put_short_nullable(put_short_nullable(place, Some(header.key.as_bytes())), header.value)
}

/// Writes less bytes than [`varint::TWO_BYTE_LENGTH`], and their length in front of them.
#[inline(always)]
fn put_short_nullable<'a>(place: &'a mut [u8], bytes: Option<&[u8]>) -> &'a mut [u8] {
    match bytes {
        Some(bytes) => put(varint::put_short(place, varint::bits_of_length(bytes.len())), bytes),
        None => varint::put_short(place, varint::NULL),
    }
}

/// Copies, and returns the place behind. What is copied is short: a few moves that overlap are cheaper than a call.
#[inline(always)]
fn put<'a>(place: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let (to, rest) = place.split_at_mut(bytes.len());
    if bytes.len() > 16 {
        if bytes.len() > 64 {
            to.copy_from_slice(bytes);
        } else if bytes.len() > 32 {
            copy_ends::<32>(to, bytes);
        } else {
            copy_ends::<16>(to, bytes);
        }
    } else if bytes.len() >= 8 {
        copy_ends::<8>(to, bytes);
    } else if bytes.len() >= 4 {
        copy_ends::<4>(to, bytes);
    } else {
        to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }
    rest
}

/// The first and the last `N` bytes, of not more than twice as many.
#[inline(always)]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(place), Some(bytes)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *place = *bytes;
    }
    if let (Some(place), Some(bytes)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *place = *bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written both ways, and whether the short one was possible.
    fn both(fields: Fields<'_>) -> bool {
        let size = fields.size();
        let mut exact = vec![0; size.whole];
        fields.write(size, &mut exact);
        let mut place = vec![0xaa; size.whole + 40];
        let Some(length) = fields.write_short(&mut place) else { return false };
        assert_eq!(length, size.whole);
        assert_eq!(place[..length], exact);
        // Enough is the most that it may take, and no more; with less nothing is written.
        for room in (0..size.whole).rev().take(20) {
            let mut place = vec![0xaa; room];
            assert_eq!(fields.write_short(&mut place), None);
            assert_eq!(place, vec![0xaa; room]);
        }
        true
    }

    #[test]
    fn a_record_written_the_short_way_is_the_same_around_every_limit() {
        let bytes = [7; 8300];
        let header = |key, value: Option<usize>| Header { key, value: value.map(|length| &bytes[..length]) };
        let headers = [header("a", Some(0)), header("", None), header("abcd", Some(20)), header("trace", Some(64))];
        let lengths = (0..140).chain(8100..8300);
        for value in lengths.map(|length| Some(&bytes[..length])).chain([None]) {
            for key in [None, Some(&bytes[..0]), Some(&bytes[..10]), Some(&bytes[..64])] {
                for headers in [&headers[..0], &headers[..1], &headers[2..3], &headers[..]] {
                    for (timestamp_delta, offset_delta) in
                        [(0, 0), (63, 1), (-64, 63), (64, 64), (-8193, 8191), (8192, 8192), (i64::MIN, i32::MAX)]
                    {
                        let short = both(Fields { timestamp_delta, offset_delta, key, value, headers });
                        assert!(short || value.is_some_and(|value| value.len() > 8000));
                    }
                }
            }
        }
        let plain = |length: usize| Fields {
            timestamp_delta: 1,
            offset_delta: 1,
            key: None,
            value: Some(&bytes[..length]),
            headers: &[],
        };
        assert!(both(plain(8000)) && !both(plain(8192)));
    }
}
