//! Bytes as text that can be commented on.

/// Hexadecimal digits; spaces and what follows `//` on a line do not count.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits = text.lines().filter_map(|line| line.split("//").next()).flat_map(str::chars);
    let digits: Vec<u32> = digits.filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).expect("a digit")).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}
