//! Valid encodings of any message, drawn from its description alone and not by our encoder.
use ottla_protocol::Version;
use ottla_protocol::schema::{Field, Struct, Type};

/// SplitMix64: the same values on every run and machine.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What is drawn. Java's encoders leave a tagged field out when it has its default, so only other values are canonical.
#[derive(Clone, Copy, PartialEq)]
enum Draw {
    Any,
    NotDefault,
}

/// A valid encoding of `kind` in `version`.
pub(crate) fn encoding(kind: &Type, version: Version, rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    value(kind, version, rng, Draw::Any, &mut out);
    out
}

fn value(kind: &Type, version: Version, rng: &mut Rng, draw: Draw, out: &mut Vec<u8>) {
    match kind {
        Type::Bool => out.push(u8::from(draw == Draw::NotDefault || rng.one_in(2))),
        Type::Int8 => integer::<1>(rng, draw, out),
        Type::Int16 | Type::Uint16 => integer::<2>(rng, draw, out),
        Type::Int32 | Type::Uint32 => integer::<4>(rng, draw, out),
        Type::Int64 => integer::<8>(rng, draw, out),
        Type::Float64 => out.extend_from_slice(&(rng.below(1 << 20) as f64 / 8.0).to_be_bytes()),
        Type::Uuid => out.extend_from_slice(&(u128::from(rng.next()) << 64 | u128::from(rng.next())).to_be_bytes()),
        Type::String => {
            let text = string(rng, draw);
            length(Some(text.len()), 2, version, out);
            out.extend_from_slice(text.as_bytes());
        }
        Type::Bytes | Type::Records => {
            let n = if draw == Draw::NotDefault { 1 + rng.below(20) } else { rng.below(200) };
            length(Some(n), 4, version, out);
            out.extend((0..n).map(|_| rng.next() as u8));
        }
        Type::Array(item) => {
            let n = if draw == Draw::NotDefault { 1 } else { rng.below(4) };
            length(Some(n), 4, version, out);
            (0..n).for_each(|_| value(item, version, rng, draw, out));
        }
        Type::Struct(part) => fields(part, version, rng, draw, out),
        other => panic!("no values for {other:?}"),
    }
}

fn fields(part: &Struct, version: Version, rng: &mut Rng, draw: Draw, out: &mut Vec<u8>) {
    let present = || part.fields.iter().filter(|field| field.versions.contains(version.number));
    for field in present().filter(|field| field.tag.is_none()) {
        if draw == Draw::Any && nullable(field, version) && rng.one_in(3) {
            null(&field.kind, version, out);
        } else {
            if is_nullable_struct(field) {
                out.push(1);
            }
            value(&field.kind, version, rng, draw, out);
        }
    }
    if !version.flexible {
        return;
    }
    let mut tagged: Vec<&Field> =
        present().filter(|field| field.tag.is_some() && (draw == Draw::NotDefault || rng.one_in(2))).collect();
    tagged.sort_by_key(|field| field.tag);
    varint(tagged.len() as u32, out);
    for field in tagged {
        let mut body = if is_nullable_struct(field) { vec![1] } else { Vec::new() };
        value(&field.kind, version, rng, Draw::NotDefault, &mut body);
        varint(field.tag.unwrap_or_default(), out);
        varint(body.len() as u32, out);
        out.append(&mut body);
    }
}

fn nullable(field: &Field, version: Version) -> bool {
    field.nullable.is_some_and(|versions| versions.contains(version.number))
}

/// A struct that may be null has a byte in front that says so, in all its versions.
fn is_nullable_struct(field: &Field) -> bool {
    matches!(field.kind, Type::Struct(_)) && field.nullable.is_some()
}

fn null(kind: &Type, version: Version, out: &mut Vec<u8>) {
    match kind {
        Type::Struct(_) => out.push(0xff),
        Type::String => length(None, 2, version, out),
        _ => length(None, 4, version, out),
    }
}

/// Small, extreme or anything.
fn integer<const N: usize>(rng: &mut Rng, draw: Draw, out: &mut Vec<u8>) {
    let value = match rng.below(4) {
        _ if draw == Draw::NotDefault => 2 + rng.below(100) as i64,
        0 => rng.below(4) as i64 - 1,
        1 if rng.one_in(2) => i64::MAX >> (64 - 8 * N),
        1 => i64::MIN >> (64 - 8 * N),
        _ => rng.next() as i64,
    };
    out.extend_from_slice(&value.to_be_bytes()[8 - N..]);
}

fn string(rng: &mut Rng, draw: Draw) -> String {
    let n = match rng.below(8) {
        _ if draw == Draw::NotDefault => 1 + rng.below(5),
        0 => 0,
        1 => 127 + rng.below(3),
        _ => rng.below(20),
    };
    let letters = ['a', 'Z', '0', '.', '-', ' ', '\0', 'ß', '漢', '🦦'];
    (0..n).map(|_| letters[rng.below(letters.len())]).collect()
}

/// `None` is null.
fn length(n: Option<usize>, width: usize, version: Version, out: &mut Vec<u8>) {
    if version.flexible {
        varint(n.map_or(0, |n| n as u32 + 1), out);
    } else {
        let n = n.map_or(-1, |n| n as i64);
        out.extend_from_slice(&n.to_be_bytes()[8 - width..]);
    }
}

fn varint(mut n: u32, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}
