//! Messages of `kafka-protocol`, as codecs that need not be named.
use bytes::Bytes;

/// A message of the oracle's: its versions, and bytes decoded and encoded again.
pub(crate) struct Theirs {
    pub(crate) name: &'static str,
    pub(crate) versions: std::ops::RangeInclusive<i16>,
    /// Decoded in one version, encoded in another.
    pub(crate) convert: fn(Bytes, i16, i16) -> Result<Vec<u8>, String>,
}

macro_rules! theirs {
    ($function:ident from $oracle:ident: $($name:ident,)*) => {
        pub(crate) fn $function() -> Vec<Theirs> {
            use $oracle::protocol::{Decodable, Encodable, Message};
            vec![$({
                fn convert(mut bytes: Bytes, from: i16, to: i16) -> Result<Vec<u8>, String> {
                    let message = $oracle::messages::$name::decode(&mut bytes, from).map_err(|e| e.to_string())?;
                    if !bytes.is_empty() {
                        return Err(format!("{} bytes are left over", bytes.len()));
                    }
                    let mut out = Vec::new();
                    message.encode(&mut out, to).map_err(|e| e.to_string())?;
                    Ok(out)
                }
                let versions = $oracle::messages::$name::VERSIONS;
                Theirs { name: stringify!($name), versions: versions.min..=versions.max, convert }
            },)*]
        }
    };
}
