//! CRC-32C of two parts from the checksums of each, cheaper than `crc32c_combine`, which squares matrices.

/// The polynomial of CRC-32C, its lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// The polynomial 1.
const ONE: u32 = 1 << 31;

/// x to the power of the bits of a part, modulo the polynomial: what a checksum is multiplied with when so much follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shift(u32);

impl Shift {
    /// Over a part of `length` bytes.
    pub(super) fn over(length: usize) -> Self {
        let (mut power, mut product, mut bits) = (ONE >> 8, ONE, length);
        while bits != 0 {
            if bits & 1 != 0 {
                product = multiply(power, product);
            }
            power = multiply(power, power);
            bits >>= 1;
        }
        Self(product)
    }

    /// The checksum of a first part and a second one, which is as long as the shift says.
    pub(super) fn combine(self, first: u32, second: u32) -> u32 {
        multiply(self.0, first) ^ second
    }
}

/// The product of two polynomials modulo the polynomial.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = ONE;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = if b & 1 == 0 { b >> 1 } else { b >> 1 ^ POLYNOMIAL };
        bit >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_two_parts_is_that_of_the_whole() {
        let bytes: Vec<u8> = (0..3000u32).map(|i| ((i * 7) >> 3) as u8).collect();
        for (at, end) in [(0, 0), (0, 1), (1, 1), (40, 61), (9, 1000), (1234, 3000), (3000, 3000)] {
            let (first, second) = bytes[..end].split_at(at);
            let combined = Shift::over(second.len()).combine(crc32c::crc32c(first), crc32c::crc32c(second));
            assert_eq!(combined, crc32c::crc32c(&bytes[..end]), "{at} of {end}");
        }
        let million = vec![7; 1 << 20];
        let combined = Shift::over(million.len()).combine(crc32c::crc32c(b"head"), crc32c::crc32c(&million));
        assert_eq!(combined, crc32c::crc32c_append(crc32c::crc32c(b"head"), &million));
    }
}
