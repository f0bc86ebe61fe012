//! What a sink promises.

/// What happens to output around failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryGuarantee {
    /// Records may be lost and repeated: checkpoints do not wait for acknowledgements.
    None,
    /// Nothing acknowledged by a checkpoint is lost; records may be repeated.
    #[default]
    AtLeastOnce,
    /// Every record once, for readers with `isolation.level=read_committed`, about one checkpoint interval later.
    ExactlyOnce,
}

impl DeliveryGuarantee {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}
