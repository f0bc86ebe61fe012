//! Zigzag variable-length integers, as records use them.

/// Bytes that `value` takes.
#[inline]
pub(crate) const fn length(value: i64) -> usize {
    let bits = zigzag(value);
    if bits < 1 << 7 {
        1
    } else if bits < 1 << 14 {
        2
    } else {
        (64 - bits.leading_zeros() as usize).div_ceil(7)
    }
}

/// Writes `value` at the front of `out` and returns the number of bytes; `out` has room for it.
#[inline]
pub(crate) fn put(out: &mut [u8], value: i64) -> usize {
    let bits = zigzag(value);
    match out {
        [first, ..] if bits < 1 << 7 => {
            *first = bits as u8;
            1
        }
        [first, second, ..] if bits < 1 << 14 => {
            *first = bits as u8 | 0x80;
            *second = (bits >> 7) as u8;
            2
        }
        _ => put_long(out, bits),
    }
}

fn put_long(out: &mut [u8], mut rest: u64) -> usize {
    let mut at = 0;
    for byte in out {
        at += 1;
        if rest < 0x80 {
            *byte = rest as u8;
            break;
        }
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    at
}

/// Reads a value of at most 64 bits from the front of `input`.
#[inline]
pub(crate) fn take(input: &mut &[u8]) -> Option<i64> {
    match take_short(input) {
        Some(value) => Some(i64::from(value)),
        None => take_long(input, 10),
    }
}

/// Reads a value of at most 32 bits from the front of `input`.
#[inline]
pub(crate) fn take_i32(input: &mut &[u8]) -> Option<i32> {
    match take_short(input) {
        Some(value) => Some(value),
        None => i32::try_from(take_long(input, 5)?).ok(),
    }
}

/// One or two bytes, as nearly all values take.
#[inline]
fn take_short(input: &mut &[u8]) -> Option<i32> {
    let (bits, rest) = match *input {
        [first @ 0..0x80, rest @ ..] => (i32::from(*first), rest),
        [first, second @ 0..0x80, rest @ ..] => (i32::from(*first & 0x7f) | i32::from(*second) << 7, rest),
        _ => return None,
    };
    *input = rest;
    Some((bits >> 1) ^ -(bits & 1))
}

#[cold]
fn take_long(input: &mut &[u8], max: usize) -> Option<i64> {
    let mut value = 0u64;
    for (i, &byte) in input.iter().take(max).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if i == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * i);
        if byte < 0x80 {
            *input = input.get(i + 1..)?;
            return Some(unzigzag(value));
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
                let n = put(&mut out, value);
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
