//! What a message looks like, as data: for tests against Kafka's schema files and for tools that print messages.

/// A type of Kafka's message schemas.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are Kafka's")]
pub enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    String,
    Uuid,
    Bytes,
    Records,
    Array(&'static Self),
    Struct(&'static Struct),
}

/// A message or a part of one.
#[derive(Debug)]
pub struct Struct {
    /// Kafka's name.
    pub name: &'static str,
    /// In the order of the wire.
    pub fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// Kafka's name in snake_case.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// The versions that have it.
    pub versions: Versions,
    /// The versions in which it may be null.
    pub nullable: Option<Versions>,
    /// Our default as Rust text; `None` is the type's default.
    pub default: Option<&'static str>,
    /// Its tag, when it is a tagged field.
    pub tag: Option<u32>,
    /// Whether a version without it drops its value, and does not refuse it.
    pub ignorable: bool,
}

/// A range of versions, both ends included. `max: None` is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the type says it")]
pub struct Versions {
    pub min: i16,
    pub max: Option<i16>,
}

impl Versions {
    /// Every version.
    pub const ALL: Self = Self { min: 0, max: None };

    /// Whether `version` is in the range.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        version >= self.min
            && match self.max {
                Some(max) => version <= max,
                None => true,
            }
    }
}
