//! Zigzag variable-length integers, as records use them.

/// Bytes that `value` takes.
#[inline]
pub(crate) const fn length(value: i64) -> usize {
    length_of_bits(zigzag(value))
}

/// Bytes that a length takes; no slice is so long that it does not fit.
#[inline]
pub(crate) const fn length_of_length(length: usize) -> usize {
    length_of_bits((length as u64) << 1)
}

#[inline]
const fn length_of_bits(bits: u64) -> usize {
    if bits < 1 << 14 { 1 + (bits >= 1 << 7) as usize } else { length_of_many_bits(bits) }
}

#[cold]
const fn length_of_many_bits(bits: u64) -> usize {
    (64 - bits.leading_zeros() as usize).div_ceil(7)
}

/// Writes `value` at `at`, where there is room for it, and returns the place behind it.
#[inline]
pub(crate) fn put(out: &mut [u8], at: usize, value: i64) -> usize {
    put_bits(out, at, zigzag(value))
}

/// The same for a length.
#[inline]
pub(crate) fn put_length(out: &mut [u8], at: usize, length: usize) -> usize {
    put_bits(out, at, (length as u64) << 1)
}

#[inline]
fn put_bits(out: &mut [u8], at: usize, bits: u64) -> usize {
    if bits < 1 << 7 {
        out[at] = bits as u8;
        at + 1
    } else if bits < 1 << 14 {
        let two = (bits as u16 & 0x7f) | 0x80 | (bits as u16 >> 7 << 8);
        out[at..at + 2].copy_from_slice(&two.to_le_bytes());
        at + 2
    } else {
        put_long(out, at, bits)
    }
}

#[cold]
fn put_long(out: &mut [u8], mut at: usize, mut bits: u64) -> usize {
    while bits >= 0x80 {
        out[at] = bits as u8 | 0x80;
        bits >>= 7;
        at += 1;
    }
    out[at] = bits as u8;
    at + 1
}

/// Reads a value of at most 64 bits from the front of `input`.
#[inline]
pub(crate) fn take(input: &mut &[u8]) -> Option<i64> {
    match take_short(input) {
        Some(bits) => Some(i64::from(unzigzag_i32(bits))),
        None => take_long(input, 10).map(unzigzag),
    }
}

/// Reads a value of at most 32 bits from the front of `input`.
#[inline]
pub(crate) fn take_i32(input: &mut &[u8]) -> Option<i32> {
    take_bits(input).map(unzigzag_i32)
}

/// Reads a length from the front of `input`. The inner `None` is -1: null.
#[inline]
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

#[inline]
fn take_bits(input: &mut &[u8]) -> Option<u32> {
    match take_short(input) {
        Some(bits) => Some(bits),
        None => u32::try_from(take_long(input, 5)?).ok(),
    }
}

/// One or two bytes, as nearly all values take.
#[inline]
fn take_short(input: &mut &[u8]) -> Option<u32> {
    let (bits, rest) = match *input {
        [first @ 0..0x80, rest @ ..] => (u32::from(*first), rest),
        [first, second @ 0..0x80, rest @ ..] => (u32::from(*first & 0x7f) | u32::from(*second) << 7, rest),
        _ => return None,
    };
    *input = rest;
    Some(bits)
}

#[cold]
fn take_long(input: &mut &[u8], max: usize) -> Option<u64> {
    let mut value = 0u64;
    for (i, &byte) in input.iter().take(max).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if i == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * i);
        if byte < 0x80 {
            *input = input.get(i + 1..)?;
            return Some(value);
        }
    }
    None
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
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
                let n = put(&mut out, 0, value);
                assert_eq!(n, length(value), "{value}");
                let mut input = &out[..n];
                assert_eq!(take(&mut input), Some(value));
                assert!(input.is_empty());
                assert_eq!(take(&mut &out[..n - 1]), None);
            }
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
