//! `message!`: a message is declared once, in the words of Kafka's JSON, and both directions of its codec follow.

/// Declares messages and their parts.
///
/// ```text
/// Name {
///     field: Type = default, @ 3-9, ? 5+, # 0, ignorable;
/// }
/// ```
/// `= default` where it is not the type's own; `@` the versions that have the field; `?` the versions in which it may be
/// null (an `Option` without it: all); `#` its tag; `ignorable`: a version without the field drops the value, otherwise
/// it is an error to encode one. The order of the clauses is fixed.
macro_rules! message {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            $($field:ident: $ty:ty $(= $default:expr)? $(, @ $min:literal $(+)? $(- $max:literal)?)?
                $(, ? $nmin:literal $(+)? $(- $nmax:literal)?)? $(, # $tag:literal)? $(, $ignorable:ident)?;)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "names and meaning are those of Kafka's message schemas")]
        pub struct $name { $(pub $field: $ty,)* }

        impl Default for $name {
            fn default() -> Self { Self { $($field: message!(@default $($default)?),)* } }
        }

        impl $name {
            const SCHEMA: $crate::schema::Struct = $crate::schema::Struct {
                name: stringify!($name),
                fields: &[$($crate::schema::Field {
                    name: $crate::macros::plain(stringify!($field)),
                    kind: <$ty as $crate::wire::Wire>::TYPE,
                    versions: message!(@versions $($min $($max)?)?),
                    nullable: message!(@nullable $ty, message!(@versions $($min $($max)?)?) $(, $nmin $($nmax)?)?),
                    default: message!(@text $($default)?),
                    tag: message!(@option $($tag)?),
                    ignorable: message!(@flag $($ignorable)?),
                },)*],
            };
        }

        impl $crate::wire::Wire for $name {
            const TYPE: $crate::schema::Type = $crate::schema::Type::Struct(&Self::SCHEMA);

            #[allow(unused_mut, unused_variables, clippy::allow_attributes)]
            fn encode(&self, out: &mut $crate::encoder::Encoder, v: $crate::wire::Version) -> Result<(), $crate::wire::EncodeError> {
                let mut tagged: Vec<(u32, $crate::encoder::Encoder)> = Vec::new();
                $({
                    const VERSIONS: $crate::schema::Versions = message!(@versions $($min $($max)?)?);
                    if VERSIONS.contains(v.number) {
                        message!(@null self.$field, $name.$field, v $(, $nmin $($nmax)?)?);
                        message!(@put self.$field, <$ty>, message!(@default $($default)?), out, tagged, v $(, $tag)?);
                    } else if !message!(@flag $($ignorable)?) {
                        let default: $ty = message!(@default $($default)?);
                        if self.$field != default {
                            return Err($crate::wire::EncodeError::Unsupported {
                                field: concat!(stringify!($name), ".", stringify!($field)),
                                version: v.number,
                            });
                        }
                    }
                })*
                if v.flexible {
                    tagged.sort_by_key(|(tag, _)| *tag);
                    out.put_varint(tagged.len() as u32);
                    for (tag, value) in tagged {
                        out.put_varint(tag);
                        out.put_varint(u32::try_from(value.len()).map_err(|_| $crate::wire::EncodeError::TooLong(value.len()))?);
                        out.append(value);
                    }
                }
                Ok(())
            }

            #[allow(unused_mut, unused_variables, clippy::allow_attributes)]
            fn decode(input: &mut bytes::Bytes, v: $crate::wire::Version) -> Result<Self, $crate::wire::DecodeError> {
                let mut message = Self::default();
                $({
                    const VERSIONS: $crate::schema::Versions = message!(@versions $($min $($max)?)?);
                    if VERSIONS.contains(v.number) {
                        message!(@get message.$field, input, v $(, $tag)?);
                        message!(@got message.$field, v $(, $nmin $($nmax)?)?);
                    }
                })*
                if v.flexible {
                    $crate::wire::decode_tagged(input, |tag, value| {
                        $(message!(@get_tag message.$field, tag, value, v $(, $tag)?);)*
                        Ok(false)
                    })?;
                }
                Ok(message)
            }
        }

        /// A nullable struct is a byte, -1 or 1, and the struct (KIP-893).
        impl $crate::wire::Wire for Option<$name> {
            const TYPE: $crate::schema::Type = <$name as $crate::wire::Wire>::TYPE;

            fn encode(&self, out: &mut $crate::encoder::Encoder, v: $crate::wire::Version) -> Result<(), $crate::wire::EncodeError> {
                let Some(value) = self else { return $crate::wire::Wire::encode(&-1i8, out, v) };
                $crate::wire::Wire::encode(&1i8, out, v)?;
                value.encode(out, v)
            }

            fn decode(input: &mut bytes::Bytes, v: $crate::wire::Version) -> Result<Self, $crate::wire::DecodeError> {
                let present = <i8 as $crate::wire::Wire>::decode(input, v)?;
                if present < 0 { return Ok(None) }
                $name::decode(input, v).map(Some)
            }
        }
    )*};
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (@text) => { None };
    (@text $default:expr) => { Some(stringify!($default)) };
    (@option) => { None };
    (@option $value:literal) => { Some($value) };
    (@flag) => { false };
    (@flag ignorable) => { true };
    (@versions) => { $crate::schema::Versions::ALL };
    (@versions $min:literal) => { $crate::schema::Versions { min: $min, max: None } };
    (@versions $min:literal $max:literal) => { $crate::schema::Versions { min: $min, max: Some($max) } };
    (@nullable $ty:ty, $versions:expr) => { if $crate::macros::is_option(stringify!($ty)) { Some($versions) } else { None } };
    (@nullable $ty:ty, $versions:expr, $min:literal $($max:literal)?) => { Some(message!(@versions $min $($max)?)) };
    (@null $value:expr, $name:ident.$field:ident, $v:ident) => {};
    (@null $value:expr, $name:ident.$field:ident, $v:ident, $min:literal $($max:literal)?) => {
        if $value.is_none() && !message!(@versions $min $($max)?).contains($v.number) {
            return Err($crate::wire::EncodeError::Null {
                field: concat!(stringify!($name), ".", stringify!($field)),
                version: $v.number,
            });
        }
    };
    (@got $place:expr, $v:ident) => {};
    (@got $place:expr, $v:ident, $min:literal $($max:literal)?) => {
        if $place.is_none() && !message!(@versions $min $($max)?).contains($v.number) {
            return Err($crate::wire::DecodeError::Null);
        }
    };
    (@put $value:expr, <$ty:ty>, $default:expr, $out:ident, $tagged:ident, $v:ident) => {
        $crate::wire::Wire::encode(&$value, $out, $v)?
    };
    (@put $value:expr, <$ty:ty>, $default:expr, $out:ident, $tagged:ident, $v:ident, $tag:literal) => {
        let default: $ty = $default;
        if $value != default {
            let mut value = $crate::encoder::Encoder::new();
            $crate::wire::Wire::encode(&$value, &mut value, $v)?;
            $tagged.push(($tag, value));
        }
    };
    (@get $place:expr, $input:ident, $v:ident) => { $place = $crate::wire::Wire::decode($input, $v)? };
    (@get $place:expr, $input:ident, $v:ident, $tag:literal) => {};
    (@get_tag $place:expr, $t:ident, $value:ident, $v:ident) => {};
    (@get_tag $place:expr, $t:ident, $value:ident, $v:ident, $tag:literal) => {
        if $t == $tag {
            $place = $crate::wire::Wire::decode($value, $v)?;
            return Ok(true);
        }
    };
}

/// Ties a request to its response, API key and versions: those our client speaks, and the first flexible one.
macro_rules! request {
    ($request:ident => $response:ident, $key:ident, versions $min:literal - $max:literal $(, flexible $flexible:literal +)?) => {
        impl $crate::request::Request for $request {
            const API_KEY: $crate::api_key::ApiKey = $crate::api_key::ApiKey::$key;
            const MIN_VERSION: i16 = $min;
            const MAX_VERSION: i16 = $max;
            const FLEXIBLE_FROM: i16 = request!(@flexible $($flexible)?);
            type Response = $response;
        }
    };
    (@flexible) => { i16::MAX };
    (@flexible $flexible:literal) => { $flexible };
}

/// Whether the text of a type is an `Option`.
pub(crate) const fn is_option(ty: &str) -> bool {
    let (ty, option) = (ty.as_bytes(), b"Option");
    let mut i = 0;
    while i < option.len() {
        if i >= ty.len() || ty[i] != option[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// A field's name without the mark of a raw identifier.
pub(crate) const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

pub(crate) use {message, request};
