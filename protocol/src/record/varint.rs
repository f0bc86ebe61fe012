//! Zigzag variable-length integers, as records use them.

/// The length of null: -1.
pub(crate) const NULL: u64 = zigzag(-1);
/// Varints below it take two bytes at most.
pub(crate) const TWO_BYTES: u64 = 1 << 14;
/// Lengths below it take one byte.
pub(crate) const ONE_BYTE_LENGTH: usize = 1 << 6;
/// Lengths below it take two bytes at most.
pub(crate) const TWO_BYTE_LENGTH: usize = 1 << 13;

/// What is written for a number: those near 0 are short.
#[inline]
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// What is written for a length; no slice is so long that it does not fit.
#[inline]
pub(crate) const fn bits_of_length(length: usize) -> u64 {
    (length as u64) << 1
}

/// What is written for the length of bytes.
#[inline]
pub(crate) fn bits_of_nullable(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(NULL, |bytes| bits_of_length(bytes.len()))
}

/// Bytes that a varint takes.
#[inline]
pub(crate) const fn length(bits: u64) -> usize {
    (64 - (bits | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes a varint to the front of `place`, where there is room for it, and returns what is behind it.
#[inline(always)]
pub(crate) fn put(place: &mut [u8], bits: u64) -> &mut [u8] {
    if bits < TWO_BYTES { put_short(place, bits) } else { put_long(place, bits) }
}

/// The same for one below [`TWO_BYTES`].
#[inline(always)]
pub(crate) fn put_short(place: &mut [u8], bits: u64) -> &mut [u8] {
    if bits < 0x80 {
        let (to, rest) = place.split_at_mut(1);
        to[0] = bits as u8;
        rest
    } else {
        let (to, rest) = place.split_at_mut(2);
        to.copy_from_slice(&two_bytes(bits));
        rest
    }
}

#[inline(never)]
fn put_long(place: &mut [u8], mut bits: u64) -> &mut [u8] {
    let (to, rest) = place.split_at_mut(length(bits));
    for byte in to {
        let more = if bits < 0x80 { 0 } else { 0x80 };
        *byte = bits as u8 & 0x7f | more;
        bits >>= 7;
    }
    rest
}

/// The bytes of a varint of two.
#[inline(always)]
pub(crate) const fn two_bytes(bits: u64) -> [u8; 2] {
    ((bits + (bits & !0x7f)) as u16 | 0x80).to_le_bytes()
}

/// Reads a value of at most 64 bits from the front of `input`.
#[inline(always)]
pub(crate) fn take(input: &mut &[u8]) -> Option<i64> {
    let (value, rest) = match split_short(input) {
        Some((bits, rest)) => (i64::from(unzigzag_i32(bits)), rest),
        None => {
            let (bits, rest) = split_long(input, 10)?;
            (unzigzag(bits), rest)
        }
    };
    *input = rest;
    Some(value)
}

/// Reads a value of at most 32 bits from the front of `input`.
#[inline(always)]
pub(crate) fn take_i32(input: &mut &[u8]) -> Option<i32> {
    take_bits(input).map(unzigzag_i32)
}

/// Reads how much or how many there is of something from the front of `input`. The inner `None` is a negative number.
#[inline(always)]
pub(crate) fn take_count(input: &mut &[u8]) -> Option<Option<u32>> {
    take_bits(input).map(|bits| (bits & 1 == 0).then_some(bits >> 1))
}

/// Reads a length from the front of `input`. The inner `None` is -1: null.
#[inline(always)]
pub(crate) fn take_length(input: &mut &[u8]) -> Option<Result<Option<usize>, Negative>> {
    let bits = take_bits(input)?;
    Some(match bits {
        _ if bits & 1 == 0 => Ok(Some(bits as usize >> 1)),
        1 => Ok(None),
        _ => Err(Negative),
    })
}

/// A length below -1.
pub(crate) struct Negative;

#[inline(always)]
fn take_bits(input: &mut &[u8]) -> Option<u32> {
    let (bits, rest) = match split_short(input) {
        Some(short) => short,
        None => {
            let (bits, rest) = split_long(input, 5)?;
            (u32::try_from(bits).ok()?, rest)
        }
    };
    *input = rest;
    Some(bits)
}

/// One or two bytes, as nearly all values take. No function that is not inlined is given a place of the input, so that the
/// input stays in registers from one value to the next.
#[inline(always)]
fn split_short(input: &[u8]) -> Option<(u32, &[u8])> {
    match input {
        [first @ 0..0x80, rest @ ..] => Some((u32::from(*first), rest)),
        [first, second @ 0..0x80, rest @ ..] => Some((u32::from(*first & 0x7f) | u32::from(*second) << 7, rest)),
        _ => None,
    }
}

#[cold]
#[inline(never)]
fn split_long(input: &[u8], max: usize) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, &byte) in input.iter().take(max).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if i == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * i);
        if byte < 0x80 {
            return Some((value, input.get(i + 1..)?));
        }
    }
    None
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

const fn unzigzag_i32(bits: u32) -> i32 {
    (bits >> 1) as i32 ^ -((bits & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_survives() {
        for shift in 0..64 {
            for value in
                [1i64 << shift, (1i64 << shift).wrapping_neg(), (1i64 << shift).wrapping_sub(1), i64::MIN, 0, -1]
            {
                let mut out = [0; 10];
                let n = 10 - put(&mut out, zigzag(value)).len();
                assert_eq!(n, length(zigzag(value)), "{value}");
                let mut input = &out[..n];
                assert_eq!(take(&mut input), Some(value));
                assert!(input.is_empty());
                assert_eq!(take(&mut &out[..n - 1]), None);
            }
        }
    }

    #[test]
    fn a_short_one_is_written_as_any_other() {
        for bits in 0..TWO_BYTES {
            let mut any = [0; 2];
            let n = 2 - put(&mut any, bits).len();
            let mut short = [0; 2];
            assert_eq!(2 - put_short(&mut short, bits).len(), n, "{bits}");
            assert_eq!(short, any, "{bits}");
        }
    }

    #[test]
    fn more_than_five_or_ten_bytes_is_no_value() {
        assert_eq!(take_i32(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0][..]), None);
        assert_eq!(take(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0][..]), None);
        assert_eq!(take_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x0f][..]), Some(i32::MIN));
        assert_eq!(take_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None);
    }
}
